//! Values as scripts write them.

use serde_json::{Map, Value};

/// `#{method: "ig", position: 5}`; nothing where there is no entry.
pub fn options(options: &Map<String, Value>) -> String {
    let entries = options.iter().filter(|(_, value)| !value.is_null());
    let entries: Vec<String> = entries.map(|(name, value)| entry(name, value)).collect();
    match entries.is_empty() {
        true => String::new(),
        false => format!("#{{{}}}", entries.join(", ")),
    }
}

fn entry(name: &str, value: &Value) -> String {
    match rhai::is_valid_identifier(name) {
        true => format!("{name}: {}", literal(value)),
        false => format!("{}: {}", text(name), literal(value)),
    }
}

/// A value as a script writes it.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "()".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => number.to_string(),
        Value::String(string) => text(string),
        Value::Array(items) => {
            let items: Vec<String> = items.iter().map(literal).collect();
            format!("[{}]", items.join(", "))
        }
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(name, value)| entry(name, value)).collect();
            format!("#{{{}}}", fields.join(", "))
        }
    }
}

/// A string in quotes, on one line.
pub fn text(string: &str) -> String {
    let mut quoted = String::from("\"");
    for c in string.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c.is_control() => quoted.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use rhai::Engine;
    use serde_json::json;

    use super::*;
    use crate::result::json::json as json_of;

    #[test]
    fn a_literal_is_the_value_to_rhai() {
        let value = json!({
            "text": "a \"b\" \\ \n\r\t\u{1}\u{85} ${x} ` é👩 \u{200b}", "no-name": [1, -2.5, 1e30, true, []],
            "nested": {"a": {}, "": null},
        });
        let found = Engine::new().eval::<rhai::Dynamic>(&literal(&value)).unwrap();
        assert_eq!(json_of(&found).unwrap(), value);
    }

    #[test]
    fn options_are_a_map_or_nothing() {
        assert_eq!(options(&Map::new()), "");
        let Value::Object(some) = json!({"method": "ig", "position": 5, "target": null}) else {
            panic!("a map")
        };
        assert_eq!(options(&some), r#"#{method: "ig", position: 5}"#);
    }
}

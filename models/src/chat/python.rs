//! Values as Python writes them: as text, within lists, and as JSON.

use std::fmt::Write as _;

use minijinja::value::ValueKind;
use minijinja::{Error, ErrorKind, Value};

/// `str(value)`.
pub(super) fn text(value: &Value) -> String {
    match value.kind() {
        ValueKind::Undefined => String::new(),
        ValueKind::String => value.as_str().unwrap_or_default().to_owned(),
        _ => within(value),
    }
}

/// `repr(value)`: as it stands in a list.
pub(super) fn within(value: &Value) -> String {
    let all = |value: &Value| {
        value
            .try_iter()
            .map(Iterator::collect::<Vec<Value>>)
            .unwrap_or_default()
    };
    match value.kind() {
        ValueKind::Undefined => "Undefined".to_owned(),
        ValueKind::None => "None".to_owned(),
        ValueKind::Bool => if value.is_true() { "True" } else { "False" }.to_owned(),
        ValueKind::Number => number(value),
        ValueKind::String => quoted(value.as_str().unwrap_or_default()),
        ValueKind::Seq => {
            let items: Vec<String> = all(value).iter().map(within).collect();
            match (value.is_tuple(), items.len()) {
                (true, 1) => format!("({},)", items[0]),
                (true, _) => format!("({})", items.join(", ")),
                (false, _) => format!("[{}]", items.join(", ")),
            }
        }
        ValueKind::Map => {
            let pair = |key: &Value| {
                let item = value.get_item(key).unwrap_or(Value::UNDEFINED);
                format!("{}: {}", within(key), within(&item))
            };
            let pairs: Vec<String> = all(value).iter().map(pair).collect();
            format!("{{{}}}", pairs.join(", "))
        }
        _ => value.to_string(),
    }
}

fn number(value: &Value) -> String {
    match f64::try_from(value.clone()) {
        Ok(number) if !value.is_integer() => float(number),
        _ => value.to_string(),
    }
}

/// `repr` of a float: the fewest digits that mean it, with an exponent where it is very large or small.
fn float(number: f64) -> String {
    if !number.is_finite() {
        return number.to_string().to_lowercase();
    }
    let shortest = format!("{number:e}");
    let (digits, exponent) = shortest.split_once('e').unwrap_or((&shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if number != 0.0 && !(-4..16).contains(&exponent) {
        let sign = if exponent < 0 { '-' } else { '+' };
        return format!("{digits}e{sign}{:02}", exponent.abs());
    }
    format!("{number:?}")
}

/// `repr` of a text.
fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') {
        '"'
    } else {
        '\''
    };
    let mut written = String::from(quote);
    for char in text.chars() {
        match char {
            '\n' => written.push_str("\\n"),
            '\r' => written.push_str("\\r"),
            '\t' => written.push_str("\\t"),
            '\\' => written.push_str("\\\\"),
            char if char == quote => written.extend(['\\', char]),
            char if is_printable(char) => written.push(char),
            char => {
                let code = u32::from(char);
                let _ = match code {
                    0..=0xFF => write!(written, "\\x{code:02x}"),
                    0x100..=0xFFFF => write!(written, "\\u{code:04x}"),
                    _ => write!(written, "\\U{code:08x}"),
                };
            }
        }
    }
    written.push(quote);
    written
}

/// As Rust's own escapes know it. A letter stands before it, as marks that combine with one are escaped alone.
fn is_printable(char: char) -> bool {
    char == ' ' || matches!(char, '"' | '\'') || !format!("a{char}").escape_debug().skip(1).any(|c| c == '\\')
}

/// How JSON is written: `json.dumps`'s arguments.
pub(super) struct Json {
    pub ensure_ascii: bool,
    /// What a line begins with, once for each level.
    pub indent: Option<String>,
    pub between_items: String,
    pub behind_key: String,
    pub sort_keys: bool,
}

impl Json {
    /// A value as `json.dumps` writes it.
    ///
    /// # Errors
    /// What is no JSON: an undefined value, a function.
    pub(super) fn write(&self, value: &Value) -> Result<String, Error> {
        let mut json = String::new();
        self.value(&mut json, value, 0)?;
        Ok(json)
    }

    fn value(&self, json: &mut String, value: &Value, level: usize) -> Result<(), Error> {
        if json.len() > super::bounds::MOST_BYTES || level > super::bounds::MOST_LEVELS {
            return Err(Error::from(ErrorKind::OutOfFuel));
        }
        match value.kind() {
            ValueKind::None => json.push_str("null"),
            ValueKind::Bool => json.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => json.push_str(&json_number(value)),
            ValueKind::String => self.string(json, value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let items: Vec<Value> = value.try_iter()?.collect();
                self.items(json, ['[', ']'], items.len(), level, |json, at| {
                    self.value(json, &items[at], level + 1)
                })?;
            }
            ValueKind::Map => {
                let mut keys: Vec<Value> = value.try_iter()?.collect();
                if self.sort_keys {
                    keys.sort();
                }
                self.items(json, ['{', '}'], keys.len(), level, |json, at| {
                    self.string(json, &key(&keys[at])?);
                    json.push_str(&self.behind_key);
                    self.value(json, &value.get_item(&keys[at])?, level + 1)
                })?;
            }
            kind => {
                let reason = format!("{kind} is not JSON serializable");
                return Err(Error::new(ErrorKind::BadSerialization, reason));
            }
        }
        Ok(())
    }

    fn items(
        &self,
        json: &mut String,
        [open, close]: [char; 2],
        n: usize,
        level: usize,
        mut item: impl FnMut(&mut String, usize) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let line = |json: &mut String, level: usize| {
            if let Some(indent) = &self.indent {
                json.push('\n');
                json.push_str(&indent.repeat(level));
            }
        };
        json.push(open);
        for at in 0..n {
            if at > 0 {
                json.push_str(&self.between_items);
            }
            line(json, level + 1);
            item(json, at)?;
        }
        if n > 0 {
            line(json, level);
        }
        json.push(close);
        Ok(())
    }

    fn string(&self, json: &mut String, text: &str) {
        json.push('"');
        for char in text.chars() {
            let _ = match char {
                '"' | '\\' => write!(json, "\\{char}"),
                '\n' => write!(json, "\\n"),
                '\r' => write!(json, "\\r"),
                '\t' => write!(json, "\\t"),
                '\u{8}' => write!(json, "\\b"),
                '\u{c}' => write!(json, "\\f"),
                '\0'..='\u{1f}' => write!(json, "\\u{:04x}", u32::from(char)),
                '\u{7f}'.. if self.ensure_ascii && char != '\u{7f}' => char
                    .encode_utf16(&mut [0; 2])
                    .iter()
                    .try_for_each(|unit| write!(json, "\\u{unit:04x}")),
                char => write!(json, "{char}"),
            };
        }
        json.push('"');
    }
}

fn json_number(value: &Value) -> String {
    match number(value).as_str() {
        "nan" => "NaN".to_owned(),
        "inf" => "Infinity".to_owned(),
        "-inf" => "-Infinity".to_owned(),
        number => number.to_owned(),
    }
}

/// A key of a map as `json.dumps` makes a text of it.
fn key(key: &Value) -> Result<String, Error> {
    Ok(match key.kind() {
        ValueKind::String => key.as_str().unwrap_or_default().to_owned(),
        ValueKind::None => "null".to_owned(),
        ValueKind::Bool => if key.is_true() { "true" } else { "false" }.to_owned(),
        ValueKind::Number => json_number(key),
        kind => {
            let reason = format!("keys of JSON are texts and numbers, not {kind}");
            return Err(Error::new(ErrorKind::BadSerialization, reason));
        }
    })
}

//! Expressions over tensors, and what numpy says they are: `tests/fixtures/tensors.json`.

use serde_json::Value;

use crate::common::Notebook;

/// A tensor of a fixture as a script makes it.
fn written(tensor: &Value, dtype: &str) -> String {
    let (values, axes) = (&tensor["values"], &tensor["axes"]);
    format!("ecco::tensor(parse_json(\"{values}\"), #{{dtype: \"{dtype}\", axes: {axes}}})")
}

fn numbers(value: &Value, into: &mut Vec<f64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| numbers(item, into)),
        other => into.push(other.as_f64().unwrap_or(f64::NAN)),
    }
}

/// Runs the cases of a room with tensors of that precision; how many there were, and what differs by more than rounding.
pub(crate) fn differences(room: &str, dtype: &str, tolerance: f64) -> (usize, Vec<String>) {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/tensors.json");
    let fixture = std::fs::read_to_string(path).expect("the fixture is there");
    let fixture: Value = serde_json::from_str(&fixture).expect("JSON");
    let cases = fixture[room].as_array().expect("cases");
    let mut notebook = Notebook::new();
    let mut wrong = Vec::new();
    for case in cases {
        let code = case["code"].as_str().expect("code");
        let tensors = case["tensors"].as_object().expect("tensors");
        let lets = tensors
            .iter()
            .map(|(name, tensor)| format!("let {name} = {};\n", written(tensor, dtype)));
        let (before, last) = code
            .split_once("; ")
            .map_or(("", code), |(before, last)| (before, last));
        let cell = format!(
            "{}{before};\nlet result = {last};\nlet is_tensor = type_of(result) == \"Tensor\";\n\
             let all = if is_tensor {{ [result.shape, result.axes, result.to_array()] }} else {{ [[], [], result] }};\n\
             #{{all: all}}.to_json()",
            lets.collect::<String>()
        );
        match notebook.run(&cell).result {
            Err(error) => wrong.push(format!("{code}: {}: {}", error.name, error.value)),
            Ok(bundle) => {
                let text = bundle
                    .and_then(|bundle| bundle.text().map(str::to_owned))
                    .unwrap_or_default();
                if let Some(how) = difference(case, &text, tolerance) {
                    wrong.push(format!("{code}: {how}"));
                }
            }
        }
    }
    (cases.len(), wrong)
}

fn difference(case: &Value, text: &str, tolerance: f64) -> Option<String> {
    // A text of several lines is shown in backticks, another in quotes.
    let json: String = serde_json::from_str(text).unwrap_or_else(|_| text.trim_matches('`').to_owned());
    let Ok(result) = serde_json::from_str::<Value>(&json) else {
        return Some(format!("no JSON: {text}"));
    };
    let (result, expected) = (&result["all"], &case["expected"]);
    if result[0] != expected["shape"] {
        return Some(format!("shape {} instead of {}", result[0], expected["shape"]));
    }
    if let Some(axes) = case.get("axes")
        && result[1] != *axes
    {
        return Some(format!("axes {} instead of {axes}", result[1]));
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    numbers(&result[2], &mut ours);
    numbers(&expected["values"], &mut theirs);
    let far = ours.iter().zip(&theirs).position(|(a, b)| {
        (a - b)
            .abs()
            .partial_cmp(&(tolerance * b.abs().max(1.0)))
            .is_none_or(std::cmp::Ordering::is_gt)
    });
    match (ours.len() == theirs.len(), far) {
        (false, _) => Some(format!("{} values instead of {}", ours.len(), theirs.len())),
        (true, Some(at)) => Some(format!("value {at}: {} instead of {}", ours[at], theirs[at])),
        (true, None) => None,
    }
}

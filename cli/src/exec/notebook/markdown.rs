//! An executed notebook as Markdown: what is shown is text, or a picture.

use serde_json::Value;

use super::{is_code, joined, source};
use crate::exec::plain;

pub(super) fn markdown(cells: &[Value]) -> String {
    let mut text = String::new();
    for cell in cells {
        let part = match is_code(cell) {
            false => source(cell).trim_end().to_owned(),
            true => code(cell),
        };
        if !part.is_empty() {
            text += &(part + "\n\n");
        }
    }
    text.trim_end().to_owned() + "\n"
}

fn code(cell: &Value) -> String {
    let code = source(cell);
    if code.trim().is_empty() {
        return String::new();
    }
    let outputs = cell.get("outputs").and_then(Value::as_array);
    let outputs = outputs.map(Vec::as_slice).unwrap_or_default().iter().map(output);
    let parts = std::iter::once(fenced("rhai", &code)).chain(outputs);
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    parts.join("\n\n")
}

fn output(output: &Value) -> String {
    if let Some(traceback) = output.get("traceback").and_then(Value::as_array) {
        let lines: Vec<&str> = traceback.iter().filter_map(Value::as_str).collect();
        return fenced("text", &plain(&lines.join("\n")));
    }
    if let Some(text) = output.get("text") {
        return fenced("text", &plain(&joined(text)));
    }
    let data = |media_type: &str| output.get("data")?.get(media_type).map(joined);
    if let Some(text) = data("text/markdown") {
        return text;
    }
    if let Some(base64) = data("image/png") {
        return format!("![](data:image/png;base64,{})", base64.replace('\n', ""));
    }
    data("text/plain")
        .map(|text| fenced("text", &text))
        .unwrap_or_default()
}

/// Between fences that are longer than any in it.
fn fenced(language: &str, text: &str) -> String {
    let mut fence = String::from("```");
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}{language}\n{}\n{fence}", text.trim_end_matches('\n'))
}

//! The reference of all documents: a JSON Schema each, and a page that tells their fields. `examples/schemas.rs` writes
//! them into `docs/`.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::schemas;

/// Every file below `docs/` with its text.
pub fn files() -> Vec<(String, String)> {
    let schemas = schemas();
    let mut files: Vec<(String, String)> = schemas
        .iter()
        .map(|(name, schema)| (format!("schemas/{name}.json"), format!("{schema:#}\n")))
        .collect();
    files.push(("results.md".to_owned(), page(&schemas)));
    files
}

const HEAD: &str = "\
# Results as JSON

Generated from the fields' documentation by `cargo run --release -p ecco-widgets --example schemas`.

Every result is one JSON document. It stands beside a result's page as `application/vnd.ecco.v1+json`, the page's menu
saves it, and in a notebook `result.to_json()` and `result.save(\"result.json\")` give it. A document says its `type` and the
`version` of the form, then the fields below; a JSON Schema of each is in [schemas/](schemas). The version is raised when
a field changes its meaning or goes, not when one is added.

- A number that is not finite, or missing, is `null`.
- 32-bit floats are written as the shortest decimal that is the same float. A document of more than 32,768 numbers in
  rows of eight and more has these rounded to whole steps of their row's largest size / 32,767.
- \"by a and b\" says what the axes of nested arrays are, the outermost first.
- Inside a page the same document has long rows packed as base64 of their bits: `{\"f32\": …}` little-endian floats,
  `{\"i16\": …, \"peak\": p}` 16-bit integers in units of p / 32,767, −32,768 for `null`.
- A page that shows the first columns of a very large lens or ranking says so, and has the document of those.
- Fields in *italics* may be missing.
";

fn page(schemas: &[(&'static str, Value)]) -> String {
    let mut text = HEAD.to_owned();
    let mut parts: BTreeMap<&String, &Value> = BTreeMap::new();
    for (name, schema) in schemas {
        text.push_str(&format!("\n## {name}\n{}", section(schema)));
        parts.extend(schema["$defs"].as_object().into_iter().flatten());
    }
    text.push_str("\n## Parts of documents\n");
    for (name, part) in parts {
        text.push_str(&format!("\n### {name}\n{}", section(part)));
    }
    text
}

/// What a schema says of itself, and its fields as a table.
fn section(schema: &Value) -> String {
    let mut text = description(schema).replace("\n\n", "\n");
    if !text.is_empty() {
        text.push('\n');
    }
    let Some(fields) = schema["properties"].as_object() else {
        return format!("{text}\n{}\n", kind(schema));
    };
    text.push_str("\n| field | | |\n|---|---|---|\n");
    for (name, field) in fields
        .iter()
        .filter(|(name, _)| !["type", "version"].contains(&name.as_str()))
    {
        let is_required = schema["required"]
            .as_array()
            .is_some_and(|all| all.contains(&Value::from(name.as_str())));
        let name = if is_required {
            format!("`{name}`")
        } else {
            format!("*`{name}`*")
        };
        let what = description(field).replace('\n', " ").replace('|', "\\|");
        text.push_str(&format!("| {name} | {} | {what} |\n", kind(field)));
    }
    text
}

fn description(schema: &Value) -> String {
    schema["description"].as_str().unwrap_or_default().to_owned()
}

/// `array of numbers`, `[Token](#token) or null`.
fn kind(schema: &Value) -> String {
    let Some(schema) = schema.as_object() else {
        return "anything".to_owned();
    };
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        let name = name.rsplit('/').next().unwrap_or(name);
        return format!("[{name}](#{})", name.to_lowercase());
    }
    if let Some(value) = schema.get("const") {
        let what = schema.get("description").and_then(Value::as_str);
        let what = what.map_or_else(String::new, |what| format!(" ({})", what.trim_end_matches('.')));
        return format!("`{value}`{what}");
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<String> = values.iter().map(|value| format!("`{value}`")).collect();
        return values.join(" or ");
    }
    for name in ["anyOf", "oneOf"] {
        if let Some(choices) = schema.get(name).and_then(Value::as_array) {
            return choices.iter().map(kind).collect::<Vec<_>>().join(" or ");
        }
    }
    match schema.get("type") {
        Some(Value::String(name)) => of_type(name, schema),
        Some(Value::Array(names)) => {
            // Any number may be null; the page says so once.
            let names = names.iter().filter_map(Value::as_str);
            let is_number = schema.get("type").is_some_and(|all| all[0] == "number");
            let names = names.filter(|name| !is_number || *name != "null");
            names
                .map(|name| of_type(name, schema))
                .collect::<Vec<_>>()
                .join(" or ")
        }
        _ => "anything".to_owned(),
    }
}

fn of_type(name: &str, schema: &Map<String, Value>) -> String {
    match name {
        "string" => "text".to_owned(),
        "boolean" => "true or false".to_owned(),
        "array" => match (
            schema.get("prefixItems").and_then(Value::as_array),
            schema.get("items"),
        ) {
            (Some(items), _) => {
                let items: Vec<String> = items.iter().map(kind).collect();
                format!("[{}]", items.join(", "))
            }
            (None, Some(items)) if kind(items).contains(" or ") => format!("array of ({})", kind(items)),
            (None, Some(items)) => format!("array of {}", kind(items)),
            (None, None) => "array".to_owned(),
        },
        "object" => match (
            schema.get("properties").and_then(Value::as_object),
            schema.get("additionalProperties"),
        ) {
            (Some(fields), _) => {
                let fields: Vec<String> = fields
                    .iter()
                    .map(|(name, field)| format!("`{name}`: {}", kind(field)))
                    .collect();
                format!("{{{}}}", fields.join(", "))
            }
            (None, Some(values)) => format!("{} by name", kind(values)),
            (None, None) => "object".to_owned(),
        },
        other => other.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use super::*;

    #[test]
    fn what_is_written_is_what_documents_are() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
        let files = files();
        for (name, text) in &files {
            let written = fs::read_to_string(docs.join(name)).unwrap_or_default();
            assert_eq!(
                &written, text,
                "docs/{name} is stale: cargo run --release -p ecco-widgets --example schemas"
            );
        }
        assert_eq!(
            fs::read_dir(docs.join("schemas")).unwrap().count(),
            files.len() - 1
        );
    }

    #[test]
    fn every_field_says_what_it_is() {
        for (name, schema) in schemas() {
            let parts = schema["$defs"].as_object().into_iter().flatten();
            for (of, part) in parts.chain([(&name.to_owned(), &schema)]) {
                assert!(part["description"].is_string(), "{name}: {of}");
                for (field, about) in part["properties"].as_object().into_iter().flatten() {
                    assert!(about["description"].is_string(), "{name}: {of}.{field}");
                }
            }
        }
    }

    #[test]
    fn a_part_is_the_same_wherever_it_stands() {
        let schemas = schemas();
        let mut known: BTreeMap<&String, &Value> = BTreeMap::new();
        for (name, schema) in &schemas {
            for (part, content) in schema["$defs"].as_object().into_iter().flatten() {
                assert_eq!(*known.entry(part).or_insert(content), content, "{name}: {part}");
            }
        }
    }
}

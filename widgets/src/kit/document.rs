//! A result as one JSON document, the same packed for its page, and its schema.
//!
//! A document says its `type` and `version`, then the fields of the result. Numbers that were 32-bit floats are the
//! shortest decimals that are these floats; what is no finite number is `null`. In a page, long rows of them are
//! packed (`packing`), and the script's `unpackAll` gives the document back as it is here.

use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::packing;

/// A result that is a document.
pub(crate) trait Document: Serialize + JsonSchema {
    /// What its `type` says.
    const TYPE: &'static str;
    /// Whether every number stays as it is, however many there are, and none is packed in a page.
    const IS_EXACT: bool = false;
}

/// Raised when a field of any document changes its meaning or goes.
pub(crate) const VERSION: u32 = 1;

/// Rows of more numbers in all are rounded, so that neither page nor document grows beyond use: `packing::Row::round`.
const MOST_EXACT: usize = 1 << 15;

/// The document; `None` only where a map's key is no text.
pub(crate) fn json<D: Document>(result: &D) -> Option<Value> {
    let (mut document, _) = fields(result)?;
    packing::shorten(&mut document);
    Some(document)
}

/// The document for its page.
pub(crate) fn packed<D: Document>(result: &D) -> Value {
    let Some((mut document, is_exact)) = fields(result) else {
        return Value::Null;
    };
    if !D::IS_EXACT {
        packing::each(&mut document, &mut |row| Some(row.pack(is_exact)));
    }
    packing::shorten(&mut document);
    document
}

/// The document with floats as the doubles beside them, and whether it has them all as they are.
fn fields<D: Document>(result: &D) -> Option<(Value, bool)> {
    let Ok(Value::Object(fields)) = serde_json::to_value(result) else {
        return None;
    };
    let mut document = Map::from_iter([
        ("type".to_owned(), D::TYPE.into()),
        ("version".to_owned(), VERSION.into()),
    ]);
    document.extend(fields);
    let mut document = Value::Object(document);
    if D::IS_EXACT {
        return Some((document, true));
    }
    let mut n = 0;
    packing::each(&mut document, &mut |row| {
        n += row.len();
        None
    });
    let is_exact = n <= MOST_EXACT;
    if !is_exact {
        packing::each(&mut document, &mut |row| Some(row.round()));
    }
    Some((document, is_exact))
}

/// JSON Schema of a document, in the dialect of 2020-12.
pub(crate) fn schema<D: Document>() -> Value {
    let generator = SchemaSettings::draft2020_12().for_serialize().into_generator();
    let mut schema = generator.into_root_schema_for::<D>().to_value();
    allow_missing_numbers(&mut schema);
    let own = [
        (
            "type",
            json!({"const": D::TYPE, "description": "What kind of result this is."}),
        ),
        (
            "version",
            json!({"const": VERSION, "description": "Of the documents' form."}),
        ),
    ];
    if let Some(properties) = schema["properties"].as_object_mut() {
        let fields = std::mem::take(properties);
        properties.extend(
            own.iter()
                .map(|(name, field)| ((*name).to_owned(), field.clone())),
        );
        properties.extend(fields);
    }
    let required = own.iter().map(|(name, _)| json!(name));
    let fields = schema["required"].as_array().cloned().unwrap_or_default();
    schema["required"] = required.chain(fields).collect();
    schema["title"] = D::TYPE.into();
    schema
}

/// What is no finite number is `null` in JSON.
fn allow_missing_numbers(schema: &mut Value) {
    match schema {
        Value::Object(fields) => {
            if fields.get("type").is_some_and(|name| name == "number") {
                fields.insert("type".to_owned(), json!(["number", "null"]));
            }
            fields.values_mut().for_each(allow_missing_numbers);
        }
        Value::Array(items) => items.iter_mut().for_each(allow_missing_numbers),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Serialize, JsonSchema)]
    struct Example {
        /// A row.
        row: Vec<f32>,
        ids: Vec<u32>,
        double: f64,
    }

    impl Document for Example {
        const TYPE: &'static str = "example";
    }

    fn example(row: Vec<f32>) -> Example {
        Example {
            row,
            ids: vec![1; 20],
            double: 0.1,
        }
    }

    #[test]
    fn a_document_says_what_it_is_and_has_short_numbers() {
        assert_eq!(
            json(&example(vec![0.1, f32::NAN, 2.0])).unwrap().to_string(),
            format!(
                "{{\"type\":\"example\",\"version\":1,\"row\":[0.1,null,2.0],\"ids\":{},\"double\":0.1}}",
                json!(vec![1; 20])
            )
        );
    }

    #[test]
    fn long_rows_are_packed_and_nothing_else() {
        let island = packed(&example(vec![0.1; 20]));
        assert!(island["row"]["f32"].is_string() && island["ids"].is_array());
        assert!(packed(&example(vec![0.1; 3]))["row"].is_array());
    }

    #[test]
    fn very_many_numbers_are_rounded_in_the_document_and_in_the_page() {
        let n = MOST_EXACT + 1;
        let values: Vec<f32> = (0..n).map(|i| (i as f32).sqrt()).collect();
        let (peak, document) = (values[n - 1], json(&example(values.clone())).unwrap());
        for at in [0, 1, 777, n - 1] {
            let value = document["row"][at].as_f64().unwrap() as f32;
            assert!(
                (value - values[at]).abs() <= peak / 65534.0 * 1.001,
                "{at}: {value}"
            );
        }
        let packed = packed(&example(values));
        assert!(packed["row"]["i16"].is_string());
        assert_eq!(packed["row"]["peak"].as_f64().unwrap() as f32, peak);
    }

    #[test]
    fn a_schema_knows_the_type_and_that_numbers_may_be_missing() {
        let schema = schema::<Example>();
        assert_eq!(
            schema["required"],
            json!(["type", "version", "row", "ids", "double"])
        );
        assert_eq!(schema["properties"]["type"]["const"], "example");
        assert_eq!(
            schema["properties"]["row"]["items"]["type"],
            json!(["number", "null"])
        );
        assert_eq!(schema["properties"]["row"]["description"], "A row.");
        assert_eq!(schema["properties"]["ids"]["items"]["type"], "integer");
    }
}

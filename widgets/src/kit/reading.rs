//! A document read again: what was no finite number is `null` in JSON, and is NaN where a number is expected.

use serde::Deserialize;
use serde::de::value::{MapDeserializer, SeqDeserializer};
use serde::de::{Deserializer, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;
use serde_json::{Error, Value};

/// A value of a document.
pub(crate) struct Field<'a>(pub &'a Value);

/// The struct that a document is of.
///
/// # Errors
/// Fields that are missing or of another type.
pub(crate) fn read<'a, T: Deserialize<'a>>(document: &'a Value) -> Result<T, Error> {
    T::deserialize(Field(document))
}

impl<'de> IntoDeserializer<'de, Error> for Field<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

impl<'de> Deserializer<'de> for Field<'de> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Array(items) => visitor.visit_seq(SeqDeserializer::new(items.iter().map(Field))),
            Value::Object(fields) => {
                let fields = fields.iter().map(|(name, value)| (name.as_str(), Field(value)));
                visitor.visit_map(MapDeserializer::new(fields))
            }
            plain => plain.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_f64(f64::NAN),
            value => value.deserialize_any(visitor),
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        self.0.deserialize_enum(name, variants, visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Error> {
        visitor.visit_newtype_struct(self)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Deserialize)]
    struct Example {
        rows: Vec<Vec<f32>>,
        most: Option<f64>,
        n: usize,
    }

    #[test]
    fn what_is_no_number_is_read_as_such() {
        let document = json!({"rows": [[0.5, null], []], "most": null, "n": 3, "more": {}});
        let example: Example = read(&document).unwrap();
        assert!(example.rows[0][1].is_nan() && example.rows[0][0] == 0.5);
        assert_eq!((example.most, example.n), (None, 3));
        for damaged in [
            json!({"rows": [], "most": 1.0}),
            json!({"rows": null, "n": 1}),
            json!({"rows": [], "n": -1}),
        ] {
            assert!(read::<Example>(&damaged).is_err(), "{damaged}");
        }
    }
}

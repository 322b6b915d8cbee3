//! Options as they were given, to be written once more.

use rhai::Map;
use serde_json::Value;

use crate::result::json::json_within;

/// Values that options have at most to be written as a line of script.
const MOST: usize = 1_000;

/// A map of options as JSON; nothing where one is a value that no line of script spells out, such as a tensor or a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Told(Option<serde_json::Map<String, Value>>);

impl Default for Told {
    fn default() -> Self {
        Self(Some(serde_json::Map::new()))
    }
}

impl Told {
    pub fn of(map: &Map) -> Self {
        match json_within(map, MOST) {
            Some(Value::Object(entries)) if size(&entries) <= MOST => Self(Some(entries)),
            _ => Self(None),
        }
    }

    /// Without those that were given as `()`, which stands for "not given".
    pub fn given(&self) -> Option<serde_json::Map<String, Value>> {
        let mut given = self.0.clone()?;
        given.retain(|_, value| !value.is_null());
        Some(given)
    }

    /// An option under the name that another primitive has for it.
    #[must_use]
    pub fn renamed(mut self, from: &str, to: &str) -> Self {
        if let Some(given) = &mut self.0
            && let Some(value) = given.remove(from)
        {
            given.insert(to.to_owned(), value);
        }
        self
    }
}

fn size(entries: &serde_json::Map<String, Value>) -> usize {
    fn of(value: &Value) -> usize {
        match value {
            Value::Array(items) => items.iter().map(of).sum::<usize>() + 1,
            Value::Object(fields) => fields.values().map(of).sum::<usize>() + 1,
            // A long text counts as its lines would.
            Value::String(text) => 1 + text.len() / 80,
            _ => 1,
        }
    }
    entries.values().map(of).sum()
}

#[cfg(test)]
mod tests {
    use rhai::{Dynamic, Engine};
    use serde_json::json;

    use super::*;

    fn told(map: &str) -> Told {
        Told::of(&Engine::new().eval::<Map>(map).unwrap())
    }

    #[test]
    fn plain_values_can_be_written_once_more_and_others_cannot() {
        let given = told(r#"#{method: "ig", position: 5, target: (), spans: [[0, 2]]}"#).given();
        assert_eq!(
            given.map(Value::Object),
            Some(json!({"method": "ig", "position": 5, "spans": [[0, 2]]}))
        );
        let mut map = Map::new();
        map.insert("from".into(), Dynamic::from(std::time::Instant::now()));
        assert_eq!(Told::of(&map).given(), None);
        map.insert("from".into(), vec![Dynamic::from_int(1); MOST].into());
        assert_eq!(Told::of(&map).given(), None);
    }

    #[test]
    fn an_option_has_the_name_of_another_primitive() {
        let given = told(r#"#{attr_method: "ig"}"#)
            .renamed("attr_method", "method")
            .given();
        assert_eq!(given.map(Value::Object), Some(json!({"method": "ig"})));
    }
}

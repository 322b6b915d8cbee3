//! `config.json`, read with errors that name the key and its value.

use serde_json::{Map, Value};

use super::{Activation, special};
use crate::error::{Error, Result};

/// `config.json`, read key by key with errors that name the key and its value.
pub struct ConfigFile(Map<String, Value>);

/// Sizes beyond this are a damaged file, not a model: they must not reach an allocation.
const LARGEST: u64 = 1 << 24;

/// The same for what is made one by one before there is a weight to compare with, by a part of the key: far beyond any
/// model, and still little memory.
const LARGEST_COUNTS: [(&str, u64); 4] = [
    ("layer", 4_096),
    ("expert", 4_096),
    ("labels", 65_536),
    ("head", 65_536),
];

fn largest(key: &str) -> u64 {
    let of_key = LARGEST_COUNTS.iter().find(|(part, _)| key.contains(part));
    of_key.map_or(LARGEST, |(_, largest)| *largest)
}

impl ConfigFile {
    pub fn parse(text: &[u8]) -> Result<Self> {
        match serde_json::from_slice(&special::tagged(text)) {
            Ok(Value::Object(map)) => Ok(Self(map)),
            Ok(_) => Err(Error::Damaged {
                file: "config.json".into(),
                reason: "not a JSON object".into(),
            }),
            Err(error) => Err(Error::Damaged {
                file: "config.json".into(),
                reason: error.to_string(),
            }),
        }
    }

    /// A file that says nothing.
    pub fn empty() -> Self {
        Self(Map::new())
    }

    pub fn text(&self, key: &str) -> Result<&str> {
        match self.0.get(key) {
            Some(Value::String(text)) => Ok(text),
            other => Err(self.error(key, other, "expected a string")),
        }
    }

    /// A text that may be absent or null.
    pub fn text_or<'a>(&'a self, key: &str, default: &'a str) -> Result<&'a str> {
        if self.is_set(key) {
            self.text(key)
        } else {
            Ok(default)
        }
    }

    pub fn is_text(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(Value::is_string)
    }

    /// The same with what it says by old names said by new ones, (old, new), where it has not these.
    pub(crate) fn by_new_names(&self, names: &[(&str, &str)]) -> Self {
        let mut all = self.0.clone();
        for (old, new) in names {
            if let Some(value) = self.0.get(*old) {
                all.entry(*new).or_insert_with(|| value.clone());
            }
        }
        Self(all)
    }

    /// A size: at least 1 and not absurd.
    pub fn size(&self, key: &str) -> Result<usize> {
        let largest = largest(key);
        match self.0.get(key).and_then(Value::as_u64) {
            Some(size) if (1..=largest).contains(&size) => Ok(size as usize),
            _ => Err(self.refuse(key, &format!("expected a whole number from 1 to {largest}"))),
        }
    }

    /// A size that may be absent or null.
    pub fn size_or(&self, key: &str, default: usize) -> Result<usize> {
        if self.is_set(key) {
            self.size(key)
        } else {
            Ok(default)
        }
    }

    /// A size that may also be 0, absent or null.
    pub fn count_or(&self, key: &str, default: usize) -> Result<usize> {
        match self.0.get(key).and_then(Value::as_u64) {
            Some(0) => Ok(0),
            _ => self.size_or(key, default),
        }
    }

    /// A size for which −1 or 0, as well as silence, say that there is none.
    pub fn size_if_any(&self, key: &str) -> Result<Option<usize>> {
        match self.0.get(key).and_then(Value::as_f64) {
            Some(number) if number < 1.0 => Ok(None),
            _ if !self.is_set(key) => Ok(None),
            _ => self.size(key).map(Some),
        }
    }

    pub fn number_or(&self, key: &str, default: f64) -> Result<f64> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => special::number(value)
                .filter(|number| number.is_finite())
                .ok_or_else(|| self.error(key, Some(value), "expected a number")),
        }
    }

    pub fn flag_or(&self, key: &str, default: bool) -> Result<bool> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(default),
            Some(value) => value
                .as_bool()
                .ok_or_else(|| self.error(key, Some(value), "expected true or false")),
        }
    }

    pub fn activation(&self, key: &str, default: Activation) -> Result<Activation> {
        if !self.is_set(key) {
            return Ok(default);
        }
        let name = self.text(key)?;
        Activation::parse(name).ok_or_else(|| {
            let reason = format!("expected one of {}", Activation::ALL_NAMES.join(", "));
            self.error(key, self.0.get(key), &reason)
        })
    }

    /// The labels of a classifier: `id2label`, or `num_labels` without names.
    pub fn labels(&self) -> Result<Vec<String>> {
        let Some(names) = self.section("id2label")? else {
            let n = self.size_or("num_labels", 2)?;
            return Ok((0..n).map(|id| format!("LABEL_{id}")).collect());
        };
        let name = |id: usize| {
            names
                .0
                .get(&id.to_string())
                .and_then(Value::as_str)
                .map(str::to_owned)
        };
        let labels: Option<Vec<String>> = (0..names.0.len()).map(name).collect();
        labels.ok_or_else(|| self.refuse("id2label", "expected a name for each id from 0 on"))
    }

    /// The class that the model was saved from, `BertForMaskedLM`.
    pub fn architecture(&self) -> Result<&str> {
        let first = self.list("architectures")?.and_then(|list| list.first());
        Ok(first.and_then(Value::as_str).unwrap_or_default())
    }

    /// A list of sizes, one for each of `n` layers; `None` if absent.
    pub fn list(&self, key: &str) -> Result<Option<&Vec<Value>>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            other => Err(self.error(key, other, "expected a list")),
        }
    }

    /// A list of numbers, infinite ones too.
    pub fn numbers(&self, key: &str) -> Result<Vec<f64>> {
        let list = self
            .list(key)?
            .ok_or_else(|| self.refuse(key, "expected a list of numbers"))?;
        let numbers: Option<Vec<f64>> = list.iter().map(special::number).collect();
        numbers.ok_or_else(|| self.refuse(key, "expected a list of numbers"))
    }

    /// A nested object; `None` if absent or null.
    pub fn section(&self, key: &str) -> Result<Option<ConfigFile>> {
        match self.0.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(ConfigFile(map.clone()))),
            other => Err(self.error(key, other, "expected an object")),
        }
    }

    /// What this one does not say, as `usual` has it.
    pub(crate) fn or(mut self, usual: Value) -> Self {
        if let Value::Object(usual) = usual {
            for (key, value) in usual {
                self.0.entry(key).or_insert(value);
            }
        }
        self
    }

    /// The objects that this one holds, whatever their keys.
    pub(crate) fn sections(&self) -> Result<Vec<ConfigFile>> {
        let sections = self.0.keys().map(|key| self.section(key));
        sections.filter_map(Result::transpose).collect()
    }

    /// A number above 0.
    pub fn positive_or(&self, key: &str, default: f64) -> Result<f64> {
        let number = self.number_or(key, default)?;
        match number.is_finite() && number > 0.0 {
            true => Ok(number),
            false => Err(self.refuse(key, "expected a number above 0")),
        }
    }

    /// Whether a key is there, null or not.
    pub fn has(&self, key: &str) -> bool {
        self.0.contains_key(key)
    }

    pub fn is_set(&self, key: &str) -> bool {
        self.0.get(key).is_some_and(|value| !value.is_null())
    }

    fn error(&self, key: &str, value: Option<&Value>, reason: &str) -> Error {
        let shown = |value: &Value| match special::named(value) {
            Some((name, _)) => name.to_owned(),
            None => value.to_string(),
        };
        let mut value = value.map_or("missing".into(), shown);
        if let Some((end, _)) = value.char_indices().nth(80) {
            value.truncate(end);
        }
        Error::Config {
            file: "config.json",
            key: key.to_owned(),
            value,
            reason: reason.to_owned(),
        }
    }

    /// An error about a value that is well formed but cannot be.
    pub fn refuse(&self, key: &str, reason: &str) -> Error {
        self.error(key, self.0.get(key), reason)
    }
}

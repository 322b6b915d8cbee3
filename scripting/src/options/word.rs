//! Tokens and labels as scripts name them.

use rhai::Dynamic;

/// A token or label as a script names it: by its text, or by its number.
#[derive(Debug, Clone, PartialEq)]
pub enum Word {
    Text(String),
    Id(u32),
}

impl Word {
    pub fn of(value: &Dynamic) -> Option<Self> {
        if let Ok(text) = value.as_immutable_string_ref() {
            return Some(Self::Text(text.to_string()));
        }
        value
            .as_int()
            .ok()
            .and_then(|id| u32::try_from(id).ok())
            .map(Self::Id)
    }

    /// One word, or an array of them.
    pub fn several(value: &Dynamic) -> Option<Vec<Self>> {
        if let Ok(array) = value.as_array_ref() {
            return array.iter().map(Self::of).collect();
        }
        Self::of(value).map(|word| vec![word])
    }
}

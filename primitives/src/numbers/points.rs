//! What is said of each point of a map.

use ecco_scripting::options::{OptionKind, OptionValue};
use rhai::{Array, Dynamic};

/// Labels as scripts give them.
#[derive(Debug, Clone)]
pub(super) struct PointLabels(pub Array);

impl PartialEq for PointLabels {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len()
    }
}

impl OptionValue for PointLabels {
    const KIND: OptionKind = OptionKind::Any("an array with a label for each");

    fn of(value: &Dynamic) -> Option<Self> {
        Some(Self(value.as_array_ref().ok()?.clone()))
    }
}

/// Names of rows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PointNames(pub Vec<String>);

impl OptionValue for PointNames {
    const KIND: OptionKind = OptionKind::Any("an array of strings");

    fn of(value: &Dynamic) -> Option<Self> {
        let names = value.as_array_ref().ok()?;
        let name = |name: &Dynamic| Some(name.as_immutable_string_ref().ok()?.to_string());
        names.iter().map(name).collect::<Option<_>>().map(Self)
    }
}

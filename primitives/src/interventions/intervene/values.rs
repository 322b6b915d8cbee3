//! What an entry's options may hold besides numbers and strings.

use std::ops::{Range, RangeInclusive};

use ecco_explain::intervention::steering::Steering;
use rhai::{Dynamic, INT};

use crate::dictionaries::dictionary::Dictionary;
use crate::interventions::steering::SteeringVector;
use ecco_scripting::options::{OneOrMany, OptionKind, OptionValue, number};
use ecco_scripting::result::{Show, show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError};

const PLACES: &str = "a position, an array of positions or a range";

/// Numbers of neurons, of heads, of the stream.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Indices(pub Vec<usize>);

impl OptionValue for Indices {
    const KIND: OptionKind = OptionKind::Any("a whole number or an array of them");

    fn of(value: &Dynamic) -> Option<Self> {
        OneOrMany::of(value).map(|indices| Self(indices.0))
    }
}

/// Whose features are changed.
#[derive(Clone)]
pub(super) struct DictionaryValue(pub Dictionary);

impl std::fmt::Debug for DictionaryValue {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        f.write_str(&self.0.line())
    }
}

impl OptionValue for DictionaryValue {
    const KIND: OptionKind = OptionKind::Any("a dictionary as lm.dictionary loads it");

    fn of(value: &Dynamic) -> Option<Self> {
        value
            .read_lock::<Dictionary>()
            .map(|dictionary| Self(dictionary.clone()))
    }
}

/// A vector in any of the ways that scripts have it.
#[derive(Debug, Clone)]
pub(super) enum VectorValue {
    Numbers(Vec<f32>),
    Steering(SteeringVector),
}

impl VectorValue {
    pub(super) fn numbers(&self) -> Vec<f32> {
        match self {
            Self::Numbers(numbers) => numbers.clone(),
            Self::Steering(vector) => vector.steering.vector.clone(),
        }
    }

    /// Where it belongs, if it knows.
    pub(super) fn steering(&self) -> Option<&Steering> {
        match self {
            Self::Numbers(_) => None,
            Self::Steering(vector) => Some(&vector.steering),
        }
    }
}

impl OptionValue for VectorValue {
    const KIND: OptionKind = OptionKind::Any(
        "a vector: a tensor of one axis, an array of numbers or what lm.steering_vector gives",
    );

    fn of(value: &Dynamic) -> Option<Self> {
        if let Some(vector) = value.read_lock::<SteeringVector>() {
            return Some(Self::Steering(vector.clone()));
        }
        if let Some(tensor) = value.read_lock::<Tensor>() {
            // What is cut out of a table of directions keeps axes of length 1.
            let is_vector = tensor.shape().iter().filter(|&&n| n != 1).count() <= 1;
            return is_vector.then(|| Self::Numbers(tensor.data().iter().copied().collect()));
        }
        let array = value.as_array_ref().ok()?;
        let one = |value: &Dynamic| number(value).filter(|x| x.is_finite()).map(|x| x as f32);
        array.iter().map(one).collect::<Option<_>>().map(Self::Numbers)
    }
}

/// What is put in the place of what was there.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum AblateValue {
    Number(f64),
    /// That of the texts `over`.
    Mean,
}

impl OptionValue for AblateValue {
    const KIND: OptionKind = OptionKind::Any("\"zero\", \"mean\" or a number");

    fn of(value: &Dynamic) -> Option<Self> {
        if let Ok(text) = value.as_immutable_string_ref() {
            return match text.as_str() {
                "zero" => Some(Self::Number(0.0)),
                "mean" => Some(Self::Mean),
                _ => None,
            };
        }
        f64::of(value).map(Self::Number)
    }
}

/// Positions, looked at where they are needed: what is wrong with them has its own hint.
#[derive(Debug, Clone)]
pub(super) struct Positions(Dynamic);

impl OptionValue for Positions {
    const KIND: OptionKind = OptionKind::Any(PLACES);

    fn of(value: &Dynamic) -> Option<Self> {
        Some(Self(value.clone()))
    }
}

impl Positions {
    /// # Errors
    /// A value that is neither a position, an array of positions nor a range.
    pub(super) fn ranges(&self) -> Result<Vec<Range<usize>>, ScriptError> {
        let value = &self.0;
        ranges(value).ok_or_else(|| {
            let message = format!("option `positions` takes {PLACES}; got {}", show::brief(value));
            ScriptError::new(ErrorKind::Option, message)
                .pointing_at("positions")
                .with_hint(
                    "positions count from 0 at the start of the text, and go on through what is generated",
                )
        })
    }
}

fn ranges(value: &Dynamic) -> Option<Vec<Range<usize>>> {
    let at = |position: INT| usize::try_from(position).ok();
    let one = |range: Range<usize>| std::iter::once(range).collect();
    if let Ok(position) = value.as_int() {
        at(position).map(|at| one(at..at + 1))
    } else if let Some(range) = value.read_lock::<Range<INT>>() {
        let ends = at(range.start).zip(at(range.end));
        ends.map(|(start, end)| one(start..end))
    } else if let Some(range) = value.read_lock::<RangeInclusive<INT>>() {
        let ends = at(*range.start()).zip(at(*range.end()));
        ends.map(|(start, end)| one(start..end.saturating_add(1)))
    } else if let Ok(array) = value.as_array_ref() {
        let place = |value: &Dynamic| value.as_int().ok().and_then(at).map(|at| at..at + 1);
        array.iter().map(place).collect()
    } else {
        None
    }
}

/// What values are taken from: a run, or a tensor of one layer.
#[derive(Debug, Clone)]
pub(super) struct PatchValue(pub Dynamic);

impl OptionValue for PatchValue {
    const KIND: OptionKind = OptionKind::Any("a run, or a tensor as `run.at(site, layer)` gives it");

    fn of(value: &Dynamic) -> Option<Self> {
        Some(Self(value.clone()))
    }
}

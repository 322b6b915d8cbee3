//! Labels of texts as scripts give them, in the order in which scikit-learn has them.

use ecco_scripting::options::{OptionKind, OptionValue};
use ecco_scripting::result::show;
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::{Array, Dynamic};

/// Of each text the number of its label, and what they are called.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Labels {
    pub of: Vec<usize>,
    /// Each once; a probe has two at least.
    pub names: Vec<String>,
}

/// More are no kinds of texts, but their ids.
const MOST: usize = 100;

#[derive(Debug, Clone, PartialEq, PartialOrd)]
enum Label {
    Truth(bool),
    Number(f64),
    Text(String),
}

const EXPECTED: &str = "true or false, a number or a string for each text";

impl Label {
    fn of(value: &Dynamic) -> Result<Self, ScriptError> {
        if let Ok(truth) = value.as_bool() {
            return Ok(Self::Truth(truth));
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            return Ok(Self::Text(text.to_string()));
        }
        let number = value
            .as_int()
            .map(|whole| whole as f64)
            .or_else(|_| value.as_float());
        match number {
            Ok(number) if !number.is_nan() => Ok(Self::Number(number)),
            _ => show::expected(EXPECTED, value),
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Truth(truth) => truth.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

impl Labels {
    /// `n` labels of two kinds or more: false and true, numbers by their size, strings by the alphabet.
    ///
    /// # Errors
    /// Another number of them, one kind alone or too many; what is no label.
    pub(super) fn new(values: &Array, n: usize) -> Result<Self, ScriptError> {
        let labels = Self::of_points(values, n, "texts")?;
        match labels.names.len() {
            0 | 1 => {
                let message = "the labels are all the same: a probe tells some apart";
                Err(ScriptError::new(ErrorKind::Value, message))
            }
            _ => Ok(labels),
        }
    }

    /// The same of one kind or none, too; `what` has them: "texts".
    ///
    /// # Errors
    /// Another number of them or too many kinds; what is no label.
    pub(crate) fn of_points(values: &Array, n: usize, what: &str) -> Result<Self, ScriptError> {
        let wrong = |message: String| ScriptError::new(ErrorKind::Value, message);
        if values.len() != n {
            let message = format!("there are {} labels for {n} {what}", values.len());
            return Err(wrong(message).with_hint("give one for each"));
        }
        let labels: Vec<Label> = values.iter().map(Label::of).collect::<Result<_, _>>()?;
        let mut kinds: Vec<&Label> = Vec::new();
        for label in &labels {
            if !kinds.contains(&label) {
                kinds.push(label);
            }
            if kinds.len() > MOST {
                let message = format!("there are more than {MOST} different labels for {n} {what}");
                return Err(
                    wrong(message).with_hint(format!("labels are what several {what} have in common"))
                );
            }
        }
        kinds.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        let number = |label: &Label| kinds.iter().position(|kind| *kind == label).unwrap_or(0);
        Ok(Self {
            of: labels.iter().map(number).collect(),
            names: kinds.iter().map(|kind| kind.name()).collect(),
        })
    }

    /// The number of a label that is named; of two that are not, the second.
    ///
    /// # Errors
    /// A name that none has; none, where there are several.
    pub(super) fn number(&self, name: Option<&LabelName>) -> Result<usize, ScriptError> {
        let names = || self.names.iter().map(String::as_str);
        match name {
            None if self.names.len() == 2 => Ok(1),
            None => {
                let message = format!(
                    "there are {} labels, each with a direction: say of which",
                    self.names.len()
                );
                let hint = format!("for example: #{{label: {:?}}}", self.names[0]);
                Err(ScriptError::new(ErrorKind::Value, message).with_hint(hint))
            }
            Some(LabelName(name)) => names().position(|known| known == name).ok_or_else(|| {
                let message = format!("there is no label {name:?}");
                let error = ScriptError::new(ErrorKind::Value, message).pointing_at("label");
                error.with_nearest(name, names())
            }),
        }
    }

    /// How many texts have each.
    pub(super) fn counts(&self) -> Vec<usize> {
        let of = |number: usize| self.of.iter().filter(|label| **label == number).count();
        (0..self.names.len()).map(of).collect()
    }
}

/// A label as an option names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LabelName(String);

impl OptionValue for LabelName {
    const KIND: OptionKind = OptionKind::Any("one of the labels");

    fn of(value: &Dynamic) -> Option<Self> {
        Label::of(value).ok().map(|label| Self(label.name()))
    }

    fn written(&self) -> String {
        format!("{:?}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: Vec<Dynamic>) -> Result<Labels, String> {
        let n = values.len();
        Labels::new(&values, n).map_err(|error| error.message)
    }

    #[test]
    fn labels_are_in_order() {
        let found = of(vec!["b".into(), "a".into(), "b".into()]).unwrap();
        assert_eq!(
            (found.names, found.of),
            (vec!["a".into(), "b".into()], vec![1, 0, 1])
        );
        let found = of(vec![Dynamic::from_int(1), Dynamic::from_float(-0.5)]).unwrap();
        assert_eq!(found.names, ["-0.5", "1"]);
        assert_eq!(of(vec![true.into(), false.into()]).unwrap().of, [1, 0]);
        for (values, message) in [
            (vec![], "the labels are all the same"),
            (vec![true.into(), true.into()], "the labels are all the same"),
            (
                (0..101).map(Dynamic::from_int).collect(),
                "there are more than 100 different labels",
            ),
            (
                vec![Dynamic::UNIT],
                "expected true or false, a number or a string for each text",
            ),
            (vec![Dynamic::from_float(f64::NAN)], "expected true or false"),
        ] {
            assert!(of(values).unwrap_err().starts_with(message), "{message}");
        }
    }
}

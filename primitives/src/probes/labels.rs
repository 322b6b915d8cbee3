//! Labels of texts as scripts give them: two kinds, in the order in which scikit-learn has them.

use ecco_scripting::result::show;
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::{Array, Dynamic};

/// Which texts have the second label, and what both are called.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Labels {
    pub is_second: Vec<bool>,
    pub names: [String; 2],
}

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
    /// `n` labels of two kinds: false and true, the smaller and the larger, the first and the second by the alphabet.
    ///
    /// # Errors
    /// Another number of them, or of kinds; what is no label.
    pub(super) fn of(values: &Array, n: usize) -> Result<Self, ScriptError> {
        if values.len() != n {
            let message = format!("there are {} labels for {n} texts", values.len());
            return Err(ScriptError::new(ErrorKind::Value, message).with_hint("give one for each"));
        }
        let labels: Vec<Label> = values.iter().map(Label::of).collect::<Result<_, _>>()?;
        let mut kinds: Vec<&Label> = Vec::new();
        for label in &labels {
            if !kinds.contains(&label) {
                kinds.push(label);
            }
            if kinds.len() > 2 {
                break;
            }
        }
        kinds.sort_by(|a, b| a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal));
        match kinds.as_slice() {
            [first, second] => Ok(Self {
                names: [first.name(), second.name()],
                is_second: labels.iter().map(|label| label == *second).collect(),
            }),
            [] | [_] => {
                let message = "the labels are all the same: a probe tells two apart";
                Err(ScriptError::new(ErrorKind::Value, message))
            }
            _ => {
                let message = "there are more than two labels: a probe tells two apart";
                Err(ScriptError::new(ErrorKind::Value, message)
                    .with_hint("one against all others: labels.map(|label| label == \"city\")"))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: Vec<Dynamic>) -> Result<Labels, String> {
        let n = values.len();
        Labels::of(&values, n).map_err(|error| error.message)
    }

    #[test]
    fn labels_are_in_order() {
        let found = of(vec!["b".into(), "a".into(), "b".into()]).unwrap();
        assert_eq!(
            (found.names, found.is_second),
            (["a".into(), "b".into()], vec![true, false, true])
        );
        let found = of(vec![Dynamic::from_int(1), Dynamic::from_float(-0.5)]).unwrap();
        assert_eq!(found.names, ["-0.5", "1"]);
        assert_eq!(
            of(vec![true.into(), false.into()]).unwrap().is_second,
            [true, false]
        );
        for (values, message) in [
            (vec![], "the labels are all the same"),
            (vec![true.into(), true.into()], "the labels are all the same"),
            (
                vec!["a".into(), "b".into(), "c".into()],
                "there are more than two labels",
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

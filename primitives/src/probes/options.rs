//! What probes can be told.

use ecco_explain::probe::{ProbeKind, ProbeOptions, rarer};
use ecco_explain::states::Positions;
use ecco_scripting::options;
use ecco_scripting::options::{Choice, OptionKind, OptionValue};
use rhai::Dynamic;

use super::labels::LabelName;
use crate::text::capture::ActivationSite;

options! {
    /// How probes are fitted and judged.
    pub struct FitOptions {
        /// how the plane is found
        kind: Choice<ProbeKind> = Choice(ProbeKind::Logistic),
        /// parts that the texts are divided into; what is said of one was learned from the others
        folds: Option<usize> [2..] = "5, or as many as the rarer label has texts",
        /// weight of the penalty of large coefficients, for logistic (scikit-learn's 1/C) and ridge (alpha); "auto" for the
        /// power of ten from 0.001 to 10,000 that is best in parts of the texts that are learned from
        l2: Penalty = Penalty(Some(1.0)),
        /// how often the labels are shuffled for the control; 0 for none
        shuffles: usize = 3,
        /// a name for each text: texts of one name are in one part
        groups: Option<Groups> = "each text by itself",
        /// which texts are in which part
        seed: u64 = 0,
    }
}

options! {
    /// What `lm.probe` can be told.
    pub struct ModelProbeOptions {
        /// where the texts are looked at: one of lm.sites() with a value at each position
        site: Option<ActivationSite> = "\"residual_after\"",
        /// these layers, counted from 0
        layers: Option<Vec<usize>> = "all layers",
        /// which token of each text
        at: ProbeAt = ProbeAt::default(),
        .. fit: FitOptions,
    }
}

options! {
    /// Which of several positions and labels is meant.
    pub struct PlaceOptions {
        /// which of the positions in `at`, counted from 0
        position: usize = 0,
        /// towards which of the labels
        label: Option<LabelName> = "the second of two",
    }
}

/// Parts where none are named, and there are texts enough.
const FOLDS: usize = 5;
/// Shuffles at most.
pub(super) const MOST_SHUFFLES: usize = 1000;
/// Positions at most.
const MOST_POSITIONS: usize = 1000;

impl FitOptions {
    pub(super) fn settings(self, labels: &[usize]) -> ProbeOptions {
        ProbeOptions {
            kind: self.kind.0,
            folds: self.folds.unwrap_or_else(|| rarer(labels).clamp(2, FOLDS)),
            l2: self.l2.0,
            seed: self.seed,
            n_shuffles: self.shuffles,
            groups: self.groups.map(|groups| groups.0),
        }
    }
}

/// A penalty's weight; `None` where it is left to the probe.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Penalty(pub Option<f64>);

impl OptionValue for Penalty {
    const KIND: OptionKind = OptionKind::Any("a number above 0, or \"auto\"");

    fn of(value: &Dynamic) -> Option<Self> {
        match value.as_immutable_string_ref() {
            Ok(name) => (name.as_str() == "auto").then_some(Self(None)),
            Err(_) => f64::of(value).map(|l2| Self(Some(l2))),
        }
    }

    fn written(&self) -> String {
        self.0.map_or("\"auto\"".to_owned(), |l2| l2.written())
    }
}

/// Which token of a text.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ProbeAt(pub Positions);

impl Default for ProbeAt {
    fn default() -> Self {
        Self(Positions::Each(vec![-1]))
    }
}

impl OptionValue for ProbeAt {
    const KIND: OptionKind = OptionKind::Any(
        "\"last\", \"mean\", a position (negative ones count from the end) or an array of positions",
    );

    fn of(value: &Dynamic) -> Option<Self> {
        if let Ok(name) = value.as_immutable_string_ref() {
            return match name.as_str() {
                "last" => Some(Self::default()),
                "mean" => Some(Self(Positions::Mean)),
                _ => None,
            };
        }
        let positions: Vec<i64> = match value.as_array_ref() {
            Ok(array) => array.iter().map(|at| at.as_int().ok()).collect::<Option<_>>()?,
            Err(_) => vec![value.as_int().ok()?],
        };
        let is_some = (1..=MOST_POSITIONS).contains(&positions.len());
        is_some.then_some(Self(Positions::Each(positions)))
    }

    fn written(&self) -> String {
        "\"last\"".to_owned()
    }
}

/// A number for each text, the same for those of one name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Groups(pub Vec<usize>);

impl OptionValue for Groups {
    const KIND: OptionKind = OptionKind::Any("an array with a string or a whole number for each text");

    fn of(value: &Dynamic) -> Option<Self> {
        let mut known = std::collections::HashMap::new();
        let array = value.as_array_ref().ok()?;
        let number = |value: &Dynamic| {
            let name = match value.as_int() {
                Ok(number) => number.to_string(),
                Err(_) => value.as_immutable_string_ref().ok()?.to_string(),
            };
            let next = known.len();
            Some(*known.entry(name).or_insert(next))
        };
        array.iter().map(number).collect::<Option<_>>().map(Self)
    }
}

//! What a method of attribution is; the methods themselves are in `methods`.

use std::hash::{Hash, Hasher};

use ecco_interpreter::Named;

use super::cost::Cost;
use super::objective::Objective;
use super::options::AttributionOptions;
use super::rows::MethodOutput;
use super::work::Work;
use crate::error::Result;

/// How contributions are computed: a row of [`Method::ALL`].
#[derive(Clone, Copy)]
pub struct Method(pub(super) &'static Row);

/// All that is said of a method.
pub(super) struct Row {
    /// In scripts. The first is the one to use; the others are those of the Python library and of captum.
    pub names: &'static [&'static str],
    /// For people.
    pub label: &'static str,
    /// Whether contributions are those to a difference from a baseline.
    pub baseline: bool,
    /// Whether contributions are promised to add up.
    pub adds_up: bool,
    /// Whether something is drawn at random, so that what is found depends on the seed.
    pub drawn: bool,
    pub cost: Cost,
    /// Targets' contributions.
    pub run: fn(&Objective, &AttributionOptions, &mut Work) -> Result<MethodOutput>,
}

impl Method {
    pub(super) fn cost(self) -> Cost {
        self.0.cost
    }

    pub(super) fn run(
        self,
        explained: &Objective,
        options: &AttributionOptions,
        work: &mut Work,
    ) -> Result<MethodOutput> {
        (self.0.run)(explained, options, work)
    }

    /// In scripts: `grad_x_input`.
    pub fn name(self) -> &'static str {
        self.0.names[0]
    }

    /// All names in scripts, the one to use first.
    pub fn names(self) -> &'static [&'static str] {
        self.0.names
    }

    /// For people: `gradient × input`.
    pub fn label(self) -> &'static str {
        self.0.label
    }

    /// Whether contributions are those to a difference from a baseline.
    pub fn has_baseline(self) -> bool {
        self.0.baseline
    }

    /// Whether contributions are promised to add up: see [`Completeness`](super::rows::Completeness).
    pub fn adds_up(self) -> bool {
        self.0.adds_up
    }

    /// Whether it reads attention patterns, and no embeddings.
    pub(super) fn is_of_attention(self) -> bool {
        [Self::AttentionLast, Self::AttentionRollout, Self::ValueZeroing].contains(&self)
    }

    /// Whether something is drawn at random, so that what is found depends on the seed.
    pub fn is_drawn(self) -> bool {
        self.0.drawn
    }
}

impl Named for Method {
    const NAMES: &'static [&'static str] = Self::ALL_NAMES;

    fn parse(name: &str) -> Option<Self> {
        Self::parse(name)
    }

    fn name(&self) -> &'static str {
        self.0.names[0]
    }
}

impl std::fmt::Debug for Method {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl PartialEq for Method {
    fn eq(&self, other: &Self) -> bool {
        self.name() == other.name()
    }
}

impl Eq for Method {}

impl Hash for Method {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name().hash(state);
    }
}

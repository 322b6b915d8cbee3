//! What methods take. What progress counts, how much is done at once and the memory that is asked for derive from it.

use ecco_models::Model;
use ecco_models::device::ensure_room;
use ecco_models::model::Body;
use ecco_models::run::Input;

use super::explained;
use super::objective::Objective;
use super::options::AttributionOptions;
use super::passes::{at_once_of, bytes_per_text};
use super::target::Target;
use crate::error::Result;

/// A gradient takes about as long as so many passes: one forwards, and two matrix products for each of its own on the way back.
const PASSES_OF_GRADIENT: u64 = 3;

/// How many passes [`attribute`](super::attribute) takes, a gradient being three of them, and how many sources each target has.
///
/// # Errors
/// Targets that the model does not say.
pub fn n_passes(
    model: &Model,
    input: &Input,
    targets: &[Target],
    options: &AttributionOptions,
) -> Result<(u64, Vec<usize>)> {
    let explained = explained(model, input, targets, options)?;
    let cost = options.method.cost();
    let each = match cost {
        Cost::Gradients { .. } => PASSES_OF_GRADIENT,
        Cost::Passes { .. } => 1,
    };
    let sources = targets.iter().map(|target| explained.n_sources_of(target));
    Ok((each * cost.work(&explained, options).0, sources.collect()))
}

/// What a method takes.
#[derive(Clone, Copy)]
pub(super) enum Cost {
    /// Gradients of each target at some points.
    Gradients {
        n_points: fn(&AttributionOptions) -> usize,
        graphs: Graphs,
    },
    /// Passes alone, each of which has the values of all targets.
    Passes {
        n: fn(&Objective, &AttributionOptions) -> usize,
        kept: Storage,
    },
}

/// The graphs of how many texts are kept at once for gradients.
#[derive(Clone, Copy)]
pub(super) enum Graphs {
    /// One, and nothing besides: no method takes less.
    Least,
    Texts(u64),
    /// As many points as go through the model together, where its backward pass is not written out.
    Points,
}

/// What is kept of all passes, on the host.
#[derive(Clone, Copy)]
pub(super) enum Storage {
    /// The targets' values.
    Values,
    /// Besides, which sources each pass kept.
    Sets,
    /// What each position has from each other, by layer.
    Matrices,
}

impl Cost {
    /// How much there is to do, and its unit.
    pub(super) fn work(self, explained: &Objective, options: &AttributionOptions) -> (u64, &'static str) {
        match self {
            Self::Gradients { n_points, .. } => (
                (explained.targets().len() * n_points(options)) as u64,
                "gradients",
            ),
            Self::Passes { n, .. } => (n(explained, options) as u64, "passes"),
        }
    }

    /// How many targets are explained together.
    pub(super) fn targets_at_once(self, explained: &Objective) -> usize {
        match self {
            Self::Gradients { .. } => explained.targets_at_once(),
            Self::Passes { .. } => explained.targets().len(),
        }
    }

    /// Refuses what would not fit, before anything is allocated.
    pub(super) fn ensure_room(self, explained: &Objective, options: &AttributionOptions) -> Result<()> {
        match self {
            Self::Gradients { graphs, .. } => graphs.ensure_room(explained, options.method.label()),
            Self::Passes { n, kept } => {
                kept.ensure_room(explained, n(explained, options), options.method.label())
            }
        }
    }
}

impl Graphs {
    fn n_texts(self, explained: &Objective) -> u64 {
        match (self, explained.model().body()) {
            (Self::Texts(n), _) => n,
            (Self::Points, Body::Encoder(_) | Body::EncoderDecoder(_)) => explained.rows_at_once() as u64,
            _ => 1,
        }
    }

    fn ensure_room(self, explained: &Objective, label: &str) -> Result<()> {
        let needed = explained.bytes_per_text() * self.n_texts(explained);
        let what = format!(
            "{label} of a text of {} tokens (a shorter one takes less, and so does a model loaded with dtype: \"bfloat16\"{})",
            explained.n_sources(),
            match self {
                Self::Least => "",
                _ => "; method: \"grad_x_input\" takes least",
            }
        );
        Ok(ensure_room(explained.device(), needed, &what)?)
    }
}

impl Storage {
    /// For a batch of passes, and for what is kept of all of them.
    fn ensure_room(self, explained: &Objective, n_passes: usize, label: &str) -> Result<()> {
        let model = explained.model();
        let (n, n_targets) = (explained.n_sources(), explained.targets().len());
        let of_text = bytes_per_text(model, n, explained.rows().len());
        let (kept, lower) = match self {
            // Which sources are kept, as such and twice as numbers, and the values.
            Self::Sets => (
                n_passes * (17 * n + 8 * n_targets) + 16 * n * n,
                "a lower n_samples takes less",
            ),
            Self::Values => (8 * n_passes * n_targets, "fewer targets at once take less"),
            Self::Matrices => (
                8 * (n + 1) * (n + 1) * (model.config().n_layers + 2),
                "a shorter text takes less",
            ),
        };
        let what = format!("{label} of {n} sources in {n_passes} passes ({lower})");
        let needed = of_text * at_once_of(of_text).min(n_passes) as u64 + kept as u64;
        // What is kept of the passes is on the host, wherever they are made.
        Ok(ensure_room(tch::Device::Cpu, needed, &what)?)
    }
}

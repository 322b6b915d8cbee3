//! Attribution: how much each token that a model has read contributed to what it says.
//!
//! - [`Target`]: what is explained: a token's or label's probability, logit …, or the difference of two
//! - [`Explained`]: the targets as one differentiable function of the embeddings, for every kind of model
//! - [`Method`], [`AttributionOptions`]: how; [`Baseline`], [`Aggregation`]
//! - [`attribute`], [`Attribution`]: the result
//! - `occlusion`, `samples`: what `passes` without some of the sources say; `coalitions`: which, and the mathematics
//! - `attention`, `value_zeroing`: what attention says
//! - `path`, `guided`: the methods; `gradients`: how gradients are taken
//! - `rows`: from contributions to scores; `memory`: how much at once; `work`: progress and interruption
//!
//! Contributions are to the difference that the token embeddings make (positions are added inside the model, and stay).

mod attention;
pub mod coalitions;
mod explained;
mod gradients;
mod guided;
mod memory;
mod method;
mod occlusion;
mod options;
pub(crate) mod passes;
mod path;
mod rows;
mod samples;
pub(crate) mod target;
mod value_zeroing;
pub(crate) mod work;

use ecco_interpreter::Watch;
use ecco_models::Model;
use ecco_models::guard::guard;
use ecco_models::run::Input;

use crate::error::{Error, Result};
use rows::{Found, Row, in_order};
use work::Work;

pub use explained::Explained;
pub use method::Method;
pub use options::{Aggregation, AttributionOptions, Baseline};
pub use target::{Quantity, Said, Target};

/// The result: one row for each target, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    pub method: Method,
    /// Row k has one value for each of the target's sources (see [`Explained`]): contributions brought to one number by
    /// the [`Aggregation`], divided by the sum of their absolute values.
    pub scores: Vec<Vec<f32>>,
    /// The contributions before that, summed along the embedding with their sign.
    pub signed: Vec<Vec<f64>>,
    /// What is explained: each target's value for the text.
    pub values: Vec<f64>,
    /// The same at the baseline, where the method has one.
    pub baseline_values: Vec<Option<f64>>,
    /// Whether `signed` adds up to what it should, where the method promises that it does.
    pub completeness: Vec<Option<Completeness>>,
}

/// How well contributions add up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Completeness {
    /// What they should add up to.
    pub promised: f64,
    /// By how much they do not.
    pub error: f64,
    /// The same by what they should add up to.
    pub relative: f64,
}

/// The contributions of each source to each target. Targets may be any that the model says of the text, at several
/// positions; they share passes.
///
/// # Errors
/// Options out of range, targets that the model does not say, too little memory, interruption.
pub fn attribute(
    model: &Model,
    input: &Input,
    targets: &[Target],
    options: &AttributionOptions,
    watch: &mut Watch,
) -> Result<Attribution> {
    options.check()?;
    let explained = Explained::new(model, input, targets)?;
    explained.ensure_room(options)?;
    let (total, unit) = match options.method.is_by_passes() {
        true => (passes::n_passes(&explained, options) as u64, "passes"),
        false => ((targets.len() * options.n_points()) as u64, "gradients"),
    };
    let label = format!("{} of {}", options.method.label(), said_of(targets.len()));
    let mut work = Work::new(watch, label, unit, total);
    // Neighbours share what they see.
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|&place| explained.n_sources_of(&targets[place]));
    let mut rows: Vec<(usize, Row)> = Vec::new();
    let at_once = match options.method.is_by_passes() {
        true => targets.len(), // a pass has the values of all
        false => explained.targets_at_once(),
    };
    for places in order.chunks(at_once) {
        let some: Vec<Target> = places.iter().map(|&place| targets[place]).collect();
        let explained = explained.only(&some);
        let n_sources: Vec<usize> = some.iter().map(|target| explained.n_sources_of(target)).collect();
        let mut error = None;
        let found = guard(|| match found(&explained, options, &mut work) {
            Ok(found) => Ok(Some(found.rows(options.aggregation, &n_sources))),
            Err(Error::Model(error)) => Err(error),
            Err(other) => {
                error = Some(other);
                Ok(None)
            }
        })?;
        match (found, error) {
            (Some(found), _) => rows.extend(places.iter().copied().zip(found)),
            (None, Some(error)) => return Err(error),
            (None, None) => {}
        }
    }
    let mut attribution = Attribution {
        method: options.method,
        scores: Vec::new(),
        signed: Vec::new(),
        values: Vec::new(),
        baseline_values: Vec::new(),
        completeness: Vec::new(),
    };
    in_order(rows, &mut attribution);
    Ok(attribution)
}

/// The one place where methods differ.
fn found(explained: &Explained, options: &AttributionOptions, work: &mut Work) -> Result<Found> {
    match options.method {
        Method::Gradient | Method::GradXInput => path::at_the_text(explained, options, work),
        Method::IntegratedGradients => path::integrated(explained, options, work),
        Method::GradientShap => path::gradient_shap(explained, options, work),
        Method::DeepLift => path::deep_lift(explained, options, work),
        Method::LayerwiseRelevance => path::relevance(explained, work),
        Method::GuidedBackprop | Method::Deconvolution => guided::guided(explained, options, work),
        Method::Occlusion => occlusion::occlusion(explained, options, work),
        Method::Lime => samples::local_model(explained, options, work),
        Method::KernelShap => samples::shapley_values(explained, options, work),
        Method::AttentionRollout => attention::rollout(explained, work),
        Method::AttentionLast => attention::last(explained, work),
        Method::ValueZeroing => value_zeroing::value_zeroing(explained, work),
    }
}

fn said_of(n_targets: usize) -> String {
    match n_targets {
        1 => "1 target".into(),
        n => format!("{n} targets"),
    }
}

//! Attribution: how much each token that a model has read contributed to what it says.
//!
//! - [`Target`]: what is explained: a token's or label's probability, logit …, or the difference of two
//! - [`Objective`]: the targets as one differentiable function of the embeddings, for every kind of model
//! - [`Method`], [`AttributionOptions`]: how; [`Baseline`], [`Aggregation`]
//! - [`attribute`], [`Attribution`]: the result
//! - `methods`: the methods, a row each; their functions are
//!   - `path`, `smooth_grad`, `guided`: what gradients say; `gradients`: how they are taken
//!   - `occlusion`, `lime`, `kernel_shap`: what `passes` without some of the sources say; `coalitions`: which, and the
//!     mathematics
//!   - `attention`, `value_zeroing`: what attention says
//! - `several`: of several texts side by side
//! - `rows`: from contributions to scores; `cost`, `memory`: how much at once; `work`: progress and interruption
//!
//! Contributions are to the difference that the token embeddings make (positions are added inside the model, and stay).

mod aggregation;
mod attention;
mod baseline;
pub mod coalitions;
mod cost;
mod gradients;
mod guided;
mod kernel_shap;
mod lime;
mod memory;
mod method;
mod methods;
mod objective;
mod occlusion;
mod options;
pub(crate) mod passes;
mod path;
mod rows;
mod several;
mod smooth_grad;
pub(crate) mod target;
mod value_zeroing;
pub(crate) mod work;

use ecco_interpreter::Watch;
use ecco_models::Model;
use ecco_models::guard::guard;
use ecco_models::run::Input;

use crate::error::{Result, ensure_attention};
use rows::Row;
use work::Work;

pub use aggregation::Aggregation;
pub use baseline::Baseline;
pub use cost::n_passes;
pub use method::Method;
pub use objective::Objective;
pub use options::AttributionOptions;
pub use rows::Completeness;
pub use several::attribute_each;
pub use target::{Outcome, Quantity, Target};

/// The result: one row for each target, in their order.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    pub method: Method,
    /// Row k has one value for each of the target's sources (see [`Objective`]): contributions brought to one number by
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
    if options.method.is_of_attention() {
        ensure_attention(model, options.method.label())?;
    }
    let explained = explained(model, input, targets, options)?;
    let cost = options.method.cost();
    cost.ensure_room(&explained, options)?;
    let (total, unit) = cost.work(&explained, options);
    let label = format!("{} of {}", options.method.label(), counted(targets.len()));
    let mut work = Work::new(watch, label, unit, total);
    // Neighbours share what they see.
    let mut order: Vec<usize> = (0..targets.len()).collect();
    order.sort_by_key(|&place| explained.n_sources_of(&targets[place]));
    let mut rows: Vec<(usize, Row)> = Vec::new();
    for places in order.chunks(cost.targets_at_once(&explained)) {
        let some: Vec<Target> = places.iter().map(|&place| targets[place]).collect();
        let some = rows_of(&explained.only(&some), options, &mut work)?;
        rows.extend(places.iter().copied().zip(some));
    }
    rows.sort_by_key(|(place, _)| *place);
    Ok(Attribution::of(
        options.method,
        rows.into_iter().map(|(_, row)| row),
    ))
}

fn explained<'m>(
    model: &'m Model,
    input: &Input,
    targets: &[Target],
    options: &AttributionOptions,
) -> Result<Objective<'m>> {
    let explained = Objective::new(model, input, targets)?;
    match options.start_token {
        true => explained.counting_start(),
        false => Ok(explained),
    }
}

/// The rows of some targets, in their order.
fn rows_of(explained: &Objective, options: &AttributionOptions, work: &mut Work) -> Result<Vec<Row>> {
    let targets = explained.targets().iter();
    let n_sources: Vec<usize> = targets.map(|target| explained.n_sources_of(target)).collect();
    let method = options.method;
    let mut rows = guard(|| {
        let found = method.run(explained, options, work);
        Ok(found.map(|found| found.rows(options.aggregation, &n_sources, method.adds_up())))
    })??;
    if let Some(start) = explained.start_source() {
        rows.iter_mut().for_each(|row| row.leave_out(start));
    }
    Ok(rows)
}

impl Attribution {
    fn of(method: Method, rows: impl Iterator<Item = Row>) -> Self {
        let mut attribution = Self {
            method,
            scores: Vec::new(),
            signed: Vec::new(),
            values: Vec::new(),
            baseline_values: Vec::new(),
            completeness: Vec::new(),
        };
        for row in rows {
            attribution.scores.push(row.scores);
            attribution.signed.push(row.signed);
            attribution.values.push(row.value);
            attribution.baseline_values.push(row.baseline_value);
            attribution.completeness.push(row.completeness);
        }
        attribution
    }
}

fn counted(n_targets: usize) -> String {
    match n_targets {
        1 => "1 target".into(),
        n => format!("{n} targets"),
    }
}

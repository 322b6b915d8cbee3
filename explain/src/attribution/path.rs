//! Methods that are made of gradients: at the text, or on the way to it from a baseline.

use ecco_models::config::Reading;
use ecco_models::host;
use tch::{Kind, Tensor};

use super::gradients::{GradientSum, frozen, rescaled, weighted};
use super::objective::Objective;
use super::options::AttributionOptions;
use super::rows::{Contributions, MethodOutput};
use super::target::Quantity;
use super::work::{Work, WorkTap};
use crate::error::Result;
use crate::quadrature::gauss_legendre;
use crate::random::RandomState;

/// The gradient at the text.
pub(super) fn gradient(
    explained: &Objective,
    _: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let x = explained.embeddings();
    at_the_text(explained, &x, &x.ones_like(), work)
}

/// The gradient at the text, times its embeddings.
pub(super) fn gradient_x_input(
    explained: &Objective,
    _: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let x = explained.embeddings();
    at_the_text(explained, &x, &x, work)
}

fn at_the_text(explained: &Objective, x: &Tensor, factors: &Tensor, work: &mut Work) -> Result<MethodOutput> {
    let summed = weighted(explained, x, factors, work)?;
    let values = host::numbers(&summed.values());
    Ok(MethodOutput::without_baseline(
        Contributions::Embeddings(summed.sums),
        values,
    ))
}

/// (x − x₀) · ∫ ∇F(x₀ + α (x − x₀)) dα, by Gauss–Legendre.
pub(super) fn integrated(
    explained: &Objective,
    options: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let (x, x0) = (explained.embeddings(), explained.baseline(&options.baseline)?);
    let difference = &x - &x0;
    let wide = difference.to_kind(Kind::Double);
    let steps = gauss_legendre(options.n_steps);
    let some = steps.chunks(explained.rows_at_once() as usize).map(|steps| {
        let column = |values: Vec<f64>| host::tensor(&values, x.device()).reshape([-1, 1, 1]);
        let alphas = column(steps.iter().map(|step| step.0).collect()).to_kind(x.kind());
        let weights = column(steps.iter().map(|step| step.1).collect());
        (&x0 + &difference * alphas, &wide * weights) // [step, source, size]
    });
    let sums = in_turn(explained, some, work)?;
    between(explained, &x, &x0, sums, work)
}

/// How many points are drawn.
pub(super) fn n_draws(options: &AttributionOptions) -> usize {
    options.n_samples.unwrap_or(50)
}

/// (x + ε − x₀) · ∇F(x₀ + α (x + ε − x₀)), the mean over samples of α, uniform, and of ε, normal. Each sample draws its
/// α, then its ε in the order of the numbers.
pub(super) fn gradient_shap(
    explained: &Objective,
    options: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let (x, x0) = (explained.embeddings(), explained.baseline(&options.baseline)?);
    let deviation = options.noise * host::number(&x.to_kind(Kind::Double).std(true));
    let mut random = RandomState::new(options.seed as u32);
    let n = n_draws(options);
    let at_once = explained.rows_at_once() as usize;
    let some = (0..n).step_by(at_once).map(|start| {
        let (mut alphas, mut noise) = (Vec::new(), Vec::new());
        for _ in start..(start + at_once).min(n) {
            alphas.push(random.uniform());
            noise.extend((0..x.numel()).map(|_| random.normal() * deviation));
        }
        let of =
            |values: &[f64], size: &[i64]| host::tensor(values, x.device()).reshape(size).to_kind(x.kind());
        let noise = of(&noise, &[-1, x.size()[1], x.size()[2]]);
        let difference = (&x + noise) - &x0; // [sample, source, size]
        let points = &x0 + &difference * of(&alphas, &[-1, 1, 1]);
        (points, difference.to_kind(Kind::Double) / n as f64)
    });
    let sums = in_turn(explained, some, work)?;
    between(explained, &x, &x0, sums, work)
}

/// The sums over batches of points and factors.
pub(super) fn in_turn(
    explained: &Objective,
    batches: impl Iterator<Item = (Tensor, Tensor)>,
    work: &mut Work,
) -> ecco_models::error::Result<Tensor> {
    let mut all: Option<GradientSum> = None;
    for (points, factors) in batches {
        let some = weighted(explained, &points, &factors, work)?;
        match &mut all {
            Some(all) => all.add(&some),
            None => all = Some(some),
        }
    }
    let none = || explained.embeddings().to_kind(Kind::Double).zeros_like();
    Ok(all.map_or_else(none, |all| all.sums))
}

/// Contributions to the difference of the values at the text and at the baseline.
fn between(
    explained: &Objective,
    x: &Tensor,
    x0: &Tensor,
    sums: Tensor,
    work: &mut Work,
) -> Result<MethodOutput> {
    let mut at = |x: &Tensor| explained.values(x, &mut WorkTap(work));
    let (values, baseline_values) = (at(x)?, at(x0)?);
    let [values, baseline_values] = host::numbers_of_each([&values, &baseline_values]);
    Ok(MethodOutput::with_baseline(
        Contributions::Embeddings(sums),
        values,
        &baseline_values,
        |_| true,
    ))
}

/// (x − x₀) · the factors of the rescale rule.
pub(super) fn deep_lift(
    explained: &Objective,
    options: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let (x, x0) = (explained.embeddings(), explained.baseline(&options.baseline)?);
    let summed = rescaled(explained, &x, &x0, work)?;
    Ok(compared(explained, summed, |_| true))
}

/// x · the factors of the frozen rule. What biases and positions alone give is the rest, and stands for the baseline's
/// value; that all adds up is promised of logits, which the affine map makes.
pub(super) fn relevance(
    explained: &Objective,
    _: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let x = explained.embeddings();
    let is_value = explained.model().config().task.reading() == Reading::Value;
    let is_affine = |i: usize| is_value || explained.targets()[i].of == Quantity::Logit;
    let summed = frozen(explained, &x, &x, work)?;
    Ok(compared(explained, summed, is_affine))
}

/// With the values at both halves' points.
fn compared(explained: &Objective, summed: GradientSum, is_promised: impl Fn(usize) -> bool) -> MethodOutput {
    let values = host::numbers(&summed.values());
    let (values, others) = values.split_at(explained.targets().len());
    MethodOutput::with_baseline(
        Contributions::Embeddings(summed.sums),
        values.to_vec(),
        others,
        is_promised,
    )
}

//! The gradient, gradient × input, and integrated gradients.

use tch::{Kind, Tensor};

use super::Method;
use super::explained::Explained;
use super::gradients::weighted;
use super::options::AttributionOptions;
use super::rows::{Contributions, Found, numbers};
use super::work::{Interruptible, Work};
use crate::error::Result;
use crate::quadrature::gauss_legendre;

/// The gradient at the text, times its embeddings for gradient × input.
pub fn at_the_text(explained: &Explained, options: &AttributionOptions, work: &mut Work) -> Result<Found> {
    let x = explained.embeddings();
    let factors = match options.method {
        Method::Gradient => x.ones_like(),
        _ => x.shallow_clone(),
    };
    let (contributions, values) = weighted(explained, &x, &factors, work)?;
    Ok(Found {
        contributions: Contributions::Embeddings(contributions),
        values: numbers(&values),
        baseline_values: None,
        promised: None,
    })
}

/// (x − x₀) · ∫ ∇F(x₀ + α (x − x₀)) dα, by Gauss–Legendre.
pub fn integrated(explained: &Explained, options: &AttributionOptions, work: &mut Work) -> Result<Found> {
    let (x, x0) = (explained.embeddings(), explained.baseline(&options.baseline)?);
    let difference = &x - &x0;
    let wide = difference.to_kind(Kind::Double);
    let mut sum: Option<Tensor> = None;
    for steps in gauss_legendre(options.n_steps).chunks(explained.rows_at_once() as usize) {
        let column = |values: Vec<f64>| {
            Tensor::from_slice(&values)
                .reshape([-1, 1, 1])
                .to_device(x.device())
        };
        let alphas = column(steps.iter().map(|step| step.0).collect()).to_kind(x.kind());
        let weights = column(steps.iter().map(|step| step.1).collect());
        let points = &x0 + &difference * alphas; // [step, source, size]
        let (some, _) = weighted(explained, &points, &(&wide * weights), work)?;
        sum = Some(match sum {
            Some(sum) => sum + some,
            None => some,
        });
    }
    let (values, baseline_values) = ends(explained, &x, &x0, work)?;
    Ok(Found {
        contributions: Contributions::Embeddings(sum.unwrap_or(wide)),
        promised: Some(values.iter().zip(&baseline_values).map(|(a, b)| a - b).collect()),
        values,
        baseline_values: Some(baseline_values),
    })
}

/// The targets' values at the text and at the baseline.
pub fn ends(
    explained: &Explained,
    x: &Tensor,
    x0: &Tensor,
    work: &mut Work,
) -> ecco_models::error::Result<(Vec<f64>, Vec<f64>)> {
    let mut at = |x: &Tensor| -> ecco_models::error::Result<Vec<f64>> {
        Ok(numbers(&explained.values(x, &mut Interruptible(work))?))
    };
    Ok((at(x)?, at(x0)?))
}

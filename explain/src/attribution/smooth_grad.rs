//! SmoothGrad (Smilkov et al. 2017, 1706.03825): the mean of gradients around the text.

use ecco_models::host;
use tch::Kind;

use super::objective::Objective;
use super::options::AttributionOptions;
use super::path::{in_turn, n_draws};
use super::rows::{Contributions, MethodOutput};
use super::work::{Work, WorkTap};
use crate::error::Result;
use crate::random::RandomState;

/// The mean over samples of ∇F(x + ε), ε normal with `options.sigma` times the deviation of the text's embeddings.
/// Each sample draws its ε in the order of the numbers.
pub(super) fn smooth_grad(
    explained: &Objective,
    options: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let x = explained.embeddings(); // [1, source, size]
    let deviation = options.sigma * host::number(&x.to_kind(Kind::Double).std(true));
    let mut random = RandomState::new(options.seed as u32);
    let (n, at_once) = (n_draws(options), explained.rows_at_once() as usize);
    let share = x.to_kind(Kind::Double).ones_like() / n as f64;
    let some = (0..n).step_by(at_once).map(|start| {
        let n_some = at_once.min(n - start);
        let noise = (0..n_some * x.numel()).map(|_| random.normal() * deviation);
        let noise = host::tensor(&noise.collect::<Vec<_>>(), x.device());
        let points = &x + noise.to_kind(x.kind()).reshape([-1, x.size()[1], x.size()[2]]);
        (points, share.expand([n_some as i64, -1, -1], false))
    });
    let sums = in_turn(explained, some, work)?;
    let values = host::numbers(&explained.values(&x, &mut WorkTap(work))?);
    Ok(MethodOutput::without_baseline(
        Contributions::Embeddings(sums),
        values,
    ))
}

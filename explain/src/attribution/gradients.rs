//! Gradients of the targets' values, weighted and summed over some points: what most methods are made of.
//!
//! Decoders have a batched backward pass written out ([`ecco_models::backward`]): attention is causal, so one pass over
//! the text holds what all targets need, and their gradients are pulled back through it together. Elsewhere autograd
//! takes them, one target after the other, of several points side by side.

use ecco_interpreter::Watch;
use ecco_models::Rule;
use ecco_models::backward::{bytes_per_target, pull_back, record};
use ecco_models::decoder::Decoder;
use ecco_models::device::step_bytes;
use ecco_models::host;
use ecco_models::model::Body;
use ecco_models::tap::{Capture, ReportTap};
use tch::{Device, Kind, Tensor};

use super::objective::Objective;
use super::work::{RuleTap, Work};
use crate::aside::aside;

/// Σ over the points of factor · gradient, `[target, source, size]` in double precision. `points` and `factors` are
/// `[point, source, size]`.
pub(super) fn weighted(
    explained: &Objective,
    points: &Tensor,
    factors: &Tensor,
    work: &mut Work,
) -> ecco_models::error::Result<GradientSum> {
    let mut summed = GradientSum::new(explained, points);
    let n_points = points.size()[0];
    let written_out = written_out(explained).filter(|_| is_quicker_written_out(explained, n_points));
    let at_once = match written_out {
        Some(_) => 1,
        None => explained.rows_at_once(),
    };
    for start in (0..n_points).step_by(at_once as usize) {
        let some = |x: &Tensor| x.narrow(0, start, at_once.min(n_points - start));
        let (points, factors) = (some(points), some(factors));
        match written_out {
            Some(decoder) => pulled_back(
                explained,
                decoder,
                &points,
                &factors,
                Rule::Gradient,
                &mut summed,
                work,
            )?,
            None => by_autograd(explained, &points, &factors, None, &mut summed, work)?,
        };
    }
    Ok(summed)
}

/// The same at one point by the frozen rule. The values at zero are what remains of the affine map.
pub(super) fn frozen(
    explained: &Objective,
    x: &Tensor,
    factors: &Tensor,
    work: &mut Work,
) -> ecco_models::error::Result<GradientSum> {
    let mut summed = GradientSum::new(explained, x);
    let zero = x.zeros_like();
    match written_out(explained) {
        Some(decoder) => {
            pulled_back(explained, decoder, x, factors, Rule::Frozen, &mut summed, work)?;
            let mut tap = RuleTap {
                rule: Rule::Frozen,
                work,
            };
            let values = explained.values(&Tensor::cat(&[x, &zero], 0), &mut tap)?;
            summed.values = vec![values];
        }
        None => {
            let against = Some((Rule::Frozen, &zero));
            by_autograd(explained, x, factors, against, &mut summed, work)?;
        }
    }
    Ok(summed)
}

/// The same at one point by the rescale rule, against another one.
pub(super) fn rescaled(
    explained: &Objective,
    x: &Tensor,
    x0: &Tensor,
    work: &mut Work,
) -> ecco_models::error::Result<GradientSum> {
    let mut summed = GradientSum::new(explained, x);
    let against = Some((Rule::Rescale, x0));
    by_autograd(explained, x, &(x - x0), against, &mut summed, work)?;
    Ok(summed)
}

/// Sums in the making.
pub(super) struct GradientSum {
    /// `[target, source, size]`
    pub sums: Tensor,
    values: Vec<Tensor>,
}

impl GradientSum {
    fn new(explained: &Objective, points: &Tensor) -> Self {
        let mut size = points.size();
        size[0] = explained.targets().len() as i64;
        Self {
            sums: Tensor::zeros(size, (Kind::Double, points.device())),
            values: Vec::new(),
        }
    }

    pub(super) fn add(&mut self, other: &Self) {
        let _ = self.sums.g_add_(&other.sums);
    }

    /// At the points, `[point, target]`; behind them at what they are compared with.
    pub(super) fn values(&self) -> Tensor {
        Tensor::cat(&self.values, 0)
    }
}

/// The decoder whose backward pass can be had without autograd.
fn written_out<'m>(explained: &Objective<'m>) -> Option<&'m Decoder> {
    match explained.model().body() {
        Body::Decoder(decoder) if !decoder.stack.is_edited() => Some(decoder),
        _ => None,
    }
}

/// A processor takes as long as the work does. A GPU does as much at once as there is: what counts there is how often it
/// is asked for a pass over all layers.
fn is_quicker_written_out(explained: &Objective, n_points: i64) -> bool {
    let (n_points, n_targets) = (n_points as u64, explained.targets().len() as u64);
    let written_out = n_points * (1 + n_targets.div_ceil(MOST_AT_ONCE));
    let by_autograd = n_points.div_ceil(explained.rows_at_once().max(1) as u64) * (1 + n_targets);
    explained.device() == Device::Cpu || written_out <= by_autograd
}

fn by_autograd(
    explained: &Objective,
    points: &Tensor,
    factors: &Tensor,
    against: Option<(Rule, &Tensor)>,
    summed: &mut GradientSum,
    work: &mut Work,
) -> ecco_models::error::Result<()> {
    tch::with_grad(|| {
        let x = points.detach().set_requires_grad(true);
        let (rule, whole) = match against {
            None => (Rule::Gradient, x.shallow_clone()),
            Some((rule, other)) => (rule, Tensor::cat(&[&x, other], 0)),
        };
        let n_points = x.size()[0];
        let logits = explained.logits(&whole, &mut RuleTap { rule, work })?;
        let mut values = Vec::new();
        for (index, target) in explained.targets().iter().enumerate() {
            // One after the other, so that what leads from the logits to a value is not kept for all.
            let value = explained.value_of(&logits, target, rule); // [point]
            values.push(value.detach());
            let value = value.narrow(0, 0, n_points).sum(None::<Kind>);
            // One call of libtorch, which asks nobody.
            let leaf = x.shallow_clone();
            let back = move |_: &mut Watch| Tensor::run_backward(&[value], &[&leaf], true, false).remove(0);
            let gradient = aside("gradients", back, &mut |_| work.report());
            let gradient = gradient.ok_or(ecco_models::Error::Interrupted)?;
            let weighted = gradient.to_kind(Kind::Double) * factors;
            let sum = weighted.sum_dim_intlist(0, false, None::<Kind>);
            let _ = summed.sums.get(index as i64).g_add_(&sum);
            work.advance(n_points as u64)?;
        }
        summed.values.push(Tensor::stack(&values, 1));
        Ok(())
    })
}

/// The same at one point of a decoder.
fn pulled_back(
    explained: &Objective,
    decoder: &Decoder,
    point: &Tensor,
    factors: &Tensor,
    rule: Rule,
    summed: &mut GradientSum,
    work: &mut Work,
) -> ecco_models::error::Result<()> {
    let mut tap = ReportTap {
        tap: record(decoder, point.size()[1] as usize, rule),
        report: &mut |_| work.report(),
    };
    let normalised = decoder.forward(point, None, &mut tap)?; // [1, position, hidden]
    let capture = tap.tap;
    let targets = explained.targets();
    let rows: Vec<usize> = targets
        .iter()
        .filter_map(|target| explained.row(target))
        .collect();
    let (values, cotangents) = through_the_head(explained, decoder, &normalised, &rows, rule);
    summed.values.push(values);
    let mut end = rows.len();
    while end > 0 {
        let last = rows[..end].iter().max().map_or(0, |row| row + 1);
        let start = end.saturating_sub(chunk_size(decoder, &capture, last));
        let of_chunk = |x: &Tensor| x.narrow(0, start as i64, (end - start) as i64);
        let part = of_chunk(&cotangents);
        let mut proceed = || work.report();
        let rows = &rows[start..end];
        let gradients = pull_back(decoder, point, &capture, rows, &part, rule, &mut proceed)?;
        let length = gradients.size()[1];
        let mut sums = of_chunk(&summed.sums).narrow(1, 0, length);
        let _ = sums.g_add_(&(gradients.to_kind(Kind::Double) * factors.narrow(1, 0, length)));
        work.advance((end - start) as u64)?;
        end = start;
    }
    Ok(())
}

/// The targets' values `[1, target]`, and their gradients at the head's input, `[target, size]`.
fn through_the_head(
    explained: &Objective,
    decoder: &Decoder,
    normalised: &Tensor,
    rows: &[usize],
    rule: Rule,
) -> (Tensor, Tensor) {
    let (mut values, mut cotangents) = (Vec::new(), Vec::new());
    let config = decoder.config();
    for (targets, rows) in explained.targets().chunks(HEAD_ROWS).zip(rows.chunks(HEAD_ROWS)) {
        let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let rows = host::index(&rows, decoder.device());
        let logits = decoder.logits(&normalised.squeeze_dim(0).index_select(0, &rows)); // [target, vocabulary]
        let leaf = logits.detach().set_requires_grad(true);
        let of_logits = tch::with_grad(|| {
            let value = |(i, target): (usize, &super::Target)| {
                target.value(&leaf.narrow(0, i as i64, 1), config, Rule::Gradient)
            };
            let each: Vec<Tensor> = targets.iter().enumerate().map(value).collect();
            let each = Tensor::cat(&each, 0); // [target]
            values.push(each.detach());
            Tensor::run_backward(&[each.sum(None::<Kind>)], &[&leaf], false, false).remove(0)
        });
        cotangents.push(decoder.logits_backward(&logits, &of_logits, rule));
    }
    (Tensor::cat(&values, 0).unsqueeze(0), Tensor::cat(&cotangents, 0))
}

/// How many targets go through the head together: reading its weight is most of the work for a few, and
/// each takes some tensors as wide as the vocabulary.
const HEAD_ROWS: usize = 50;

/// How many targets are pulled back together: enough for large products, little enough for a processor's caches.
const MOST_AT_ONCE: u64 = 10;

fn chunk_size(decoder: &Decoder, saved: &Capture, n_positions: usize) -> usize {
    let bytes = step_bytes(decoder.device(), 512 << 20);
    let by_memory = bytes / bytes_per_target(decoder, saved, n_positions).max(1);
    by_memory.clamp(1, MOST_AT_ONCE) as usize
}

//! Gradients of the targets' values, weighted and summed over some points: what most methods are made of.
//!
//! Decoders have a batched backward pass written out ([`ecco_models::backward`]): attention is causal, so one pass over
//! the text holds what all targets need, and their gradients are pulled back through it together. Elsewhere autograd
//! takes them, one target after the other, of several points side by side.

use ecco_models::backward::{SITES, bytes_per_target, pull_back};
use ecco_models::decoder::Decoder;
use ecco_models::model::Body;
use ecco_models::tap::{Capture, Watched};
use tch::{Kind, Tensor};

use super::explained::Explained;
use super::work::{Interruptible, Work};

/// Σ over the points of factor · gradient, `[target, source, size]` in double precision, and the values at the points,
/// `[point, target]`. `points` and `factors` are `[point, source, size]`.
pub fn weighted(
    explained: &Explained,
    points: &Tensor,
    factors: &Tensor,
    work: &mut Work,
) -> ecco_models::error::Result<(Tensor, Tensor)> {
    let n_targets = explained.targets().len() as i64;
    let mut size = points.size();
    size[0] = n_targets;
    let sums = Tensor::zeros(size, (Kind::Double, points.device()));
    let n_points = points.size()[0];
    let written_out = match explained.model().body() {
        // What interventions do is left to autograd.
        Body::Decoder(decoder) if !decoder.stack.is_edited() => Some(decoder),
        _ => None,
    };
    let at_once = match written_out {
        Some(_) => 1,
        None => explained.rows_at_once(),
    };
    let mut values = Vec::new();
    for start in (0..n_points).step_by(at_once as usize) {
        let some = |x: &Tensor| x.narrow(0, start, at_once.min(n_points - start));
        let (points, factors) = (some(points), some(factors));
        values.push(match written_out {
            Some(decoder) => pulled_back(explained, decoder, &points, &factors, &sums, work)?,
            None => by_autograd(explained, &points, &factors, &sums, work)?,
        });
    }
    Ok((sums, Tensor::cat(&values, 0)))
}

/// Adds to `sums`; `[point, target]`.
fn by_autograd(
    explained: &Explained,
    points: &Tensor,
    factors: &Tensor,
    sums: &Tensor,
    work: &mut Work,
) -> ecco_models::error::Result<Tensor> {
    tch::with_grad(|| {
        let x = points.detach().set_requires_grad(true);
        let values = explained.values(&x, &mut Interruptible(work))?;
        for target in 0..values.size()[1] {
            let value = values.select(1, target).sum(None::<Kind>);
            let gradient = Tensor::run_backward(&[value], &[&x], true, false).remove(0);
            add(sums, target, &(gradient.to_kind(Kind::Double) * factors));
            work.advance(x.size()[0] as u64)?;
        }
        Ok(values.detach())
    })
}

fn add(sums: &Tensor, target: i64, at_points: &Tensor) {
    let sum = at_points.sum_dim_intlist(0, false, None::<Kind>);
    let _ = sums.get(target).g_add_(&sum);
}

/// The same at one point of a decoder.
fn pulled_back(
    explained: &Explained,
    decoder: &Decoder,
    point: &Tensor,
    factors: &Tensor,
    sums: &Tensor,
    work: &mut Work,
) -> ecco_models::error::Result<Tensor> {
    let mut tap = Watched {
        capture: Capture::new(SITES, None),
        report: &mut |_| work.report(),
    };
    let normalised = decoder.forward(point, None, &mut tap)?; // [1, position, hidden]
    let capture = tap.capture;
    let targets = explained.targets();
    let rows: Vec<usize> = targets
        .iter()
        .filter_map(|target| explained.row(target))
        .collect();
    let (values, cotangents) = through_the_head(explained, decoder, &normalised, &rows);
    let mut end = rows.len();
    while end > 0 {
        let last = rows[..end].iter().max().map_or(0, |row| row + 1);
        let start = end.saturating_sub(chunk_size(decoder, last));
        let part = cotangents.narrow(0, start as i64, (end - start) as i64);
        let mut proceed = || work.report();
        let gradients = pull_back(decoder, point, &capture, &rows[start..end], &part, &mut proceed)?;
        let length = gradients.size()[1];
        let mut of_chunk = sums
            .narrow(0, start as i64, (end - start) as i64)
            .narrow(1, 0, length);
        let _ = of_chunk.g_add_(&(gradients.to_kind(Kind::Double) * factors.narrow(1, 0, length)));
        work.advance((end - start) as u64)?;
        end = start;
    }
    Ok(values)
}

/// The targets' values `[1, target]`, and their gradients at the head's input, `[target, size]`.
fn through_the_head(
    explained: &Explained,
    decoder: &Decoder,
    normalised: &Tensor,
    rows: &[usize],
) -> (Tensor, Tensor) {
    let (mut values, mut cotangents) = (Vec::new(), Vec::new());
    let config = decoder.config();
    for (targets, rows) in explained.targets().chunks(HEAD_ROWS).zip(rows.chunks(HEAD_ROWS)) {
        let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let rows = Tensor::from_slice(&rows).to_device(decoder.device());
        let logits = decoder.logits(&normalised.squeeze_dim(0).index_select(0, &rows)); // [target, vocabulary]
        let leaf = logits.detach().set_requires_grad(true);
        let of_logits = tch::with_grad(|| {
            let value =
                |(i, target): (usize, &super::Target)| target.value(&leaf.narrow(0, i as i64, 1), config);
            let each: Vec<Tensor> = targets.iter().enumerate().map(value).collect();
            let each = Tensor::cat(&each, 0); // [target]
            values.push(each.detach());
            Tensor::run_backward(&[each.sum(None::<Kind>)], &[&leaf], false, false).remove(0)
        });
        cotangents.push(decoder.logits_backward(&logits, &of_logits));
    }
    (Tensor::cat(&values, 0).unsqueeze(0), Tensor::cat(&cotangents, 0))
}

/// How many targets go through the head together: reading its weight is most of the work for a few, and
/// each takes some tensors as wide as the vocabulary.
const HEAD_ROWS: usize = 50;

/// How many targets are pulled back together: enough for large products, little enough for the caches and
/// for 512 MB.
fn chunk_size(decoder: &Decoder, n_positions: usize) -> usize {
    let by_memory = (512 << 20) / bytes_per_target(decoder, n_positions).max(1);
    (by_memory as usize).clamp(1, 10)
}

//! Value zeroing (Mohebbi et al. 2023, 2301.12971): how much each position's output of a layer turns when one
//! position's value vector is zero, in that layer only; rolled out over the layers.
//!
//! Unlike attention weights it sees what a value is worth behind the output projection, the residual stream, the norms
//! and the MLP. Where the target stands is all it knows of it, as with attention.

use std::ops::Range;

use ecco_models::Site;
use ecco_models::attention::CrossMemory;
use ecco_models::host;
use ecco_models::model::Body;
use ecco_models::stack::{Marks, Stack};
use ecco_models::tap::{Capture, NoTap, ReportTap, Tap};
use ndarray::{Array2, Axis};
use tch::{Kind, Tensor};

use super::attention::{Layer, LayerTensors, found, on_host, rolled};
use super::objective::Objective;
use super::options::AttributionOptions;
use super::passes::at_once;
use super::rows::MethodOutput;
use super::work::{Work, WorkTap};
use crate::error::Result;

/// The rows of each layer, divided by their sums, multiplied over the layers. No identity is added for the residual
/// stream, which the layers' outputs have in them.
pub(super) fn value_zeroing(
    explained: &Objective,
    _: &AttributionOptions,
    work: &mut Work,
) -> Result<MethodOutput> {
    let x = explained.embeddings();
    let values = host::numbers(&explained.values(&x, &mut WorkTap(work))?);
    let mut done = PassCounter(0.0, work);
    let by_position = match explained.model().body() {
        Body::EncoderDecoder(both) => {
            let read = x.narrow(1, 0, explained.input().ids.len() as i64);
            let memories = both.read(&read, None, &mut WorkTap(done.1))?;
            let encoder = layers(&both.encoder, &read, Marks::default(), None, &mut done)?;
            let written = explained.written(&x);
            let own = layers(
                &both.decoder.stack,
                &written,
                Marks::default(),
                Some(&memories),
                &mut done,
            )?;
            rolled(&encoder, &own)
        }
        _ => {
            let stack = explained.model().stack();
            let segments = explained.input().segments(stack);
            let marks = Marks {
                segments: segments.as_ref(),
                ..Marks::default()
            };
            rolled(&[], &layers(stack, &x, marks, None, &mut done)?)
        }
    };
    Ok(found(explained, values, &by_position))
}

/// Passes that are done, counted in layers.
struct PassCounter<'r, 'a, 'b>(f64, &'r mut Work<'a, 'b>);

impl PassCounter<'_, '_, '_> {
    fn advance(&mut self, passes: f64) -> ecco_models::error::Result<()> {
        let before = self.0.floor();
        self.0 += passes;
        self.1.advance((self.0.floor() - before) as u64)
    }
}

/// How much each position of each layer turns without the value of each other; rows sum to 1.
fn layers(
    stack: &Stack,
    embeddings: &Tensor,
    marks: Marks,
    memories: Option<&[CrossMemory]>,
    done: &mut PassCounter,
) -> ecco_models::error::Result<Vec<Layer>> {
    let sites: &[Site] = match stack.config.reads_beside() {
        true => &[
            Site::ResidualBefore,
            Site::ResidualAfter,
            Site::Keys,
            Site::Values,
        ],
        false => &[Site::ResidualBefore, Site::ResidualAfter],
    };
    let mut tap = ReportTap {
        tap: Capture::new(sites, None),
        report: &mut |_| done.1.report(),
    };
    let _ = stack.forward(embeddings, marks, None, memories, &mut tap)?;
    let capture = tap.tap;
    let beside = stack.beside_of_pass(|| embeddings.shallow_clone(), &capture);
    let n_layers = stack.blocks.len();
    let of_layer = |layer: usize| {
        let pre = capture.tensor(Site::ResidualBefore, layer);
        let whole = capture.tensor(Site::ResidualAfter, layer);
        let memory = memories.map(|memories| &memories[layer]);
        let n = pre.size()[1] as usize;
        let (mut own, mut read) = (Vec::new(), Vec::new());
        for some in chunks(n, at_once(stack, n)) {
            let mut zeroing = ValueMask::new(&some);
            let after = stack.layer(layer, (pre.shallow_clone(), &beside), memory, &mut zeroing);
            own.push(turned(whole, &after));
            done.advance(some.len() as f64 / n_layers as f64)?;
        }
        if let Some(memory) = memory {
            for some in chunks(memory.n_positions() as usize, at_once(stack, n)) {
                let without = memory.without_values(some.start as i64, some.end as i64);
                let pre = pre.expand([some.len() as i64, -1, -1], false);
                let after = stack.layer(layer, (pre, &beside), Some(&without), &mut NoTap);
                read.push(turned(whole, &after));
                done.advance(0.0)?;
            }
        }
        let by_position = |turned: &[Tensor]| Tensor::cat(turned, 0).tr(); // [position, without]
        Ok(LayerTensors {
            own: by_position(&own),
            read: memory.map(|_| by_position(&read)),
        })
    };
    let layers = (0..n_layers)
        .map(of_layer)
        .collect::<ecco_models::error::Result<_>>()?;
    let [mut layers] = on_host([layers]);
    for layer in &mut layers {
        if stack.config.attention.causal {
            // What is behind a position cannot turn it, but rounding can.
            layer.own.indexed_iter_mut().for_each(|((row, column), value)| {
                if column > row {
                    *value = 0.0;
                }
            });
        }
        divide(&mut layer.own, layer.read.as_mut());
    }
    Ok(layers)
}

fn chunks(n: usize, at_once: usize) -> Vec<Range<usize>> {
    (0..n)
        .step_by(at_once)
        .map(|start| start..(start + at_once).min(n))
        .collect()
}

/// Cosine distances of each position's vector from the same of each changed text, `[text, position]`: ½ |a − b|² of
/// vectors of length 1, which keeps small ones exact.
fn turned(whole: &Tensor, changed: &Tensor) -> Tensor {
    let unit = |x: &Tensor| {
        let x = x.to_kind(Kind::Double);
        let length = x.norm_scalaropt_dim(2, [-1], true).clamp_min(f64::MIN_POSITIVE);
        x / length
    };
    let difference = unit(changed) - unit(whole);
    difference.square().sum_dim_intlist(-1, false, None::<Kind>) / 2.0
}

/// Divides each position's row by its sum; one that nothing turns comes from itself alone.
fn divide(own: &mut Array2<f64>, mut read: Option<&mut Array2<f64>>) {
    for row in 0..own.nrows() {
        let mut sum = own.row(row).sum();
        if let Some(read) = &read {
            sum += read.row(row).sum();
        }
        if sum == 0.0 {
            own[[row, row]] = 1.0;
            continue;
        }
        own.index_axis_mut(Axis(0), row).mapv_inplace(|value| value / sum);
        if let Some(read) = &mut read {
            read.index_axis_mut(Axis(0), row)
                .mapv_inplace(|value| value / sum);
        }
    }
}

/// Makes of one text as many as there are positions in `positions`, each without the value of one of them. The
/// pattern stays as it is, so what a head mixes loses just that value by its weight.
struct ValueMask {
    start: i64,
    n: i64,
    pattern: Option<Tensor>, // [1, head, query, key]
    value: Option<Tensor>,   // [1, key head, key, head_dim]
}

impl ValueMask {
    fn new(positions: &Range<usize>) -> Self {
        Self {
            start: positions.start as i64,
            n: positions.len() as i64,
            pattern: None,
            value: None,
        }
    }

    /// What each position adds to each head's mixture, `[text, head, query, head_dim]`.
    fn shares(&self, n_heads: i64) -> Option<Tensor> {
        let (pattern, value) = (self.pattern.as_ref()?, self.value.as_ref()?);
        let weights = pattern.narrow(3, self.start, self.n).get(0).permute([2, 0, 1]); // [text, head, query]
        let per_group = n_heads / value.size()[1];
        let value = value.narrow(2, self.start, self.n).get(0); // [key head, text, head_dim]
        let value = value
            .repeat_interleave_self_int(per_group, 0, None)
            .transpose(0, 1);
        Some(weights.unsqueeze(-1) * value.unsqueeze(2))
    }
}

impl Tap for ValueMask {
    fn wants(&self, site: Site, _: usize) -> bool {
        matches!(site, Site::AttentionPattern | Site::Values | Site::HeadOutputs)
    }

    fn visit(&mut self, site: Site, _: usize, value: Tensor) -> Tensor {
        match site {
            Site::AttentionPattern => self.pattern = Some(value.shallow_clone()),
            Site::Values => self.value = Some(value.shallow_clone()),
            Site::HeadOutputs => {
                if let Some(shares) = self.shares(value.size()[1]) {
                    return value - shares;
                }
            }
            _ => {}
        }
        value
    }
}

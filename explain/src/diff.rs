//! What a tuned model does otherwise than the one it was tuned from, and which of its layers bring it.
//!
//! Grafting: the base with one layer, or one half of it, of the tuned model. No weight is copied for that: the tuned
//! model's layer is run on the base's own stream, and what it gives stands in the place of the base's. One pass of the
//! tuned model gives this for all layers, as each layer's input is replaced; what follows is the rest of a pass of the base.

mod alignment;
mod weights;

use std::collections::HashMap;
use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch, is_interrupted};
use ecco_models::device::ensure_room;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::model::Body;
use ecco_models::run::{self, Input};
use ecco_models::{Model, Site, Tap};
use tch::{Kind, Tensor};

use crate::error::{Result, refuse};
use crate::intervention::divergence::{self, Divergence};
use alignment::Alignment;

pub use weights::{WeightDistance, weight_distances};

/// What was found in some texts.
#[derive(Debug, Clone, PartialEq)]
pub struct Diff {
    /// By text; the tuned model is the reference: KL(tuned ‖ base).
    pub texts: Vec<Divergence>,
    /// By depth: before the first layer, then after each; the mean cosine of both models' states over all positions.
    pub cosine: Vec<f64>,
    /// By depth: linear CKA of both models' states; NaN where they are the same at all positions.
    pub cka: Vec<f64>,
    /// Mean KL(tuned ‖ grafted) over all positions. None for an encoder–decoder.
    pub grafts: Option<Grafts>,
}

/// What is left of the divergence, in nats, when parts of the base are the tuned model's.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Grafts {
    /// Nothing: the base itself.
    pub none: f64,
    /// By layer: that layer; its attention; its MLP.
    pub layer: Vec<f64>,
    pub attention: Vec<f64>,
    pub mlp: Vec<f64>,
    /// By layer: all layers up to that one.
    pub up_to: Vec<f64>,
    /// What makes the first stream of tokens.
    pub embedding: f64,
    /// The final norm and the head.
    pub head: f64,
}

impl Diff {
    /// The first position of a text where the two find another token most probable.
    pub fn parted(text: &Divergence) -> Option<usize> {
        let both = text.reference.iter().zip(&text.changed);
        both.into_iter().position(|(tuned, base)| tuned.id != base.id)
    }
}

/// Positions whose predictions are made together.
const HEAD_ROWS: usize = 16;
/// The sites whose values the base's pass is asked for.
const OF_BASE: [Site; 5] = [
    Site::ResidualBefore,
    Site::ResidualMid,
    Site::ResidualAfter,
    Site::Keys,
    Site::Values,
];
/// What a layer of the tuned model gives.
const GIVEN: [Site; 5] = [
    Site::AttentionOutput,
    Site::MlpOutput,
    Site::ResidualAfter,
    Site::Keys,
    Site::Values,
];
/// What layers of the tuned model give one after the other.
const ALONG: [Site; 3] = [Site::ResidualAfter, Site::Keys, Site::Values];

/// Both models over some texts, with the map of grafts where that is wanted.
///
/// # Errors
/// [`Error::Option`](crate::Error::Option) for models of another size, or whose predictions are not about the same
/// tokens or labels.
pub fn diff(base: &Model, tuned: &Model, inputs: &[Input], grafts: bool, watch: &mut Watch) -> Result<Diff> {
    check(base, tuned)?;
    let has_grafts = grafts && !matches!(base.body(), Body::EncoderDecoder(_));
    let n_layers = base.config().n_layers;
    // Passes, and with grafts the rest of one from each layer on.
    let steps = if has_grafts { 8 } else { 4 };
    let total = (inputs.len() * n_layers * steps) as u64;
    let mut done = 0;
    let mut report = || {
        done += 1;
        watch(&Progress {
            label: "comparing models".into(),
            done: done - 1,
            total: Some(total),
            unit: "layers",
        })
    };
    let (mut texts, mut cosine, mut sums) = (Vec::new(), vec![0.0; n_layers + 1], Sums::new(n_layers));
    let mut n_positions = 0;
    let mut alignment = Alignment::new(base, inputs)?;
    for input in inputs {
        let mut watch = |_: &Progress| report();
        let text = divergence::divergence(tuned, base, input, &mut watch)?;
        room(base, input)?;
        let found = guard(|| one(base, tuned, input, has_grafts, &mut alignment, &mut report))?;
        let n = text.kl.len();
        n_positions += n;
        let n_states = found.n_states as f64;
        for (sum, of) in cosine.iter_mut().zip(&found.cosine) {
            *sum += of / n_states * n as f64;
        }
        sums.add(&found.grafts, &text.kl);
        texts.push(text);
    }
    let n = n_positions.max(1) as f64;
    Ok(Diff {
        cosine: cosine.into_iter().map(|sum| sum / n).collect(),
        cka: guard(|| alignment.by_depth())?,
        grafts: has_grafts.then(|| sums.means(n)),
        texts,
    })
}

fn check(base: &Model, tuned: &Model) -> Result<()> {
    let (one, other) = (base.config(), tuned.config());
    for (what, one, other) in [
        ("layers", one.n_layers, other.n_layers),
        ("numbers of a state", one.hidden_size, other.hidden_size),
    ] {
        if one != other {
            let reason = format!(
                "it has {other} {what}, and {} has {one}: they are not of one kind",
                base.name()
            );
            return Err(refuse("tuned", format!("{:?}", tuned.name()), reason));
        }
    }
    Ok(())
}

/// What is kept of both models' passes at once.
fn room(base: &Model, input: &Input) -> Result<()> {
    let (config, n) = (base.config(), input.spoken().len());
    let numbers = 12 * n * config.n_layers * config.hidden_size + 12 * HEAD_ROWS * config.vocab_size * 2;
    let bytes = (numbers * base.stack().kind().elt_size_in_bytes()) as u64;
    Ok(ensure_room(
        base.stack().device(),
        bytes,
        "the states of both models",
    )?)
}

/// Of one text, sums over positions.
struct Found {
    cosine: Vec<f64>,
    n_states: usize,
    /// Rows as [`Sums`] has them, by layer; then the embedding's and the head's.
    grafts: Vec<f64>,
}

type Report<'a> = &'a mut dyn FnMut() -> ControlFlow<()>;

fn one(
    base: &Model,
    tuned: &Model,
    input: &Input,
    has_grafts: bool,
    alignment: &mut Alignment,
    report: Report,
) -> ecco_models::error::Result<Found> {
    let n_layers = base.config().n_layers;
    // Keys and values last, for layers that read those of others.
    let n_shared = if base.config().reads_beside() { 2 } else { 0 };
    let mut own = Exchange::new(&OF_BASE[..3 + n_shared], report);
    let (known, base_states) = run::known(base, input, &mut own)?;
    let of_base = own.kept;
    let mut plain = Exchange::new(&[Site::ResidualBefore, Site::ResidualAfter], report);
    let tuned_states = run::forward(tuned, input, &mut plain)?;
    let of_tuned = plain.kept;
    let depth = |depth: usize| match depth {
        0 => (Site::ResidualBefore, 0),
        depth => (Site::ResidualAfter, depth - 1),
    };
    let states: Vec<(&Tensor, &Tensor)> = (0..=n_layers)
        .filter_map(|at| Some((of_base.get(&depth(at))?, of_tuned.get(&depth(at))?)))
        .collect();
    let cosine: Vec<Tensor> = states.iter().map(|(base, tuned)| cosine(base, tuned)).collect();
    alignment.add(&states);
    let n_states = base_states.size()[1] as usize;
    let cosine = host::numbers(&Tensor::stack(&cosine, 0));
    if !has_grafts {
        return Ok(Found {
            cosine,
            n_states,
            grafts: Vec::new(),
        });
    }
    // Every layer of the tuned model on the base's stream, then every MLP on the base's middle of the layer.
    let put = |site: Site| -> HashMap<(Site, usize), Tensor> {
        let of_site = of_base.iter().filter(|((of, _), _)| *of == site);
        of_site
            .map(|(place, value)| (*place, value.shallow_clone()))
            .collect()
    };
    let mut whole = Exchange {
        put: put(Site::ResidualBefore),
        ..Exchange::new(&GIVEN[..3 + n_shared], report)
    };
    // What layers read of others is not theirs.
    let shared = [Site::Keys, Site::Values].into_iter().flat_map(put);
    whole
        .put
        .extend(shared.filter(|((_, layer), _)| base.config().source(*layer).is_some()));
    let last = (Site::ResidualAfter, n_layers - 1);
    whole
        .put
        .extend(of_base.get(&last).map(|value| (last, value.shallow_clone())));
    let head_states = run::forward(tuned, input, &mut whole)?;
    let mut given = whole.kept;
    let mut halves = Exchange {
        put: put(Site::ResidualMid),
        ..Exchange::new(&[Site::MlpOutput], report)
    };
    if !halves.put.is_empty() {
        let _ = run::forward(tuned, input, &mut halves)?;
        given.extend(halves.kept);
    }
    let first = (Site::ResidualBefore, 0);
    let mut along = Exchange::new(&ALONG[..1 + n_shared], report);
    along
        .put
        .extend(of_base.get(&first).map(|value| (first, value.shallow_clone())));
    let _ = run::forward(tuned, input, &mut along)?;
    let along = along.kept;

    let mut kl = Vec::new();
    for layer in 0..n_layers {
        if report().is_break() {
            return Err(ecco_models::Error::Interrupted);
        }
        let row = |site: Site, of: &HashMap<(Site, usize), Tensor>| {
            of.get(&(site, layer)).map(Tensor::shallow_clone)
        };
        let mut rows = Rows(vec![
            (Site::ResidualAfter, layer, 0, row(Site::ResidualAfter, &given)),
            (
                Site::AttentionOutput,
                layer,
                1,
                row(Site::AttentionOutput, &given),
            ),
            (Site::MlpOutput, layer, 2, row(Site::MlpOutput, &given)),
            (Site::ResidualAfter, layer, 3, row(Site::ResidualAfter, &along)),
        ]);
        // Later layers read what it has for them.
        for site in [Site::Keys, Site::Values] {
            for later in layer + 1..n_layers {
                let Some(source) = base.config().source(later).filter(|&source| source <= layer) else {
                    continue;
                };
                if source == layer {
                    let of_rows = [0, 1].map(|at| (site, later, at, row(site, &given)));
                    rows.0.extend(of_rows);
                }
                let up_to = along.get(&(site, source)).map(Tensor::shallow_clone);
                rows.0.push((site, later, 3, up_to));
            }
        }
        let states = run::resume(base, &known, layer, Sums::N, &mut rows)?;
        kl.push(divergences(tuned, &tuned_states, base, &states)?);
    }
    let of_first = of_tuned.get(&first).map(Tensor::shallow_clone);
    let mut rows = Rows(vec![(Site::ResidualBefore, 0, 0, of_first)]);
    let states = run::resume(base, &known, 0, 1, &mut rows)?;
    kl.push(divergences(tuned, &tuned_states, base, &states)?);
    kl.push(divergences(tuned, &tuned_states, tuned, &head_states)?);
    let all: Vec<&Tensor> = kl.iter().collect();
    let grafts = host::numbers_of_all(&all).concat();
    Ok(Found {
        cosine,
        n_states,
        grafts,
    })
}

/// The sum over positions of the cosines of two models' states, `[1, position, hidden]`.
fn cosine(one: &Tensor, other: &Tensor) -> Tensor {
    let wide = |x: &Tensor| x.to_kind(Kind::Double);
    let (one, other) = (wide(one), wide(&bring(other, (one.kind(), one.device()))));
    let length = |x: &Tensor| x.square().sum_dim_intlist(-1, false, None::<Kind>).sqrt();
    let product = (&one * &other).sum_dim_intlist(-1, false, None::<Kind>);
    (product / (length(&one) * length(&other)).clamp_min(f64::MIN_POSITIVE)).sum(None::<Kind>)
}

/// Σ over positions of KL(tuned ‖ each), `[row]`; `states` are `[row, position, size]` and go through `head`'s head.
fn divergences(
    tuned: &Model,
    reference: &Tensor,
    head: &Model,
    states: &Tensor,
) -> ecco_models::error::Result<Tensor> {
    let (n_rows, n_positions) = (states.size()[0], divergence::n_positions(tuned, reference));
    let mut sum = Tensor::zeros([n_rows], (Kind::Double, states.device()));
    for start in (0..n_positions).step_by(HEAD_ROWS) {
        if is_interrupted() {
            return Err(ecco_models::Error::Interrupted);
        }
        let n = HEAD_ROWS.min(n_positions - start);
        let log_p = divergence::log_probabilities(tuned, reference, start, n)?; // [position, token]
        let log_p = bring(&log_p, (Kind::Double, states.device()));
        let width = log_p.size()[1];
        let log_q = divergence::log_probabilities(head, states, start, n)?.reshape([n_rows, -1, width]);
        let log_q = bring(&log_q, (Kind::Double, states.device()));
        let kl = log_p.exp().unsqueeze(0) * (log_p.unsqueeze(0) - log_q); // [row, position, token]
        sum += kl.sum_dim_intlist([1, 2].as_slice(), false, None::<Kind>);
    }
    Ok(sum)
}

/// Sums over positions, a row for each layer: the layer, its attention, its MLP, all up to it.
struct Sums {
    none: f64,
    rows: Vec<f64>,
    n_layers: usize,
}

impl Sums {
    /// Grafts of a layer.
    const N: usize = 4;

    fn new(n_layers: usize) -> Self {
        Self {
            none: 0.0,
            rows: vec![0.0; n_layers * Self::N + 2],
            n_layers,
        }
    }

    fn add(&mut self, grafts: &[f64], kl: &[f64]) {
        self.none += kl.iter().sum::<f64>();
        for (sum, of) in self.rows.iter_mut().zip(grafts) {
            *sum += of;
        }
    }

    fn means(self, n: f64) -> Grafts {
        // Rounding may leave a sum of equals a little below 0.
        let mean = |sum: f64| (sum / n).max(0.0);
        let row = |of: usize| {
            let rows = self.rows[..self.n_layers * Self::N].chunks(Self::N);
            rows.map(|row| mean(row[of])).collect()
        };
        let last = &self.rows[self.n_layers * Self::N..];
        Grafts {
            none: mean(self.none),
            layer: row(0),
            attention: row(1),
            mlp: row(2),
            up_to: row(3),
            embedding: mean(last[0]),
            head: mean(last[1]),
        }
    }
}

/// Keeps what passes by some sites, and then puts something else there.
struct Exchange<'a> {
    keep: &'static [Site],
    kept: HashMap<(Site, usize), Tensor>,
    put: HashMap<(Site, usize), Tensor>,
    report: Report<'a>,
}

impl<'a> Exchange<'a> {
    fn new(keep: &'static [Site], report: Report<'a>) -> Self {
        Self {
            keep,
            kept: HashMap::new(),
            put: HashMap::new(),
            report,
        }
    }
}

impl Tap for Exchange<'_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.keep.contains(&site) || self.put.contains_key(&(site, layer))
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if self.keep.contains(&site) {
            self.kept.insert((site, layer), value.shallow_clone());
        }
        match self.put.get(&(site, layer)) {
            Some(other) => bring(other, (value.kind(), value.device())),
            None => value,
        }
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        (self.report)()
    }
}

/// At a site of a layer, puts something else into a row of a batch.
struct Rows(Vec<(Site, usize, i64, Option<Tensor>)>);

impl Tap for Rows {
    fn wants(&self, site: Site, layer: usize) -> bool {
        self.0.iter().any(|(of, at, ..)| (*of, *at) == (site, layer))
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if !self.wants(site, layer) {
            return value;
        }
        let changed = value.copy();
        for (of, at, row, other) in &self.0 {
            if let (true, Some(other)) = ((*of, *at) == (site, layer), other) {
                let other = bring(other, (value.kind(), value.device()));
                changed.narrow(0, *row, 1).copy_(&other);
            }
        }
        changed
    }

    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        match is_interrupted() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    }
}

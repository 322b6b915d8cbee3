//! The tuned lens (Belrose et al. 2023, 2303.08112): of each depth a map x + W x + b, from zero on fitted so that the head says
//! of it what it says at the end: Σ p_L ln (p_L / p_i) is least, on average over the texts' positions.
//!
//! Gradient descent with Nesterov's momentum, whose rate falls to zero, as published; gradients of a depth longer than 1 are
//! cut to 1. Depths do not touch each other. A step reads texts anew, so that memory does not grow with them.

use ecco_interpreter::Watch;
use ecco_models::decoder::Decoder;
use ecco_models::device::ensure_free;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::lens::{FittedLens, LensMethod, Translator};
use ecco_models::run::{self, Input};
use ecco_models::tap::{NoTap, Tap};
use ecco_models::{Model, Site};
use tch::{Device, Kind, Tensor};

use super::fit::{beginnings, check_model};
use crate::attribution::work::Work;
use crate::error::{Result, refuse};
use crate::random::RandomState;

#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TunedOptions {
    pub steps: usize,
    /// Tokens that a step reads, at least: whole texts.
    pub step_tokens: usize,
    pub learning_rate: f64,
    /// In which order texts are read.
    pub seed: u64,
    /// Tokens of a text that are read at most.
    pub max_length: usize,
}

impl Default for TunedOptions {
    fn default() -> Self {
        Self {
            steps: 250,
            step_tokens: 1024,
            learning_rate: 1.0,
            seed: 0,
            max_length: 128,
        }
    }
}

const MOMENTUM: f64 = 0.9;
const WEIGHT_DECAY: f64 = 1e-3;
/// Steps at most.
const MOST_STEPS: usize = 100_000;
/// Memory that the logits of some rows take, and how many such tensors are there at once with a graph.
const MOST_BYTES: usize = 64 << 20;
const WIDE_TENSORS: usize = 6;

/// Fits it.
///
/// # Errors
/// A model that is no decoder of two layers or more; no texts; options out of bounds; no room; `watch`'s interruption.
pub fn tuned(
    model: &Model,
    inputs: &[Input],
    options: TunedOptions,
    watch: &mut Watch,
) -> Result<FittedLens> {
    let decoder = check_model(model)?;
    check(&options)?;
    let texts = beginnings(inputs, options.max_length);
    if texts.iter().all(|text| text.ids.is_empty()) {
        return Err(refuse(
            "texts",
            texts.len(),
            "there is none with a token to fit a lens on",
        ));
    }
    let (n_layers, width) = (model.config().n_layers as i64, model.config().hidden_size as i64);
    let (kind, device) = (FittedLens::kind(model), model.stack().device());
    // Maps, velocities, gradients and a spare; the states of a step; logits.
    let maps = 4 * n_layers * width * (width + 1);
    let lengths = texts.iter().map(|text| text.ids.len());
    let (total, longest) = (lengths.clone().sum::<usize>(), lengths.max().unwrap_or(0));
    let kept = (n_layers + 1) * width * (options.step_tokens.min(total) + longest) as i64;
    let needed = (maps + kept) as u64 * kind.elt_size_in_bytes() as u64 + MOST_BYTES as u64;
    ensure_free(
        device,
        needed,
        &format!("a tuned lens of {n_layers} maps, {width} × {width}"),
    )?;
    let label = "fitting the tuned lens".to_owned();
    let mut work = Work::new(watch, label, "steps", options.steps as u64);
    let translators = guard(|| {
        let mut maps: Vec<Map> = (0..n_layers).map(|_| Map::new(width, (kind, device))).collect();
        let mut order = Order::new(&texts, options.seed);
        for step in 0..options.steps {
            let texts = order.next(options.step_tokens);
            let n_tokens: usize = texts.iter().map(|text| text.ids.len()).sum();
            let mut gradients: Vec<Option<[Tensor; 2]>> = (0..n_layers).map(|_| None).collect();
            for batch in run::batches(model, &texts) {
                let batch: Vec<Input> = batch.iter().map(|&text| texts[text].clone()).collect();
                let (states, end) = states(model, &batch, &mut work)?;
                add(decoder, &maps, &states, &end, n_tokens, &mut gradients, &mut work)?;
            }
            let rate = options.learning_rate * (1.0 - step as f64 / options.steps as f64);
            for (map, gradients) in maps.iter_mut().zip(gradients) {
                if let Some(gradients) = gradients {
                    map.descend(gradients, rate);
                }
            }
            work.advance(1)?;
        }
        let each = maps.into_iter().enumerate().map(|(depth, map)| Translator {
            depth,
            matrix: &map.values[0] + Tensor::eye(width, (kind, device)),
            bias: Some(map.values[1].shallow_clone()),
        });
        Ok(each.collect())
    })?;
    Ok(FittedLens {
        method: LensMethod::Tuned,
        n_texts: Some(texts.len() as u64),
        translators,
    })
}

fn check(options: &TunedOptions) -> Result<()> {
    if options.steps > MOST_STEPS {
        return Err(refuse(
            "steps",
            options.steps,
            format!("at most {MOST_STEPS} are made"),
        ));
    }
    match options.learning_rate > 0.0 && options.learning_rate.is_finite() {
        true => Ok(()),
        false => Err(refuse(
            "learning_rate",
            options.learning_rate,
            "expected a number above 0",
        )),
    }
}

/// Texts in an order that the seed gives, another one each time that all were read.
struct Order<'a> {
    texts: &'a [Input],
    random: RandomState,
    left: Vec<usize>,
}

impl<'a> Order<'a> {
    fn new(texts: &'a [Input], seed: u64) -> Self {
        Self {
            texts,
            random: RandomState::new(seed as u32),
            left: Vec::new(),
        }
    }

    /// Some of them, with so many tokens or more; every text once at most.
    fn next(&mut self, n_tokens: usize) -> Vec<Input> {
        let mut taken: Vec<Input> = Vec::new();
        let mut n = 0;
        while n < n_tokens.max(1) && taken.len() < self.texts.len() {
            if self.left.is_empty() {
                self.left = self.random.shuffled(self.texts.len());
            }
            let Some(text) = self.left.pop() else { break };
            n += self.texts[text].ids.len();
            taken.push(self.texts[text].clone());
        }
        taken.retain(|text| !text.ids.is_empty());
        taken
    }
}

/// The stream before each layer, `[row, hidden]` on the main device, and the head's input at the end, `[row, size]`: of all
/// positions of texts side by side.
fn states(
    model: &Model,
    texts: &[Input],
    work: &mut Work,
) -> ecco_models::error::Result<(Vec<Tensor>, Tensor)> {
    let longest = texts.iter().map(|text| text.ids.len()).max().unwrap_or(0);
    let places = texts.iter().enumerate();
    let places = places.flat_map(|(at, text)| (0..text.ids.len()).map(move |p| (at * longest + p) as i64));
    let rows = host::index(&places.collect::<Vec<i64>>(), model.stack().device());
    let mut tap = Streams {
        rows,
        place: model.stack().place(),
        seen: Vec::new(),
        work,
    };
    let end = run::states(model, texts, &mut tap, &mut NoTap)?;
    let end = end.flatten(0, 1).index_select(0, &tap.rows);
    Ok((tap.seen, end))
}

/// Adds the gradients of each depth's mean divergence by W and b.
fn add(
    decoder: &Decoder,
    maps: &[Map],
    states: &[Tensor],
    end: &Tensor,
    n_tokens: usize,
    gradients: &mut [Option<[Tensor; 2]>],
    work: &mut Work,
) -> ecco_models::error::Result<()> {
    let row_bytes = decoder.config().vocab_size * WIDE_TENSORS * Kind::Float.elt_size_in_bytes();
    let per_chunk = (MOST_BYTES / row_bytes.max(1)).max(1) as i64;
    let n_rows = end.size()[0];
    let kind = maps[0].values[0].kind();
    for start in (0..n_rows).step_by(per_chunk as usize) {
        let length = per_chunk.min(n_rows - start);
        let said = decoder
            .logits(&end.narrow(0, start, length))
            .log_softmax(-1, kind);
        for ((map, states), gradients) in maps.iter().zip(states).zip(gradients.iter_mut()) {
            work.advance(0)?;
            let x = states.narrow(0, start, length);
            let found = map.gradients(decoder, &x, &said, n_tokens);
            *gradients = Some(match gradients.take() {
                Some([w, b]) => [w + &found[0], b + &found[1]],
                None => found,
            });
        }
    }
    Ok(())
}

/// W and b, and how they move.
struct Map {
    values: [Tensor; 2],
    velocities: [Tensor; 2],
}

impl Map {
    fn new(width: i64, place: (Kind, Device)) -> Self {
        let empty = || {
            [
                Tensor::zeros([width, width], place),
                Tensor::zeros([width], place),
            ]
        };
        Self {
            values: empty(),
            velocities: empty(),
        }
    }

    /// Of Σ p_L ln (p_L / p) over rows `[row, hidden]`, divided by so many tokens; `said` is ln p_L, `[row, vocabulary]`.
    fn gradients(&self, decoder: &Decoder, x: &Tensor, said: &Tensor, n_tokens: usize) -> [Tensor; 2] {
        let [w, b] = &self.values;
        let (w, b) = (
            w.detach().set_requires_grad(true),
            b.detach().set_requires_grad(true),
        );
        let found = tch::with_grad(|| {
            let wide = bring(x, (w.kind(), x.device()));
            let y = &wide + wide.matmul(&w.tr()) + &b;
            let y = bring(&y, (x.kind(), x.device()));
            let says = decoder
                .logits(&decoder.read_out(&y, false))
                .log_softmax(-1, said.kind());
            let divergence = (said.exp() * (said - says)).sum(None::<Kind>) / n_tokens as f64;
            Tensor::run_backward(&[divergence], &[&w, &b], false, false)
        });
        let [w, b] = &found[..] else {
            return [w.zeros_like(), b.zeros_like()];
        };
        [w.shallow_clone(), b.shallow_clone()]
    }

    fn descend(&mut self, gradients: [Tensor; 2], rate: f64) {
        let squares = gradients.iter().map(|g| g.square().sum(None::<Kind>));
        let length = squares.reduce(|a, b| a + b).map(|sum| sum.sqrt());
        let cut = length.map(|length| (length + 1e-6).reciprocal().clamp_max(1.0));
        let both = self.values.iter_mut().zip(&mut self.velocities).zip(gradients);
        for ((value, velocity), gradient) in both {
            let gradient = match &cut {
                Some(cut) => gradient * cut,
                None => gradient,
            };
            let gradient = gradient + &*value * WEIGHT_DECAY;
            *velocity = &*velocity * MOMENTUM + &gradient;
            let step = (gradient + &*velocity * MOMENTUM) * ((1.0 - MOMENTUM) * rate);
            *value = &*value - step;
        }
    }
}

/// Keeps rows of the stream before each layer.
struct Streams<'r, 'w, 'b> {
    rows: Tensor,
    place: (Kind, Device),
    seen: Vec<Tensor>,
    work: &'r mut Work<'w, 'b>,
}

impl Tap for Streams<'_, '_, '_> {
    fn wants(&self, site: Site, _: usize) -> bool {
        site == Site::ResidualBefore
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        if self.wants(site, layer) {
            let rows = bring(&self.rows, (Kind::Int64, value.device()));
            let rows = value.flatten(0, 1).index_select(0, &rows);
            self.seen.push(bring(&rows, self.place));
        }
        value
    }

    fn proceed(&mut self, _: usize) -> std::ops::ControlFlow<()> {
        self.work.report()
    }
}

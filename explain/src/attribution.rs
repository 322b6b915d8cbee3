//! Input saliency: how much each earlier token's embedding contributed to each generated token.
//!
//! The function that is explained is the probability softmax(logits)[token] of each generated token at the
//! sequence up to it, with respect to the token embeddings (positions are added inside). One teacher-forced
//! pass holds the logits of all of them, since attention is causal; the gradients are pulled back through
//! it in batches (see [`ecco_models::backward`]).

use std::ops::ControlFlow;

use ecco_models::backward::{SITES, bytes_per_target, pull_back};
use ecco_models::decoder::Decoder;
use ecco_models::guard::guard;
use ecco_models::tap::{Capture, Watched, to_array};
use ecco_models::{Model, Progress, Watch};
use tch::{Kind, Tensor};

use crate::error::{Error, Result};
use crate::quadrature::gauss_legendre;

mod encoder;
mod pair;

pub use encoder::{Said, attribute_encoder};
pub use pair::attribute_pair;

/// How contributions are computed from gradients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Method {
    /// Gradient · embedding, element by element (Shrikumar et al. 2016, 1605.01713).
    #[default]
    GradXInput,
    /// The gradient alone (Simonyan et al. 2013, 1312.6034).
    Gradient,
    /// Embedding · mean gradient on the way from the zero embedding (Sundararajan et al. 2017, 1703.01365).
    IntegratedGradients,
}

impl Method {
    /// (name in scripts, method, name for people), the first of each method being the one to use.
    pub const NAMES: &[(&str, Method, &str)] = &[
        ("grad_x_input", Self::GradXInput, "gradient × input"),
        ("gradient", Self::Gradient, "gradient"),
        (
            "integrated_gradients",
            Self::IntegratedGradients,
            "integrated gradients",
        ),
        ("ig", Self::IntegratedGradients, "integrated gradients"),
        ("saliency", Self::Gradient, "gradient"),
    ];

    pub fn parse(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|(_, method, _)| *method)
    }

    /// For people: `gradient × input`.
    pub fn label(self) -> &'static str {
        Self::NAMES
            .iter()
            .find(|(_, method, _)| *method == self)
            .map_or("", |(.., label)| label)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AttributionOptions {
    pub method: Method,
    /// Steps of the path integral, for integrated gradients; Gauss–Legendre.
    pub n_steps: usize,
}

impl Default for AttributionOptions {
    fn default() -> Self {
        Self {
            method: Method::default(),
            n_steps: 50,
        }
    }
}

/// The result: one row for each generated token.
#[derive(Debug, Clone, PartialEq)]
pub struct Attribution {
    pub method: Method,
    /// Row k belongs to token `n_input + k` and has `n_input + k` values: the L2 norms over the embedding
    /// dimension, divided by their sum.
    pub scores: Vec<Vec<f32>>,
    /// The same before norm and division, summed over the embedding dimension with their sign. For
    /// integrated gradients a row sums to the probability's difference from the baseline (completeness).
    pub signed: Vec<Vec<f32>>,
}

/// Contributions to each token from `n_input` on, in one teacher-forced pass (one per step for integrated
/// gradients) and a few batched products.
pub fn attribute(
    model: &Model,
    ids: &[u32],
    n_input: usize,
    options: &AttributionOptions,
    watch: &mut Watch,
) -> Result<Attribution> {
    if n_input == 0 || n_input >= ids.len() {
        return Err(Error::NothingGenerated);
    }
    check_steps(options)?;
    let decoder = model.decoder("this attribution")?;
    model.check_ids(ids)?;
    // The last token is only a target: nothing depends on its own embedding.
    let targets = Targets { ids, n_input };
    Ok(guard(|| {
        let embeddings = decoder.embed(&ids[..ids.len() - 1]); // [1, position, hidden]
        let steps = steps(options);
        let total = (steps.len() * targets.len()) as u64;
        let mut work = Work::new(watch, options, targets.len(), total);
        let mut gradients: Vec<Tensor> = Vec::new();
        for (alpha, weight) in steps {
            let at_step = targets.gradients(decoder, &(&embeddings * alpha), &mut work)?;
            let weighted = at_step.into_iter().map(|gradient| gradient * weight);
            gradients = match gradients.is_empty() {
                true => weighted.collect(),
                false => gradients
                    .iter()
                    .zip(weighted)
                    .map(|(sum, more)| sum + more)
                    .collect(),
            };
        }
        gradients.reverse();
        aggregate(&gradients, &embeddings, options.method, |row| n_input + row)
    })?)
}

fn check_steps(options: &AttributionOptions) -> Result<()> {
    match options.n_steps {
        1..=10_000 => Ok(()),
        n_steps => Err(Error::Option {
            option: "n_steps",
            value: n_steps.to_string(),
            reason: "expected 1 to 10,000 steps".into(),
        }),
    }
}

/// Points of the path from the baseline, and their weights; all but integrated gradients look at its end only.
fn steps(options: &AttributionOptions) -> Vec<(f64, f64)> {
    match options.method {
        Method::IntegratedGradients => gauss_legendre(options.n_steps),
        _ => vec![(1.0, 1.0)],
    }
}

/// How many points of the path go through a model together, where autograd takes the gradients.
const STEPS_AT_ONCE: usize = 8;

/// Gradients of `n_targets` values, summed over the path with its weights: `[target, position, size]`. `at` gives
/// those at some points of it, `[step, position, size]` for each target.
fn along_path(
    embeddings: &Tensor,
    n_targets: usize,
    steps: &[(f64, f64)],
    mut at: impl FnMut(&Tensor) -> ecco_models::error::Result<Vec<Tensor>>,
) -> ecco_models::error::Result<Tensor> {
    let gradients = Tensor::zeros_like(embeddings).repeat([n_targets as i64, 1, 1]);
    for steps in steps.chunks(STEPS_AT_ONCE) {
        let (alphas, weights): (Vec<f64>, Vec<f64>) = steps.iter().copied().unzip();
        let column = |values: &[f64]| {
            let column = Tensor::from_slice(values).reshape([-1, 1, 1]);
            column.to_kind(embeddings.kind()).to_device(embeddings.device())
        };
        let x = (embeddings * column(&alphas)).detach().set_requires_grad(true); // [step, position, size]
        for (row, of_steps) in at(&x)?.iter().enumerate() {
            let sum = (of_steps * column(&weights)).sum_dim_intlist(0, false, None::<Kind>);
            let _ = gradients.get(row as i64).g_add_(&sum);
        }
    }
    Ok(gradients)
}

/// The generated tokens whose probability is explained.
struct Targets<'a> {
    ids: &'a [u32],
    n_input: usize,
}

impl Targets<'_> {
    fn len(&self) -> usize {
        self.ids.len() - self.n_input
    }

    /// Gradients of every target's probability, in chunks `[target, position, hidden]` from the last target
    /// to the first; a chunk is as long as its last target needs.
    fn gradients(
        &self,
        decoder: &Decoder,
        embeddings: &Tensor,
        work: &mut Work,
    ) -> ecco_models::error::Result<Vec<Tensor>> {
        let mut tap = Watched {
            capture: Capture::new(SITES, None),
            report: &mut |_| work.report(),
        };
        let normalised = decoder.forward(embeddings, None, &mut tap)?; // [1, position, hidden]
        let capture = tap.capture;
        // Token n_input + k is predicted at the position before it.
        let rows: Vec<usize> = (self.n_input - 1..self.ids.len() - 1).collect();
        let cotangents = self.cotangents(decoder, &normalised, &rows);
        let mut chunks = Vec::new();
        let mut end = self.len();
        while end > 0 {
            let start = end.saturating_sub(chunk_size(decoder, self.n_input + end - 1));
            let part = cotangents.narrow(0, start as i64, (end - start) as i64);
            chunks.push(pull_back(
                decoder,
                embeddings,
                &capture,
                &rows[start..end],
                &part,
                &mut || work.report(),
            )?);
            work.done += (end - start) as u64;
            end = start;
        }
        Ok(chunks)
    }

    /// Gradients of p = softmax(W h)[token] at the head's input h: p (W[token] − Σ softmax(W h) W), by row
    /// `[target, hidden]`.
    fn cotangents(&self, decoder: &Decoder, normalised: &Tensor, rows: &[usize]) -> Tensor {
        let blocks = rows.chunks(HEAD_ROWS);
        let blocks: Vec<_> = blocks
            .map(|rows| self.block_of_cotangents(decoder, normalised, rows))
            .collect();
        Tensor::cat(&blocks, 0)
    }

    fn block_of_cotangents(&self, decoder: &Decoder, normalised: &Tensor, rows: &[usize]) -> Tensor {
        let index = |values: Vec<i64>| Tensor::from_slice(&values).to_device(decoder.device());
        let positions = index(rows.iter().map(|&row| row as i64).collect());
        let chosen = index(rows.iter().map(|&row| i64::from(self.ids[row + 1])).collect());
        let logits = decoder.logits(&normalised.squeeze_dim(0).index_select(0, &positions));
        let probabilities = logits.softmax(-1, None::<Kind>); // [target, vocabulary]
        let of_chosen = probabilities.gather(1, &chosen.unsqueeze(1), false); // [target, 1]
        let of_logits = (-&probabilities * &of_chosen).scatter_add(1, &chosen.unsqueeze(1), &of_chosen);
        decoder.logits_backward(&logits, &of_logits) // [target, size]
    }
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

/// Progress and interruption of one attribution.
struct Work<'a, 'b> {
    watch: &'a mut Watch<'b>,
    label: String,
    done: u64,
    total: u64,
}

impl<'a, 'b> Work<'a, 'b> {
    fn new(watch: &'a mut Watch<'b>, options: &AttributionOptions, n_targets: usize, total: u64) -> Self {
        Self {
            watch,
            label: format!("{} of {n_targets} tokens", options.method.label()),
            done: 0,
            total,
        }
    }

    fn report(&mut self) -> ControlFlow<()> {
        (self.watch)(&Progress {
            label: self.label.clone().into(),
            done: self.done,
            total: Some(self.total),
            unit: "gradients",
        })
    }
}

/// Rows of contributions from chunks of gradients `[target, position, size]`; `n_sources` says how long row k is.
fn aggregate(
    chunks: &[Tensor],
    embeddings: &Tensor,
    method: Method,
    n_sources: impl Fn(usize) -> usize,
) -> ecco_models::error::Result<Attribution> {
    let (mut scores, mut signed) = (Vec::new(), Vec::new());
    for gradients in chunks {
        let contributions = match method {
            Method::Gradient => gradients.shallow_clone(),
            _ => gradients * embeddings.narrow(1, 0, gradients.size()[1]),
        }
        .to_kind(Kind::Float); // [target, position, hidden]
        let norms = to_array(&contributions.norm_scalaropt_dim(2, [-1], false))?;
        let sums = to_array(&contributions.sum_dim_intlist(-1, false, None::<Kind>))?;
        for (norms, sums) in norms.outer_iter().zip(sums.outer_iter()) {
            let n_sources = n_sources(scores.len());
            scores.push(normalise(norms.iter().take(n_sources).copied().collect()));
            signed.push(sums.iter().take(n_sources).copied().collect());
        }
    }
    Ok(Attribution {
        method,
        scores,
        signed,
    })
}

/// Divides by the sum; a row of zeros stays one.
fn normalise(mut row: Vec<f32>) -> Vec<f32> {
    let sum: f64 = row.iter().map(|&value| f64::from(value)).sum();
    if sum > 0.0 {
        row.iter_mut()
            .for_each(|value| *value = (f64::from(*value) / sum) as f32);
    }
    row
}

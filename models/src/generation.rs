//! Text from a model, token by token.

use std::ops::ControlFlow;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Kind, Tensor};

use crate::attention::Cache;
use crate::chat::Prompt;
use crate::device;
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::model::Model;
use crate::tap::NoTap;
use crate::tokenizer::Token;

/// How to generate. `None` is the model's own `generation_config`, else transformers' default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerateOptions {
    /// How many tokens to make. Wins over `max_length`.
    pub generate: Option<usize>,
    /// Length of the whole sequence; 8 by default, as in the Python library.
    pub max_length: Option<usize>,
    /// Draw tokens by their probability; otherwise the most probable one is taken, and temperature, top k
    /// and top p mean nothing.
    pub do_sample: Option<bool>,
    pub temperature: Option<f64>,
    /// Draw among the k most probable tokens only; 0 for all.
    pub top_k: Option<usize>,
    /// Draw among the fewest tokens whose probabilities reach p; 1 for all.
    pub top_p: Option<f64>,
    /// Makes sampling repeatable; drawn at random by default and kept in [`Generation::seed`].
    pub seed: Option<u64>,
    /// Texts that end the generation when they appear.
    pub stop: Vec<String>,
}

/// A text: what was given and what was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    pub tokens: Vec<Token>,
    /// The first `n_input` tokens were given.
    pub n_input: usize,
    pub finish: Finish,
    /// The seed of sampling; `None` when nothing was drawn.
    pub seed: Option<u64>,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    Length,
    EndOfText,
    Stop,
    Interrupted,
}

impl Generation {
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }

    pub fn n_generated(&self) -> usize {
        self.tokens.len() - self.n_input
    }
}

const DEFAULT_MAX_LENGTH: usize = 8;

/// Continues `prompt`. `on_tokens` gets the sequence so far, whole characters only, after every token
/// that completes one; its `Break` ends the generation and keeps what there is.
pub fn generate<'a>(
    model: &Model,
    prompt: impl Into<Prompt<'a>>,
    options: &GenerateOptions,
    on_tokens: &mut dyn FnMut(&[Token]) -> ControlFlow<()>,
) -> Result<Generation> {
    let decoder = model.decoder("generating text")?;
    let mut ids = prompt.into().ids(&model.tokenizer)?;
    model.check_ids(&ids)?;
    let n_input = ids.len();
    let n_generate = n_generate(model, n_input, options)?;
    let mut sampler = Sampler::new(model, options)?;
    check_stop(&options.stop)?;
    check_room(model, n_input + n_generate)?;
    let finish = guard(|| {
        let mut cache = Cache::new(
            model.config(),
            n_input + n_generate,
            model.stack().kind(),
            model.stack().device(),
        );
        if show(model, &ids, on_tokens) == ControlFlow::Break(()) {
            return Ok(Finish::Interrupted);
        }
        let mut fresh = 0;
        while ids.len() < n_input + n_generate {
            let embeddings = decoder.embed(&ids[fresh..]);
            fresh = ids.len();
            let states = decoder.forward(&embeddings, Some(&mut cache), &mut NoTap)?;
            let last = states.get(0).get(-1).unsqueeze(0); // [1, hidden]
            let id = sampler.choose(&decoder.logits(&last).squeeze_dim(0));
            ids.push(id);
            let keep_on = show(model, &ids, on_tokens);
            if model.generation.end_ids.contains(&id) {
                return Ok(Finish::EndOfText);
            }
            if stops(model, &ids[n_input..], &options.stop) {
                return Ok(Finish::Stop);
            }
            if keep_on == ControlFlow::Break(()) {
                return Ok(Finish::Interrupted);
            }
        }
        Ok(Finish::Length)
    })?;
    let seed = sampler.random.is_some().then_some(sampler.seed);
    Ok(Generation {
        tokens: model.tokenizer.tokens(&ids),
        n_input,
        finish,
        seed,
    })
}

fn n_generate(model: &Model, n_input: usize, options: &GenerateOptions) -> Result<usize> {
    let context = model.config().context_length;
    let n_generate = match (options.generate, options.max_length) {
        (Some(generate), _) => generate,
        (None, max_length) => {
            let of_model = model.generation.max_length.map(|length| length.min(context));
            let max_length = max_length.or(of_model).unwrap_or(DEFAULT_MAX_LENGTH);
            match max_length.checked_sub(n_input) {
                None | Some(0) => return Err(Error::NoRoom { max_length, n_input }),
                Some(n_generate) => n_generate,
            }
        }
    };
    if n_generate > context || n_input + n_generate > context {
        return Err(Error::TooLong {
            model: model.name().to_owned(),
            n_input,
            n_generate,
            context,
        });
    }
    Ok(n_generate)
}

fn check_stop(stop: &[String]) -> Result<()> {
    match stop.iter().any(String::is_empty) {
        true => Err(Error::Option {
            option: "stop",
            value: "\"\"".into(),
            reason: "an empty text would end the generation at once".into(),
        }),
        false => Ok(()),
    }
}

fn check_room(model: &Model, length: usize) -> Result<()> {
    let needed = Cache::bytes(model.config(), length, model.stack().kind());
    device::ensure_room(
        model.stack().device(),
        needed,
        &format!("a text of {length} tokens"),
    )
}

fn show(
    model: &Model,
    ids: &[u32],
    on_tokens: &mut dyn FnMut(&[Token]) -> ControlFlow<()>,
) -> ControlFlow<()> {
    on_tokens(&model.tokenizer.tokens(&ids[..model.tokenizer.whole_prefix(ids)]))
}

/// Whether one of the texts stands in what was made.
fn stops(model: &Model, generated: &[u32], stop: &[String]) -> bool {
    !stop.is_empty() && {
        let text = model.tokenizer.decode(generated);
        stop.iter().any(|stop| text.contains(stop.as_str()))
    }
}

/// Below this a temperature is no different from it: differences of logits divided by it stay in float32.
const COLDEST: f64 = 1e-30;

/// Chooses tokens from logits, as transformers' processors do: temperature, then top k, then top p.
struct Sampler {
    random: Option<StdRng>,
    seed: u64,
    temperature: f64,
    top_k: usize,
    top_p: f64,
}

impl Sampler {
    fn new(model: &Model, options: &GenerateOptions) -> Result<Self> {
        let defaults = &model.generation;
        let refuse = |option, value: f64, reason: &str| {
            Err(Error::Option {
                option,
                value: value.to_string(),
                reason: reason.to_owned(),
            })
        };
        let do_sample = options.do_sample.unwrap_or(false);
        // What a model says about sampling is no reason to refuse a greedy generation.
        let own = |value: f64| if do_sample { value } else { 1.0 };
        let temperature = options.temperature.unwrap_or(own(defaults.temperature));
        if !(temperature.is_finite() && temperature > 0.0) {
            return refuse(
                "temperature",
                temperature,
                "expected a number above 0; do_sample: false is greedy",
            );
        }
        let top_p = options.top_p.unwrap_or(own(defaults.top_p));
        if !(top_p > 0.0 && top_p <= 1.0) {
            return refuse("top_p", top_p, "expected a probability above 0, up to 1");
        }
        let seed = options.seed.unwrap_or_else(|| rand::rng().random::<u32>().into());
        let random = do_sample.then(|| StdRng::seed_from_u64(seed));
        Ok(Self {
            random,
            seed,
            temperature,
            top_k: options.top_k.unwrap_or(defaults.top_k),
            top_p,
        })
    }

    /// `logits`: `[vocabulary]`.
    fn choose(&mut self, logits: &Tensor) -> u32 {
        let Some(random) = &mut self.random else {
            return logits.argmax(-1, false).int64_value(&[]) as u32;
        };
        let vocabulary = logits.size()[0];
        let k = if self.top_k == 0 {
            vocabulary
        } else {
            vocabulary.min(self.top_k as i64)
        };
        let logits = logits.to_kind(Kind::Float);
        // Counted from the largest, a temperature near 0 leaves that one; counted from 0 it would overflow.
        let scaled = (&logits - logits.max()) / self.temperature.max(COLDEST);
        let (values, ids) = scaled.topk(k, -1, true, true);
        let probabilities = Vec::<f32>::try_from(values.softmax(-1, Kind::Float)).unwrap_or_default();
        let kept = nucleus(&probabilities, self.top_p as f32);
        let chosen = draw(kept, random.random::<f32>());
        ids.int64_value(&[chosen as i64]) as u32
    }
}

/// The fewest of the sorted probabilities whose sum reaches p (1904.09751); at least one.
fn nucleus(sorted: &[f32], p: f32) -> &[f32] {
    if p >= 1.0 {
        return sorted;
    }
    let mut sum = 0.0;
    let above = sorted.iter().position(|probability| {
        sum += probability;
        sum >= p
    });
    &sorted[..above.map_or(sorted.len(), |index| index + 1)]
}

/// The index at which the running sum passes `u` (from 0 to 1) of the whole.
fn draw(weights: &[f32], u: f32) -> usize {
    let target = u * weights.iter().sum::<f32>();
    let mut sum = 0.0;
    let passed = weights.iter().position(|weight| {
        sum += weight;
        sum > target
    });
    passed.unwrap_or(weights.len().saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nucleus_keeps_the_fewest_that_reach_p() {
        assert_eq!(nucleus(&[0.5, 0.3, 0.2], 0.5), [0.5]);
        assert_eq!(nucleus(&[0.5, 0.3, 0.2], 0.6), [0.5, 0.3]);
        assert_eq!(nucleus(&[0.5, 0.3, 0.2], 1.0), [0.5, 0.3, 0.2]);
    }

    #[test]
    fn draw_follows_the_weights() {
        assert_eq!(
            [0.0, 0.49, 0.51, 0.99].map(|u| draw(&[2.0, 2.0], u)),
            [0, 0, 1, 1]
        );
    }
}

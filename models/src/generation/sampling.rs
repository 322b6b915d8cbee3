//! Choosing one token: the most probable, or one drawn as transformers does: temperature, then top k, then top p,
//! then min p.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Kind, Tensor};

use super::{GenerateOptions, GenerationConfig, refuse};
use crate::error::Result;

/// Below this a temperature is no different from it: differences of scores divided by it stay in float32.
const COLDEST: f64 = 1e-30;

pub struct Sampler {
    random: Option<StdRng>,
    seed: u64,
    temperature: f64,
    top_k: usize,
    top_p: f64,
    min_p: f64,
}

impl Sampler {
    pub fn new(config: &GenerationConfig, options: &GenerateOptions) -> Result<Self> {
        let do_sample = options.do_sample.unwrap_or(false);
        // What a model says about sampling is no reason to refuse a greedy generation.
        let own = |value: f64, neutral: f64| if do_sample { value } else { neutral };
        let temperature = options.temperature.unwrap_or(own(config.temperature, 1.0));
        if !(temperature.is_finite() && temperature > 0.0) {
            let reason = "expected a number above 0; do_sample: false is greedy";
            return refuse("temperature", temperature, reason);
        }
        let top_p = options.top_p.unwrap_or(own(config.top_p, 1.0));
        if !(top_p > 0.0 && top_p <= 1.0) {
            return refuse("top_p", top_p, "expected a probability above 0, up to 1");
        }
        let min_p = options.min_p.unwrap_or(own(config.min_p, 0.0));
        if !(0.0..=1.0).contains(&min_p) {
            return refuse("min_p", min_p, "expected a fraction from 0 to 1");
        }
        let seed = options.seed.unwrap_or_else(|| rand::rng().random::<u32>().into());
        Ok(Self {
            random: do_sample.then(|| StdRng::seed_from_u64(seed)),
            seed,
            temperature,
            top_k: options.top_k.unwrap_or(config.top_k),
            top_p,
            min_p,
        })
    }

    /// The seed that repeats what was drawn; `None` where nothing is.
    pub fn seed(&self) -> Option<u64> {
        self.random.as_ref().map(|_| self.seed)
    }

    /// `scores`: `[vocabulary]`.
    pub fn choose(&mut self, scores: &Tensor) -> u32 {
        if self.random.is_none() {
            return scores.argmax(-1, false).int64_value(&[]) as u32;
        }
        let (ids, weights) = self.kept(scores);
        let u = self.random.as_mut().map_or(0.0, Rng::random::<f32>);
        ids.int64_value(&[draw(&weights, u) as i64]) as u32
    }

    /// The tokens to draw among, most probable first, and their probabilities before any were left out by top p
    /// and min p.
    pub fn kept(&self, scores: &Tensor) -> (Tensor, Vec<f32>) {
        let vocabulary = scores.size()[0];
        let k = match self.top_k {
            0 => vocabulary,
            k => vocabulary.min(i64::try_from(k).unwrap_or(i64::MAX)),
        };
        // Counted from the largest, a temperature near 0 leaves that one; counted from 0 it would overflow.
        let scaled = (scores - scores.max()) / self.temperature.max(COLDEST);
        let (values, ids) = scaled.topk(k, -1, true, true);
        let mut weights = Vec::<f32>::try_from(values.softmax(-1, Kind::Float)).unwrap_or_default();
        weights.truncate(nucleus(&weights, self.top_p as f32).len());
        weights.truncate(not_rare(&weights, self.min_p as f32).len());
        (ids, weights)
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

/// Those of the sorted probabilities that are at least a fraction of the first (2407.01082).
fn not_rare(sorted: &[f32], fraction: f32) -> &[f32] {
    let least = sorted.first().map_or(0.0, |first| first * fraction);
    let below = sorted.iter().position(|&probability| probability < least);
    &sorted[..below.unwrap_or(sorted.len())]
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
    fn what_is_rare_beside_the_first_goes() {
        assert_eq!(not_rare(&[0.5, 0.25, 0.2], 0.5), [0.5, 0.25]);
        assert_eq!(not_rare(&[0.5, 0.25, 0.2], 0.0), [0.5, 0.25, 0.2]);
        assert_eq!(not_rare(&[0.5, 0.25, 0.2], 1.0), [0.5]);
    }

    #[test]
    fn draw_follows_the_weights() {
        assert_eq!(
            [0.0, 0.49, 0.51, 0.99].map(|u| draw(&[2.0, 2.0], u)),
            [0, 0, 1, 1]
        );
    }
}

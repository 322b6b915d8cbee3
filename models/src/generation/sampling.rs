//! Choosing one token: the most probable, or one drawn as transformers does: temperature, then top k, then top p,
//! then min p. With beams, drawing several ways to go on.

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Kind, Tensor};

use super::{GenerateOptions, GenerationConfig, refuse, torch_error};
use crate::error::Result;

/// Below this a temperature is no different from it: differences of scores divided by it stay in float32.
const COLDEST: f64 = 1e-30;

/// Where random numbers come from: each from 0 to 1, the latter not included.
type Random = Box<dyn FnMut() -> f32>;

pub struct Sampler {
    random: Option<Random>,
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
            return Err(refuse("temperature", temperature, reason));
        }
        let top_p = options.top_p.unwrap_or(own(config.top_p, 1.0));
        if !(top_p > 0.0 && top_p <= 1.0) {
            return Err(refuse("top_p", top_p, "expected a probability above 0, up to 1"));
        }
        let min_p = options.min_p.unwrap_or(own(config.min_p, 0.0));
        if !(0.0..=1.0).contains(&min_p) {
            return Err(refuse("min_p", min_p, "expected a fraction from 0 to 1"));
        }
        let seed = options.seed.unwrap_or_else(|| rand::rng().random::<u32>().into());
        Ok(Self {
            random: do_sample.then(|| seeded(seed)),
            seed,
            temperature,
            top_k: options.top_k.unwrap_or(config.top_k),
            top_p,
            min_p,
        })
    }

    /// The same with other random numbers, where any are drawn.
    pub fn with_random(self, random: impl FnMut() -> f32 + 'static) -> Self {
        let random = self.random.map(|_| -> Random { Box::new(random) });
        Self { random, ..self }
    }

    /// Whether tokens are drawn.
    pub fn draws(&self) -> bool {
        self.random.is_some()
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
        let (ids, weights) = self.kept(scores, 1);
        let u = self.random.as_mut().map_or(0.0, |random| random());
        ids.int64_value(&[draw(&weights, u) as i64]) as u32
    }

    /// Scores of several texts for drawing among all that may follow any of them, `[text, vocabulary]`: by the
    /// temperature, and −∞ where a token is left out. Of each text at least so many tokens stay.
    pub fn warp(&self, scores: &Tensor, at_least: usize) -> Tensor {
        let rows = (0..scores.size()[0]).map(|row| {
            let scaled = scores.get(row) / self.temperature.max(COLDEST);
            let (ids, weights) = self.kept(&scores.get(row), at_least);
            let ids = ids.narrow(0, 0, weights.len() as i64);
            let left_out = scaled.full_like(f64::NEG_INFINITY);
            left_out.index_copy(0, &ids, &scaled.index_select(0, &ids))
        });
        Tensor::stack(&rows.collect::<Vec<_>>(), 0)
    }

    /// Draws `n` different places of a list of scores by their probabilities, one after the other; the highest
    /// score comes first. Where fewer have a chance, the best of the others fill up.
    pub fn draw_several(&mut self, scores: &Tensor, n: i64) -> Result<(Vec<f32>, Vec<i64>)> {
        let probabilities = Vec::<f32>::try_from(scores.softmax(-1, Kind::Float)).map_err(torch_error)?;
        let random = self.random.as_deref_mut();
        let mut drawn = race(&probabilities, n as usize, random.unwrap_or(&mut || 0.5));
        if (drawn.len() as i64) < n {
            let (_, best) = scores.topk(n, -1, true, true);
            let best = Vec::<i64>::try_from(best).map_err(torch_error)?;
            let others: Vec<i64> = best.into_iter().filter(|place| !drawn.contains(place)).collect();
            drawn.extend(&others[..n as usize - drawn.len()]);
        }
        let drawn = Tensor::from_slice(&drawn).to_device(scores.device());
        let (sorted, order) = scores.index_select(0, &drawn).sort(-1, true);
        let places = drawn.index_select(0, &order);
        Ok((
            Vec::try_from(sorted).map_err(torch_error)?,
            Vec::try_from(places).map_err(torch_error)?,
        ))
    }

    /// The tokens to draw among, most probable first, and their probabilities before any were left out by top p
    /// and min p. At least so many stay.
    pub fn kept(&self, scores: &Tensor, at_least: usize) -> (Tensor, Vec<f32>) {
        let vocabulary = scores.size()[0];
        let k = match self.top_k {
            0 => vocabulary,
            k => vocabulary.min(i64::try_from(k.max(at_least)).unwrap_or(i64::MAX)),
        };
        // Counted from the largest, a temperature near 0 leaves that one; counted from 0 it would overflow.
        let scaled = (scores - scores.max()) / self.temperature.max(COLDEST);
        let (values, ids) = scaled.topk(k, -1, true, true);
        let mut weights = Vec::<f32>::try_from(values.softmax(-1, Kind::Float)).unwrap_or_default();
        weights.truncate(nucleus(&weights, self.top_p as f32).len().max(at_least));
        weights.truncate(not_rare(&weights, self.min_p as f32).len().max(at_least));
        (ids, weights)
    }
}

fn seeded(seed: u64) -> Random {
    let mut random = StdRng::seed_from_u64(seed);
    Box::new(move || random.random())
}

/// Each place arrives after a time that is exponentially distributed with its probability for a rate; the first `n`
/// to arrive are a draw without replacement. Places of probability 0 never do.
fn race(probabilities: &[f32], n: usize, random: &mut dyn FnMut() -> f32) -> Vec<i64> {
    // One f32 is too coarse: among a million places some would get 0, and arrive first whatever their probability.
    let mut fine = || f64::from(random()) + f64::from(random()) / f64::from(1 << 24);
    let runs = probabilities.iter().enumerate().filter(|(_, p)| **p > 0.0);
    let mut arrivals: Vec<(f64, i64)> = runs
        .map(|(place, &p)| (-(1.0 - fine()).ln() / f64::from(p), place as i64))
        .collect();
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    arrivals.into_iter().take(n).map(|(_, place)| place).collect()
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
    fn a_race_draws_without_replacement_by_probability() {
        let mut random = seeded(3);
        let weights = [0.5, 0.0, 0.3, 0.2];
        let mut first = [0; 4];
        let mut second_after_0 = [0; 4];
        for _ in 0..20_000 {
            let drawn = race(&weights, 2, &mut *random);
            first[drawn[0] as usize] += 1;
            if drawn[0] == 0 {
                second_after_0[drawn[1] as usize] += 1;
            }
        }
        let close = |count: i32, of: i32, expected: f64| (f64::from(count) / f64::from(of) - expected).abs();
        assert!(close(first[0], 20_000, 0.5) < 0.015 && close(first[3], 20_000, 0.2) < 0.015);
        assert_eq!((first[1], second_after_0[0], second_after_0[1]), (0, 0, 0));
        // Of what is left, 0.3 against 0.2.
        assert!(
            close(second_after_0[2], first[0], 0.6) < 0.02,
            "{second_after_0:?}"
        );
        assert_eq!(race(&weights, 9, &mut *random).len(), 3);
    }

    #[test]
    fn draw_follows_the_weights() {
        assert_eq!(
            [0.0, 0.49, 0.51, 0.99].map(|u| draw(&[2.0, 2.0], u)),
            [0, 0, 1, 1]
        );
    }
}

//! Choosing one token: the most probable, or one drawn as transformers does: temperature, then top k, then top p,
//! then min p. With beams, drawing several ways to go on.
//!
//! Scores stay on their device: random numbers go there, and tokens come back.

use std::cell::RefCell;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tch::{Device, Kind, Tensor};

use super::config::GenerationConfig;
use super::options::GenerateOptions;
use crate::error::{Result, refuse};
use crate::fused;
use crate::host;

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
        let seed = options.seed.unwrap_or_else(drawn_seed);
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

    /// By `logits`, `[1, vocabulary]`, of which `score` makes scores. `None` where the largest is no number: then there is nothing to
    /// choose by.
    pub fn choose(&mut self, logits: Tensor, score: impl FnOnce(Tensor) -> Tensor) -> Option<Choice> {
        if self.random.is_none()
            && let Some((largest, _)) = fused::largest(&logits)
        {
            let (_, place) = fused::largest(&score(logits)).filter(|_| largest.is_finite())?;
            return Some(Choice {
                id: u32::try_from(place).ok()?,
                place: host::index(&[place as i64], Device::Cpu),
            });
        }
        let largest = logits.amax([-1], false); // [1]
        let place = self.place(&score(logits));
        // One number crosses for both.
        let known = place.where_self(&largest.isfinite(), &place.full_like(-1));
        let id = u32::try_from(host::number(&known) as i64).ok()?;
        Some(Choice { id, place })
    }

    /// Of scores `[1, vocabulary]` the token that is chosen, `[1]`, where they are.
    pub fn place(&mut self, scores: &Tensor) -> Tensor {
        match self.random.as_mut().map(|random| random()) {
            None => scores.argmax(-1, false),
            Some(u) => self.kept(scores, 1).drawn(u),
        }
    }

    /// Scores of several texts for drawing among all that may follow any of them, `[text, vocabulary]`: by the
    /// temperature, and −∞ where a token is left out. Of each text at least so many tokens stay.
    pub fn warp(&self, scores: &Tensor, at_least: usize) -> Tensor {
        let scaled = scores / self.temperature.max(COLDEST);
        let kept = self.kept(scores, at_least);
        let left_out = scaled.full_like(f64::NEG_INFINITY);
        let values = scaled.gather(-1, &kept.ids, false);
        let values = values.masked_fill(&kept.behind(), f64::NEG_INFINITY);
        left_out.scatter(-1, &kept.ids, &values)
    }

    /// Draws `n` different places of a list of scores by their probabilities, one after the other; the highest
    /// score comes first. Where fewer have a chance, the best of the others fill up. At most the best `most` places have
    /// one; the numbers drawn are theirs, in the order of places.
    pub fn draw_several(&mut self, scores: &Tensor, n: usize, most: i64) -> Vec<(f32, i64)> {
        let (best, places) = scores.topk(most, -1, true, true);
        let probabilities = scores.softmax(-1, Kind::Float).index_select(0, &places);
        let [best, places, probabilities] = host::numbers_of_each([&best, &places, &probabilities]);
        let of = |at: usize| (best[at] as f32, places[at] as i64);
        let mut by_place: Vec<usize> = (0..best.len()).collect();
        by_place.sort_by_key(|&at| of(at).1);
        let chances: Vec<f32> = by_place.iter().map(|&at| probabilities[at] as f32).collect();
        let random = self.random.as_deref_mut();
        let drawn = race(&chances, n, random.unwrap_or(&mut || 0.5));
        let mut drawn: Vec<usize> = drawn.into_iter().map(|run| by_place[run as usize]).collect();
        let others = (0..best.len()).filter(|at| !drawn.contains(at));
        let others: Vec<usize> = others.take(n - drawn.len()).collect();
        drawn.extend(others);
        let mut drawn: Vec<(f32, i64)> = drawn.into_iter().map(of).collect();
        drawn.sort_by(|a, b| b.0.total_cmp(&a.0));
        drawn
    }

    /// How many tokens of a text may be drawn at most.
    pub fn n_most(&self, vocabulary: i64, at_least: usize) -> i64 {
        match self.top_k {
            0 => vocabulary,
            k => vocabulary.min(i64::try_from(k.max(at_least)).unwrap_or(i64::MAX)),
        }
    }

    /// What is left to draw among of each text, whose scores are `[text, vocabulary]`. At least so many tokens stay.
    pub fn kept(&self, scores: &Tensor, at_least: usize) -> Kept {
        let most = self.n_most(scores.size()[1], at_least);
        // Counted from the largest, a temperature near 0 leaves that one; counted from 0 it would overflow.
        let scaled = (scores - scores.amax([-1], true)) / self.temperature.max(COLDEST);
        let (values, ids) = scaled.topk(most, -1, true, true);
        let weights = values.softmax(-1, Kind::Float);
        let least = |n: Tensor| n.clamp((at_least as i64).min(most), most);
        let mut n = Tensor::full([ids.size()[0], 1], most, (Kind::Int64, ids.device()));
        if self.top_p < 1.0 {
            n = least(nucleus(&weights, self.top_p as f32));
        }
        if self.min_p > 0.0 {
            n = n.minimum(&least(not_rare(&weights, self.min_p as f32)));
        }
        Kept { ids, weights, n }
    }
}

/// A token that was chosen.
pub struct Choice {
    pub id: u32,
    /// The same on the device, `[1]`: what comes next need not wait for it to go there again.
    pub place: Tensor,
}

/// What is left to draw among, most probable first.
pub struct Kept {
    pub ids: Tensor, // [text, rank]
    /// Probabilities before any were left out by top p and min p.
    pub weights: Tensor, // [text, rank]
    /// How many of them are left in.
    pub n: Tensor, // [text, 1]
}

impl Kept {
    /// True at what is left out.
    fn behind(&self) -> Tensor {
        let ranks = Tensor::arange(self.ids.size()[1], (Kind::Int64, self.ids.device()));
        ranks.ge_tensor(&self.n)
    }

    /// The token of each text at which the running sum of the weights passes `u` (from 0 to 1) of the whole: `[text]`.
    fn drawn(&self, u: f32) -> Tensor {
        let weights = self.weights.masked_fill(&self.behind(), 0.0);
        let rank = passed(&weights, u).minimum(&(&self.n - 1));
        self.ids.gather(-1, &rank, false).squeeze_dim(-1)
    }
}

thread_local! {
    /// Where seeds come from that nobody names; without one, from the system.
    static SEEDS: RefCell<Option<StdRng>> = const { RefCell::new(None) };
}

/// From now on the seeds that this thread draws are those that follow from `seed`: what is sampled without a seed is then
/// the same each time.
pub fn draw_seeds_from(seed: u64) {
    SEEDS.replace(Some(StdRng::seed_from_u64(seed)));
}

fn drawn_seed() -> u64 {
    SEEDS.with_borrow_mut(|seeds| match seeds {
        Some(seeds) => seeds.random::<u32>().into(),
        None => rand::rng().random::<u32>().into(),
    })
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

/// How many of the sorted probabilities, `[.., rank]`, are the fewest whose sum reaches p (1904.09751), at least one:
/// `[.., 1]`.
fn nucleus(sorted: &Tensor, p: f32) -> Tensor {
    count(&sorted.cumsum(-1, Kind::Float).lt(f64::from(p))) + 1
}

/// How many of the sorted probabilities are at least a fraction of the first (2407.01082): `[.., 1]`.
fn not_rare(sorted: &Tensor, fraction: f32) -> Tensor {
    let least = sorted.narrow(-1, 0, 1) * f64::from(fraction);
    count(&sorted.ge_tensor(&least))
}

/// The place at which the running sum passes `u` (from 0 to 1) of the whole, or one behind the last: `[.., 1]`.
fn passed(weights: &Tensor, u: f32) -> Tensor {
    let sums = weights.cumsum(-1, Kind::Float);
    let target = sums.narrow(-1, -1, 1) * f64::from(u);
    count(&sums.le_tensor(&target))
}

fn count(is: &Tensor) -> Tensor {
    is.sum_dim_intlist(-1, true, Kind::Int64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn count_of(n: &Tensor) -> i64 {
        host::ids(n)[0]
    }

    #[test]
    fn nucleus_keeps_the_fewest_that_reach_p() {
        let n = |p: f32| count_of(&nucleus(&Tensor::from_slice(&[0.5_f32, 0.3, 0.2]), p));
        assert_eq!([0.5, 0.6, 0.9].map(n), [1, 2, 3]);
    }

    #[test]
    fn what_is_rare_beside_the_first_goes() {
        let n = |p: f32| count_of(&not_rare(&Tensor::from_slice(&[0.5_f32, 0.25, 0.2]), p));
        assert_eq!([0.5, 0.0, 1.0].map(n), [2, 3, 1]);
    }

    #[test]
    fn each_text_has_its_own_left() {
        let options = GenerateOptions {
            do_sample: Some(true),
            top_k: Some(3),
            top_p: Some(0.6),
            ..GenerateOptions::default()
        };
        let sampler =
            Sampler::new(&GenerationConfig::parse(None, b"{}", 5, false).unwrap(), &options).unwrap();
        let scores = Tensor::from_slice(&[0.1_f32, 0.5, 0.3, 0.1, 0.97, 0.01, 0.01, 0.01]).log();
        let scores = scores.reshape([2, 4]);
        // Of 0.9 that the three best have together 0.5 and 0.3 reach 0.6; beside 0.97 nothing is needed.
        assert_eq!(host::ids(&sampler.kept(&scores, 1).n), [2, 1]);
        assert_eq!(host::ids(&sampler.kept(&scores, 2).n), [2, 2]);
        let left_in = sampler.warp(&scores, 1).isfinite().to_kind(Kind::Int64);
        assert_eq!(host::ids(&left_in), [0, 1, 1, 0, 1, 0, 0, 0]);
        let drawn = |u: f32| host::ids(&sampler.kept(&scores, 1).drawn(u));
        assert_eq!([drawn(0.0), drawn(0.62), drawn(0.63)], [[1, 0], [1, 0], [2, 0]]);
        // A sum that rounding leaves below the whole of it.
        assert_eq!(drawn(1.0), [2, 0]);
    }

    #[test]
    fn places_without_a_chance_fill_up_in_the_order_of_scores() {
        let options = GenerateOptions {
            do_sample: Some(true),
            ..GenerateOptions::default()
        };
        let mut sampler =
            Sampler::new(&GenerationConfig::parse(None, b"{}", 5, false).unwrap(), &options).unwrap();
        let scores = Tensor::from_slice(&[-900.0_f32, 1.0, -950.0, 0.0, -800.0]);
        let drawn = sampler.draw_several(&scores, 4, 5);
        assert_eq!(drawn, [(1.0, 1), (0.0, 3), (-800.0, 4), (-900.0, 0)]);
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
        let drawn = |u: f32| count_of(&passed(&Tensor::from_slice(&[2.0_f32, 2.0]), u));
        assert_eq!([0.0, 0.49, 0.51, 0.99].map(drawn), [0, 0, 1, 1]);
    }
}

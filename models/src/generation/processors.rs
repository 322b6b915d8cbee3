//! What is done to the scores of the next token whatever way it is chosen, as transformers' processors do it and
//! in their order: biased sequences, penalties on given and repeated tokens, repeated n-grams, bad words, the least
//! length, forced tokens, growing ends, suppressed tokens.

use tch::Tensor;

use super::config::GenerationConfig;
use super::options::GenerateOptions;
use crate::error::{Result, refuse};
use crate::host;

/// Changes scores; those of tokens that must not follow become −∞.
pub struct Processors {
    repetition_penalty: f64,
    no_repeat_ngram_size: usize,
    config: GenerationConfig,
    /// What was given to read.
    input: Vec<u32>,
    n_context: usize,
    /// Sequences shorter than this do not end.
    min_length: usize,
    max_length: usize,
    /// The length at which [`GenerationConfig::suppressed_first_ids`] are suppressed.
    first_length: usize,
}

impl Processors {
    /// For sequences of `n_context` tokens that become `max_length` tokens, after `input` was read.
    pub fn new(
        config: &GenerationConfig,
        options: &GenerateOptions,
        input: &[u32],
        n_context: usize,
        max_length: usize,
    ) -> Result<Self> {
        let repetition_penalty = options.repetition_penalty.unwrap_or(config.repetition_penalty);
        if !(repetition_penalty.is_finite() && repetition_penalty > 0.0) {
            let reason = "expected a number above 0; 1 is no penalty, above 1 fewer repetitions";
            return Err(refuse("repetition_penalty", repetition_penalty, reason));
        }
        let min_new = config.min_new_tokens.map(|n| n_context.saturating_add(n));
        let is_forced_next = n_context == 1 && config.forced_first_id.is_some();
        Ok(Self {
            repetition_penalty,
            no_repeat_ngram_size: options
                .no_repeat_ngram_size
                .unwrap_or(config.no_repeat_ngram_size),
            config: config.clone(),
            input: input.to_vec(),
            n_context,
            min_length: min_new.unwrap_or(config.min_length),
            max_length,
            first_length: n_context + usize::from(is_forced_next),
        })
    }

    /// Makes a token the first behind the one that the decoder starts with.
    pub fn force_first(&mut self, id: u32) {
        self.config.forced_first_id = Some(id);
        self.first_length = self.n_context + 1;
    }

    /// `scores` of what follows each of the sequences, which are equally long: `[sequence, vocabulary]`.
    pub fn apply(&self, sequences: &[Vec<u32>], scores: Tensor) -> Tensor {
        let Some(length) = sequences.first().map(Vec::len) else {
            return scores;
        };
        let each = |ids: Vec<u32>| sequences.iter().map(move |_| ids.clone());
        let scores = match self.forced(length) {
            Some(ids) => fill(&scores.full_like(f64::NEG_INFINITY), each(ids), 0.0),
            None => {
                let scores = self.bias(sequences, scores);
                // Its own inverse: what was given becomes more probable by it, not less.
                let inverse = 1.0 / self.config.encoder_repetition_penalty;
                let scores = penalise(scores, inverse, each(self.input.clone()));
                let scores = penalise(scores, self.repetition_penalty, sequences.iter().cloned());
                let banned = sequences.iter().map(|sequence| self.banned(sequence));
                self.grow_ends(length, fill(&scores, banned, f64::NEG_INFINITY))
            }
        };
        let mut suppressed = self.config.suppressed_ids.clone();
        if length == self.first_length {
            suppressed.extend(&self.config.suppressed_first_ids);
        }
        fill(&scores, each(suppressed), f64::NEG_INFINITY)
    }

    /// The only tokens that may follow sequences of a length.
    fn forced(&self, length: usize) -> Option<Vec<u32>> {
        let last = &self.config.forced_last_ids;
        if length + 1 == self.max_length && !last.is_empty() {
            return Some(last.clone());
        }
        self.config
            .forced_first_id
            .filter(|_| length == 1)
            .map(|id| vec![id])
    }

    /// Adds what completes a biased sequence.
    fn bias(&self, sequences: &[Vec<u32>], scores: Tensor) -> Tensor {
        let biases = &self.config.sequence_bias;
        if biases.is_empty() {
            return scores;
        }
        let mut added = vec![0f32; scores.numel()];
        let vocabulary = scores.size()[1] as usize;
        for (row, sequence) in sequences.iter().enumerate() {
            for (biased, bias) in biases {
                if let Some((&last, start)) = biased.split_last()
                    && sequence.ends_with(start)
                {
                    added[row * vocabulary + last as usize] += *bias as f32;
                }
            }
        }
        let added = host::tensor(&added, scores.device());
        &scores + added.view_as(&scores)
    }

    /// Raises the scores of tokens that end a text, the more the longer it is.
    fn grow_ends(&self, length: usize, scores: Tensor) -> Tensor {
        let Some((start, factor)) = self.config.end_growth else {
            return scores;
        };
        let start = self.n_context.saturating_add(start);
        if length <= start {
            return scores;
        }
        let n_rows = scores.size()[0] as usize;
        let places = places(&scores, std::iter::repeat_n(self.config.end_ids.clone(), n_rows));
        let index = host::index(&places, scores.device());
        let flat = scores.flatten(0, -1);
        let found = flat.index_select(0, &index);
        let growth = factor.powf((length - start) as f64) - 1.0;
        let grown = (&found + found.abs() * growth).where_self(&found.isfinite(), &found);
        flat.index_copy(0, &index, &grown).view_as(&scores)
    }

    /// What must not follow a sequence.
    fn banned(&self, sequence: &[u32]) -> Vec<u32> {
        let mut banned = Vec::new();
        let n = self.no_repeat_ngram_size;
        if n > 0 && sequence.len() >= n {
            let start = &sequence[sequence.len() + 1 - n..];
            let repeated = sequence
                .windows(n)
                .filter(|window| window[..n - 1] == *start)
                .map(|window| window[n - 1]);
            banned.extend(repeated);
        }
        let n = self.config.encoder_no_repeat_ngram_size;
        if n > 0 && sequence.len() + 1 >= n {
            let start = &sequence[sequence.len() + 1 - n..];
            let given = self.input.windows(n).filter(|window| window[..n - 1] == *start);
            banned.extend(given.map(|window| window[n - 1]));
        }
        for word in &self.config.bad_words {
            if let Some((&last, start)) = word.split_last()
                && sequence.ends_with(start)
                && !(start.is_empty() && self.config.end_ids.contains(&last))
            {
                banned.push(last);
            }
        }
        if sequence.len() < self.min_length {
            banned.extend(&self.config.end_ids);
        }
        banned
    }
}

/// Divides the positive scores of some ids per row by a penalty (CTRL, 1909.05858); multiplies negative ones.
fn penalise(scores: Tensor, penalty: f64, ids: impl Iterator<Item = Vec<u32>>) -> Tensor {
    if penalty == 1.0 {
        return scores;
    }
    let places = places(&scores, ids);
    let index = host::index(&places, scores.device());
    let flat = scores.flatten(0, -1);
    let found = flat.index_select(0, &index);
    let penalised = (&found * penalty).where_self(&found.lt(0.0), &(&found / penalty));
    flat.index_copy(0, &index, &penalised).view_as(&scores)
}

/// Scores with those of some ids per row set to a value.
fn fill(scores: &Tensor, ids: impl Iterator<Item = Vec<u32>>, value: f64) -> Tensor {
    let places = places(scores, ids);
    if places.is_empty() {
        return scores.shallow_clone();
    }
    let index = host::index(&places, scores.device());
    let filled = scores.flatten(0, -1).index_fill(0, &index, value);
    filled.view_as(scores)
}

/// Where ids per row stand in the flat scores, each once.
fn places(scores: &Tensor, ids: impl Iterator<Item = Vec<u32>>) -> Vec<i64> {
    let vocabulary = scores.size()[1];
    let in_row = |(row, ids): (usize, Vec<u32>)| {
        let known = ids.into_iter().map(i64::from).filter(move |&id| id < vocabulary);
        known.map(move |id| row as i64 * vocabulary + id)
    };
    let mut places: Vec<i64> = ids.enumerate().flat_map(in_row).collect();
    places.sort_unstable();
    places.dedup();
    places
}

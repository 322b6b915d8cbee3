//! Beam search: several texts are followed at once, and the one whose tokens are together most probable is kept.
//!
//! As transformers 5 does it, in float32 as there, so that rounding decides alike: of all continuations by one
//! token some more than there are beams are looked at; those that end and are among the first are finished, the
//! best of the others go on. Where tokens are drawn, so many continuations are drawn by their probabilities instead of
//! the best being taken, and go on or end in the same way. Scores are sums of log-probabilities; a finished text's is divided by its number of
//! generated tokens to the power of the length penalty.

use std::ops::ControlFlow;

use tch::{Kind, Tensor};

use super::config::EarlyStopping;
use super::sampling::Sampler;
use super::writer::Writer;
use super::{Finish, GenerateOptions, GenerationConfig, Job, OnDraft};
use crate::error::{Result, refuse};
use crate::host;

/// What is added to a score that must not win; so large that float32 drops the score itself.
const OUT: f32 = -1e9;

/// How to search.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BeamOptions {
    pub n_beams: usize,
    length_penalty: f64,
    early_stopping: EarlyStopping,
}

impl BeamOptions {
    pub fn new(config: &GenerationConfig, options: &GenerateOptions, vocab_size: usize) -> Result<Self> {
        let n_beams = options.beam_size.unwrap_or(1);
        if n_beams == 0 || n_beams > vocab_size {
            let reason =
                format!("expected a number from 1, which is greedy, to the vocabulary's {vocab_size}");
            return Err(refuse("beam_size", n_beams, reason));
        }
        let length_penalty = options.length_penalty.unwrap_or(config.length_penalty);
        if !length_penalty.is_finite() {
            return Err(refuse("length_penalty", length_penalty, "expected a number"));
        }
        Ok(Self {
            n_beams,
            length_penalty,
            early_stopping: options.early_stopping.unwrap_or(config.early_stopping),
        })
    }

    /// A score with the length penalty of a number of tokens.
    fn by_length(&self, score: f32, n_tokens: usize) -> f32 {
        score / (n_tokens as f64).powf(self.length_penalty) as f32
    }
}

/// A text that may go on or be finished.
#[derive(Clone)]
struct Hypothesis {
    ids: Vec<u32>,
    score: f32,
    /// It ends here; of a finished text: it really is one, and not only there because there are too few.
    ends: bool,
    /// Which beam it continues.
    parent: i64,
}

/// The state of a search.
struct Beams<'a> {
    job: &'a Job<'a>,
    options: BeamOptions,
    running: Vec<Hypothesis>,
    /// As many as there are beams, best first.
    finished: Vec<Hypothesis>,
    can_improve: bool,
}

/// The best text's tokens, the context included, and why it ends.
pub(super) fn search(
    job: &Job,
    options: BeamOptions,
    sampler: &mut Sampler,
    writer: &mut Writer,
    on_draft: &mut OnDraft,
) -> Result<(Vec<u32>, Finish)> {
    let n_beams = options.n_beams;
    let mut beams = Beams::new(job, options);
    let logits = writer.begin(&job.context)?;
    writer.select(&vec![0; n_beams]);
    let mut logits = logits.expand([n_beams as i64, -1], false);
    loop {
        let candidates = beams.candidates(&logits, sampler);
        // What is no number comes first.
        if candidates.first().is_some_and(|first| first.score.is_nan()) {
            return Err(job.no_numbers());
        }
        let goes_on = beams.advance(candidates);
        let shown = job.show(&beams.running[0].ids, on_draft);
        if !goes_on || shown == ControlFlow::Break(()) {
            let best = beams.best().to_vec();
            let finish = job.finish(&best).filter(|_| !goes_on);
            return Ok((best, finish.unwrap_or(Finish::Interrupted)));
        }
        let parents: Vec<i64> = beams.running.iter().map(|beam| beam.parent).collect();
        writer.select(&parents);
        let sequences: Vec<Vec<u32>> = beams.running.iter().map(|beam| beam.ids.clone()).collect();
        logits = writer.go_on(&sequences)?;
    }
}

impl<'a> Beams<'a> {
    fn new(job: &'a Job<'a>, options: BeamOptions) -> Self {
        let start = |score| Hypothesis {
            ids: job.context.clone(),
            score,
            ends: false,
            parent: 0,
        };
        // All beams are one at first: only the first one's continuations count.
        let mut running = vec![start(OUT); options.n_beams];
        running[0].score = 0.0;
        Self {
            job,
            running,
            finished: vec![start(OUT); options.n_beams],
            can_improve: true,
            options,
        }
    }

    /// The best continuations, or some that are drawn, best first: enough of them that some go on when every beam may
    /// end in every way.
    fn candidates(&self, logits: &Tensor, sampler: &mut Sampler) -> Vec<Hypothesis> {
        let sequences: Vec<Vec<u32>> = self.running.iter().map(|beam| beam.ids.clone()).collect();
        let scores = self
            .job
            .processors
            .apply(&sequences, logits.log_softmax(-1, Kind::Float));
        let per_beam = (1 + self.job.end_ids().len()).max(2);
        let scores = match sampler.draws() {
            true => sampler.warp(&scores, per_beam),
            false => scores,
        };
        let (n_beams, vocabulary) = (self.options.n_beams as i64, scores.size()[1]);
        let so_far: Vec<f32> = self.running.iter().map(|beam| beam.score).collect();
        let so_far = host::tensor(&so_far, scores.device()).unsqueeze(1);
        let scores = (scores + so_far).flatten(0, -1);
        let n_candidates = (per_beam as i64 * n_beams).min(n_beams * vocabulary) as usize;
        let chosen = match sampler.draws() {
            true => sampler.draw_several(
                &scores,
                n_candidates,
                n_beams * sampler.n_most(vocabulary, per_beam),
            ),
            false => best(&scores, n_candidates),
        };
        let candidate = |(score, place): (f32, i64)| {
            let parent = place / vocabulary;
            let mut ids = sequences[parent as usize].clone();
            ids.push((place % vocabulary) as u32);
            Hypothesis {
                ends: self.job.finish(&ids).is_some(),
                ids,
                score,
                parent,
            }
        };
        chosen.into_iter().map(candidate).collect()
    }

    /// Goes one token further; whether there is a further one.
    fn advance(&mut self, candidates: Vec<Hypothesis>) -> bool {
        let all_end = candidates.iter().all(|candidate| candidate.ends);
        self.finish(&candidates);
        self.running = candidates
            .into_iter()
            .map(|candidate| Hypothesis {
                score: candidate.score + if candidate.ends { OUT } else { 0.0 },
                ..candidate
            })
            .collect();
        keep_best(&mut self.running, self.options.n_beams);
        self.can_improve &= self.may_improve();
        let is_full = self.options.early_stopping == EarlyStopping::Full && self.is_full();
        self.can_improve && !is_full && !all_end
    }

    /// Takes those of the first candidates that end among the finished ones, where they are better.
    fn finish(&mut self, candidates: &[Hypothesis]) {
        let is_closed = self.options.early_stopping == EarlyStopping::Full && self.is_full();
        let n_beams = self.options.n_beams;
        let ended = candidates.iter().enumerate().map(|(rank, candidate)| {
            let ends = candidate.ends && rank < n_beams;
            let n_tokens = candidate.ids.len() - self.job.context.len();
            let mut score = self.options.by_length(candidate.score, n_tokens);
            for is_out in [is_closed, !self.can_improve, !ends] {
                score += if is_out { OUT } else { 0.0 };
            }
            Hypothesis {
                score,
                ends,
                ..candidate.clone()
            }
        });
        self.finished.extend(ended);
        keep_best(&mut self.finished, n_beams);
    }

    fn is_full(&self) -> bool {
        self.finished.iter().all(|text| text.ends)
    }

    /// Whether the best running text may become better than the worst finished one.
    fn may_improve(&self) -> bool {
        let best = &self.running[0];
        let to_the_end =
            self.options.early_stopping == EarlyStopping::Impossible && self.options.length_penalty > 0.0;
        let length = if to_the_end {
            self.job.max_length
        } else {
            best.ids.len()
        };
        let possible = self
            .options
            .by_length(best.score, length - self.job.context.len());
        let worst = self
            .finished
            .iter()
            .map(|text| text.score)
            .fold(f32::INFINITY, f32::min);
        self.finished
            .iter()
            .any(|text| possible > if text.ends { worst } else { OUT })
    }

    /// The best finished text, or where none is, the best that was on its way.
    fn best(&self) -> &[u32] {
        let finished = self.finished.first().filter(|text| text.ends);
        &finished.unwrap_or(&self.running[0]).ids
    }
}

/// The `n` highest scores and where they stand.
fn best(scores: &Tensor, n: usize) -> Vec<(f32, i64)> {
    let (scores, places) = scores.topk(n as i64, -1, true, true);
    let [scores, places] = host::numbers_of_each([&scores, &places]);
    let pairs = scores.into_iter().zip(places);
    pairs.map(|(score, place)| (score as f32, place as i64)).collect()
}

/// Stays as it is among equals.
fn keep_best(texts: &mut Vec<Hypothesis>, n: usize) {
    texts.sort_by(|a, b| b.score.total_cmp(&a.score));
    texts.truncate(n);
}

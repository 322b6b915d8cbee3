//! How to generate.

use super::config::EarlyStopping;

/// How to generate. `None` is the model's own `generation_config`, else transformers' default.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct GenerateOptions {
    /// How many tokens to make. Wins over `max_length`.
    pub generate: Option<usize>,
    /// Length of the whole sequence; 8 by default, as in the Python library.
    pub max_length: Option<usize>,
    /// Draw tokens by their probability, with beams the ways to go on; otherwise the most probable one is taken, and
    /// temperature, top k, top p and min p mean nothing.
    pub do_sample: Option<bool>,
    pub temperature: Option<f64>,
    /// Draw among the k most probable tokens only; 0 for all.
    pub top_k: Option<usize>,
    /// Draw among the fewest tokens whose probabilities reach p; 1 for all.
    pub top_p: Option<f64>,
    /// Draw among the tokens that are at least this fraction as probable as the most probable one; 0 for all.
    pub min_p: Option<f64>,
    /// Makes sampling repeatable; drawn at random by default and kept in [`Generation::seed`](super::Generation::seed).
    pub seed: Option<u64>,
    /// Above 1, tokens that are in the sequence become less probable.
    pub repetition_penalty: Option<f64>,
    /// No sequence of so many tokens comes twice; 0 for no such rule.
    pub no_repeat_ngram_size: Option<usize>,
    /// How many texts a beam search follows; 1, the default whatever the model says, is greedy.
    pub beam_size: Option<usize>,
    /// Beam search prefers longer texts the larger this is.
    pub length_penalty: Option<f64>,
    /// When beam search ends.
    pub early_stopping: Option<EarlyStopping>,
    /// Texts that end the generation when they appear; the model's own where there are none.
    pub stop: Vec<String>,
    /// The language of the prompt, for a model that is told it; the tokenizer's own otherwise.
    pub src_lang: Option<String>,
    /// The language to write in: the decoder's first token is made to be it.
    pub tgt_lang: Option<String>,
    /// Write by steps of fixed shapes, recorded once as a CUDA graph: what is written is the same, up to rounding. Where that
    /// cannot be it is written as ever, and [`Generation::without_graph`](super::Generation::without_graph) says why. Where
    /// nothing is said, so it is on a GPU, of one text that may get as long as pays.
    pub cuda_graph: Option<bool>,
}

//! What a pass reads: a text's tokens, or embeddings in their place.

use std::ops::Range;
use std::sync::Arc;

use ndarray::Array2;
use tch::Tensor;

use crate::chat::{Prompt, TokenSequence};
use crate::error::{Result, refuse};
use crate::guard::guard;
use crate::host;
use crate::model::{Body, Model};
use crate::stack::Stack;

/// What a pass reads.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Input {
    /// Where embeddings are given, as many zeros.
    pub ids: Vec<u32>,
    /// What the decoder beside an encoder has written so far: at least the token that it starts with. Empty for
    /// models of one stack.
    pub target: Vec<u32>,
    /// In the place of those of tokens, before positions are added: (position, size).
    pub embeddings: Option<Arc<Array2<f32>>>,
    /// The token type of each of `ids`; empty where all are 0.
    pub segments: Vec<u32>,
    /// Of two texts that are read together, where the second one's tokens are.
    pub second: Option<Range<usize>>,
    /// Of a conversation, whose message each of `ids` is of; empty where that is not known.
    pub roles: Vec<Arc<str>>,
}

impl Input {
    /// `target` is what the decoder of an encoder–decoder has written; without one, only its first token.
    ///
    /// # Errors
    /// A text the model cannot take; a target for a model that reads one text.
    pub fn new<'a>(model: &Model, text: impl Into<Prompt<'a>>, target: Option<&str>) -> Result<Self> {
        let text = text.into();
        let TokenSequence {
            segments,
            second,
            roles,
            ..
        } = text.read().cloned().unwrap_or_default();
        let ids = model.ids(text)?;
        let Body::EncoderDecoder(both) = model.body() else {
            let input = Self {
                ids,
                segments,
                second,
                roles,
                ..Self::default()
            };
            input.check(model)?;
            return match target {
                None => Ok(input),
                Some(target) => Err(refuse(
                    "target",
                    format!("{target:?}"),
                    format!(
                        "{} ({}) reads one text; only an encoder–decoder (t5, bart) writes another",
                        model.name(),
                        model.config().model_type
                    ),
                )),
            };
        };
        model.check_ids_for(&both.encoder.config, &ids)?;
        let mut written = vec![model.generation.decoder_start()?];
        if let Some(target) = target {
            model.check_text(target)?;
            let ids = model.tokenizer.encode(target)?;
            let is_end = |id: &u32| model.generation.end_ids.contains(id);
            let end = ids.iter().rposition(|id| !is_end(id)).map_or(0, |last| last + 1);
            written.extend(&ids[..end]);
        }
        model.check_ids(&written)?;
        Ok(Self {
            ids,
            target: written,
            second,
            roles,
            ..Self::default()
        })
    }

    /// Of embeddings (position, size), as the model's own table has them, before positions are added. A decoder beside an
    /// encoder has only the token that it starts with.
    ///
    /// # Errors
    /// Another size than the model's, values that are not finite, more positions than the model has.
    pub fn embedded(model: &Model, embeddings: Array2<f32>) -> Result<Self> {
        let (n, size) = embeddings.dim();
        let width = guard(|| Ok(model.reader().embed(&[0]).size()[2] as usize))?;
        let shape = || format!("({n}, {size})");
        if size != width || n == 0 {
            let embedding = &model.reader().config.embedding;
            let both = match embedding.own {
                0 => String::new(),
                _ => format!(
                    " ({} of the first embedding, {} of the second)",
                    embedding.size,
                    width - embedding.size
                ),
            };
            let reason = format!(
                "{} reads rows of {width} numbers{both}, one for each position",
                model.name()
            );
            return Err(refuse("the shape of the embeddings", shape(), reason));
        }
        if let Some(((at, feature), value)) = embeddings.indexed_iter().find(|(_, value)| !value.is_finite())
        {
            let value = format!("{value} at position {at}, {feature}");
            return Err(refuse("an embedding", value, "expected finite numbers"));
        }
        let target = match model.body() {
            Body::EncoderDecoder(_) => vec![model.generation.decoder_start()?],
            _ => vec![],
        };
        let mut input = Self::of(model, vec![0; n], target)?;
        input.embeddings = Some(Arc::new(embeddings));
        Ok(input)
    }

    /// What the stack that reads it begins with: `[1, position, size]`.
    pub(super) fn embed(&self, stack: &Stack) -> Tensor {
        match &self.embeddings {
            Some(given) => {
                let (n, size) = given.dim();
                let values: Vec<f32> = given.iter().copied().collect();
                let rows = host::tensor(&values, stack.device()).reshape([1, n as i64, size as i64]);
                rows.to_kind(stack.embed(&[0]).kind())
            }
            None => stack.embed(&self.ids),
        }
    }

    /// Of ids. `target` is what an encoder–decoder has written, its start token first; empty for other models.
    ///
    /// # Errors
    /// As [`Self::check`].
    pub fn of(model: &Model, ids: Vec<u32>, target: Vec<u32>) -> Result<Self> {
        let input = Self {
            ids,
            target,
            ..Self::default()
        };
        input.check(model)?;
        Ok(input)
    }

    /// The token types as the stack takes them, `[1, position]`; none where all are 0.
    pub fn segments(&self, stack: &Stack) -> Option<Tensor> {
        segments(std::slice::from_ref(self), stack)
    }

    /// Refuses what the model cannot take.
    pub fn check(&self, model: &Model) -> Result<()> {
        let n_segments = model.reader().config.embedding.n_segments;
        if !self.segments.is_empty() {
            let known = |&&segment: &&u32| segment as usize >= n_segments;
            if let Some(segment) = self.segments.iter().find(known) {
                let reason = format!("{} has vectors for {n_segments} of them", model.name());
                return Err(refuse("token type", segment, reason));
            }
            if self.segments.len() != self.ids.len() {
                let reason = format!("the text has {} tokens", self.ids.len());
                return Err(refuse("the number of token types", self.segments.len(), reason));
            }
        }
        match model.body() {
            Body::EncoderDecoder(both) => {
                model.check_ids_for(&both.encoder.config, &self.ids)?;
                model.check_ids(&self.target)
            }
            _ if self.target.is_empty() => model.check_ids(&self.ids),
            _ => Err(refuse(
                "target",
                format!("{} tokens", self.target.len()),
                format!("{} ({}) reads one text", model.name(), model.config().model_type),
            )),
        }
    }

    /// What stands in the stack whose head speaks.
    pub fn spoken(&self) -> &[u32] {
        if self.target.is_empty() {
            &self.ids
        } else {
            &self.target
        }
    }
}

/// The token types of a batch, `[text, position]`; none where all are 0.
pub(super) fn segments(inputs: &[Input], stack: &Stack) -> Option<Tensor> {
    if inputs.iter().all(|input| input.segments.is_empty()) {
        return None;
    }
    let longest = inputs.iter().map(|input| input.ids.len()).max().unwrap_or(0);
    let padded = |input: &Input| -> Vec<i64> {
        let mut row: Vec<i64> = input.segments.iter().map(|&segment| segment.into()).collect();
        row.resize(longest, 0);
        row
    };
    let all: Vec<i64> = inputs.iter().flat_map(padded).collect();
    Some(host::tensor(&all, stack.device()).reshape([-1, longest as i64]))
}

//! The one differentiable function that is explained: from the embeddings of the tokens that count as sources to the
//! targets' values. Every method, and what checks them, is about this function.

use ecco_models::attention::{Cache, CrossMemory};
use ecco_models::host;
use ecco_models::model::Body;
use ecco_models::run::Input;
use ecco_models::stack::{Marks, Stack};
use ecco_models::tap::Tap;
use ecco_models::{Model, Rule};
use tch::{Device, Kind, Tensor};

use super::baseline::Baseline;
use super::target::{Outcome, Target};
use crate::error::{Error, Result, refuse};

/// Some targets as a function of a text's embeddings.
///
/// The sources are what the furthest target sees:
/// - decoders: the tokens before it,
/// - encoder–decoders: all tokens that are read, then those written before it, without the start token, which is no
///   input and keeps its embedding, unless it is to count,
/// - encoders: all tokens.
pub struct Objective<'m> {
    model: &'m Model,
    input: Input,
    targets: Vec<Target>,
    /// The start token's embedding of an encoder–decoder, `[1, 1, size]`, where it does not count as a source.
    start: Option<Tensor>,
}

impl<'m> Objective<'m> {
    /// # Errors
    /// For a text that the model cannot take, and targets that it does not say of it. [`Error::NothingGenerated`]
    /// without any.
    pub fn new(model: &'m Model, input: &Input, targets: &[Target]) -> Result<Self> {
        input.check(model)?;
        if targets.is_empty() {
            return Err(Error::NothingGenerated);
        }
        for target in targets {
            target.check(model, input)?;
        }
        let start = match model.body() {
            Body::EncoderDecoder(both) => Some(ecco_models::guard::guard(|| {
                Ok(both.decoder.embed(&input.target[..1]))
            })?),
            _ => None,
        };
        Ok(Self {
            model,
            input: input.clone(),
            targets: targets.to_vec(),
            start,
        })
    }

    /// The same with the token that a decoder starts with among the sources, between those read and those written.
    ///
    /// # Errors
    /// For a model that has none.
    pub fn counting_start(self) -> Result<Self> {
        match self.start {
            Some(_) => Ok(Self { start: None, ..self }),
            None => {
                let reason = format!(
                    "{} has no decoder beside an encoder that starts with one",
                    self.model.name()
                );
                Err(refuse("start_token", true, reason))
            }
        }
    }

    /// Where the start token stands among the sources, if it counts.
    pub fn start_source(&self) -> Option<usize> {
        let counts = !self.input.target.is_empty() && self.start.is_none();
        counts.then_some(self.input.ids.len())
    }

    pub fn model(&self) -> &'m Model {
        self.model
    }

    pub fn input(&self) -> &Input {
        &self.input
    }

    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The same of some of the targets.
    pub(crate) fn only(&self, targets: &[Target]) -> Self {
        Self {
            model: self.model,
            input: self.input.clone(),
            targets: targets.to_vec(),
            start: self.start.as_ref().map(Tensor::shallow_clone),
        }
    }

    /// How many sources all targets together have.
    pub fn n_sources(&self) -> usize {
        let each = self.targets.iter().map(|target| self.n_sources_of(target));
        each.max().unwrap_or(0)
    }

    /// How many of the sources, from the first on, one target has; it does not depend on those behind.
    pub fn n_sources_of(&self, target: &Target) -> usize {
        let n_read = self.input.ids.len();
        match (self.model.body(), target.said) {
            (Body::Decoder(_), Outcome::Token { position, .. }) => position,
            (Body::EncoderDecoder(_), Outcome::Token { position, .. }) => {
                n_read + position - usize::from(self.start.is_some())
            }
            _ => n_read,
        }
    }

    /// The tokens that count as sources.
    pub fn source_ids(&self) -> Vec<u32> {
        let n = self.n_sources();
        let written = self.input.target.iter().skip(usize::from(self.start.is_some()));
        let all = self.input.ids.iter().chain(written);
        all.copied().take(n).collect()
    }

    /// The sources' token embeddings, `[1, source, size]`.
    pub fn embeddings(&self) -> Tensor {
        self.embed(&self.source_ids())
    }

    /// Token embeddings of as many tokens as there are sources, or of the first of them: `[1, source, size]`.
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        match self.model.body() {
            Body::EncoderDecoder(both) => {
                let n_read = ids.len().min(self.input.ids.len());
                let (read, written) = ids.split_at(n_read);
                match written {
                    [] => both.encoder.embed(read),
                    _ => Tensor::cat(&[both.encoder.embed(read), both.decoder.embed(written)], 1),
                }
            }
            _ => self.stack().embed(ids),
        }
    }

    /// The embeddings of a baseline, `[1, source, size]`.
    ///
    /// # Errors
    /// Where the model has no such token, and for a text that is too long.
    pub fn baseline(&self, baseline: &Baseline) -> Result<Tensor> {
        let ids = self.source_ids();
        let missing = |name: &str| {
            let reason = format!(
                "the tokenizer of {} has no such token; \"zero\" and \"mean\" need none",
                self.model.name()
            );
            refuse("baseline", name, reason)
        };
        let everywhere = |id: u32| {
            self.model.check_ids(&[id])?;
            Ok(self.embed(&vec![id; ids.len()]))
        };
        match baseline {
            Baseline::Zero => Ok(self.embeddings().zeros_like()),
            Baseline::Pad => everywhere(self.model.pad_id().ok_or_else(|| missing("pad"))?),
            Baseline::Mask => everywhere(self.model.tokenizer().mask().ok_or_else(|| missing("mask"))?.id),
            Baseline::Mean => {
                let mean = self.stack().embedding.mean_row();
                Ok(mean
                    .to_kind(self.kind())
                    .expand_as(&self.embeddings())
                    .contiguous())
            }
            Baseline::Text(text) => self.other_text(text, ids),
        }
    }

    fn other_text(&self, text: &[u32], mut ids: Vec<u32>) -> Result<Tensor> {
        let n_read = self.input.ids.len().min(ids.len());
        let (what, room) = match self.model.body() {
            Body::EncoderDecoder(_) => ("what is read", n_read),
            _ => ("the text", ids.len()),
        };
        if text.is_empty() || text.len() > room {
            let value = format!("a text of {} tokens", text.len());
            let reason = format!("it stands for {what}, which has {room} tokens");
            return Err(refuse("baseline", value, reason));
        }
        self.model.check_rows(text)?;
        ids[..text.len()].copy_from_slice(text);
        Ok(self.embed(&ids))
    }

    fn stack(&self) -> &'m Stack {
        self.model.stack()
    }

    pub fn kind(&self) -> Kind {
        self.stack().kind()
    }

    pub fn device(&self) -> Device {
        self.stack().device()
    }

    /// The targets' values at embeddings `[batch, source, size]`: `[batch, target]`, differentiable. An
    /// encoder–decoder shows `tap` its encoder, then its decoder. Rules other than the gradient take two halves (see
    /// [`ecco_models::rules`]).
    pub fn values(&self, x: &Tensor, tap: &mut dyn Tap) -> ecco_models::error::Result<Tensor> {
        let logits = self.logits(x, tap)?;
        Ok(self.values_of(&logits, tap.rule()))
    }

    /// The positions whose states the head reads, each once.
    pub(super) fn rows(&self) -> Vec<usize> {
        let mut rows: Vec<usize> = self
            .targets
            .iter()
            .filter_map(|target| self.row(target))
            .collect();
        rows.sort_unstable();
        rows.dedup();
        rows
    }

    /// The position that a target is about.
    pub(super) fn place(&self, target: &Target) -> Option<usize> {
        target.place(self.model)
    }

    pub(super) fn row(&self, target: &Target) -> Option<usize> {
        target.row(self.model)
    }

    /// What the head says at [`Self::rows`]: `[batch, row, token]`; of labels of the text `[batch, label]`,
    /// where tokens vie for a label `[batch, position, label]`.
    pub(super) fn logits(&self, x: &Tensor, tap: &mut dyn Tap) -> ecco_models::error::Result<Tensor> {
        let rows: Vec<i64> = self.rows().into_iter().map(|row| row as i64).collect();
        let rows = host::index(&rows, x.device());
        Ok(match self.model.body() {
            Body::Decoder(decoder) => {
                let states = decoder.forward(x, None, tap)?;
                decoder.logits_by(&states.index_select(1, &rows), tap.rule())
            }
            Body::Encoder(encoder) => {
                let segments = self.input.segments(&encoder.stack);
                let marks = Marks {
                    segments: segments.as_ref(),
                    ..Marks::default()
                };
                let states = encoder.forward(x, marks, tap)?;
                let states = match rows.numel() {
                    0 => states,
                    _ => states.index_select(1, &rows),
                };
                encoder.logits_with(&states, None, tap).unwrap_or(states)
            }
            Body::EncoderDecoder(both) => {
                let n_read = self.input.ids.len() as i64;
                let memories = both.read(&x.narrow(1, 0, n_read), None, tap)?;
                let written = self.written(x);
                let states = both.decoder.forward_with(&written, None, Some(&memories), tap)?;
                let states = states.index_select(1, &rows);
                both.decoder.logits_by(&states, tap.rule())
            }
        })
    }

    /// What an encoder–decoder has written, its start token first, from the sources' embeddings.
    pub(super) fn written(&self, x: &Tensor) -> Tensor {
        let n_read = self.input.ids.len() as i64;
        self.behind_start(&x.narrow(1, n_read, x.size()[1] - n_read))
    }

    fn behind_start(&self, before: &Tensor) -> Tensor {
        match &self.start {
            Some(start) => Tensor::cat(&[&start.expand([before.size()[0], -1, -1], false), before], 1),
            None => before.shallow_clone(),
        }
    }

    /// The values of a decoder's targets behind the sources that `cache` holds, of texts that go on with `x`,
    /// `[batch, source, size]`.
    ///
    /// # Errors
    /// For other models.
    pub(super) fn values_behind(
        &self,
        x: &Tensor,
        cache: &mut Cache,
        tap: &mut dyn Tap,
    ) -> ecco_models::error::Result<Tensor> {
        let decoder = self.model.decoder("this pass")?;
        let rows: Vec<i64> = self
            .rows()
            .into_iter()
            .map(|row| row as i64 - cache.length)
            .collect();
        let rows = host::index(&rows, x.device());
        let states = decoder.forward(x, Some(cache), tap)?;
        let logits = decoder.logits_by(&states.index_select(1, &rows), tap.rule());
        Ok(self.values_of(&logits, tap.rule()))
    }

    /// What an encoder–decoder's decoder sees of the text that is read, `[1, source, size]`.
    ///
    /// # Errors
    /// For other models.
    pub(super) fn read(&self, x: &Tensor, tap: &mut dyn Tap) -> ecco_models::error::Result<Vec<CrossMemory>> {
        match self.model.body() {
            Body::EncoderDecoder(both) => both.read(&x.narrow(1, 0, self.input.ids.len() as i64), None, tap),
            _ => Ok(Vec::new()),
        }
    }

    /// The values of an encoder–decoder that has read what `memories` hold and has written `before`, `[batch, source,
    /// size]`.
    pub(super) fn values_having_read(
        &self,
        memories: &[CrossMemory],
        before: &Tensor,
        tap: &mut dyn Tap,
    ) -> ecco_models::error::Result<Tensor> {
        let Body::EncoderDecoder(both) = self.model.body() else {
            return self.values(before, tap);
        };
        let rows: Vec<i64> = self.rows().into_iter().map(|row| row as i64).collect();
        let rows = host::index(&rows, before.device());
        let written = self.behind_start(before);
        let states = both.decoder.forward_with(&written, None, Some(memories), tap)?;
        let logits = both.decoder.logits_by(&states.index_select(1, &rows), tap.rule());
        Ok(self.values_of(&logits, tap.rule()))
    }

    /// `[batch, target]`.
    pub(super) fn values_of(&self, logits: &Tensor, rule: Rule) -> Tensor {
        let targets = self.targets.iter();
        let values: Vec<Tensor> = targets
            .map(|target| self.value_of(logits, target, rule))
            .collect();
        Tensor::stack(&values, 1)
    }

    /// One target's value of what the head says at [`Self::rows`]: `[batch]`.
    pub(super) fn value_of(&self, logits: &Tensor, target: &Target, rule: Rule) -> Tensor {
        let config = self.model.config();
        match self.row(target) {
            None => target.value(logits, config, rule),
            Some(row) => {
                let index = self.rows().binary_search(&row).unwrap_or(0);
                target.value(&logits.select(1, index as i64), config, rule)
            }
        }
    }
}

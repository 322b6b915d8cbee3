//! What each layer would say if it were the last: computed when it is first shown or read.

mod explanation;

use std::cell::OnceCell;
use std::rc::Rc;

use ecco_explain::lens::{self, Question};
use ecco_models::Token;
use ecco_widgets::Explorable;
use ecco_widgets::depths::Reading;
use ecco_widgets::{LayerPredictions, LensColumn, LensMap, RankKind, RankMap};

use super::fitted_lens::FittedLens;
use crate::live::Asking;
use crate::text::passage::Passage;
use crate::text::reading;
use crate::text::shown::shown_one;
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::live::Live;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;

/// What is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LensKind {
    /// The most probable tokens at one place.
    Predictions,
    /// The ranks of some tokens.
    Ranks(RankKind),
    /// Everything at some places.
    Map,
}

/// A reading of layers. Clones share what is computed.
#[derive(Clone)]
pub(crate) struct Lens(Rc<Inner>);

struct Inner {
    passage: Passage,
    kind: LensKind,
    question: Question,
    /// In place of the logit lens.
    by: Option<FittedLens>,
    /// Of each row of the question.
    positions: Vec<usize>,
    /// Ranked tokens, and where each of them stands.
    columns: Vec<(Token, usize)>,
    asked: Asking,
    found: OnceCell<lens::Lens>,
}

/// What all of them have in common.
#[derive(Debug, Clone)]
pub(crate) struct LensOptions {
    pub layer: Option<usize>,
    pub top_k: usize,
    pub raw: bool,
    /// The stream before the first layer, too.
    pub embedding: bool,
    /// In place of the logit lens.
    pub lens: Option<FittedLens>,
    pub asked: Asking,
}

impl LensOptions {
    /// After how many layers the stream is read.
    fn depths(&self, model: &crate::models::model::Model) -> Result<Vec<usize>, ScriptError> {
        let n = model.card().n_layers;
        // The output is read as it is.
        let has = |depth: &usize| match &self.lens {
            Some(lens) => *depth == n || lens.loaded.at(*depth).is_some(),
            None => true,
        };
        if self.raw && self.lens.is_some() {
            let message = "a fitted lens goes with the final norm, and raw leaves that out";
            return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("raw"));
        }
        match self.layer {
            Some(layer) if layer < n && !has(&(layer + 1)) => {
                let message = format!("the fitted lens has no map for layer {layer}");
                Err(ScriptError::new(ErrorKind::Index, message).pointing_at("layer"))
            }
            Some(layer) if layer < n => Ok(vec![layer + 1]),
            Some(layer) => {
                let message = format!("there is no layer {layer}: the model has layers 0 to {}", n - 1);
                Err(ScriptError::new(ErrorKind::Index, message).pointing_at("layer"))
            }
            None => Ok((usize::from(!self.embedding)..=n).filter(has).collect()),
        }
    }
}

impl Lens {
    pub(crate) fn predictions(
        passage: Passage,
        position: Option<usize>,
        options: &LensOptions,
    ) -> Result<Self, ScriptError> {
        let position = position.map_or_else(|| passage.default_position(), Ok)?;
        Self::new(passage, LensKind::Predictions, vec![position], vec![], options)
    }

    /// Of the written tokens, each where it stands.
    pub(crate) fn ranks(passage: Passage, options: &LensOptions) -> Result<Self, ScriptError> {
        let positions = passage.positions();
        let column = |&position: &usize| passage.token(position).map(|token| (token.clone(), position));
        let columns: Vec<(Token, usize)> = positions.iter().filter_map(column).collect();
        let positions = columns.iter().map(|(_, position)| *position).collect();
        Self::new(
            passage,
            LensKind::Ranks(RankKind::Written),
            positions,
            columns,
            options,
        )
    }

    /// Of some tokens at one position; without one, where the last token stands.
    pub(crate) fn watch(
        passage: Passage,
        tokens: Vec<Token>,
        position: Option<usize>,
        options: &LensOptions,
    ) -> Result<Self, ScriptError> {
        let position = match position.or_else(|| passage.last_written()) {
            Some(position) => position,
            None => passage.default_position()?,
        };
        let columns = tokens.into_iter().map(|token| (token, position)).collect();
        Self::new(
            passage,
            LensKind::Ranks(RankKind::Watched),
            vec![position],
            columns,
            options,
        )
    }

    pub(crate) fn map(
        passage: Passage,
        positions: Option<Vec<usize>>,
        options: &LensOptions,
    ) -> Result<Self, ScriptError> {
        let positions = positions.unwrap_or_else(|| match passage.positions() {
            none if none.is_empty() => passage.default_position().into_iter().collect(),
            positions => positions,
        });
        Self::new(passage, LensKind::Map, positions, vec![], options)
    }

    fn new(
        passage: Passage,
        kind: LensKind,
        positions: Vec<usize>,
        columns: Vec<(Token, usize)>,
        options: &LensOptions,
    ) -> Result<Self, ScriptError> {
        if positions.is_empty() {
            return Err(ScriptError::new(ErrorKind::Value, "there is no position to read")
                .with_hint("generate at least one token, or choose a position"));
        }
        let rows = positions.iter().map(|position| passage.predicted_at(*position));
        let of_position = |position: &usize| match kind {
            LensKind::Ranks(RankKind::Watched) => columns.iter().map(|(token, _)| token.id).collect(),
            _ => passage.token(*position).iter().map(|token| token.id).collect(),
        };
        let question = Question {
            rows: rows.collect::<Result<_, _>>()?,
            depths: options.depths(passage.model())?,
            top_k: options.top_k,
            watch: positions.iter().map(of_position).collect(),
            raw: options.raw,
        };
        Ok(Self(Rc::new(Inner {
            passage,
            kind,
            question,
            by: options.lens.clone(),
            positions,
            columns,
            asked: options.asked.clone(),
            found: OnceCell::new(),
        })))
    }

    fn found(&self) -> Result<&lens::Lens, ScriptError> {
        let inner = &self.0;
        if let Some(found) = inner.found.get() {
            return Ok(found);
        }
        Self::compute(std::slice::from_ref(self))?;
        let none = || ScriptError::new(ErrorKind::Internal, "a lens that has read nothing");
        inner.found.get().ok_or_else(none)
    }

    /// Computes some of one model that ask the same of several texts, those about equally long side by side.
    pub(super) fn compute(all: &[Self]) -> Result<(), ScriptError> {
        let Some(first) = all.first() else {
            return Ok(());
        };
        let model = first.0.passage.model();
        let (loaded, state) = (model.loaded()?, model.state()?);
        let text = |lens: &Self| (lens.0.passage.input().clone(), lens.0.question.clone());
        let texts: Vec<_> = all.iter().map(text).collect();
        let mut is_numbers = true;
        watched(&state, model.verbose, |watch| {
            let by = first.0.by.as_ref().map(|by| &*by.loaded);
            lens::lens_each(&loaded, &texts, by, watch, &mut |at, found| {
                let mut readings = found.readings.iter().flatten();
                is_numbers &= !readings.any(|reading| reading.entropy.is_nan());
                drop(all[at].0.found.set(found));
            })
        })?;
        reading::about_numbers(model, is_numbers)
    }

    fn layers(&self) -> Vec<String> {
        let name = |depth: &usize| match depth {
            0 => "embedding".to_owned(),
            depth => (depth - 1).to_string(),
        };
        self.0.question.depths.iter().map(name).collect()
    }

    fn reading(&self, model: &ecco_models::Model, found: &lens::Reading) -> Reading {
        let named = |id: u32| shown_one(&model.tokenizer().tokens(&[id])[0]);
        Reading {
            top: found
                .top
                .iter()
                .map(|(id, probability)| (named(*id), *probability))
                .collect(),
            chosen: found
                .watched
                .first()
                .map(|watched| (watched.rank, watched.probability)),
            entropy: found.entropy,
            divergence: found.divergence,
        }
    }

    /// The most probable tokens: by layer, of one place; by layer and place, of several.
    pub(crate) fn top_tokens(&self) -> Result<Vec<Vec<Vec<String>>>, ScriptError> {
        let found = self.found()?;
        let loaded = self.0.passage.model().loaded()?;
        let name = |(id, _): &(u32, f32)| loaded.tokenizer().tokens(&[*id]).remove(0).text;
        let names = |reading: &lens::Reading| reading.top.iter().map(name).collect();
        Ok(found
            .readings
            .iter()
            .map(|row| row.iter().map(names).collect())
            .collect())
    }

    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let (inner, found) = (&self.0, self.found()?);
        let passage = &inner.passage;
        let position = inner.positions[0];
        let chosen = |position: usize| passage.token(position).map(shown_one);
        let (layers, raw) = (self.layers(), inner.question.raw);
        let fitted = inner.by.as_ref().map(FittedLens::name);
        let model = Some(passage.model().card().name.clone());
        if let LensKind::Ranks(kind) = inner.kind {
            return Ok(Box::new(self.ranked(kind, found)));
        }
        let loaded = passage.model().loaded()?;
        let readings = found.readings.iter();
        let readings: Vec<Vec<Reading>> = readings
            .map(|row| row.iter().map(|reading| self.reading(&loaded, reading)).collect())
            .collect();
        Ok(match inner.kind {
            LensKind::Predictions => Box::new(LayerPredictions {
                model,
                before: passage.before(position),
                position,
                chosen: chosen(position),
                layers,
                readings: readings.into_iter().flatten().collect(),
                raw,
                fitted,
            }),
            _ => {
                let columns = inner.positions.iter().map(|&position| LensColumn {
                    position,
                    chosen: chosen(position),
                });
                Box::new(LensMap {
                    model,
                    columns: columns.collect(),
                    layers,
                    readings,
                    raw,
                    fitted,
                })
            }
        })
    }

    fn ranked(&self, kind: RankKind, found: &lens::Lens) -> RankMap {
        let inner = &self.0;
        let by_layer = |of: fn(&lens::TokenTrack) -> f32| self.by_column(found, of);
        let ranks = by_layer(|watched| watched.rank as f32);
        // Of several places each layer says something else at each.
        let of_place = |of: fn(&lens::Reading) -> f32| match inner.positions.len() {
            1 => found.readings.iter().flatten().map(of).collect(),
            _ => vec![],
        };
        RankMap {
            model: Some(inner.passage.model().card().name.clone()),
            kind,
            columns: inner.columns.iter().map(|(token, _)| shown_one(token)).collect(),
            positions: inner.columns.iter().map(|(_, position)| *position).collect(),
            before: inner.passage.before(inner.positions[0]),
            layers: self.layers(),
            ranks: ranks
                .iter()
                .map(|row| row.iter().map(|rank| *rank as u32).collect())
                .collect(),
            probabilities: by_layer(|watched| watched.probability),
            entropy: of_place(|reading| reading.entropy),
            divergence: of_place(|reading| reading.divergence),
            raw: inner.question.raw,
            fitted: inner.by.as_ref().map(FittedLens::name),
        }
    }

    /// A number of each ranked token, by layer.
    fn by_column(&self, found: &lens::Lens, of: fn(&lens::TokenTrack) -> f32) -> Vec<Vec<f32>> {
        let row =
            |row: &Vec<lens::Reading>| row.iter().flat_map(|reading| &reading.watched).map(of).collect();
        found.readings.iter().map(row).collect()
    }

    /// By name: `entropy` and `divergence` of all, `ranks` and `probabilities` of what is ranked.
    pub(crate) fn tensor(&self, name: &str) -> Result<Tensor, ScriptError> {
        let tensors = self.tensors()?;
        let names: Vec<&str> = tensors.iter().map(|(name, _)| *name).collect();
        let missing = || {
            let message = format!("{} has no {name}", self.line());
            ScriptError::new(ErrorKind::Attribute, message).with_hint(format!("it has {}", names.join(", ")))
        };
        let tensor = tensors.iter().find(|(known, _)| *known == name);
        tensor.map(|(_, tensor)| tensor.clone()).ok_or_else(missing)
    }
}

impl Show for Lens {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        self.view()
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.0.asked.live(&self.0.passage)
    }

    fn line(&self) -> String {
        let what = match self.0.kind {
            LensKind::Predictions => format!("layer predictions at position {}", self.0.positions[0]),
            LensKind::Ranks(RankKind::Written) => format!("rankings of {} tokens", self.0.columns.len()),
            LensKind::Ranks(RankKind::Watched) => {
                format!(
                    "rankings of {} watched tokens at position {}",
                    self.0.columns.len(),
                    self.0.positions[0]
                )
            }
            LensKind::Map => {
                let lens = self.0.by.as_ref().map_or("logit", |by| by.loaded.method.name());
                format!("{lens} lens at {} positions", self.0.positions.len())
            }
        };
        let n = self.0.question.depths.len();
        let plural = if n == 1 { "" } else { "s" };
        format!("{what} after {n} layer{plural}")
    }
}

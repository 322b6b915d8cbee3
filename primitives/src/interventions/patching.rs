//! `lm.patch_map`: which part of a model carries what makes two texts differ.

use std::rc::Rc;

use ecco_explain::intervention::patching::{PatchOptions, check_lengths, patch_map};
use ecco_explain::sites::SiteAxis;
use ecco_explain::{Outcome, Quantity, Target};
use ecco_interpreter::named;
use ecco_models::config::Task;
use ecco_models::run::{Input, Prediction, masked_positions, run};
use ecco_models::{Prompt, Site};
use ecco_widgets::{Columns, Token};
use ndarray::{Array2, ArrayD};

use super::patch_map::PatchMap;
use crate::models::model::Model;
use crate::text::capture::place_in;
use crate::text::chat::Chat;
use crate::text::reading;
use crate::text::shown::token_sequence;
use crate::text::token::token;
use ecco_scripting::options::{Choice, Word};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

named! {
    /// What counts as the answer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Metric {
        Probability = "probability",
        Logit = "logit",
        LogProbability = "log_probability",
    }
}

options! {
    /// The answer that is watched in two texts.
    pub struct AnswerOptions {
        /// the token (or label) whose answer is watched
        target: Option<Word> = "what the model says of the clean text, and of the corrupted one as contrast",
        /// less the answer for this one
        contrast: Option<Word> = "none",
        /// what counts as the answer
        metric: Option<Choice<Metric>> = "\"logit\" with a contrast, else \"probability\"",
        /// of the token that is predicted
        position: Option<usize> = "behind the last token; the mask",
    }
}

options! {
    /// What is patched, and what is watched.
    pub struct PairOptions {
        ..answer: AnswerOptions,
        /// what is patched: one of lm.sites() that each layer has
        site: Option<String> = "\"residual_before\"",
        /// what is patched at once: all of a position (of a pattern: of a query), one head or neuron at all positions, or one head at one
        /// position
        by: Option<Choice<SiteAxis>> = "\"head\" where a site has heads, else \"position\"",
        /// encoder–decoders only: what the decoder has written so far
        written: Option<String> = "only the token that it starts with",
    }
}

impl Metric {
    fn quantity(self) -> Quantity {
        match self {
            Self::Probability => Quantity::Probability,
            Self::Logit => Quantity::Logit,
            Self::LogProbability => Quantity::LogProbability,
        }
    }
}

/// Two texts as a script gives them, and what is asked of them.
pub(super) struct Pair {
    pub clean: Input,
    pub corrupted: Input,
    pub patch: PatchOptions,
    /// The watched number for people: `logit of " Denmark"`.
    pub answer: String,
    /// Of what is patched: the corrupted text and the clean one.
    tokens: [Vec<Token>; 2],
}

impl Pair {
    pub(super) fn read(
        lm: &Model,
        clean: Prompt,
        corrupted: Prompt,
        options: &PairOptions,
    ) -> Result<Self, ScriptError> {
        let loaded = lm.loaded()?;
        let written = options.written.as_deref();
        let [clean, corrupted] = [clean, corrupted].map(|text| reading::input(lm, text, written));
        let (clean, corrupted) = (clean?, corrupted?);
        let place = place_in(lm, options.site.as_deref(), Site::ResidualBefore)?;
        let by = options.by.as_ref();
        let by = by.map_or_else(|| SiteAxis::usual(place), |by| by.0);
        // Before anything is said of either: the answer stands at one position of both.
        check_lengths(&loaded, &clean, &corrupted)?;
        let (target, answer) = target(&loaded, [&clean, &corrupted], &options.answer)?;
        let tokens = [&corrupted, &clean].map(|input| {
            let ids = match place.encoder {
                true => &input.ids,
                false => input.spoken(),
            };
            let tokens = loaded.tokenizer().tokens(ids);
            token_sequence(&tokens, tokens.len(), false).tokens
        });
        Ok(Self {
            clean,
            corrupted,
            patch: PatchOptions { place, by, target },
            answer,
            tokens,
        })
    }

    /// By layer and part how much of the clean answer comes back.
    pub(super) fn view(
        &self,
        layers: &[usize],
        restored: &Array2<f64>,
        clean: f64,
        corrupted: f64,
    ) -> ecco_widgets::PatchMap {
        let [of_corrupted, of_clean] = &self.tokens;
        let positions = || Columns::Positions {
            corrupted: of_corrupted.clone(),
            clean: of_clean.clone(),
        };
        let n = restored.ncols();
        let heads = self.n_heads(n);
        let by_head = |&layer: &usize| std::iter::repeat_n(layer, heads.unwrap_or(1));
        ecco_widgets::PatchMap {
            site: self.patch.place.name(),
            answer: self.answer.clone(),
            clean,
            corrupted,
            layers: layers.iter().flat_map(by_head).collect(),
            heads: heads.map(|n| layers.iter().flat_map(|_| 0..n).collect()),
            columns: match self.patch.by {
                SiteAxis::Position | SiteAxis::HeadPosition => positions(),
                SiteAxis::Head => Columns::Heads(n),
                SiteAxis::Neuron => Columns::Neurons(n),
            },
            restored: self.rows(restored),
            estimate: None,
            pairs: None,
        }
    }

    /// Of so many parts of a layer, how many heads these are, where they are heads at positions.
    fn n_heads(&self, n_parts: usize) -> Option<usize> {
        let is_both = self.patch.by == SiteAxis::HeadPosition;
        is_both.then(|| n_parts / self.tokens[0].len().max(1))
    }

    /// Numbers by layer and part as rows of a view.
    pub(super) fn rows(&self, values: &Array2<f64>) -> Vec<Vec<f32>> {
        let n = values.ncols() / self.n_heads(values.ncols()).unwrap_or(1);
        let numbers: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        numbers.chunks(n.max(1)).map(<[f32]>::to_vec).collect()
    }

    /// Where a layer's part is in the rows of a view: row and column.
    pub(super) fn cell(&self, (row, part): (usize, usize), n_parts: usize) -> (usize, usize) {
        match self.n_heads(n_parts) {
            Some(heads) => {
                let n = n_parts / heads.max(1);
                (row * heads + part / n, part % n)
            }
            None => (row, part),
        }
    }

    /// Numbers by layer and part, with axes of their own for heads and positions.
    pub(super) fn tensor(&self, values: &Array2<f64>) -> Tensor {
        self.tensor_of(values.mapv(|x| x as f32).into_dyn(), &["layer"])
    }

    /// The same where axes stand before the parts.
    pub(super) fn tensor_of(&self, values: ArrayD<f32>, before: &[&'static str]) -> Tensor {
        let mut shape = values.shape().to_vec();
        let n_parts = shape.pop().unwrap_or(0);
        match self.n_heads(n_parts) {
            Some(heads) => shape.extend([heads, n_parts / heads.max(1)]),
            None => shape.push(n_parts),
        }
        let values = values.into_shape_with_order(shape).expect("as many numbers");
        Tensor::new(values, &[before, self.patch.by.axes()].concat())
    }

    /// `3 layers × 10 positions`, for people.
    pub(super) fn extent(&self, (n_layers, n_parts): (usize, usize)) -> String {
        match self.n_heads(n_parts) {
            Some(heads) => {
                let n = n_parts / heads.max(1);
                format!("{n_layers} layers × {heads} heads × {n} positions")
            }
            None => format!("{n_layers} layers × {n_parts} {}s", self.patch.by.name()),
        }
    }

    /// The names of layers and positions.
    pub(super) fn labels(&self, axis: &str, layers: &[usize]) -> Option<Vec<String>> {
        match axis {
            "layer" => Some(layers.iter().map(usize::to_string).collect()),
            "position" => Some(self.tokens[0].iter().map(|token| token.text.clone()).collect()),
            _ => None,
        }
    }
}

pub(super) fn map(
    lm: &Model,
    clean: Prompt,
    corrupted: Prompt,
    options: &PairOptions,
) -> Result<PatchMap, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let pair = Pair::read(lm, clean, corrupted, options)?;
    let map = watched(&state, lm.verbose, |watch| {
        patch_map(&loaded, &pair.clean, &pair.corrupted, &pair.patch, watch)
    })?;
    Ok(PatchMap {
        map: Rc::new(map),
        pair: Rc::new(pair),
    })
}

/// What is watched, and the same for people.
pub(crate) fn target(
    model: &ecco_models::Model,
    [clean, corrupted]: [&Input; 2],
    options: &AnswerOptions,
) -> Result<(Target, String), ScriptError> {
    let position = position(model, corrupted, options.position)?;
    let named = |option: &str, word: &Option<Word>| {
        let word = word.as_ref();
        word.map(|word| id(model, option, word)).transpose()
    };
    let (id, contrast) = match named("target", &options.target)? {
        Some(id) => (id, named("contrast", &options.contrast)?),
        None => {
            let best_id = best(model, clean, position)?;
            let other = match named("contrast", &options.contrast)? {
                Some(id) => id,
                None => best(model, corrupted, position)?,
            };
            (best_id, Some(other).filter(|other| *other != best_id))
        }
    };
    let quantity = match (options.metric, contrast) {
        (Some(Choice(metric)), _) => metric.quantity(),
        (None, Some(_)) => Quantity::Logit,
        (None, None) => Quantity::Probability,
    };
    let label = id as usize;
    let target = match (position, model.config().task.names()) {
        (Some(position), []) => Target::token(position, id),
        (Some(position), _) => Outcome::TokenLabel { position, label }.into(),
        (None, _) => Target::label(label),
    };
    let target = Target {
        contrast,
        ..target.of(quantity)
    };
    Ok((target, answer(model, quantity, id, contrast)))
}

/// `logit of " Denmark" less that of " Iceland"`
fn answer(model: &ecco_models::Model, quantity: Quantity, id: u32, contrast: Option<u32>) -> String {
    let name = |id: u32| match model.config().task.names() {
        names @ [_, ..] => names.get(id as usize).map(|name| format!("{name:?}")),
        [] => model
            .tokenizer()
            .tokens(&[id])
            .pop()
            .map(|token| format!("{:?}", token.text)),
    };
    let name = |id: u32| name(id).unwrap_or_else(|| id.to_string());
    let of = quantity.name().replace('_', " ");
    match contrast {
        Some(contrast) => format!("{of} of {} less that of {}", name(id), name(contrast)),
        None => format!("{of} of {}", name(id)),
    }
}

/// The position of the token that is predicted; none for labels.
fn position(
    model: &ecco_models::Model,
    input: &Input,
    given: Option<usize>,
) -> Result<Option<usize>, ScriptError> {
    match &model.config().task {
        task @ Task::Label(_) if !task.is_of_text() => {
            let missing = || {
                let message = "labels are of each token, and no position says of which";
                ScriptError::new(ErrorKind::Value, message)
                    .with_hint("say at which: #{position: 4}")
                    .pointing_at("position")
            };
            given.map(Some).ok_or_else(missing)
        }
        Task::Label(_) => match given {
            Some(_) => Err(ScriptError::new(
                ErrorKind::Value,
                "labels are of the whole text: give no position",
            )
            .pointing_at("position")),
            None => Ok(None),
        },
        Task::MaskedToken(_) => match (given, &masked_positions(model, &input.ids)[..]) {
            (Some(position), _) => Ok(Some(position)),
            (None, [one]) => Ok(Some(*one)),
            (None, masks) => {
                let message = format!(
                    "the text has {} masks, so it is not clear which token is meant",
                    masks.len()
                );
                Err(ScriptError::new(ErrorKind::Value, message).with_hint("say its position: #{position: 4}"))
            }
        },
        _ => Ok(Some(given.unwrap_or(input.spoken().len()))),
    }
}

/// What a model says itself: the most probable token or label.
fn best(model: &ecco_models::Model, input: &Input, position: Option<usize>) -> Result<u32, ScriptError> {
    let runs = run(model, vec![input.clone()], 1, &mut ecco_interpreter::unwatched)?;
    let said = runs.first().map_or(&[][..], |run| run.predictions(0));
    let missing = || {
        ScriptError::new(ErrorKind::Value, "it is not clear which answer is meant")
            .with_hint("name it: #{target: \" Paris\", contrast: \" Rome\"}")
    };
    let found = said.iter().find_map(|said| match (said, position) {
        (
            Prediction::Token {
                position: at,
                candidates,
            },
            Some(position),
        ) if *at == position => candidates.first().map(|best| best.token.id),
        (Prediction::Label { name, .. } | Prediction::Value { name, .. }, None) => label(model, name),
        (Prediction::TokenLabel { position: at, labels }, Some(position)) if *at == position => {
            labels.first().and_then(|(name, _)| label(model, name))
        }
        (Prediction::Replaced { position: at, .. }, Some(position)) if *at == position => Some(0),
        _ => None,
    });
    found.ok_or_else(missing)
}

fn label(model: &ecco_models::Model, name: &str) -> Option<u32> {
    let mut names = model.config().task.names().iter();
    names.position(|known| known == name).map(|at| at as u32)
}

/// A token as scripts name it, or a label by its name.
fn id(model: &ecco_models::Model, option: &str, word: &Word) -> Result<u32, ScriptError> {
    let (names, name) = match (model.config().task.names(), word) {
        ([], word) => return Ok(token(word, model, option)?.id),
        (_, Word::Id(number)) => return Ok(*number),
        (names, Word::Text(name)) => (names, name),
    };
    label(model, name).ok_or_else(|| {
        ScriptError::new(ErrorKind::Value, format!("there is no label {name:?}"))
            .pointing_at(option)
            .with_hint(format!("the model has {}", names.join(", ")))
    })
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Which part of the model carries what makes two texts differ. The corrupted text is read once for each layer
        /// and position (or head, head at a position, or neuron), with that part's values put in from the clean text: how much of the clean answer
        /// comes back, 0 as for the corrupted text and 1 as for the clean one. Both texts have the same number of tokens.
        ///
        /// Without options the answer is the logit of what the model says of the clean text less that of what it says of the
        /// corrupted one.
        ///
        /// Example:
        /// ```rhai
        /// lm.patch_map("The capital of France is", "The capital of Italy is",
        ///     #{target: " Paris", contrast: " Rome", site: "head_outputs"})
        /// ```
        volatile fn patch_map(lm: &Model, clean: &str, corrupted: &str; options: PairOptions) -> PatchMap {
            map(lm, clean.into(), corrupted.into(), &options)
        }

        volatile fn patch_map(lm: &Model, clean: Chat, corrupted: Chat; options: PairOptions) -> PatchMap {
            map(lm, clean.prompt(), corrupted.prompt(), &options)
        }
    }
}

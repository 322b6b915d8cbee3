//! `lm.patch_map`: which part of a model carries what makes two texts differ.

use std::rc::Rc;

use ecco_explain::intervention::alignment::{self, Alignment};
use ecco_explain::intervention::patching::{PatchOptions, check_lengths, patch_map, patch_map_aligned};
use ecco_explain::sites::SiteAxis;
use ecco_models::model::Body;
use ecco_models::run::{Input, Place};
use ecco_models::{Prompt, Site};
use ecco_widgets::{Columns, Token};
use ndarray::{Array2, ArrayD};
use rhai::Dynamic;

use super::answer::{self, AnswerOptions};
use super::patch_map::PatchMap;
use crate::models::model::Model;
use crate::text::capture::place_in;
use crate::text::chat::Chat;
use crate::text::reading;
use crate::text::shown::token_sequence;
use ecco_scripting::options::{Choice, OptionKind, OptionValue};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

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

options! {
    /// What `patch_map` can be told.
    pub struct PatchMapOptions {
        ..pair: PairOptions,
        ..alignment: AlignOptions,
    }
}

options! {
    /// Texts of unequal length.
    pub struct AlignOptions {
        /// for texts of unequal length: `true` aligns what both have in common, `[[4, 6], …]` positions of the clean text with
        /// positions of the corrupted one; others are not patched
        align: Option<Align> = "all, one with one",
    }
}

/// Which positions stand for each other.
#[derive(Debug, Clone)]
pub(super) enum Align {
    Common,
    /// Clean, corrupted.
    Pairs(Vec<(usize, usize)>),
}

impl OptionValue for Align {
    const KIND: OptionKind = OptionKind::Any("true or an array of pairs of positions, [clean, corrupted]");

    fn of(value: &Dynamic) -> Option<Self> {
        if let Ok(given) = value.as_bool() {
            return given.then_some(Self::Common);
        }
        let pair = |value: &Dynamic| match Vec::<usize>::of(value)?[..] {
            [clean, corrupted] => Some((clean, corrupted)),
            _ => None,
        };
        let pairs = value.as_array_ref().ok()?;
        let pairs = pairs.iter().map(pair);
        pairs.collect::<Option<_>>().map(Self::Pairs)
    }
}

/// Two texts as a script gives them, and what is asked of them.
pub(super) struct Pair {
    pub clean: Input,
    pub corrupted: Input,
    pub patch: PatchOptions,
    /// Of texts that need not be equally long.
    pub alignment: Option<Alignment>,
    /// The watched number for people: `logit of " Denmark"`.
    pub answer: String,
    /// Of what is patched: the corrupted text and, position by position, the clean one.
    tokens: [Vec<Token>; 2],
}

impl Pair {
    pub(super) fn read(
        lm: &Model,
        clean: Prompt,
        corrupted: Prompt,
        options: &PairOptions,
        align: Option<&Align>,
    ) -> Result<Self, ScriptError> {
        let loaded = lm.loaded()?;
        let written = options.written.as_deref();
        let [clean, corrupted] = [clean, corrupted].map(|text| reading::input(lm, text, written));
        let (clean, corrupted) = (clean?, corrupted?);
        let place = place_in(lm, options.site.as_deref(), Site::ResidualBefore)?;
        let by = options.by.as_ref();
        let by = by.map_or_else(|| SiteAxis::usual(place), |by| by.0);
        let pairs = match align {
            // Before anything is said of either: the answer stands at one position of both.
            None => check_lengths(&loaded, &clean, &corrupted).map(|()| None)?,
            Some(Align::Common) => Some(alignment::align(&clean.ids, &corrupted.ids)),
            Some(Align::Pairs(pairs)) => Some(pairs.clone()),
        };
        let positions = positions(
            &loaded,
            [&clean, &corrupted],
            options.answer.position,
            pairs.as_deref(),
        )?;
        let answers = answer::watched(&loaded, [&clean, &corrupted], positions, &options.answer)?;
        let tokens = tokens(&loaded, [&clean, &corrupted], place, pairs.as_deref());
        Ok(Self {
            clean,
            corrupted,
            patch: PatchOptions {
                place,
                by,
                answer: answers.corrupted,
            },
            alignment: pairs.map(|pairs| Alignment {
                pairs,
                clean: answers.clean,
            }),
            answer: answers.name,
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

/// Where the answer is predicted in both texts: the position that is named is the corrupted one's.
fn positions(
    model: &ecco_models::Model,
    [clean, corrupted]: [&Input; 2],
    given: Option<usize>,
    pairs: Option<&[(usize, usize)]>,
) -> Result<[Option<usize>; 2], ScriptError> {
    let own = answer::position(model, corrupted, given)?;
    let (Some(pairs), Some(named)) = (pairs.filter(|_| clean.target.is_empty()), given) else {
        return Ok([answer::position(model, clean, given)?, own]);
    };
    // A token is said by what stands before it, where the model writes.
    let before = usize::from(matches!(model.body(), Body::Decoder(_)));
    let read = named.saturating_sub(before);
    let partner = pairs.iter().find(|pair| pair.1 == read);
    let missing = || {
        let message =
            format!("position {read} of the corrupted text, where the answer is read, is aligned with none");
        ScriptError::new(ErrorKind::Value, message).pointing_at("position")
    };
    let (one, _) = partner.ok_or_else(missing)?;
    Ok([Some(one + before), own])
}

/// The corrupted text, and position by position what stands there in the clean one: an empty text where nothing is aligned.
fn tokens(
    model: &ecco_models::Model,
    [clean, corrupted]: [&Input; 2],
    place: Place,
    pairs: Option<&[(usize, usize)]>,
) -> [Vec<Token>; 2] {
    let [of_clean, of_corrupted] = [clean, corrupted].map(|input| {
        let ids = match place.encoder {
            true => &input.ids,
            false => input.spoken(),
        };
        let tokens = model.tokenizer().tokens(ids);
        token_sequence(&tokens, tokens.len(), false).tokens
    });
    let is_aligned = place.encoder || clean.target.is_empty();
    let Some(pairs) = pairs.filter(|_| is_aligned) else {
        return [of_corrupted, of_clean];
    };
    let nothing = Token {
        text: String::new(),
        id: 0,
        part: None,
    };
    let mut aligned = vec![nothing; of_corrupted.len()];
    for &(one, other) in pairs {
        if let (Some(token), Some(place)) = (of_clean.get(one), aligned.get_mut(other)) {
            place.clone_from(token);
        }
    }
    [of_corrupted, aligned]
}

pub(super) fn map(
    lm: &Model,
    clean: Prompt,
    corrupted: Prompt,
    options: &PatchMapOptions,
) -> Result<PatchMap, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let pair = Pair::read(
        lm,
        clean,
        corrupted,
        &options.pair,
        options.alignment.align.as_ref(),
    )?;
    let Pair {
        clean,
        corrupted,
        patch,
        ..
    } = &pair;
    let map = watched(&state, lm.verbose, |watch| match &pair.alignment {
        Some(alignment) => patch_map_aligned(&loaded, clean, corrupted, patch, alignment, watch),
        None => patch_map(&loaded, clean, corrupted, patch, watch),
    })?;
    Ok(PatchMap {
        map: Rc::new(map),
        pair: Rc::new(pair),
        asked: None,
    })
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Which part of the model carries what makes two texts differ. The corrupted text is read once for each layer
        /// and position (or head, head at a position, or neuron), with that part's values put in from the clean text: how much
        /// of the clean answer comes back, 0 as for the corrupted text and 1 as for the clean one. Both texts have the same
        /// number of tokens, unless `align` says which positions stand for each other.
        ///
        /// Without options the answer is the logit of what the model says of the clean text less that of what it says of the
        /// corrupted one.
        ///
        /// Example:
        /// ```rhai
        /// lm.patch_map("The capital of France is", "The capital of Italy is",
        ///     #{target: " Paris", contrast: " Rome", site: "head_outputs"})
        /// ```
        volatile fn patch_map(lm: &Model, clean: &str, corrupted: &str; options: PatchMapOptions) -> PatchMap {
            let map = map(lm, clean.into(), corrupted.into(), &options)?;
            Ok(map.asked(lm, [clean, corrupted], &options))
        }

        volatile fn patch_map(lm: &Model, clean: Chat, corrupted: Chat; options: PatchMapOptions) -> PatchMap {
            map(lm, clean.prompt(), corrupted.prompt(), &options)
        }
    }
}

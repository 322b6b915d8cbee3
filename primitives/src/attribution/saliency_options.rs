//! What an attribution can be told, and the saliency that it makes.

use std::ops::Range;
use std::rc::Rc;

use ecco_explain::{Aggregation, AttributionOptions, Baseline, Combine, Grouping, Method, Quantity};
use ecco_interpreter::named;
use ecco_scripting::options::{Choice, OneOrMany, OptionKind, OptionValue, TargetOption, Word};
use ecco_scripting::{ErrorKind, ScriptError, options};
use ecco_widgets::{SaliencyStyle, Unit};
use rhai::Dynamic;

use super::saliency::{Saliency, Scoring};
use super::targets::Selection;
use crate::live::Asking;
use crate::text::passage::Passage;

options! {
    /// What is explained.
    pub struct TargetOptions {
        /// what is explained: any token of the vocabulary, a label, or an array of such; an entry may be a map
        /// `#{target, contrast, position}`
        target: Option<Vec<TargetOption>> = "what was written; else the most probable token or label",
        /// explains why the target and not this: their difference
        contrast: Option<Word> = "none",
        /// where the target stands or would stand, counted as the widget counts; several explain several places
        position: Option<OneOrMany<usize>> = "where the target was written first, else the first place after the input; every mask",
        /// which number about the target; entropy is of all tokens or labels together
        of: Choice<Quantity> = Choice(Quantity::Probability),
    }
}

options! {
    /// What is explained, how, and how it is shown.
    pub struct SaliencyOptions {
        ..targets: TargetOptions,
        /// how contributions are computed; docs/methods has a page for each
        method: Option<Choice<Method>> = "\"grad_x_input\"",
        /// steps of the path of integrated gradients
        n_steps: usize [1..] = 50,
        /// passes of LIME and KernelSHAP, draws of gradient SHAP and SmoothGrad
        n_samples: Option<usize> [1..] = "the method's own",
        /// of gradient SHAP: the deviation of what is added, by that of the text's embeddings
        noise: f64 = 0.1,
        /// of SmoothGrad: the deviation of what is added, by that of the text's embeddings
        sigma: f64 = 0.15,
        /// neighbouring tokens that occlusion takes away together
        window: usize [1..] = 1,
        /// of what a method draws at random
        seed: u64 = 0,
        /// what stands for nothing: these embeddings at every token, or a text of no more tokens
        baseline: Option<BaselineName> = "\"zero\"",
        /// how the numbers along an embedding become one: "sum" and "mean" keep the sign
        aggregation: Option<Choice<Aggregation>> = "\"l2\"; \"sum\" where there is a contrast",
        /// encoder–decoders: the token that the decoder starts with counts too, as in captum and the Python library; its
        /// share is in the sum and not shown
        start_token: bool = false,
        /// what has one score; tokens' scores are combined
        by: Option<Choice<UnitName>> = "\"token\"",
        /// tokens that have one score together, as pairs [from, to], the end left out; the tokens between are spans too
        spans: Option<Vec<Range<usize>>> = "none",
        /// how tokens' scores become that of a word, line, sentence or span
        combine: Choice<Combine> = Choice(Combine::Sum),
        /// positions whose contribution is left out; the other shares are brought to a sum of 1
        ignore_tokens: Option<OneOrMany<usize>> = "none",
        /// colours alone, or a bar and a number for each token
        style: Choice<StyleName> = Choice(StyleName::Minimal),
    }
}

options! {
    /// The same under the Python library's name.
    pub struct PrimaryOptions {
        /// the name the Python library has for `method`
        attr_method: Option<Choice<Method>> = "\"grad_x_input\"",
        ..saliency: SaliencyOptions,
    }
}

named! {
    /// What has one score, where no spans are given.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum UnitName {
        Token = "token",
        Word = "word",
        Line = "line",
        Sentence = "sentence",
    }
}

named! {
    /// How boxes are drawn.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum StyleName {
        Minimal = "minimal",
        Detailed = "detailed",
    }
}

/// A baseline as a script names it: one of the usual ones, or a text.
#[derive(Debug, Clone)]
pub(super) struct BaselineName(pub(super) String);

impl OptionValue for BaselineName {
    const KIND: OptionKind = OptionKind::Such(Baseline::ALL_NAMES);

    fn of(value: &Dynamic) -> Option<Self> {
        String::of(value).map(Self)
    }
}

impl BaselineName {
    /// The baseline itself: a text is read by the passage's model.
    pub(super) fn baseline(&self, passage: &Passage) -> Result<Baseline, ScriptError> {
        match Baseline::parse(&self.0) {
            Some(named) => Ok(named),
            None => Ok(Baseline::Text(
                passage.model().loaded()?.tokenizer().encode(&self.0)?,
            )),
        }
    }
}

impl TargetOptions {
    /// Whether something is explained rather than something else.
    fn has_contrast(&self) -> bool {
        let mut targets = self.target.iter().flatten();
        self.contrast.is_some() || targets.any(|target| target.contrast.is_some())
    }

    /// How numbers become one where nothing is said: without a sign nobody sees which of the two a token speaks for.
    pub(super) fn aggregation(&self) -> Aggregation {
        match self.has_contrast() {
            true => Aggregation::Sum,
            false => Aggregation::default(),
        }
    }
}

impl PrimaryOptions {
    /// # Errors
    /// Both names of the method.
    pub(super) fn saliency(self) -> Result<SaliencyOptions, ScriptError> {
        let Self {
            attr_method,
            saliency,
            ..
        } = self;
        if saliency.method.is_some() && attr_method.is_some() {
            let message = "method and attr_method are the same option: give one of them";
            return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("attr_method"));
        }
        Ok(SaliencyOptions {
            method: saliency.method.or(attr_method),
            told: saliency.told.renamed("attr_method", "method"),
            ..saliency
        })
    }
}

impl Saliency {
    /// What the options say; nothing is computed yet.
    ///
    /// # Errors
    /// Targets, places, baselines and spans that this text or its model does not have.
    pub(super) fn new(passage: Passage, options: SaliencyOptions) -> Result<Self, ScriptError> {
        let n = passage.tokens().len();
        let ignored = options.ignore_tokens.clone().unwrap_or_default().0;
        if let Some(position) = ignored.iter().find(|&&position| position >= n) {
            let message =
                format!("there is no token {position} to ignore: the text has {n}, numbered from 0");
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("ignore_tokens"));
        }
        let asked = Asking::new("saliency", &options);
        let saliency = Self {
            asked,
            selection: Selection::new(&passage, &options.targets)?,
            options: attribution_options(&passage, &options)?,
            style: match options.style.0 {
                StyleName::Minimal => SaliencyStyle::Minimal,
                StyleName::Detailed => SaliencyStyle::Detailed,
            },
            scoring: scoring(options)?,
            ignored: Rc::new(ignored),
            passage,
        };
        saliency.groups().map_err(|error| error.pointing_at("spans"))?;
        Ok(saliency)
    }
}

fn attribution_options(
    passage: &Passage,
    options: &SaliencyOptions,
) -> Result<AttributionOptions, ScriptError> {
    let baseline = options.baseline.as_ref();
    let aggregation = options.aggregation.map(|aggregation| aggregation.0);
    Ok(AttributionOptions {
        method: options.method.map(|method| method.0).unwrap_or_default(),
        n_steps: options.n_steps,
        n_samples: options.n_samples,
        noise: options.noise,
        sigma: options.sigma,
        window: options.window,
        seed: options.seed,
        start_token: options.start_token,
        baseline: baseline.map_or(Ok(Baseline::default()), |name| name.baseline(passage))?,
        aggregation: aggregation.unwrap_or_else(|| options.targets.aggregation()),
    })
}

fn scoring(options: SaliencyOptions) -> Result<Scoring, ScriptError> {
    let (unit, grouping) = match (options.by.map(|by| by.0), options.spans) {
        (Some(_), Some(_)) => {
            let message = "`by` and `spans` both say what has one score: give one of them";
            return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("spans"));
        }
        (None, Some(spans)) => (Unit::Span, Some(Grouping::Tokens(spans))),
        (Some(UnitName::Word), _) => (Unit::Word, Some(Grouping::Words)),
        (Some(UnitName::Line), _) => (Unit::Line, Some(Grouping::Lines)),
        (Some(UnitName::Sentence), _) => (Unit::Sentence, Some(Grouping::Sentences)),
        (Some(UnitName::Token) | None, None) => (Unit::Token, None),
    };
    Ok(Scoring {
        unit,
        grouping,
        combine: options.combine.0,
    })
}

//! A text that was generated, and what is computed from it when it is first asked for.

mod scored;
mod showing;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use ecco_explain::score::TokenScore;
use ecco_models::run::{self, Input, Place, Records};
use ecco_models::{Finish, Site};
use ecco_widgets::TokenSequence;
use ndarray::{ArrayD, Axis};

use super::passage::{Facts, Passage};
use super::shown::shown;
use crate::models::model::{Model, Recording};
use crate::text::run::{self as runs, Run, hidden_states};
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::result::Explanation;
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;

/// What one forward pass over the text can record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Internals {
    /// The MLPs' inner values after the non-linearity: (layer, neuron, position).
    Activations,
    /// (layer + 1, position, hidden), as transformers has them: first the embeddings, last after the norm.
    HiddenStates,
    /// (layer, head, query, key)
    Attention,
    /// The same of the encoder beside a decoder.
    EncoderActivations,
    EncoderHiddenStates,
    EncoderAttention,
    /// The decoder's attention to the encoder: (layer, head, query, key)
    CrossAttention,
}

impl Internals {
    /// The option of `from_pretrained` that asks for it.
    fn option(self) -> &'static str {
        match self {
            Self::Activations | Self::EncoderActivations => "activations",
            Self::HiddenStates | Self::EncoderHiddenStates => "hidden_states",
            Self::Attention | Self::EncoderAttention | Self::CrossAttention => "attention",
        }
    }

    /// Whether only an encoder–decoder has it.
    fn is_of_pair(self) -> bool {
        self == Self::CrossAttention || self.is_of_encoder()
    }

    fn is_of_encoder(self) -> bool {
        matches!(
            self,
            Self::EncoderActivations | Self::EncoderHiddenStates | Self::EncoderAttention
        )
    }

    /// Those that such options ask for, of a model of one stack or of two.
    pub(super) fn recorded(recording: &Recording, is_pair: bool) -> Vec<Self> {
        let all = [
            (
                recording.activations,
                &[Self::Activations, Self::EncoderActivations][..],
            ),
            (
                recording.hidden_states,
                &[Self::HiddenStates, Self::EncoderHiddenStates],
            ),
            (
                recording.attention,
                &[Self::Attention, Self::EncoderAttention, Self::CrossAttention],
            ),
        ];
        let chosen = all.into_iter().filter(|(is_chosen, _)| *is_chosen);
        let chosen = chosen.flat_map(|(_, what)| what).copied();
        chosen.filter(|what| is_pair || !what.is_of_pair()).collect()
    }

    /// The sites of a run that it is.
    pub(super) fn places(self) -> Vec<Place> {
        let sites: &[Site] = match self {
            Self::Activations | Self::EncoderActivations => &[Site::MlpInner],
            Self::HiddenStates | Self::EncoderHiddenStates => &[Site::ResidualBefore, Site::FinalNorm],
            Self::Attention | Self::EncoderAttention => &[Site::AttentionPattern],
            Self::CrossAttention => &[Site::CrossPattern],
        };
        let encoder = self.is_of_encoder();
        sites.iter().map(|&site| Place { site, encoder }).collect()
    }

    fn axes(self) -> &'static [&'static str] {
        match self {
            Self::Activations | Self::EncoderActivations => &["layer", "neuron", "position"],
            Self::HiddenStates | Self::EncoderHiddenStates => &["layer", "position", "hidden"],
            Self::Attention | Self::EncoderAttention | Self::CrossAttention => {
                &["layer", "head", "query", "key"]
            }
        }
    }
}

/// The sites of a run that all of `what` is, and at which layers: activations may be of some, and for the others every layer counts.
pub(super) fn sites<'a>(model: &'a Model, what: &[Internals]) -> (Vec<Place>, Option<&'a [usize]>) {
    let layers = model.recording.layers.as_deref();
    let layers = layers.filter(|_| what == [Internals::Activations]);
    (what.iter().flat_map(|what| what.places()).collect(), layers)
}

/// An output of `generate`, or a text that was given to be scored. Clones share everything but how they are shown.
#[derive(Clone)]
pub(crate) struct Generation(Rc<Output>, Appearance);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Appearance {
    Tokens,
    /// By how surprising each token was.
    Score,
}

/// What clones share.
struct Output {
    model: Model,
    generation: ecco_models::Generation,
    text: String,
    recorded: RefCell<HashMap<Internals, Tensor>>,
    scores: RefCell<Option<Rc<Vec<TokenScore>>>>,
    facts: OnceCell<Rc<Facts>>,
    run: RefCell<Option<Run>>,
}

/// One that does not keep it.
pub(crate) struct WeakGeneration(Weak<Output>, Appearance);

impl WeakGeneration {
    pub(crate) fn upgrade(&self) -> Option<Generation> {
        Some(Generation(self.0.upgrade()?, self.1))
    }
}

impl Generation {
    pub(crate) fn weak(&self) -> WeakGeneration {
        WeakGeneration(Rc::downgrade(&self.0), self.1)
    }

    pub(crate) fn new(model: &Model, generation: ecco_models::Generation, text: String) -> Self {
        let appearance = match generation.finish {
            Finish::Given => Appearance::Score,
            _ => Appearance::Tokens,
        };
        let output = Output {
            model: model.plain(),
            generation,
            text,
            recorded: RefCell::default(),
            scores: RefCell::default(),
            facts: OnceCell::new(),
            run: RefCell::default(),
        };
        Self(Rc::new(output), appearance)
    }

    /// The same, shown by how surprising each of its tokens was.
    pub(crate) fn as_score(&self) -> Self {
        Self(Rc::clone(&self.0), Appearance::Score)
    }

    /// The prompt and what was generated.
    pub(crate) fn text(&self) -> &str {
        &self.0.text
    }

    pub(crate) fn tokens(&self) -> &[ecco_models::Token] {
        &self.0.generation.tokens
    }

    /// The tokens' texts.
    pub(crate) fn token_texts(&self) -> Vec<String> {
        self.tokens().iter().map(|token| token.text.clone()).collect()
    }

    /// Of an encoder–decoder: what its decoder has read, the token that it starts with first.
    pub(crate) fn decoder_ids(&self) -> Option<Vec<u32>> {
        let generation = &self.0.generation;
        generation.start_id.map(|_| generation.decoder_ids())
    }

    pub(crate) fn n_input(&self) -> usize {
        self.0.generation.n_input
    }

    pub(crate) fn seed(&self) -> Option<u64> {
        self.0.generation.seed
    }

    pub(crate) fn finish(&self) -> &'static str {
        match self.0.generation.finish {
            Finish::Given => "given",
            Finish::Length => "length",
            Finish::EndOfText => "end_of_text",
            Finish::Stop => "stop",
            Finish::Interrupted => "interrupted",
        }
    }

    /// The positions that have activations: all but the last generated token, which no pass has read.
    pub(crate) fn n_positions(&self) -> usize {
        let made_some = self.0.generation.n_generated() > 0;
        self.tokens().len() - usize::from(made_some)
    }

    /// The layers of [`Internals::Activations`], in order.
    pub(crate) fn activation_layers(&self) -> Vec<usize> {
        let model = &self.0.model;
        let all = || (0..model.card().n_layers).collect();
        model.recording.layers.clone().unwrap_or_else(all)
    }

    /// What was recorded, or is recorded now in one pass over the text.
    pub(crate) fn recorded(&self, what: Internals) -> Result<Tensor, ScriptError> {
        if let Some(tensor) = self.0.recorded.borrow().get(&what) {
            return Ok(tensor.clone());
        }
        self.record(&[what])?;
        let recorded = self.0.recorded.borrow();
        recorded
            .get(&what)
            .cloned()
            .ok_or_else(|| ScriptError::new(ErrorKind::Internal, "nothing was recorded"))
    }

    /// One teacher-forced pass that records all of `what`.
    pub(crate) fn record(&self, what: &[Internals]) -> Result<(), ScriptError> {
        let model = &self.0.model;
        let loaded = model.loaded().map_err(|error| {
            let options: Vec<String> = what
                .iter()
                .map(|what| format!("{}: true", what.option()))
                .collect();
            let (name, options) = (&model.card().name, options.join(", "));
            error.with_hint(format!(
                "ecco::from_pretrained({name:?}, #{{{options}}}) records them with every generate"
            ))
        })?;
        let input = self.read_input(&loaded)?;
        let (places, layers) = sites(model, what);
        let records = watched(&*model.state()?, model.verbose, |watch| {
            run::record(&loaded, &[input], &places, layers, watch)
        })?;
        self.keep(what, &records)
    }

    /// What was recorded of all of `what`.
    pub(super) fn keep(&self, what: &[Internals], records: &Records) -> Result<(), ScriptError> {
        for &what in what {
            let tensor = Tensor::new(self.array(what, records)?, what.axes());
            self.0.recorded.borrow_mut().insert(what, tensor);
        }
        Ok(())
    }

    fn array(&self, what: Internals, records: &Records) -> Result<ArrayD<f32>, ScriptError> {
        match what {
            Internals::Activations => {
                let place = Place::of(Site::MlpInner);
                let kept = self.activation_layers();
                let layers = records.layers(place).into_iter().enumerate();
                let rows = layers.filter(|(_, layer)| kept.contains(layer));
                let rows: Vec<usize> = rows.map(|(row, _)| row).collect();
                let all = records.array(place, None, 0)?;
                Ok(if rows.len() == all.shape()[0] {
                    all
                } else {
                    all.select(Axis(0), &rows)
                })
            }
            Internals::HiddenStates | Internals::EncoderHiddenStates => {
                hidden_states(records, what.is_of_encoder(), 0)
            }
            _ => Ok(records.array(what.places()[0], None, 0)?),
        }
    }

    /// What the model has read to write this: all tokens but the last generated one.
    fn read_input(&self, loaded: &ecco_models::Model) -> Result<Input, ScriptError> {
        let generation = &self.0.generation;
        let ids = generation.ids();
        let (read, written) = match self.is_pair() {
            true => {
                let mut written = generation.decoder_ids();
                written.truncate(written.len().saturating_sub(1).max(1));
                (ids[..self.n_input()].to_vec(), written)
            }
            false => (ids[..self.n_positions()].to_vec(), vec![]),
        };
        Ok(Input::of(loaded, read, written)?)
    }

    /// Whether the given tokens were read by an encoder and the others written by a decoder.
    pub(crate) fn is_pair(&self) -> bool {
        self.0.generation.start_id.is_some()
    }

    /// A pass over what the model has read to write this: all tokens but the last generated one.
    pub(crate) fn run(&self) -> Result<Run, ScriptError> {
        if let Some(run) = &*self.0.run.borrow() {
            return Ok(run.clone());
        }
        let model = &self.0.model;
        let input = self.read_input(&*model.loaded()?)?;
        let run = runs::again(model, self.text().to_owned(), input)?;
        *self.0.run.borrow_mut() = Some(run.clone());
        Ok(run)
    }

    /// What a pass over the whole text reads. The decoder beside an encoder has read what it wrote; the encoder, what
    /// it was given.
    pub(crate) fn input(&self) -> Input {
        let generation = &self.0.generation;
        let ids = generation.ids();
        match generation.start_id {
            Some(_) => Input {
                ids: ids[..self.n_input()].to_vec(),
                target: generation.decoder_ids(),
                ..Input::default()
            },
            None => Input {
                ids,
                ..Input::default()
            },
        }
    }

    /// The text that explanations are about.
    pub(crate) fn passage(&self) -> Passage {
        let facts = self.0.facts.get_or_init(|| Rc::new(Facts::of_output(self)));
        Passage::of_output(self, Rc::clone(facts))
    }

    /// Of a conversation, whose message each given token is of.
    pub(crate) fn roles(&self) -> &[Arc<str>] {
        &self.0.generation.roles
    }

    /// Whether the text was given to be scored, and not generated.
    pub(crate) fn is_given(&self) -> bool {
        self.0.generation.finish == Finish::Given
    }

    pub(crate) fn model(&self) -> &Model {
        &self.0.model
    }

    pub(crate) fn view(&self) -> TokenSequence {
        let (mut probabilities, mut ranks) = (vec![], vec![]);
        if let Some(scores) = &*self.0.scores.borrow() {
            probabilities = vec![None; self.n_input()];
            ranks = vec![None; self.n_input()];
            probabilities.extend(
                scores
                    .iter()
                    .map(|score| Some(score.log_probability.exp() as f32)),
            );
            ranks.extend(scores.iter().map(|score| Some(score.rank as u32)));
        }
        TokenSequence {
            probabilities,
            ranks,
            model: Some(self.0.model.card().name.clone()),
            text: Some(self.text().to_owned()),
            tokens: shown(self.tokens()),
            n_input: self.n_input(),
            in_progress: false,
            finish: Some(self.finish().to_owned()),
        }
    }
}

impl Explanation for Generation {
    /// What the model thought of each written token: numbers of the score.
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let scores = self.scores()?;
        let tensor = |of: &dyn Fn(&TokenScore) -> f64| {
            let values = scores.iter().map(|score| of(score) as f32).collect();
            let values = ArrayD::from_shape_vec(vec![scores.len()], values).unwrap_or_default();
            Tensor::new(values, &["generated"])
        };
        Ok(vec![
            ("log_probabilities", tensor(&|score| score.log_probability)),
            ("probabilities", tensor(&|score| score.log_probability.exp())),
            (
                "ranks",
                tensor(&|score| {
                    if score.rank == 0 {
                        f64::NAN
                    } else {
                        score.rank as f64
                    }
                }),
            ),
        ])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        (axis == "generated").then(|| self.token_texts().split_off(self.n_input()))
    }
}

//! One forward pass over a text, and what is recorded of it when it is first asked for.

mod embedded;
mod sites;
mod view;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};

use ecco_models::config::Task;
use ecco_models::run::{self, Input, Place, Prediction, Records};
use ecco_models::{Site, Token};
use ndarray::{ArrayD, Axis, concatenate};

use super::passage::{Facts, Passage};
use super::reading;
use crate::models::model::Model;
use crate::text::chat::TextOrChat;
use ecco_scripting::options::OneOrMany;
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError, options};

pub(crate) use embedded::of_embeddings;
pub(crate) use sites::{place, sites, with_sites};

/// One text's part of a pass. Clones share everything; so do the texts of one batch.
#[derive(Clone)]
pub(crate) struct Run {
    batch: Rc<Batch>,
    /// Which of the batch's texts.
    index: usize,
}

/// One that does not keep it.
pub(crate) struct WeakRun(Weak<Batch>, usize);

impl WeakRun {
    pub(crate) fn upgrade(&self) -> Option<Run> {
        let batch = self.0.upgrade()?;
        let index = self.1;
        Some(Run { batch, index })
    }
}

struct Batch {
    model: Model,
    run: run::Run,
    texts: Vec<Text>,
    arrays: RefCell<HashMap<(What, usize), Tensor>>,
    /// Of all texts, since they are read together.
    log_probabilities: OnceCell<Vec<Vec<f64>>>,
}

struct Text {
    text: String,
    tokens: Vec<Token>,
    /// What the decoder beside an encoder was given as written.
    target: Vec<Token>,
    is_causal: bool,
    /// Why nothing is predicted.
    silence: Option<ScriptError>,
    facts: OnceCell<Rc<Facts>>,
}

/// What is handed out as a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Logits,
    HiddenStates,
    Place(Place, Option<usize>),
}

options! {
    /// What `lm.run` can be told.
    pub struct RunOptions {
        /// encoder–decoders only: what the decoder has written so far; of a list of texts one for each, or one for all
        target: Option<OneOrMany<String>> = "none",
        /// how many candidates each predicted token has
        topk: usize [1..] = 5,
    }
}

/// Passes over texts, side by side where that is worth it. Targets are one for each text, one for all, or none.
pub(crate) fn run(model: &Model, texts: &[TextOrChat], options: RunOptions) -> Result<Vec<Run>, ScriptError> {
    let (loaded, state) = (model.loaded()?, model.state()?);
    if texts.is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "the list of texts is empty")
            .with_hint("lm.run([\"one text\", \"another\"])"));
    }
    let (targets, top_k) = (targets(&options, texts.len())?, options.topk);
    let mut inputs = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let input = reading::input(
            model,
            text.prompt(),
            targets.as_ref().map(|targets| targets[index].as_str()),
        );
        inputs.push(input.map_err(|error| match texts.len() {
            1 => error,
            _ => of_text(error, index),
        })?);
    }
    let runs = watched(&state, model.verbose, |watch| {
        run::run(&loaded, inputs, top_k, watch)
    })?;
    reading::about_numbers(model, runs.iter().all(says_numbers))?;
    let texts: Vec<String> = texts.iter().map(|text| text.prompt().text().to_owned()).collect();
    let mut all: Vec<(usize, Run)> = runs
        .into_iter()
        .flat_map(|run| batch(model, &loaded, run, &texts))
        .collect();
    all.sort_by_key(|(text, _)| *text);
    Ok(all.into_iter().map(|(_, run)| run).collect())
}

/// One for each text, where there are some.
///
/// # Errors
/// Another number of them.
pub(crate) fn targets(options: &RunOptions, n_texts: usize) -> Result<Option<Vec<String>>, ScriptError> {
    match options.target.as_ref().map(|targets| targets.0.as_slice()) {
        None => Ok(None),
        Some([one]) => Ok(Some(vec![one.clone(); n_texts])),
        Some(many) if many.len() == n_texts => Ok(Some(many.to_vec())),
        Some(many) => {
            let message = format!("there are {} targets for {n_texts} texts", many.len());
            Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("give one target for each text, or one for all")
                .pointing_at("target"))
        }
    }
}

/// Whether what is predicted, if anything is, has probabilities.
fn says_numbers(run: &run::Run) -> bool {
    let is_number = |said: &Prediction| match said {
        Prediction::Token { candidates, .. } => candidates.iter().all(|c| !c.probability.is_nan()),
        Prediction::TokenLabel { labels, .. } => labels.iter().all(|(_, probability)| !probability.is_nan()),
        Prediction::Replaced { probability, .. } | Prediction::Label { probability, .. } => {
            !probability.is_nan()
        }
        Prediction::Span { score, .. } => !score.is_nan(),
        Prediction::Value { value, .. } => !value.is_nan(),
    };
    (0..run.inputs().len()).all(|text| run.predictions(text).iter().all(is_number))
}

/// A pass over the tokens of a text that is already there: what an output is looked into with.
pub(crate) fn again(model: &Model, text: String, input: Input) -> Result<Run, ScriptError> {
    let (loaded, state) = (model.loaded()?, model.state()?);
    let runs = watched(&state, model.verbose, |watch| {
        run::run(&loaded, vec![input], 1, watch)
    })?;
    first(model, &loaded, runs, text)
}

fn first(
    model: &Model,
    loaded: &ecco_models::Model,
    runs: Vec<run::Run>,
    text: String,
) -> Result<Run, ScriptError> {
    let mut runs = runs
        .into_iter()
        .flat_map(|run| batch(model, loaded, run, std::slice::from_ref(&text)));
    let missing = || ScriptError::new(ErrorKind::Internal, "nothing was run");
    Ok(runs.next().ok_or_else(missing)?.1)
}

/// The texts of one batch, each with its place among `texts`.
fn batch(model: &Model, loaded: &ecco_models::Model, run: run::Run, texts: &[String]) -> Vec<(usize, Run)> {
    let of_batch = run.inputs().iter().zip(run.order()).enumerate();
    let of_batch = of_batch.map(|(index, (input, &text))| Text {
        text: texts[text].clone(),
        tokens: match input.embeddings {
            Some(_) => embedded::unknown(input),
            None => loaded.tokenizer().tokens(&input.ids),
        },
        target: loaded.tokenizer().tokens(&input.target),
        is_causal: loaded.config().task == Task::NextToken,
        silence: run.predictions(index).is_empty().then(|| silence(loaded)),
        facts: OnceCell::new(),
    });
    let batch = Rc::new(Batch {
        model: model.plain(),
        texts: of_batch.collect(),
        arrays: RefCell::default(),
        log_probabilities: OnceCell::new(),
        run,
    });
    let order = batch.run.order().iter().enumerate();
    order
        .map(|(index, &text)| {
            let batch = Rc::clone(&batch);
            (text, Run { batch, index })
        })
        .collect()
}

/// An error that says which text of a list it is about.
pub(crate) fn of_text(error: ScriptError, index: usize) -> ScriptError {
    let which = format!("this is text {index} of the list, counted from 0");
    let hint = match &error.hint {
        Some(hint) => format!("{which}; {hint}"),
        None => which,
    };
    error.with_hint(hint)
}

/// Why a model predicts nothing for a text.
pub(crate) fn silence(model: &ecco_models::Model) -> ScriptError {
    if model.config().task == Task::States {
        let name = model.name().to_owned();
        return ecco_models::Error::NoHead { model: name }.into();
    }
    if model.config().task.label().is_some() {
        let message = "every token asked about stands for no text, so there is nothing to say of it";
        return ScriptError::new(ErrorKind::Value, message);
    }
    match model.tokenizer().mask() {
        Some(mask) => {
            let mask = mask.text;
            let message = format!("the text has no {mask}, so there is nothing to predict");
            let example = format!("lm.run(\"Paris is the {mask} of France.\")");
            ScriptError::new(ErrorKind::Value, message)
                .with_hint(format!("the model names the tokens behind {mask}: {example}"))
        }
        None => ScriptError::new(
            ErrorKind::Value,
            "the tokenizer has no mask token, so the model cannot be asked to predict one",
        ),
    }
}

impl Run {
    pub(crate) fn weak(&self) -> WeakRun {
        WeakRun(Rc::downgrade(&self.batch), self.index)
    }

    /// Where its text lies: no other run's does.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self.text()) as usize
    }

    fn text(&self) -> &Text {
        &self.batch.texts[self.index]
    }

    pub(crate) fn model(&self) -> &Model {
        &self.batch.model
    }

    pub(crate) fn input(&self) -> &Input {
        &self.batch.run.inputs()[self.index]
    }

    /// Whether the model reads from left to right, and says what follows.
    pub(crate) fn is_causal(&self) -> bool {
        self.text().is_causal
    }

    pub(crate) fn source(&self) -> &str {
        &self.text().text
    }

    pub(crate) fn tokens(&self) -> &[Token] {
        &self.text().tokens
    }

    pub(crate) fn target_tokens(&self) -> &[Token] {
        &self.text().target
    }

    /// The text that explanations are about, also where its tokens are not known.
    pub(crate) fn passage(&self) -> Passage {
        let facts = self.text().facts.get_or_init(|| Rc::new(Facts::of_run(self)));
        Passage::of_run(self, Rc::clone(facts))
    }

    pub(crate) fn log_probabilities(&self) -> Result<&[f64], ScriptError> {
        let (model, known) = (&self.batch.model, &self.batch.log_probabilities);
        if known.get().is_none() {
            let (loaded, state, run) = (model.loaded()?, model.state()?, &self.batch.run);
            let all = watched(&state, model.verbose, |watch| {
                run.log_probabilities(&loaded, watch)
            })?;
            let _ = known.set(all);
        }
        Ok(known.get().map_or(&[], |all| &all[self.index]))
    }

    pub(crate) fn logits(&self) -> Result<Tensor, ScriptError> {
        self.tensor(What::Logits)
    }

    /// (layer + 1, position, hidden), as transformers has it: first the embeddings, last after the final norm.
    pub(crate) fn hidden_states(&self) -> Result<Tensor, ScriptError> {
        self.tensor(What::HiddenStates)
    }

    /// The same of the encoder beside a decoder.
    pub(crate) fn encoder_hidden_states(&self) -> Result<Tensor, ScriptError> {
        let of = |site| self.at(Place { site, encoder: true }, None);
        let (before, last) = (of(Site::ResidualBefore)?, of(Site::FinalNorm)?);
        let last = last.data().insert_axis(Axis(0));
        let all = concatenate(Axis(0), &[before.data().view(), last.view()])
            .map_err(|error| ScriptError::new(ErrorKind::Internal, error.to_string()))?;
        Ok(Tensor::new(all, &["layer", "position", "hidden"]))
    }

    /// A place of the model, at one layer or at all.
    pub(crate) fn at(&self, place: Place, layer: Option<usize>) -> Result<Tensor, ScriptError> {
        self.tensor(What::Place(place, layer))
    }

    /// The layers that have a place.
    pub(crate) fn layers(&self, place: Place) -> Result<Vec<usize>, ScriptError> {
        let layers = match self.batch.run.records().layers(place) {
            none if none.is_empty() => run::probe(&*self.batch.model.loaded()?)?.layers(place),
            layers => layers,
        };
        match layers.is_empty() {
            false => Ok(layers),
            true => {
                let error = ecco_models::Error::NoSite {
                    site: place.name(),
                    layer: None,
                };
                Err(self.explained(error, place))
            }
        }
    }

    /// The same by name.
    ///
    /// # Errors
    /// A name that no place has, or none of this model's.
    pub(crate) fn at_name(&self, name: &str, layer: Option<usize>) -> Result<Tensor, ScriptError> {
        self.at(self.place(name)?, layer)
    }

    /// The place of that name.
    ///
    /// # Errors
    /// A name that no place has.
    pub(crate) fn place(&self, name: &str) -> Result<Place, ScriptError> {
        place(&self.batch.model, name)
    }

    fn tensor(&self, what: What) -> Result<Tensor, ScriptError> {
        let key = (what, self.index);
        if let Some(tensor) = self.batch.arrays.borrow().get(&key) {
            return Ok(tensor.clone());
        }
        match what {
            What::Place(place, layer) if !self.batch.run.records().has(place) => {
                self.record(place, layer)?;
            }
            _ => {
                let (array, axes) = self.array(what)?;
                let tensor = Tensor::new(array, &axes);
                self.batch.arrays.borrow_mut().insert(key, tensor);
            }
        }
        let arrays = self.batch.arrays.borrow();
        let missing = || ScriptError::new(ErrorKind::Internal, "nothing was recorded");
        arrays.get(&key).cloned().ok_or_else(missing)
    }

    /// From what the run kept.
    fn array(&self, what: What) -> Result<(ArrayD<f32>, Vec<&'static str>), ScriptError> {
        let (batch, index) = (&self.batch, self.index);
        let records = batch.run.records();
        match what {
            What::Logits => {
                let loaded = batch.model.loaded()?;
                let task = &loaded.config().task;
                let axes = match task.names().len() {
                    0 => vec!["position", "vocabulary"],
                    _ if task.is_of_text() => vec!["label"],
                    1 => vec!["position"],
                    _ => vec!["position", "label"],
                };
                Ok((batch.run.logits(&loaded, index)?, axes))
            }
            What::HiddenStates => Ok((
                hidden_states(records, false, index)?,
                vec!["layer", "position", "hidden"],
            )),
            What::Place(place, layer) => {
                let array = records.array(place, layer, index);
                let array = array.map_err(|error| self.explained(error, place))?;
                Ok((array, axes(place, layer)))
            }
        }
    }

    /// Another pass over the batch, for one place; all its texts have it then.
    fn record(&self, place: Place, layer: Option<usize>) -> Result<(), ScriptError> {
        let batch = &self.batch;
        let (loaded, state) = (batch.model.loaded()?, batch.model.state()?);
        let records = watched(&state, batch.model.verbose, |watch| {
            run::record(
                &loaded,
                batch.run.inputs(),
                &[place],
                layer.as_ref().map(std::slice::from_ref),
                watch,
            )
        })?;
        for index in 0..batch.texts.len() {
            let array = records.array(place, layer, index);
            let array = array.map_err(|error| self.explained(error, place))?;
            let tensor = Tensor::new(array, &axes(place, layer));
            let key = (What::Place(place, layer), index);
            batch.arrays.borrow_mut().insert(key, tensor);
        }
        Ok(())
    }

    /// What is wrong with a place, and which there are.
    fn explained(&self, error: ecco_models::Error, place: Place) -> ScriptError {
        let is_missing = matches!(error, ecco_models::Error::NoSite { layer: None, .. });
        match is_missing {
            true => with_sites(&self.batch.model, error.into(), &place.name()),
            false => error.into(),
        }
    }
}

fn axes(place: Place, layer: Option<usize>) -> Vec<&'static str> {
    let axes = place.axes().iter().copied();
    axes.filter(|axis| layer.is_none() || *axis != "layer").collect()
}

/// (layer + 1, position, hidden) of one text, as transformers has it: first the embeddings, last after the final norm.
/// Of the encoder beside a decoder, or of the stack whose head speaks.
pub(crate) fn hidden_states(
    records: &Records,
    encoder: bool,
    text: usize,
) -> Result<ArrayD<f32>, ScriptError> {
    let of = |site| records.array(Place { site, encoder }, None, text);
    let (before, last) = (of(Site::ResidualBefore)?, of(Site::FinalNorm)?);
    let last = last.insert_axis(Axis(0));
    concatenate(Axis(0), &[before.view(), last.view()])
        .map_err(|error| ScriptError::new(ErrorKind::Internal, error.to_string()))
}

//! One forward pass over a text, and what is recorded of it when it is first asked for.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;

use ecco_interpreter::Explorable;
use ecco_models::config::Task;
use ecco_models::run::{self, Candidate, Input, Place, Prediction};
use ecco_models::{Site, Token};
use ecco_widgets::{Reading, Said};
use ndarray::{ArrayD, Axis, concatenate};
use rhai::{Array, Dynamic, INT, Map};

use super::passage::{Facts, Passage};
use super::shown::{shown, shown_one};
use crate::models::model::Model;
use crate::text::chat::TextOrChat;
use ecco_scripting::options::OneOrMany;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError, options};

/// One text's part of a pass. Clones share everything; so do the texts of one batch.
#[derive(Clone)]
pub struct Run {
    batch: Rc<Batch>,
    /// Which of the batch's texts.
    index: usize,
}

struct Batch {
    model: Model,
    run: run::Run,
    texts: Vec<Text>,
    arrays: RefCell<HashMap<(What, usize), Tensor>>,
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
pub fn run(model: &Model, texts: &[TextOrChat], options: RunOptions) -> Result<Vec<Run>, ScriptError> {
    let (targets, top_k) = (options.target.map(|targets| targets.0), options.topk);
    let (loaded, state) = (model.loaded()?, model.state()?);
    if texts.is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "the list of texts is empty")
            .with_hint("lm.run([\"one text\", \"another\"])"));
    }
    let target = |index: usize| match targets.as_deref() {
        Some([one]) => Ok(Some(one.as_str())),
        Some(many) if many.len() == texts.len() => Ok(Some(many[index].as_str())),
        None => Ok(None),
        Some(many) => {
            let message = format!("there are {} targets for {} texts", many.len(), texts.len());
            Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("give one target for each text, or one for all")
                .pointing_at("target"))
        }
    };
    let mut inputs = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        let input = Input::new(&loaded, text.prompt(), target(index)?).map_err(ScriptError::from);
        inputs.push(input.map_err(|error| match texts.len() {
            1 => error,
            _ => of_text(error, index),
        })?);
    }
    let runs = watched(&state, model.verbose, |watch| {
        run::run(&loaded, inputs, top_k, watch)
    })?;
    let texts: Vec<String> = texts.iter().map(|text| text.prompt().text().to_owned()).collect();
    let mut all: Vec<(usize, Run)> = runs
        .into_iter()
        .flat_map(|run| batch(model, &loaded, run, &texts))
        .collect();
    all.sort_by_key(|(text, _)| *text);
    Ok(all.into_iter().map(|(_, run)| run).collect())
}

/// A pass over the tokens of a text that is already there: what an output is looked into with.
pub fn again(model: &Model, text: String, input: Input) -> Result<Run, ScriptError> {
    let (loaded, state) = (model.loaded()?, model.state()?);
    let runs = watched(&state, model.verbose, |watch| {
        run::run(&loaded, vec![input], 1, watch)
    })?;
    let mut runs = runs
        .into_iter()
        .flat_map(|run| batch(model, &loaded, run, std::slice::from_ref(&text)));
    let missing = || ScriptError::new(ErrorKind::Internal, "nothing was run");
    Ok(runs.next().ok_or_else(missing)?.1)
}

/// The texts of one batch, each with its place among `texts`.
fn batch(model: &Model, loaded: &ecco_models::Model, run: run::Run, texts: &[String]) -> Vec<(usize, Run)> {
    let of_batch = run.inputs().iter().zip(run.order()).enumerate();
    let of_batch = of_batch.map(|(index, (input, &text))| Text {
        text: texts[text].clone(),
        tokens: loaded.tokenizer().tokens(&input.ids),
        target: loaded.tokenizer().tokens(&input.target),
        is_causal: loaded.config().task == Task::NextToken,
        silence: run.predictions(index).is_empty().then(|| silence(loaded)),
        facts: OnceCell::new(),
    });
    let batch = Rc::new(Batch {
        model: model.plain(),
        texts: of_batch.collect(),
        arrays: RefCell::default(),
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
fn of_text(error: ScriptError, index: usize) -> ScriptError {
    let which = format!("this is text {index} of the list, counted from 0");
    let hint = match &error.hint {
        Some(hint) => format!("{which}; {hint}"),
        None => which,
    };
    error.with_hint(hint)
}

/// Why a model predicts nothing for a text.
pub fn silence(model: &ecco_models::Model) -> ScriptError {
    if model.config().task == Task::States {
        let name = model.name().to_owned();
        return ecco_models::Error::NoHead { model: name }.into();
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
    fn text(&self) -> &Text {
        &self.batch.texts[self.index]
    }

    pub fn model(&self) -> &Model {
        &self.batch.model
    }

    pub fn input(&self) -> &Input {
        &self.batch.run.inputs()[self.index]
    }

    /// Whether the model reads from left to right, and says what follows.
    pub fn is_causal(&self) -> bool {
        self.text().is_causal
    }

    pub fn source(&self) -> &str {
        &self.text().text
    }

    pub fn tokens(&self) -> &[Token] {
        &self.text().tokens
    }

    pub fn target_tokens(&self) -> &[Token] {
        &self.text().target
    }

    /// The text that explanations are about.
    pub fn passage(&self) -> Passage {
        let facts = self.text().facts.get_or_init(|| Rc::new(Facts::of_run(self)));
        Passage::of_run(self, Rc::clone(facts))
    }

    pub fn logits(&self) -> Result<Tensor, ScriptError> {
        self.tensor(What::Logits)
    }

    /// (layer + 1, position, hidden), as transformers has it: first the embeddings, last after the final norm.
    pub fn hidden_states(&self) -> Result<Tensor, ScriptError> {
        self.tensor(What::HiddenStates)
    }

    /// A place of the model, at one layer or at all.
    pub fn at(&self, place: Place, layer: Option<usize>) -> Result<Tensor, ScriptError> {
        self.tensor(What::Place(place, layer))
    }

    /// The layers that have a place.
    pub fn layers(&self, place: Place) -> Result<Vec<usize>, ScriptError> {
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
    pub fn at_name(&self, name: &str, layer: Option<usize>) -> Result<Tensor, ScriptError> {
        self.at(self.place(name)?, layer)
    }

    /// The place of that name.
    ///
    /// # Errors
    /// A name that no place has.
    pub fn place(&self, name: &str) -> Result<Place, ScriptError> {
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
                let axes = match loaded.config().task {
                    Task::Replaced(_) => vec!["position"],
                    Task::Label(_) => vec!["label"],
                    _ => vec!["position", "vocabulary"],
                };
                Ok((batch.run.logits(&loaded, index)?, axes))
            }
            What::HiddenStates => {
                let before = records.array(Place::of(Site::ResidualBefore), None, index)?;
                let last = records.array(Place::of(Site::FinalNorm), None, index)?;
                let last = last.insert_axis(Axis(0));
                let all = concatenate(Axis(0), &[before.view(), last.view()])
                    .map_err(|error| ScriptError::new(ErrorKind::Internal, error.to_string()))?;
                Ok((all, vec!["layer", "position", "hidden"]))
            }
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
            run::record(&loaded, batch.run.inputs(), &[place], layer, watch)
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

    pub fn predicted(&self) -> &[Prediction] {
        self.batch.run.predictions(self.index)
    }

    /// What the model says, as maps: see the primitive.
    pub fn predictions(&self) -> Result<Array, ScriptError> {
        match &self.text().silence {
            Some(silence) => Err(silence.clone()),
            None => Ok(self.predicted().iter().map(|said| self.map(said)).collect()),
        }
    }

    fn map(&self, said: &Prediction) -> Dynamic {
        let number = |probability: f32| Dynamic::from_float(f64::from(probability));
        let position = |position: usize| ("position".into(), Dynamic::from_int(position as INT));
        let candidate = |Candidate { token, probability }: &Candidate| {
            Map::from([
                ("token".into(), token.text.clone().into()),
                ("token_id".into(), Dynamic::from_int(token.id.into())),
                ("probability".into(), number(*probability)),
            ])
        };
        Dynamic::from_map(match said {
            Prediction::Token {
                position: at,
                candidates,
            } => {
                let mut map = candidates.first().map(candidate).unwrap_or_default();
                let top: Array = candidates.iter().map(|one| candidate(one).into()).collect();
                map.extend([position(*at), ("top".into(), top.into())]);
                map
            }
            Prediction::Replaced {
                position: at,
                probability,
            } => Map::from([
                position(*at),
                ("token".into(), self.tokens()[*at].text.clone().into()),
                ("probability".into(), number(*probability)),
            ]),
            Prediction::Label {
                name, probability, ..
            } => Map::from([
                ("label".into(), name.clone().into()),
                ("probability".into(), number(*probability)),
            ]),
        })
    }

    pub fn view(&self) -> Reading {
        let mut said = match &self.text().silence {
            Some(silence) => Said::Nothing {
                reason: silence.message.clone(),
            },
            None => Said::Tokens { places: vec![] },
        };
        for prediction in self.predicted() {
            match prediction {
                Prediction::Token { position, candidates } => {
                    let candidates = candidates.iter().map(|c| (shown_one(&c.token), c.probability));
                    said.add_token(*position, candidates.collect());
                }
                Prediction::Replaced { probability, .. } => said.add_replaced(*probability),
                Prediction::Label {
                    name,
                    probability,
                    independent,
                } => said.add_label(name, *probability, *independent),
            }
        }
        Reading {
            model: Some(self.batch.model.card().name.clone()),
            text: self.source().to_owned(),
            tokens: shown(self.tokens()),
            target: shown(self.target_tokens()),
            said,
        }
    }
}

impl Show for Run {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()))
    }

    /// `run over 9 tokens, first "capital" 93%`
    fn line(&self) -> String {
        let mut line = format!("run over {} tokens", self.tokens().len());
        if !self.target_tokens().is_empty() {
            line.push_str(&format!(" and {} written", self.target_tokens().len()));
        }
        if let Some(best) = self.view().said.best() {
            line.push_str(&format!(": {best}"));
        }
        line
    }
}

impl Explanation for Run {
    /// What the head says, and the stream; the stream alone where there is no head.
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let has_head = self.batch.model.loaded()?.config().task != Task::States;
        let mut tensors = Vec::new();
        if has_head {
            tensors.push(("logits", self.logits()?));
        }
        tensors.push(("hidden_states", self.hidden_states()?));
        Ok(tensors)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let spoken = match self.target_tokens() {
            [] => self.tokens(),
            target => target,
        };
        match axis {
            "position" => Some(spoken.iter().map(|token| token.text.clone()).collect()),
            "label" => match &self.batch.model.loaded().ok()?.config().task {
                Task::Label(label) => Some(label.names.clone()),
                _ => None,
            },
            _ => None,
        }
    }
}

fn axes(place: Place, layer: Option<usize>) -> Vec<&'static str> {
    let axes = place.axes().iter().copied();
    axes.filter(|axis| layer.is_none() || *axis != "layer").collect()
}

/// A place by its name.
///
/// # Errors
/// A name that no place has.
pub fn place(model: &Model, name: &str) -> Result<Place, ScriptError> {
    Place::parse(name).ok_or_else(|| {
        let message = format!("there is no site \"{name}\"");
        with_sites(model, ScriptError::new(ErrorKind::Value, message), name)
    })
}

/// An error about a site's name, with those that there are.
pub fn with_sites(model: &Model, error: ScriptError, name: &str) -> ScriptError {
    let known = model.loaded().map(|loaded| run::sites(&loaded));
    let Ok(Ok(known)) = known else {
        return error;
    };
    let known: Vec<String> = known.into_iter().map(|(place, _)| place.name()).collect();
    let list = format!("lm.sites() describes them: {}", known.join(", "));
    match ecco_scripting::errors::nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => error.with_hint(format!("did you mean \"{meant}\"? {list}")),
        None => error.with_hint(list),
    }
}

/// Each site of a model with its axes: `(layer 6, head 12, query, key)`.
pub fn sites(model: &Model) -> Result<Map, ScriptError> {
    let loaded = model.loaded()?;
    let line = |place: Place, shape: Vec<Option<usize>>| {
        let axes = place.axes().iter().zip(shape);
        let axes: Vec<String> = axes
            .map(|(axis, length)| match length {
                Some(length) => format!("{axis} {length}"),
                None => (*axis).to_owned(),
            })
            .collect();
        format!("({})", axes.join(", "))
    };
    let sites = run::sites(&loaded)?.into_iter();
    Ok(sites
        .map(|(place, shape)| (place.name().into(), line(place, shape).into()))
        .collect())
}

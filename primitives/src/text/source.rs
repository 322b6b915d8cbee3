//! Texts with what happened inside a model: outputs and runs, looked at in the same way.

use ecco_models::Site;
use ecco_models::run::Place;
use ecco_widgets::Token;
use rhai::{Array, Dynamic};
use serde_json::{Value, json};

use crate::models::model::Model;
use crate::text::generation::{Generation, Recorded, token_sequence};
use crate::text::run::Run;
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::result::show;
use ecco_scripting::tensor::Tensor;

/// An output of `generate` or a run.
#[derive(Clone)]
pub enum Source {
    Output(Generation),
    Run(Run),
}

/// Tokens beside numbers, one for each place where the numbers stand.
#[derive(Clone)]
pub struct Shown {
    pub tokens: Vec<Token>,
    /// How many were given.
    pub n_input: usize,
    /// The tokens whose position is read once more, for the first generated one.
    twice: Option<usize>,
}

impl Shown {
    /// A number for each token: for an input its own, for an output that of the position where it was predicted, one
    /// before it. So the last input's value stands twice.
    pub fn values(&self, by_position: &[f32]) -> Vec<f32> {
        let mut values = by_position.to_vec();
        if let Some(at) = self.twice.filter(|at| *at > 0 && *at <= values.len()) {
            values.insert(at, values[at - 1]);
        }
        values
    }
}

impl From<Generation> for Source {
    fn from(output: Generation) -> Self {
        Self::Output(output)
    }
}

impl From<Run> for Source {
    fn from(run: Run) -> Self {
        Self::Run(run)
    }
}

impl Source {
    /// If the value is one.
    pub fn of(value: &Dynamic) -> Option<Self> {
        if let Some(output) = value.read_lock::<Generation>() {
            return Some(output.clone().into());
        }
        value.read_lock::<Run>().map(|run| run.clone().into())
    }

    /// A list of them.
    ///
    /// # Errors
    /// An empty list, or one with something else in it.
    pub fn all(values: &Array) -> Result<Vec<Self>, ScriptError> {
        if values.is_empty() {
            return Err(ScriptError::new(ErrorKind::Value, "the list of outputs is empty")
                .with_hint("give outputs of lm.generate or runs of lm.run: [output_1, output_2]"));
        }
        let one = |value: &Dynamic| match Self::of(value) {
            Some(source) => Ok(source),
            None => show::expected("a list of outputs or runs", value),
        };
        values.iter().map(one).collect()
    }

    /// One or a list.
    pub fn some(value: &Dynamic) -> Result<Vec<Self>, ScriptError> {
        match (Self::of(value), value.as_array_ref()) {
            (Some(source), _) => Ok(vec![source]),
            (None, Ok(values)) => Self::all(&values),
            (None, Err(_)) => show::expected("an output, a run, or a list of them", value),
        }
    }

    pub fn model(&self) -> &Model {
        match self {
            Self::Output(output) => output.model(),
            Self::Run(run) => run.model(),
        }
    }

    /// The pass that is looked into.
    fn run(&self) -> Result<Run, ScriptError> {
        match self {
            Self::Output(output) => output.run(),
            Self::Run(run) => Ok(run.clone()),
        }
    }

    /// The place of that name, in this model.
    ///
    /// # Errors
    /// A name that no place has.
    pub fn place(&self, name: &str) -> Result<Place, ScriptError> {
        match Place::parse(name) {
            Some(place) => Ok(place),
            None => self.run()?.place(name),
        }
    }

    /// A place at one layer or at all, and the numbers of the layers if they are not all there are.
    pub fn at(
        &self,
        place: Place,
        layer: Option<usize>,
    ) -> Result<(Tensor, Option<Vec<usize>>), ScriptError> {
        match self {
            // May have been recorded right after generating, and outlive the model.
            Self::Output(output) if place == Place::of(Site::MlpInner) && !output.is_pair() => {
                let all = output.recorded(Recorded::Activations)?;
                Ok((all, Some(output.activation_layers())))
            }
            _ => {
                let layer = layer.filter(|_| place.axes()[0] == "layer");
                let tensor = self.run()?.at(place, layer)?;
                Ok((tensor, layer.map(|layer| vec![layer])))
            }
        }
    }

    /// The tokens that were read, one for each position of a place. For an output of one stack the last generated one
    /// too, though nothing has read it.
    pub fn read(&self, place: Place) -> Result<Shown, ScriptError> {
        let (tokens, n_input) = match self {
            Self::Output(output) if !output.is_pair() => (output.tokens().to_vec(), output.n_input()),
            _ => {
                let run = self.run()?;
                let tokens = match run.target_tokens() {
                    [] => run.tokens(),
                    _ if place.encoder => run.tokens(),
                    written => written,
                };
                (tokens.to_vec(), tokens.len())
            }
        };
        Ok(Shown {
            tokens: token_sequence(&tokens, n_input, false).tokens,
            n_input,
            twice: None,
        })
    }

    /// The tokens that a place's numbers are shown with: inputs, and outputs where they were predicted.
    pub fn shown(&self, place: Place) -> Result<Shown, ScriptError> {
        let Self::Output(output) = self else {
            return self.read(place);
        };
        let n_input = output.n_input();
        let shown = |tokens: &[ecco_models::Token], n_input, twice| Shown {
            tokens: token_sequence(tokens, n_input, false).tokens,
            n_input,
            twice,
        };
        Ok(match (output.is_pair(), place.encoder) {
            (true, true) => shown(&output.tokens()[..n_input], n_input, None),
            (true, false) => shown(&output.tokens()[n_input..], 0, None),
            _ => {
                let made_some = output.n_positions() < output.tokens().len();
                shown(output.tokens(), n_input, made_some.then_some(n_input))
            }
        })
    }

    /// For files: the model and the tokens.
    pub fn about(&self) -> Value {
        match self {
            Self::Output(output) => Value::Object(output.about()),
            Self::Run(run) => {
                let texts = |tokens: &[ecco_models::Token]| -> Vec<String> {
                    tokens.iter().map(|token| token.text.clone()).collect()
                };
                json!({
                    "model": run.model().card().name,
                    "tokens": texts(run.tokens()),
                    "target_tokens": texts(run.target_tokens()),
                })
            }
        }
    }
}

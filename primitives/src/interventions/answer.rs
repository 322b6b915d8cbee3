//! What is watched in two texts that get different answers.

use ecco_explain::intervention::answer::Answer;
use ecco_explain::{Outcome, Quantity, Target};
use ecco_interpreter::named;
use ecco_models::config::Task;
use ecco_models::run::{Input, Prediction, masked_positions, run};

use crate::text::token::token;
use ecco_scripting::options::{Choice, Word};
use ecco_scripting::{ErrorKind, ScriptError, options};

named! {
    /// What counts as the answer.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Metric {
        Probability = "probability",
        Logit = "logit",
        LogProbability = "log_probability",
        /// How far all that is predicted is from what is predicted in the clean text, in nats.
        Divergence = "kl",
    }
}

options! {
    /// The answer that is watched in two texts.
    pub struct AnswerOptions {
        /// the token (or label) whose answer is watched
        target: Option<Word> = "what the model says of the clean text, and of the corrupted one as contrast",
        /// less the answer for this one
        contrast: Option<Word> = "none",
        /// what counts as the answer; "kl" needs no target: KL(clean ‖ patched) of all that is predicted there, in nats
        metric: Option<Choice<Metric>> = "\"logit\" with a contrast, else \"probability\"",
        /// of the token that is predicted
        position: Option<usize> = "behind the last token; the mask",
    }
}

impl Metric {
    fn quantity(self) -> Option<Quantity> {
        match self {
            Self::Probability => Some(Quantity::Probability),
            Self::Logit => Some(Quantity::Logit),
            Self::LogProbability => Some(Quantity::LogProbability),
            Self::Divergence => None,
        }
    }
}

/// What is watched in a clean and a corrupted text, and the same for people.
pub(crate) struct Watched {
    pub clean: Answer,
    pub corrupted: Answer,
    pub name: String,
}

/// `positions` are those where the answer is predicted in the clean and in the corrupted text.
pub(crate) fn watched(
    model: &ecco_models::Model,
    [clean, corrupted]: [&Input; 2],
    positions: [Option<usize>; 2],
    options: &AnswerOptions,
) -> Result<Watched, ScriptError> {
    let said = |position: Option<usize>, id: u32| {
        let label = id as usize;
        match (position, model.config().task.names()) {
            (Some(position), []) => Outcome::Token { position, id },
            (Some(position), _) => Outcome::TokenLabel { position, label },
            (None, _) => Outcome::Label(label),
        }
    };
    let metric = options.metric.map(|metric| metric.0.quantity());
    if metric == Some(None) {
        let named = [("target", &options.target), ("contrast", &options.contrast)];
        if let Some((option, _)) = named.into_iter().find(|(_, word)| word.is_some()) {
            let message = "the divergence is of all tokens or labels together: none is named";
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at(option));
        }
        let [clean, corrupted] = positions.map(|position| Answer::Divergence(said(position, 0)));
        let name = "KL(clean ‖ patched) in nats".to_owned();
        return Ok(Watched {
            clean,
            corrupted,
            name,
        });
    }
    let named = |option: &str, word: &Option<Word>| {
        let word = word.as_ref();
        word.map(|word| id(model, option, word)).transpose()
    };
    let (id, contrast) = match named("target", &options.target)? {
        Some(id) => (id, named("contrast", &options.contrast)?),
        None => {
            let best_id = best(model, clean, positions[0])?;
            let other = match named("contrast", &options.contrast)? {
                Some(id) => id,
                None => best(model, corrupted, positions[1])?,
            };
            (best_id, Some(other).filter(|other| *other != best_id))
        }
    };
    let quantity = match (metric.flatten(), contrast) {
        (Some(quantity), _) => quantity,
        (None, Some(_)) => Quantity::Logit,
        (None, None) => Quantity::Probability,
    };
    let [clean, corrupted] = positions.map(|position| {
        Answer::Target(Target {
            contrast,
            ..Target::from(said(position, id)).of(quantity)
        })
    });
    let name = answer(model, quantity, id, contrast);
    Ok(Watched {
        clean,
        corrupted,
        name,
    })
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
pub(crate) fn position(
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

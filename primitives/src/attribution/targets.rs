//! From options to what is explained: tokens and labels by name, places, one rather than another.

use std::rc::Rc;

use ecco_explain::{Outcome, Quantity, Target};
use ecco_models::Model;
use ecco_models::config::{Reading, Task};
use ecco_models::run::Prediction;
use ecco_widgets::saliency::Target as NamedTarget;

use super::saliency_options::TargetOptions;
use super::target_names::target_name;
use crate::text::passage::Passage;
use crate::text::run::silence;
use crate::text::token::token as token_of;
use ecco_scripting::options::{TargetOption, Word};
use ecco_scripting::{ErrorKind, ScriptError};

/// What is explained, and how it is shown.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Targets {
    pub list: Vec<Target>,
    /// The names of targets that are not the written tokens.
    pub named: Option<Vec<NamedTarget>>,
}

/// Which of them a script asked for.
#[derive(Debug, Clone)]
pub(super) enum Selection {
    /// By name or place, or because they were written.
    Listed(Rc<Targets>),
    /// What the model says: its most probable label, or token at each place, these or all.
    MostProbable {
        of: Quantity,
        positions: Option<Vec<usize>>,
    },
}

impl Selection {
    /// What options say. What the model must be asked for is left for later.
    ///
    /// # Errors
    /// Texts that are not one token, labels that are none, places outside of the text, options that this kind of model
    /// has no use for.
    pub(super) fn new(passage: &Passage, options: &TargetOptions) -> Result<Self, ScriptError> {
        let of = options.of.0;
        let positions = options.position.clone().map(|positions| positions.0);
        let mut given = options.target.clone().unwrap_or_default();
        if given.is_empty() && options.contrast.is_none() {
            return Self::of_places(passage, of, positions);
        }
        if given.is_empty() {
            given.push(TargetOption::default());
        }
        let reader = Reader::new(passage, of)?;
        let mut all = Vec::new();
        for mut one in given {
            one.contrast = one.contrast.or_else(|| options.contrast.clone());
            all.extend(reader.targets(&one, positions.as_deref())?);
        }
        Ok(Self::listed(all, passage))
    }

    /// The tokens that stand there, or what the model says there.
    fn of_places(
        passage: &Passage,
        of: Quantity,
        positions: Option<Vec<usize>>,
    ) -> Result<Self, ScriptError> {
        let Some(places) = &positions else {
            // Only what writes from left to right has written something. What was computed outlives the model.
            return Ok(match passage.n_written() {
                0 => Self::MostProbable { of, positions },
                _ => Self::written(passage, of),
            });
        };
        let reader = Reader::new(passage, of)?;
        match &reader.task {
            Task::NextToken | Task::MaskedToken(_) => {
                places.iter().try_for_each(|&place| reader.check(place))?;
                if places.iter().any(|&place| reader.standing(place).is_none()) {
                    return Ok(Self::MostProbable { of, positions });
                }
                let standing = places
                    .iter()
                    .map(|&place| reader.target(place, &TargetOption::default()));
                Ok(Self::listed(standing.collect::<Result<_, _>>()?, passage))
            }
            task if task.is_of_text() || *task == Task::States => Err(no_place()),
            task => {
                places.iter().try_for_each(|&place| reader.check(place))?;
                if task.reading() == Reading::OneOf {
                    return Ok(Self::MostProbable { of, positions });
                }
                let labels = 0..task.names().len();
                let said = |&position: &usize| {
                    let label = move |label| Outcome::TokenLabel { position, label };
                    labels.clone().map(move |of| label(of).into())
                };
                let said = places.iter().flat_map(said).map(|target: Target| target.of(of));
                Ok(Self::listed(said.collect(), passage))
            }
        }
    }

    fn written(passage: &Passage, of: Quantity) -> Self {
        let from = if passage.is_pair() { 1 } else { passage.n_input() };
        let written = Target::written(passage.input(), from);
        Self::Listed(Rc::new(Targets {
            list: written.into_iter().map(|target| target.of(of)).collect(),
            named: None,
        }))
    }

    fn listed(list: Vec<Target>, passage: &Passage) -> Self {
        Self::Listed(Rc::new(Targets::named(list, passage)))
    }
}

impl Targets {
    fn named(list: Vec<Target>, passage: &Passage) -> Self {
        let named = list.iter().map(|target| target_name(passage, target)).collect();
        Self {
            list,
            named: Some(named),
        }
    }

    /// The names of all, for people.
    pub(super) fn names(&self, passage: &Passage) -> Vec<NamedTarget> {
        match &self.named {
            Some(named) => named.clone(),
            None => self
                .list
                .iter()
                .map(|target| target_name(passage, target))
                .collect(),
        }
    }
}

fn no_place() -> ScriptError {
    ScriptError::new(
        ErrorKind::Value,
        "`position` is given, but a label is said of the whole text",
    )
    .pointing_at("position")
}

impl Selection {
    /// Asks the model where that is needed.
    pub(super) fn targets(&self, passage: &Passage) -> Result<Rc<Targets>, ScriptError> {
        let (of, positions) = match self {
            Self::Listed(targets) => return Ok(Rc::clone(targets)),
            Self::MostProbable { of, positions } => (*of, positions.as_deref()),
        };
        let loaded = passage.model().loaded()?;
        let predictions = passage.predictions()?;
        let is_wanted = |position: usize| {
            let place = passage.shown_position(position);
            positions.is_none_or(|positions| positions.contains(&place))
        };
        let labels = loaded.config().task.names();
        let number = |name: &String| labels.iter().position(|label| label == name);
        let at = |position: usize, label: usize| Target::from(Outcome::TokenLabel { position, label });
        let target = |prediction: &Prediction| match prediction {
            Prediction::Token { position, candidates } if is_wanted(*position) => candidates
                .first()
                .map(|best| Target::token(*position, best.token.id)),
            Prediction::Label { name, .. } | Prediction::Value { name, .. } => {
                number(name).map(Target::label)
            }
            Prediction::TokenLabel { position, labels } if is_wanted(*position) => {
                let (name, _) = labels.first()?;
                number(name).map(|label| at(*position, label))
            }
            _ => None,
        };
        let is_something = |said: &&Prediction| match said {
            Prediction::TokenLabel { labels, .. } => labels.first().is_some_and(|(name, _)| name != OUTSIDE),
            _ => true,
        };
        let mut list: Vec<Target> = match &predictions[..] {
            // A classifier's labels come in order, the most probable first; so do answers.
            [first @ Prediction::Label { .. }, ..] => target(first).into_iter().collect(),
            [Prediction::Span { start, end, .. }, ..] => vec![at(*start, 0), at(*end, 1)],
            all => {
                let of_parts = all
                    .iter()
                    .filter(|said| positions.is_some() || is_something(said));
                let of_parts: Vec<Target> = of_parts.filter_map(target).collect();
                match of_parts.is_empty() {
                    true => all.iter().filter_map(target).collect(),
                    false => of_parts,
                }
            }
        };
        list.extend(most_replaced(&predictions));
        if let Some(positions) = positions {
            let reader = Reader::new(passage, of)?;
            let standing = positions
                .iter()
                .filter(|&&place| reader.standing(place).is_some());
            let standing = standing.map(|&place| reader.target(place, &TargetOption::default()));
            list.extend(standing.collect::<Result<Vec<_>, _>>()?);
        }
        if list.is_empty() {
            return Err(silence(&loaded));
        }
        let list: Vec<Target> = list.into_iter().map(|target| target.of(of)).collect();
        Ok(Rc::new(Targets::named(list, passage)))
    }
}

/// What a token's label is called where it is no part of anything.
const OUTSIDE: &str = "O";

/// The token that was most probably replaced.
fn most_replaced(predictions: &[Prediction]) -> Option<Target> {
    let replaced = predictions.iter().filter_map(|prediction| match prediction {
        Prediction::Replaced {
            position,
            probability,
        } => Some((*position, *probability)),
        _ => None,
    });
    let (position, _) = replaced.max_by(|a, b| a.1.total_cmp(&b.1))?;
    Some(Outcome::TokenLabel { position, label: 0 }.into())
}

/// Reads names and places for one text.
struct Reader<'a> {
    passage: &'a Passage,
    model: Rc<Model>,
    task: Task,
    of: Quantity,
}

impl<'a> Reader<'a> {
    fn new(passage: &'a Passage, of: Quantity) -> Result<Self, ScriptError> {
        let model = passage.model().loaded()?;
        Ok(Self {
            task: model.config().task.clone(),
            passage,
            model,
            of,
        })
    }

    /// One for each place.
    fn targets(&self, given: &TargetOption, positions: Option<&[usize]>) -> Result<Vec<Target>, ScriptError> {
        match &self.task {
            task if task.is_of_text() && (given.position.is_some() || positions.is_some()) => Err(no_place()),
            task if task.is_of_text() => {
                let target = Target::label(self.label(given)?).of(self.of);
                Ok(vec![match &given.contrast {
                    Some(contrast) => target.against(number_of(contrast, task.names())? as u32),
                    None => target,
                }])
            }
            _ => {
                let places = self.places(given, positions)?;
                let targets = places.into_iter().map(|place| self.target(place, given));
                targets.collect()
            }
        }
    }

    fn label(&self, given: &TargetOption) -> Result<usize, ScriptError> {
        let names = self.task.names();
        let Some(target) = &given.target else {
            let message = "`contrast` is given, but not which label is explained";
            let hint = format!("target: one of {}", quoted(names));
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint(hint)
                .pointing_at("contrast"));
        };
        number_of(target, names)
    }

    /// The label of a token, and the one that it is told apart from; where tokens vie for a label, another place.
    fn token_label(&self, position: usize, given: &TargetOption) -> Result<Target, ScriptError> {
        let label = self.label(given)?;
        let target = Target::from(Outcome::TokenLabel { position, label }).of(self.of);
        let contrast = match (&given.contrast, self.task.reading()) {
            (None, _) => return Ok(target),
            (Some(Word::Id(place)), Reading::Place) => {
                self.check(*place as usize)?;
                *place as usize
            }
            (Some(Word::Text(_)), Reading::Place) => {
                let message = "`contrast` is a text, but where an answer starts or ends is told apart from another place";
                return Err(ScriptError::new(ErrorKind::Value, message)
                    .with_hint("contrast: 12 is token 12")
                    .pointing_at("contrast"));
            }
            (Some(name), _) => number_of(name, self.task.names())?,
        };
        Ok(target.against(contrast as u32))
    }

    /// Where, among the shown tokens.
    fn places(&self, given: &TargetOption, positions: Option<&[usize]>) -> Result<Vec<usize>, ScriptError> {
        if let Some(place) = given.position {
            self.check(place)?;
            return Ok(vec![place]);
        }
        if let Some(places) = positions {
            places.iter().try_for_each(|&place| self.check(place))?;
            return Ok(places.to_vec());
        }
        let (tokens, n_input) = (self.passage.tokens(), self.passage.n_input());
        match &self.task {
            Task::MaskedToken(_) => {
                let masks = ecco_models::run::masked_positions(&self.model, &self.passage.input().ids);
                match masks.is_empty() {
                    false => Ok(masks),
                    true => Err(silence(&self.model)
                        .with_hint("say at which token: position: 3")
                        .pointing_at("target")),
                }
            }
            task @ Task::Label(_) => self.place_of(task.reading(), given),
            _ => {
                // Where it was written first; else what could have been written first.
                let id = given
                    .target
                    .as_ref()
                    .map(|name| self.token(name, "target"))
                    .transpose()?;
                let mut written = tokens.iter().enumerate().skip(n_input);
                let found = written
                    .find(|(_, token)| Some(token.id) == id)
                    .map(|(place, _)| place);
                Ok(vec![found.unwrap_or(n_input)])
            }
        }
    }

    /// Where a label is meant, without a position: where the best answer starts, or ends.
    fn place_of(&self, reading: Reading, given: &TargetOption) -> Result<Vec<usize>, ScriptError> {
        let message = "labels are of each token, and no position says of which";
        let unclear = ScriptError::new(ErrorKind::Value, message)
            .with_hint("say at which token: position: 3")
            .pointing_at("target");
        if reading != Reading::Place {
            return Err(unclear);
        }
        let label = self.label(given)?;
        let place = |said: &Prediction| match said {
            Prediction::Span { start, end, .. } => Some(if label == 0 { *start } else { *end }),
            _ => None,
        };
        let best = self.passage.predictions()?.iter().find_map(place);
        best.map(|place| vec![place]).ok_or(unclear)
    }

    /// Refuses places that nothing is predicted at.
    fn check(&self, place: usize) -> Result<(), ScriptError> {
        let n = self.passage.tokens().len();
        let valid = match &self.task {
            Task::NextToken if self.passage.is_pair() => self.passage.n_input()..=n,
            Task::NextToken => 1..=n,
            _ => 0..=n.saturating_sub(1),
        };
        if valid.contains(&place) {
            return Ok(());
        }
        let (first, last) = (valid.start(), valid.end());
        let message = format!(
            "position is {place}: expected {first} to {last}, as the text has {n} tokens, numbered from 0"
        );
        Err(ScriptError::new(ErrorKind::Value, message).pointing_at("position"))
    }

    /// The token that stands at a place, and is not a mask.
    fn standing(&self, place: usize) -> Option<u32> {
        let mask = self.model.tokenizer().mask().map(|token| token.id);
        let token = self.passage.tokens().get(place)?;
        let is_said = self.task.label().is_none() && Some(token.id) != mask;
        (is_said || self.task == Task::NextToken).then_some(token.id)
    }

    fn target(&self, place: usize, given: &TargetOption) -> Result<Target, ScriptError> {
        if let Task::Label(label) = &self.task {
            if label.reading != Reading::Each {
                return self.token_label(place, given);
            }
            let message = "`target` is given, but this model says of each token whether it was replaced";
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("position: 3 explains what it says of token 3")
                .pointing_at("target"));
        }
        let position = match self.passage.is_pair() {
            true => place + 1 - self.passage.n_input(),
            false => place,
        };
        let id = match &given.target {
            Some(name) => self.token(name, "target")?,
            None => self.standing(place).ok_or_else(|| {
                let message =
                    format!("no token stands at {place}, and `target` does not say which is explained");
                ScriptError::new(ErrorKind::Value, message)
            })?,
        };
        let target = Target::token(position, id).of(self.of);
        let Some(contrast) = &given.contrast else {
            return Ok(target);
        };
        let contrast = self.token(contrast, "contrast")?;
        if contrast == id {
            let message = "`contrast` is the target itself: there is nothing to tell apart";
            return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("contrast"));
        }
        Ok(target.against(contrast))
    }

    /// The one token that a name means.
    fn token(&self, name: &Word, option: &'static str) -> Result<u32, ScriptError> {
        Ok(token_of(name, &self.model, option)?.id)
    }
}

fn number_of(name: &Word, names: &[String]) -> Result<usize, ScriptError> {
    let found = match name {
        Word::Id(number) => Some(*number as usize).filter(|&number| number < names.len()),
        Word::Text(text) => names.iter().position(|label| label == text),
    };
    found.ok_or_else(|| {
        let given = match name {
            Word::Id(number) => number.to_string(),
            Word::Text(text) => format!("{text:?}"),
        };
        let message = format!(
            "there is no label {given}: the model says one of {}",
            quoted(names)
        );
        let error = ScriptError::new(ErrorKind::Value, message).pointing_at("target");
        match name {
            Word::Text(text) => error.with_nearest(text, names.iter().map(String::as_str)),
            Word::Id(_) => error,
        }
    })
}

fn quoted(names: &[String]) -> String {
    let quoted: Vec<String> = names.iter().take(20).map(|name| format!("{name:?}")).collect();
    let more = if names.len() > 20 { ", …" } else { "" };
    format!("{}{more}", quoted.join(", "))
}

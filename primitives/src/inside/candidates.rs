//! The tokens, or labels, that a model might have said, as a table.

use std::rc::Rc;

use ecco_explain::lens::{Question, Reading, lens_each};
use ecco_models::run::Prediction;
use ecco_widgets::Explorable;
use ecco_widgets::{CandidateLabel, CandidatePlace};
use ndarray::{ArrayD, IxDyn};
use rhai::{Array, Dynamic, INT};

use crate::live::Asking;
use crate::models::model::Model;
use crate::text::chat::{Chat, TextOrChat};
use crate::text::generation::Generation;
use crate::text::outputs::Outputs;
use crate::text::passage::Passage;
use crate::text::reading;
use crate::text::results::{OfText, Results};
use crate::text::run::{self, Run, RunOptions};
use crate::text::score;
use crate::text::shown::shown_one;
use ecco_scripting::live::Live;
use ecco_scripting::options::OneOrMany;
use ecco_scripting::result::{Explanation, Room, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

options! {
    /// What `candidates` can be told.
    pub struct CandidateOptions {
        /// how many
        topk: usize [1..] = 10,
    }
}

#[derive(Clone)]
pub(crate) struct Candidates {
    view: ecco_widgets::Candidates,
    /// Of one place of one text.
    asked: Option<Rc<dyn Live>>,
}

impl Candidates {
    /// What might stand at a position, and the rank of what does.
    fn at(passage: &Passage, position: usize, options: &CandidateOptions) -> Result<Self, ScriptError> {
        let found = Self::each(&[(passage.clone(), position)], options.topk)?.remove(0);
        let asked = Asking::new("candidates", options).with("position", position);
        Ok(Self {
            asked: asked.live(passage),
            ..found
        })
    }

    /// The same at a position of each of several texts of a model, those about equally long side by side.
    fn each(places: &[(Passage, usize)], top_k: usize) -> Result<Vec<Self>, ScriptError> {
        let Some((first, _)) = places.first() else {
            return Ok(vec![]);
        };
        let model = first.model();
        let (loaded, state) = (model.loaded()?, model.state()?);
        let text = |(passage, position): &(Passage, usize)| {
            let question = Question {
                rows: vec![passage.predicted_at(*position)?],
                depths: vec![model.card().n_layers],
                top_k,
                watch: vec![passage.token(*position).iter().map(|token| token.id).collect()],
                raw: false,
            };
            Ok((passage.input().clone(), question))
        };
        let texts = places.iter().map(text).collect::<Result<Vec<_>, ScriptError>>()?;
        let mut found: Vec<Option<Reading>> = vec![None; places.len()];
        watched(&state, model.verbose, |watch| {
            lens_each(&loaded, &texts, None, watch, &mut |at, mut lens| {
                found[at] = lens.readings.pop().and_then(|mut rows| rows.pop());
            })
        })?;
        let missing = || ScriptError::new(ErrorKind::Internal, "a position that was not read");
        let each = places.iter().zip(found);
        each.map(|(place, found)| Self::of(place, &found.ok_or_else(missing)?))
            .collect()
    }

    fn of((passage, position): &(Passage, usize), reading: &Reading) -> Result<Self, ScriptError> {
        let (model, position) = (passage.model(), *position);
        let (loaded, chosen) = (model.loaded()?, passage.token(position));
        reading::about_numbers(model, !reading.entropy.is_nan())?;
        let named = |id: u32| shown_one(&loaded.tokenizer().tokens(&[id])[0]);
        let is_chosen = |id: u32| chosen.is_some_and(|token| token.id == id);
        let rows = reading
            .top
            .iter()
            .enumerate()
            .map(|(at, (id, probability))| ecco_widgets::Candidate {
                rank: rank(at, *probability),
                label: CandidateLabel::Token(named(*id)),
                probability: *probability,
                is_chosen: is_chosen(*id),
            });
        let rows: Vec<_> = rows.collect();
        let is_shown = rows.iter().any(|row| row.is_chosen);
        let far = chosen.zip(reading.watched.first()).filter(|_| !is_shown);
        let place = CandidatePlace {
            position: Some(position),
            before: passage.before(position),
            chosen: far.map(|(token, watched)| ecco_widgets::Candidate {
                rank: watched.rank as usize,
                label: CandidateLabel::Token(shown_one(token)),
                probability: watched.probability,
                is_chosen: true,
            }),
            rows,
        };
        Ok(Self {
            view: ecco_widgets::Candidates {
                model: Some(model.card().name.clone()),
                places: vec![place],
            },
            asked: None,
        })
    }

    /// What a model says of a text.
    ///
    /// # Errors
    /// A text that it says nothing of.
    pub(crate) fn said(run: &Run) -> Result<Self, ScriptError> {
        run.predictions()?;
        let mut places: Vec<CandidatePlace> = Vec::new();
        for said in run.predicted() {
            match said {
                Prediction::Token { position, candidates } => {
                    let rows = candidates
                        .iter()
                        .map(|c| (CandidateLabel::Token(shown_one(&c.token)), c.probability));
                    places.push(place(Some(*position), run.passage().before(*position), rows));
                }
                Prediction::Replaced {
                    position,
                    probability,
                } => {
                    let label = CandidateLabel::Token(shown_one(&run.tokens()[*position]));
                    places.push(place(Some(*position), vec![], [(label, *probability)]));
                }
                Prediction::TokenLabel { position, labels } => {
                    let labels = labels
                        .iter()
                        .map(|(name, p)| (CandidateLabel::Name(name.clone()), *p));
                    places.push(place(Some(*position), run.passage().before(*position), labels));
                }
                Prediction::Value { .. } => {
                    let message = "this model says values, which have no probability";
                    return Err(ScriptError::new(ErrorKind::Value, message)
                        .with_hint("lm.run(text).predictions has them"));
                }
                Prediction::Label {
                    name, probability, ..
                }
                | Prediction::Span {
                    text: name,
                    score: probability,
                    ..
                } => {
                    let label = (CandidateLabel::Name(name.clone()), *probability);
                    match places.last_mut() {
                        Some(place) => place.rows.push(candidate(place.rows.len(), label)),
                        None => places.push(place(None, vec![], [label])),
                    }
                }
            }
        }
        Ok(Self {
            view: ecco_widgets::Candidates {
                model: Some(run.model().card().name.clone()),
                places,
            },
            asked: None,
        })
    }
}

impl Candidates {
    /// Names with their probabilities, best first.
    pub(super) fn of_names(lm: &Model, named: Vec<(String, f32)>) -> Self {
        let rows = named.into_iter().map(|(name, p)| (CandidateLabel::Name(name), p));
        Self {
            view: ecco_widgets::Candidates {
                model: Some(lm.card().name.clone()),
                places: vec![place(None, vec![], rows)],
            },
            asked: None,
        }
    }
}

fn place(
    position: Option<usize>,
    before: Vec<ecco_widgets::Token>,
    rows: impl IntoIterator<Item = (CandidateLabel, f32)>,
) -> CandidatePlace {
    CandidatePlace {
        position,
        before,
        rows: rows
            .into_iter()
            .enumerate()
            .map(|(at, label)| candidate(at, label))
            .collect(),
        chosen: None,
    }
}

/// By its place from 0 on; 0 where its probability is no number.
fn rank(at: usize, probability: f32) -> usize {
    if probability.is_nan() { 0 } else { at + 1 }
}

fn candidate(at: usize, (label, probability): (CandidateLabel, f32)) -> ecco_widgets::Candidate {
    ecco_widgets::Candidate {
        rank: rank(at, probability),
        label,
        probability,
        is_chosen: false,
    }
}

impl Show for Candidates {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view.clone()))
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.asked.clone()
    }

    fn line(&self) -> String {
        match self.view.places.as_slice() {
            [
                CandidatePlace {
                    position: Some(position),
                    rows,
                    ..
                },
            ] => {
                format!("{} candidates at position {position}", rows.len())
            }
            [place] => format!("{} labels", place.rows.len()),
            places => format!("candidates at {} positions", places.len()),
        }
    }
}

impl Explanation for Candidates {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let places = &self.view.places;
        let width = places.iter().map(|place| place.rows.len()).max().unwrap_or(0);
        let value = |at: IxDyn| {
            places[at[0]]
                .rows
                .get(at[1])
                .map_or(f32::NAN, |row| row.probability)
        };
        let array = ArrayD::from_shape_fn(IxDyn(&[places.len(), width]), value);
        Ok(vec![(
            "probabilities",
            Tensor::new(array, &["place", "candidate"]),
        )])
    }

    /// A map for each candidate; of several places an array of those for each.
    fn to_array(&self, _: Room) -> Result<Array, ScriptError> {
        let map = |row: &ecco_widgets::Candidate| {
            let mut map = rhai::Map::from([
                ("rank".into(), score::rank(row.rank)),
                (
                    "probability".into(),
                    Dynamic::from_float(f64::from(row.probability)),
                ),
                ("chosen".into(), row.is_chosen.into()),
            ]);
            match &row.label {
                CandidateLabel::Token(token) => map.extend([
                    ("token".into(), token.text.clone().into()),
                    ("token_id".into(), Dynamic::from_int(token.id.into())),
                ]),
                CandidateLabel::Name(name) => map.extend([("label".into(), name.clone().into())]),
            }
            Dynamic::from_map(map)
        };
        let list =
            |place: &CandidatePlace| place.rows.iter().chain(&place.chosen).map(map).collect::<Array>();
        Ok(match self.view.places.as_slice() {
            [place] => list(place),
            places => places.iter().map(|place| list(place).into()).collect(),
        })
    }
}

/// Texts that are run together: what is done is kept where an interrupt comes between.
const STEP: usize = 32;

fn several(lm: &Model, texts: &Array, options: RunOptions) -> Result<Results, ScriptError> {
    let texts = TextOrChat::all(lm, texts)?;
    let targets = run::targets(&options, texts.len())?;
    let named = texts.iter().map(|text| text.prompt().text().to_owned()).collect();
    let reader = lm.plain();
    Results::of_parts(lm, named, STEP, move |range| {
        let target = targets
            .as_ref()
            .map(|targets| OneOrMany(targets[range.clone()].to_vec()));
        let options = RunOptions {
            target,
            ..options.clone()
        };
        run::run(&reader, &texts[range], options)?
            .iter()
            .map(Candidates::said)
            .collect()
    })
}

impl OfText for Candidates {
    const NAME: &'static str = "candidates";

    /// The first one of the first place; where a token stands there its probability and rank.
    fn figures(&self) -> Result<Vec<(String, Dynamic)>, ScriptError> {
        let Some(place) = self.view.places.first() else {
            return Ok(Vec::new());
        };
        let name = |row: &ecco_widgets::Candidate| match &row.label {
            CandidateLabel::Token(token) => token.text.clone(),
            CandidateLabel::Name(name) => name.clone(),
        };
        let probability = |row: &ecco_widgets::Candidate| Dynamic::from_float(row.probability.into());
        let mut figures = Vec::new();
        if let Some(first) = place.rows.first() {
            figures.push(("best".to_owned(), name(first).into()));
            figures.push(("probability".to_owned(), probability(first)));
        }
        let mut rows = place.rows.iter().chain(&place.chosen);
        if let Some(chosen) = rows.find(|row| row.is_chosen) {
            figures.push(("stands".to_owned(), name(chosen).into()));
            figures.push(("its_probability".to_owned(), probability(chosen)));
            figures.push(("its_rank".to_owned(), score::rank(chosen.rank)));
        }
        Ok(figures)
    }
}

fn counted(position: INT) -> Result<usize, ScriptError> {
    usize::try_from(position).map_err(|_| {
        let message = format!("there is no position {position}: positions are counted from 0");
        ScriptError::new(ErrorKind::Index, message)
    })
}

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// The most probable tokens at a position, and the rank of the one that stands there. The probabilities are those
        /// of the model itself, before temperature and the like.
        ///
        /// Example:
        /// ```rhai
        /// output.candidates(output.n_input_tokens)
        /// ```
        fn candidates(passage: Passage, position: INT; options: CandidateOptions) -> Candidates {
            Candidates::at(&passage, counted(position)?, &options)
        }
    }
    members! { registry, [Outputs];
        /// The most probable tokens at a position of each output, those about equally long side by side: a list, computed when it is
        /// first shown or read. A negative position counts from the end of each, so that -1 is its last token.
        ///
        /// Example:
        /// ```rhai
        /// lm.score(sentences).candidates(-1).table
        /// ```
        fn candidates(outputs: &Outputs, position: INT; options: CandidateOptions) -> Results {
            Results::of_outputs_together(outputs, move |passages| {
                let place = |passage: &Passage| {
                    let from_end = position.saturating_add(passage.tokens().len() as INT);
                    let position = if position < 0 { from_end } else { position };
                    Ok((passage.clone(), counted(position)?))
                };
                let places = passages.iter().map(place).collect::<Result<Vec<_>, ScriptError>>()?;
                Candidates::each(&places, options.topk)
            })
        }
    }
    members! { registry, [Model];
        /// What the model says of a text, as a table: the tokens that might follow, those behind each mask, or labels.
        ///
        /// Example:
        /// ```rhai
        /// lm.predict("The capital of France is")
        /// ```
        volatile fn predict(lm: &Model, text: &str; options: RunOptions) -> Candidates {
            Candidates::said(&run::run(lm, &[text.into()], options)?.remove(0))
        }

        volatile fn predict(lm: &Model, chat: Chat; options: RunOptions) -> Candidates {
            Candidates::said(&run::run(lm, &[chat.into()], options)?.remove(0))
        }

        /// What it says of several texts, those about equally long side by side: a list, computed when it is first shown or
        /// read.
        ///
        /// Example:
        /// ```rhai
        /// lm.predict(["The capital of France is", "The capital of Italy is"]).table
        /// ```
        fn predict(lm: &Model, texts: Array; options: RunOptions) -> Results { several(lm, &texts, options) }
    }
}

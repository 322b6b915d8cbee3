//! What a model says of a text that it has read, and how that is shown.

use std::rc::Rc;

use ecco_models::config::Task;
use ecco_models::run::{Candidate, Prediction};
use ecco_scripting::ScriptError;
use ecco_scripting::live::Live;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_widgets::Explorable;
use ecco_widgets::{Reading, Statement};
use rhai::{Array, Dynamic, INT, Map};

use super::Run;
use crate::live::Asking;
use crate::text::shown::{shown, shown_one};

impl Run {
    pub(crate) fn predicted(&self) -> &[Prediction] {
        self.batch.run.predictions(self.index)
    }

    /// What the model says, as maps: see the primitive.
    pub(crate) fn predictions(&self) -> Result<Array, ScriptError> {
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
            Prediction::TokenLabel { position: at, labels } => {
                let label = |(name, probability): &(String, f32)| {
                    Map::from([
                        ("label".into(), name.clone().into()),
                        ("probability".into(), number(*probability)),
                    ])
                };
                let mut map = labels.first().map(label).unwrap_or_default();
                let top: Array = labels.iter().map(|one| label(one).into()).collect();
                let token = self.tokens()[*at].text.clone();
                map.extend([
                    position(*at),
                    ("token".into(), token.into()),
                    ("top".into(), top.into()),
                ]);
                map
            }
            Prediction::Span {
                start,
                end,
                score,
                text,
            } => Map::from([
                ("start".into(), Dynamic::from_int(*start as INT)),
                ("end".into(), Dynamic::from_int(*end as INT)),
                ("answer".into(), text.clone().into()),
                ("score".into(), number(*score)),
            ]),
            Prediction::Value { name, value } => Map::from([
                ("label".into(), name.clone().into()),
                ("value".into(), number(*value)),
            ]),
            Prediction::Label {
                name, probability, ..
            } => Map::from([
                ("label".into(), name.clone().into()),
                ("probability".into(), number(*probability)),
            ]),
        })
    }

    pub(crate) fn view(&self) -> Reading {
        let mut said = match &self.text().silence {
            Some(silence) => Statement::Nothing {
                reason: silence.message.clone(),
            },
            None => Statement::Tokens { places: vec![] },
        };
        for prediction in self.predicted() {
            match prediction {
                Prediction::Token { position, candidates } => {
                    let candidates = candidates.iter().map(|c| (shown_one(&c.token), c.probability));
                    said.add_token(*position, candidates.collect());
                }
                Prediction::Replaced { probability, .. } => said.add_replaced(*probability),
                Prediction::TokenLabel { position, labels } => {
                    said.add_token_label(*position, labels.clone())
                }
                Prediction::Span {
                    start,
                    end,
                    score,
                    text,
                } => said.add_span(*start, *end, text, *score),
                Prediction::Value { name, value } => said.add_value(name, *value),
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

    fn place_in_memory(&self) -> Option<usize> {
        Some(self.address())
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        Asking::new("", &()).live(&self.passage())
    }

    /// `run over 9 tokens, first "capital" 93%`
    fn line(&self) -> String {
        let mut line = format!("run over {} tokens", self.tokens().len());
        if !self.target_tokens().is_empty() {
            line.push_str(&format!(" and {} written", self.target_tokens().len()));
        }
        if let Some(best) = self.view().best() {
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
            "label" => {
                let loaded = self.batch.model.loaded().ok()?;
                let names = loaded.config().task.names().to_vec();
                (!names.is_empty()).then_some(names)
            }
            _ => None,
        }
    }
}

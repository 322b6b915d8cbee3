//! `lm.vocabulary_of`, `lm.ov_circuit`, `lm.qk_circuit`: weights and directions, read in the vocabulary.

use std::rc::Rc;

use ecco_explain::vocabulary::weights::HeadAt;
use ecco_explain::vocabulary::{MOST_ROWS, Spoken, Written, looked_for, vocabulary};
use ecco_widgets::{Explorable, VocabularyRow, VocabularyToken};
use ndarray::{ArrayD, IxDyn};
use rhai::{Array, Dynamic, INT};

use super::written::Named;
use crate::models::model::Model;
use crate::text::shown::shown_one;
use crate::text::token::token;
use ecco_scripting::options::Word;
use ecco_scripting::result::{Explanation, Show, show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

options! {
    /// What `vocabulary_of`, `ov_circuit` and `qk_circuit` can be told.
    pub struct VocabularyOptions {
        /// how many tokens at each end
        top: usize [1..] = 10,
    }
}

/// Parts of a model in the vocabulary.
#[derive(Clone)]
pub(crate) struct Vocabulary(Rc<ecco_widgets::Vocabulary>);

/// Tokens at each end at most.
const MOST_TOKENS: usize = 1000;
const WRITES: [&str; 2] = ["promotes", "suppresses"];
const LOOKS: [&str; 2] = ["looks for", "looks away from"];

impl Vocabulary {
    fn of(lm: &Model, what: &Dynamic, options: &VocabularyOptions) -> Result<Self, ScriptError> {
        Self::named(lm, Named::of(what)?, options)
    }

    fn named(lm: &Model, named: Named, options: &VocabularyOptions) -> Result<Self, ScriptError> {
        let top = checked(options)?;
        let (loaded, state) = (lm.loaded()?, lm.state()?);
        let found = watched(&state, lm.verbose, |watch| {
            vocabulary(&loaded, &named.written, top, watch)
        })?;
        let rows = named.labels.into_iter().zip(found);
        let rows = rows.map(|(label, (spoken, norm))| (label, Some(norm), spoken));
        Ok(Self::new(lm, &loaded, named.about, WRITES, rows.collect()))
    }

    /// Directions of the stream, with what they are about and their names.
    pub(crate) fn of_directions(
        lm: &Model,
        directions: Vec<Vec<f32>>,
        (about, labels): (String, Vec<String>),
        options: &VocabularyOptions,
    ) -> Result<Self, ScriptError> {
        let named = Named {
            written: Written::Directions(directions),
            about,
            labels,
        };
        Self::named(lm, named, options)
    }

    /// What a head writes after having looked at tokens, or what it looks for at them.
    fn circuit(
        lm: &Model,
        (layer, head): (INT, INT),
        tokens: &Dynamic,
        options: &VocabularyOptions,
        kind: Circuit,
    ) -> Result<Self, ScriptError> {
        let top = checked(options)?;
        let at = HeadAt {
            layer: counted(layer, "layer")?,
            head: counted(head, "head")?,
        };
        let (loaded, state) = (lm.loaded()?, lm.state()?);
        let words = match Word::several(tokens) {
            Some(words) if words.len() <= MOST_ROWS => words,
            Some(words) => {
                let message = format!(
                    "{} tokens are named: at most {MOST_ROWS} are read at once",
                    words.len()
                );
                return Err(ScriptError::new(ErrorKind::Value, message));
            }
            None => return show::expected("tokens: a string, a number, or a list of them", tokens),
        };
        let named = words.iter().map(|word| token(word, &loaded, "tokens"));
        let named: Vec<_> = named.collect::<Result<_, _>>()?;
        let ids: Vec<u32> = named.iter().map(|token| token.id).collect();
        let found = watched(&state, lm.verbose, |watch| match kind {
            Circuit::Ov => {
                let found = vocabulary(&loaded, &Written::Ov { at, tokens: ids }, top, watch)?;
                Ok::<_, ScriptError>(
                    found
                        .into_iter()
                        .map(|(spoken, norm)| (Some(norm), spoken))
                        .collect(),
                )
            }
            Circuit::Qk => {
                let found = looked_for(&loaded, at, &ids, top, watch)?;
                Ok(found.into_iter().map(|spoken| (None, spoken)).collect::<Vec<_>>())
            }
        })?;
        let rows = named.into_iter().zip(found);
        let rows = rows
            .map(|(token, (norm, spoken))| (token.text, norm, spoken))
            .collect();
        let head = format!("head {layer}.{head}");
        let (about, ends) = match kind {
            Circuit::Ov => (
                format!("OV circuit of {head}: what it writes after having looked at a token"),
                WRITES,
            ),
            Circuit::Qk => (
                format!("QK circuit of {head}: what it looks for at a token, at distance 0"),
                LOOKS,
            ),
        };
        Ok(Self::new(lm, &loaded, about, ends, rows))
    }

    fn new(
        lm: &Model,
        loaded: &ecco_models::Model,
        about: String,
        ends: [&str; 2],
        rows: Vec<(String, Option<f64>, Spoken)>,
    ) -> Self {
        let tokens = |of: &[(u32, f64)]| {
            let named = |&(id, value): &(u32, f64)| VocabularyToken {
                token: shown_one(&loaded.tokenizer().tokens(&[id])[0]),
                value: value as f32,
            };
            of.iter().map(named).collect()
        };
        let row = |(label, norm, spoken): (String, Option<f64>, Spoken)| VocabularyRow {
            label,
            norm,
            promotes: tokens(&spoken.promotes),
            suppresses: tokens(&spoken.suppresses),
        };
        Self(Rc::new(ecco_widgets::Vocabulary {
            model: Some(lm.card().name.clone()),
            about,
            ends: ends.map(str::to_owned),
            rows: rows.into_iter().map(row).collect(),
        }))
    }

    fn tensor(
        &self,
        of: fn(&VocabularyRow) -> &[VocabularyToken],
        value: fn(&VocabularyToken) -> f32,
    ) -> Tensor {
        let rows = &self.0.rows;
        let width = rows.first().map_or(0, |row| of(row).len());
        let values = ArrayD::from_shape_fn(IxDyn(&[rows.len(), width]), |at| value(&of(&rows[at[0]])[at[1]]));
        Tensor::new(values, &["row", "rank"])
    }

    /// The tokens that each row raises most.
    pub(crate) fn promoted(&self) -> Array {
        self.words(promotes)
    }

    /// The tokens that each row lowers most.
    pub(crate) fn suppressed(&self) -> Array {
        self.words(suppresses)
    }

    fn words(&self, of: fn(&VocabularyRow) -> &[VocabularyToken]) -> Array {
        let row = |row: &VocabularyRow| {
            let words = of(row).iter().map(|at| at.token.text.clone().into());
            Dynamic::from_array(words.collect())
        };
        self.0.rows.iter().map(row).collect()
    }
}

#[derive(Clone, Copy)]
enum Circuit {
    Ov,
    Qk,
}

fn promotes(row: &VocabularyRow) -> &[VocabularyToken] {
    &row.promotes
}

fn suppresses(row: &VocabularyRow) -> &[VocabularyToken] {
    &row.suppresses
}

fn checked(options: &VocabularyOptions) -> Result<usize, ScriptError> {
    match options.top <= MOST_TOKENS {
        true => Ok(options.top),
        false => {
            let message = format!("top is {}: at most {MOST_TOKENS} tokens are named", options.top);
            Err(ScriptError::new(ErrorKind::Value, message).pointing_at("top"))
        }
    }
}

fn counted(number: INT, what: &str) -> Result<usize, ScriptError> {
    usize::try_from(number).map_err(|_| {
        ScriptError::new(
            ErrorKind::Index,
            format!("there is no {what} {number}: {what}s are counted from 0"),
        )
    })
}

impl Show for Vocabulary {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new((*self.0).clone()))
    }

    fn line(&self) -> String {
        format!("in the vocabulary: {} ({} rows)", self.0.about, self.0.rows.len())
    }
}

impl Explanation for Vocabulary {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![
            ("promoted", self.tensor(promotes, |at| at.value)),
            ("promoted_ids", self.tensor(promotes, |at| at.token.id as f32)),
            ("suppressed", self.tensor(suppresses, |at| at.value)),
            ("suppressed_ids", self.tensor(suppresses, |at| at.token.id as f32)),
        ])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        (axis == "row").then(|| self.0.rows.iter().map(|row| row.label.clone()).collect())
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// What a part of the model promotes and suppresses, through the final norm's weights and the head: a neuron or
        /// several, the directions that a head writes most along (as long as its singular values, of either sign), a
        /// steering vector, a tensor whose last axis is as wide as the stream, or the factors of neurons. Deviations of
        /// norms and biases are left out: compare ranks, not probabilities.
        ///
        /// Example:
        /// ```rhai
        /// lm.vocabulary_of(#{layer: 2, neuron: [17, 40]}, #{top: 5})
        /// ```
        volatile fn vocabulary_of(lm: &Model, what: Dynamic; options: VocabularyOptions) -> Vocabulary {
            Vocabulary::of(lm, &what, &options)
        }

        /// What a head writes after having looked at tokens, each alone: its OV circuit in the vocabulary.
        ///
        /// Example:
        /// ```rhai
        /// lm.ov_circuit(2, 1, [" Paris", " Rome"])
        /// ```
        volatile fn ov_circuit(lm: &Model, layer: INT, head: INT, tokens: Dynamic; options: VocabularyOptions) -> Vocabulary {
            Vocabulary::circuit(lm, (layer, head), &tokens, &options, Circuit::Ov)
        }

        /// Which tokens a head looks for where a token is read: its QK circuit in the vocabulary, scores before the softmax,
        /// at distance 0 where positions turn queries and keys.
        ///
        /// Example:
        /// ```rhai
        /// lm.qk_circuit(2, 1, " Paris", #{top: 5})
        /// ```
        volatile fn qk_circuit(lm: &Model, layer: INT, head: INT, tokens: Dynamic; options: VocabularyOptions) -> Vocabulary {
            Vocabulary::circuit(lm, (layer, head), &tokens, &options, Circuit::Qk)
        }
    }
    members! { registry, [Vocabulary];
        /// The tokens that each row raises most, a list of texts each.
        get promotes(vocabulary: &Vocabulary) -> Array { Ok(vocabulary.promoted()) }

        /// The tokens that each row lowers most, a list of texts each.
        get suppresses(vocabulary: &Vocabulary) -> Array { Ok(vocabulary.suppressed()) }

        /// What is added to the logits of the promoted tokens: a tensor (row, rank).
        get values(vocabulary: &Vocabulary) -> Tensor { Ok(vocabulary.tensor(promotes, |at| at.value)) }
    }
}

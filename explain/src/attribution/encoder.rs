//! Contributions to what an encoder says: a label of the whole text, or the token behind a mask.
//!
//! All positions see each other, so nothing is shared between targets but the forward pass; gradients come
//! from autograd, the steps of the path integral in batches.

use std::ops::ControlFlow;

use ecco_models::config::{Label, Task};
use ecco_models::encoder::Encoder;
use ecco_models::guard::guard;
use ecco_models::model::Body;
use ecco_models::tap::{NoTap, Tap};
use ecco_models::{Model, Site, Watch};
use tch::{Kind, Tensor};

use super::{Attribution, AttributionOptions, Work, aggregate, along_path, check_steps, steps};
use crate::error::{Error, Result};

/// What an encoder says that is to be explained, by its probability.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// A label, by its number. A model with a single label, a regression, is explained by its value.
    Label(usize),
    /// A token at a position, which need not be masked.
    Token { position: usize, id: u32 },
    /// That the token at a position was replaced.
    Replaced { position: usize },
}

/// Contributions of every token of a text to each of `said`: rows as long as the text, in the order of `said`.
///
/// # Errors
/// [`Error::Option`] for what this model does not say: a label or position that is not there, or a token of a model
/// that has labels.
pub fn attribute_encoder(
    model: &Model,
    ids: &[u32],
    said: &[Said],
    options: &AttributionOptions,
    watch: &mut Watch,
) -> Result<Attribution> {
    check_steps(options)?;
    model.check_ids(ids)?;
    let Body::Encoder(encoder) = model.body() else {
        return Err(not_said(
            "target",
            "a label or a masked token",
            "this model writes from left to right",
        ));
    };
    for said in said {
        said.check(encoder, ids.len())?;
    }
    let steps = steps(options);
    let mut work = Work::new(watch, options, said.len(), steps.len() as u64);
    Ok(guard(|| {
        let embeddings = encoder.stack.embed(ids); // [1, position, size]
        let gradients = along_path(&embeddings, said.len(), &steps, |x| {
            let gradients = at(encoder, x, said, &mut work)?;
            work.done += x.size()[0] as u64;
            Ok(gradients)
        })?;
        aggregate(&[gradients], &embeddings, options.method, |_| ids.len())
    })?)
}

/// Gradients of each of `said` at some points of the path, `[step, position, size]`.
fn at(
    encoder: &Encoder,
    x: &Tensor,
    said: &[Said],
    work: &mut Work,
) -> ecco_models::error::Result<Vec<Tensor>> {
    tch::with_grad(|| {
        let states = encoder.forward(x, None, &mut Interruptible(work))?;
        let logits = encoder
            .logits(&states, None)
            .unwrap_or_else(|| states.shallow_clone());
        let gradient = |said: &Said| {
            let value = said.value(encoder, &logits).sum(None::<Kind>);
            Tensor::run_backward(&[value], &[x], true, false).remove(0)
        };
        Ok(said.iter().map(gradient).collect())
    })
}

impl Said {
    /// By point of the path, `[step]`.
    fn value(self, encoder: &Encoder, logits: &Tensor) -> Tensor {
        match self {
            Self::Token { position, id } => {
                let row = logits.select(1, position as i64); // [step, vocabulary]
                row.softmax(-1, None::<Kind>).select(1, i64::from(id))
            }
            Self::Replaced { position } => logits.select(1, position as i64).sigmoid(),
            Self::Label(label) => match &encoder.config().task {
                Task::Label(Label { names, .. }) if names.len() == 1 => logits.select(1, 0),
                Task::Label(Label {
                    independent: true, ..
                }) => logits.sigmoid().select(1, label as i64),
                _ => logits.softmax(-1, None::<Kind>).select(1, label as i64),
            },
        }
    }

    fn check(self, encoder: &Encoder, n_positions: usize) -> Result<()> {
        let config = encoder.config();
        let place = |position: usize| match position < n_positions {
            true => Ok(()),
            false => {
                let reason = format!("the text has {n_positions} tokens, numbered from 0");
                Err(not_said("position", position, &reason))
            }
        };
        match (self, &config.task) {
            (Self::Label(label), Task::Label(Label { names, .. })) => match label < names.len() {
                true => Ok(()),
                false => Err(not_said(
                    "label",
                    label,
                    &format!("the model has {} labels", names.len()),
                )),
            },
            (Self::Token { position, id }, Task::MaskedToken(_)) => {
                place(position)?;
                match (id as usize) < config.vocab_size {
                    true => Ok(()),
                    false => {
                        let reason = format!("the vocabulary has {} tokens", config.vocab_size);
                        Err(not_said("target", id, &reason))
                    }
                }
            }
            (Self::Replaced { position }, Task::Replaced(_)) => place(position),
            (_, Task::Label(_)) => Err(not_said("target", "a token", "this model says a label")),
            (_, Task::MaskedToken(_)) => Err(not_said("target", "a label", "this model says tokens")),
            (_, Task::Replaced(_)) => Err(not_said(
                "target",
                "a token",
                "this model says which were replaced",
            )),
            (_, Task::States | Task::NextToken) => {
                Err(not_said("target", "a token", "this model has no head"))
            }
        }
    }
}

fn not_said(option: &'static str, value: impl ToString, reason: &str) -> Error {
    Error::Option {
        option,
        value: value.to_string(),
        reason: reason.to_owned(),
    }
}

/// A pass that looks at nothing, and can be interrupted.
pub struct Interruptible<'r, 'a, 'b>(pub &'r mut Work<'a, 'b>);

impl Tap for Interruptible<'_, '_, '_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        NoTap.wants(site, layer)
    }
    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        NoTap.visit(site, layer, value)
    }
    fn proceed(&mut self, _: usize) -> ControlFlow<()> {
        self.0.report()
    }
}

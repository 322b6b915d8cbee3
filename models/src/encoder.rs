//! The encoder: a stack whose positions all see each other, with a head for what it was trained to say.

use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::config::{Activation, Config, Dense, Head, LabelOf, Task};
use crate::edit::StackEdits;
use crate::error::Result;
use crate::layers::{Linear, Norm};
use crate::stack::{Marks, Stack};
use crate::tap::{NoTap, Tap};
use crate::weights::Weights;

/// An encoder with its weights on one device.
pub struct Encoder {
    pub stack: Stack,
    transform: Option<Rc<Transform>>,
    head: Option<Rc<Linear>>,
}

/// A layer before the head.
struct Transform {
    dense: Linear,
    activation: Activation,
    norm: Option<Norm>,
}

impl Encoder {
    pub fn load(config: Config, weights: &mut Weights) -> Result<Self> {
        if config.head.tied && matches!(config.task, Task::MaskedToken(_)) {
            weights.tie("token_embedding.weight", &["task.masked.output.weight"], true);
        }
        let stack = Stack::load(config, weights)?;
        let config = &stack.config;
        let (hidden, size) = (config.hidden_size, config.embedding.size);
        let (transform, head) = match &config.task {
            Task::MaskedToken(dense) => (
                Some(Transform::load(weights, "task.masked", size, *dense, config)?),
                Some(masked_head(&stack, weights, config)?),
            ),
            Task::Label(label) => (
                match label.dense {
                    Some((name, dense)) => Some(Transform::load(weights, name, hidden, dense, config)?),
                    None => None,
                },
                Some(Linear::load(
                    weights,
                    label.output,
                    hidden,
                    label.names.len(),
                    true,
                )?),
            ),
            Task::States | Task::NextToken => (None, None),
        };
        Ok(Self {
            stack,
            transform: transform.map(Rc::new),
            head: head.map(Rc::new),
        })
    }

    /// A view on the same weights whose passes are edited.
    pub(crate) fn edited(&self, edits: &Rc<StackEdits>) -> Self {
        Self {
            stack: self.stack.edited(edits),
            transform: self.transform.clone(),
            head: self.head.clone(),
        }
    }

    pub fn config(&self) -> &Config {
        &self.stack.config
    }

    pub fn device(&self) -> Device {
        self.stack.device()
    }

    pub fn kind(&self) -> Kind {
        self.stack.kind()
    }

    /// From token embeddings `[batch, position, size]` to states `[batch, position, hidden]`.
    pub fn forward(&self, embeddings: &Tensor, marks: Marks, tap: &mut dyn Tap) -> Result<Tensor> {
        self.stack.forward(embeddings, marks, None, None, tap)
    }

    /// What the head says of the states: `[batch, position, vocabulary]` for masked tokens, `[batch, position, label]`
    /// for labels of each, `[batch, label]` for those of the text; `None` for a model without a head.
    pub fn logits(&self, states: &Tensor, padding: Option<&Tensor>) -> Option<Tensor> {
        self.logits_with(states, padding, &mut NoTap)
    }

    /// The same, differentiated by the tap's rule.
    pub fn logits_with(
        &self,
        states: &Tensor,
        padding: Option<&Tensor>,
        tap: &mut dyn Tap,
    ) -> Option<Tensor> {
        let head = self.head.as_ref()?;
        let pooled = match self.config().task.label().map(|label| label.of) {
            Some(LabelOf::Mean) => mean(states, padding),
            Some(LabelOf::First) => states.select(1, 0),
            Some(LabelOf::Token) | None => states.shallow_clone(),
        };
        let transformed = self
            .transform
            .as_ref()
            .map_or(pooled.shallow_clone(), |transform| {
                transform.forward(&pooled, tap)
            });
        Some(head.forward(&transformed))
    }
}

/// The mean over the positions that hold a token.
fn mean(states: &Tensor, padding: Option<&Tensor>) -> Tensor {
    let Some(padding) = padding else {
        return states.mean_dim(1, false, None::<Kind>);
    };
    let is_token = padding.logical_not().unsqueeze(-1).to_kind(states.kind());
    (states * &is_token).sum_dim_intlist(1, false, None::<Kind>)
        / is_token.sum_dim_intlist(1, false, None::<Kind>)
}

fn masked_head(stack: &Stack, weights: &mut Weights, config: &Config) -> Result<Linear> {
    let (vocabulary, size) = (config.vocab_size, config.embedding.size);
    let Head { tied, bias, .. } = config.head;
    let weight = match tied && !weights.has("task.masked.output.weight") {
        true => stack.embedding.tokens.shallow_clone(),
        false => weights.take_whole("task.masked.output.weight", &[vocabulary, size])?,
    };
    let bias = match bias {
        true => Some(weights.take("task.masked.output.bias", &[vocabulary])?),
        false => None,
    };
    let low_rank = weights.low_rank("task.masked.output.weight");
    Ok(Linear::new(weight.tr(), bias, low_rank))
}

impl Transform {
    /// From the stream's width to `outputs`.
    fn load(
        weights: &mut Weights,
        name: &str,
        outputs: usize,
        Dense {
            activation,
            bias,
            norm,
        }: Dense,
        config: &Config,
    ) -> Result<Self> {
        let dense = Linear::load(
            weights,
            &format!("{name}.dense"),
            config.hidden_size,
            outputs,
            bias,
        )?;
        let norm = match norm {
            true => Some(Norm::load(
                weights,
                &format!("{name}.norm"),
                &[outputs],
                config.norm,
            )?),
            false => None,
        };
        Ok(Self {
            dense,
            activation,
            norm,
        })
    }

    fn forward(&self, x: &Tensor, tap: &mut dyn Tap) -> Tensor {
        let x = tap.activate(self.activation, &self.dense.forward(x));
        match &self.norm {
            Some(norm) => norm.forward_by(&x, tap.rule()),
            None => x,
        }
    }
}

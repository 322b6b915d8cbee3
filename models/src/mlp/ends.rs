//! What stands between experts and the stream.

use tch::Tensor;

use crate::config::{Config, Experts};
use crate::error::Result;
use crate::layers::{Linear, Norm};
use crate::rules::Rule;
use crate::weights::Weights;

/// Before experts and behind their sum; nothing in most models.
#[derive(Default)]
pub(super) struct Ends {
    input: Option<End>,
    output: Option<End>,
}

enum End {
    /// A factor on each number, `[hidden]`.
    Scale(Tensor),
    Linear(Linear),
    Norm(Norm),
}

impl Ends {
    /// Of the chosen experts and of the shared one.
    pub(super) fn load(
        config: &Config,
        of: &Experts,
        name: &str,
        weights: &mut Weights,
    ) -> Result<[Self; 2]> {
        let hidden = config.hidden_size;
        if let Some(size) = of.latent {
            let mut linear = |part: &str, inputs, outputs| {
                Linear::load(weights, &format!("{name}.{part}"), inputs, outputs, false).map(End::Linear)
            };
            let chosen = Self {
                input: Some(linear("latent_in", hidden, size)?),
                output: Some(linear("latent_out", size, hidden)?),
            };
            return Ok([chosen, Self::default()]);
        }
        if !of.apart {
            return Ok([Self::default(), Self::default()]);
        }
        // The shared expert's is where other models have the norm before an MLP.
        let mut apart = |input: &str, output: &str| -> Result<Self> {
            let scale = weights.take(&format!("{input}.weight"), &[hidden])?;
            let norm = Norm::load(weights, &format!("{name}.{output}"), &[hidden], config.norm)?;
            Ok(Self {
                input: Some(End::Scale(scale)),
                output: Some(End::Norm(norm)),
            })
        };
        Ok([
            apart(&format!("{name}.experts_norm"), "experts_post_norm")?,
            apart(&format!("{name}_norm"), "shared_post_norm")?,
        ])
    }

    /// What experts read of `x`, `[.., hidden]`.
    pub(super) fn read(&self, x: &Tensor, rule: Rule) -> Tensor {
        forward(&self.input, x, rule)
    }

    /// What the sum of experts' outputs comes to, `[.., hidden]`.
    pub(super) fn write(&self, sum: &Tensor, rule: Rule) -> Tensor {
        forward(&self.output, sum, rule)
    }

    /// The linear part of [`Self::write`]: of a norm its weights, without the deviation.
    pub(super) fn linear(&self, x: &Tensor) -> Tensor {
        match &self.output {
            None => x.shallow_clone(),
            Some(End::Scale(scale)) => x * scale,
            Some(End::Linear(linear)) => linear.linear(x),
            Some(End::Norm(norm)) => norm.linear(x),
        }
    }

    /// What the product of `direction`, `[hidden]`, with what is written is that of with the sum of experts' outputs, `made`
    /// being that sum.
    pub(super) fn back(&self, made: impl FnOnce() -> Tensor, direction: &Tensor) -> Tensor {
        match &self.output {
            None => direction.shallow_clone(),
            Some(End::Scale(scale)) => direction * scale,
            Some(End::Linear(linear)) => linear.along(direction),
            Some(End::Norm(norm)) => norm.backward_by(&made(), direction, Rule::Frozen),
        }
    }
}

fn forward(end: &Option<End>, x: &Tensor, rule: Rule) -> Tensor {
    match end {
        None => x.shallow_clone(),
        Some(End::Scale(scale)) => x * scale,
        Some(End::Linear(linear)) => linear.forward(x),
        Some(End::Norm(norm)) => norm.forward_by(x, rule),
    }
}

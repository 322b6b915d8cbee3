//! A convolution over positions beside a layer.

use tch::Tensor;

use crate::config::{self, Activation, Config};
use crate::error::Result;
use crate::layers::Norm;
use crate::tap::Tap;
use crate::weights::Weights;

/// norm(output + act(conv x)), with x a layer's input.
pub struct Convolution {
    weight: Tensor, // [hidden, hidden / groups, width]
    bias: Tensor,   // [hidden]
    n_groups: i64,
    activation: Activation,
    norm: Norm,
}

impl Convolution {
    pub fn load(of: config::Convolution, config: &Config, weights: &mut Weights) -> Result<Self> {
        let config::Convolution {
            width,
            n_groups,
            activation,
        } = of;
        let hidden = config.hidden_size;
        Ok(Self {
            weight: weights.take(
                &config.name_in_layer(0, "convolution.weight"),
                &[hidden, hidden / n_groups, width],
            )?,
            bias: weights.take(&config.name_in_layer(0, "convolution.bias"), &[hidden])?,
            n_groups: n_groups as i64,
            activation,
            norm: Norm::load(
                weights,
                &config.name_in_layer(0, "convolution_norm"),
                &[hidden],
                config.norm,
            )?,
        })
    }

    /// From a layer's input and output `[batch, position, hidden]` to what goes on. Positions without a token, true in
    /// `padding` `[batch, position, 1]`, are 0 to their neighbours, as are those beyond the ends.
    pub fn forward(
        &self,
        x: &Tensor,
        output: &Tensor,
        padding: Option<&Tensor>,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let x = match padding {
            Some(padding) => x.masked_fill(padding, 0.0),
            None => x.shallow_clone(),
        };
        let half = self.weight.size()[2] / 2;
        let mixed = x
            .transpose(1, 2)
            .conv1d(&self.weight, Some(&self.bias), 1, half, 1, self.n_groups)
            .transpose(1, 2);
        let sum = output + tap.activate(self.activation, &mixed);
        self.norm.forward_by(&sum, tap.rule())
    }
}

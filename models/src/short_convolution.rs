//! A gated convolution over the last few positions, in the place of a layer's attention.

use tch::{Device, Kind, Tensor};

use crate::attention::LayerMemory;
use crate::causal_convolution::CausalConvolution;
use crate::config::{self, Config};
use crate::error::Result;
use crate::layers::Linear;
use crate::tap::Tap;
use crate::weights::Weights;

/// out(C · conv(B · x)) (2511.23404). Of what it has read it keeps the last inputs of the convolution, whatever the text's
/// length.
pub struct ShortConvolution {
    /// To B, C and x side by side.
    pub input: Linear,
    pub output: Linear,
    pub kernel: CausalConvolution,
}

/// The three projections of the stream, `[batch, position, channel]` each.
pub struct Gates {
    /// B, by which x goes into the convolution.
    pub before: Tensor,
    /// C, by which its result goes on.
    pub after: Tensor,
    pub x: Tensor,
}

impl ShortConvolution {
    pub fn load(
        of: config::ShortConvolution,
        config: &Config,
        layer: usize,
        weights: &mut Weights,
    ) -> Result<Self> {
        let hidden = config.hidden_size;
        let name = config.name_in_layer(layer, "short_convolution");
        Ok(Self {
            input: Linear::load(weights, &format!("{name}.input"), hidden, 3 * hidden, of.bias)?,
            output: Linear::load(weights, &format!("{name}.output"), hidden, hidden, of.bias)?,
            kernel: CausalConvolution::load(weights, &format!("{name}.kernel"), hidden, of.width, of.bias)?,
        })
    }

    /// Where its weights are.
    pub fn place(&self) -> (Kind, Device) {
        self.output.place()
    }

    /// From the normalised stream `[batch, position, hidden]` to what is added to it.
    pub fn forward(
        &self,
        x: &Tensor,
        memory: Option<LayerMemory>,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let rule = tap.rule();
        let Gates { before, after, x } = self.gates(x);
        let inputs = rule.product(&before, &x);
        let mixed = self.kernel.pass(inputs, memory.as_ref(), layer, tap);
        self.output.forward(&rule.product(&after, &mixed))
    }

    pub fn gates(&self, x: &Tensor) -> Gates {
        let [before, after, x] = self
            .input
            .forward(x)
            .chunk(3, -1)
            .try_into()
            .expect("three of them");
        Gates { before, after, x }
    }
}

//! A gated convolution over the last few positions, in the place of a layer's attention.

use tch::{Device, Kind, Tensor};

use crate::attention::LayerMemory;
use crate::config::{self, Config};
use crate::error::Result;
use crate::layers::Linear;
use crate::tap::{Site, Tap};
use crate::weights::Weights;

/// out(C · conv(B · x)) (2511.23404). Of what it has read it keeps the last inputs of the convolution, whatever the text's
/// length.
pub struct ShortConvolution {
    /// To B, C and x side by side.
    pub input: Linear,
    pub output: Linear,
    weight: Tensor, // [width, channel]
    bias: Option<Tensor>,
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
        let weight = weights.take(&format!("{name}.kernel.weight"), &[hidden, 1, of.width])?;
        let weight = match weight.defined() {
            true => weight.squeeze_dim(1).tr().contiguous(),
            false => weight,
        };
        let bias = match of.bias {
            true => Some(weights.take(&format!("{name}.kernel.bias"), &[hidden])?),
            false => None,
        };
        Ok(Self {
            input: Linear::load(weights, &format!("{name}.input"), hidden, 3 * hidden, of.bias)?,
            output: Linear::load(weights, &format!("{name}.output"), hidden, hidden, of.bias)?,
            weight,
            bias,
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
        let input = tap.visit(Site::ConvolutionInput, layer, rule.product(&before, &x));
        let state = memory.as_ref().and_then(LayerMemory::state);
        let all = self.behind(state.as_ref(), &input);
        if let Some(memory) = memory {
            let kept = self.width() - 1;
            memory.keep(&all.narrow(1, all.size()[1] - kept, kept));
        }
        let mixed = tap.visit(Site::ConvolutionOutput, layer, self.sum(&all));
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

    /// The convolution of a text from its start on.
    pub fn convolve(&self, input: &Tensor) -> Tensor {
        self.sum(&self.behind(None, input))
    }

    /// From the cotangent of [`Self::convolve`]'s result to that of its input.
    pub fn convolve_backward(&self, cotangent: &Tensor) -> Tensor {
        let (width, n) = (self.width(), cotangent.size()[1]);
        let ahead = cotangent.constant_pad_nd([0, 0, 0, width - 1]);
        // An input meets the last weight at its own position, and those before it at later ones.
        let part = |back: i64| ahead.narrow(1, back, n) * self.weight.get(width - 1 - back);
        (1..width).fold(part(0), |sum, back| sum + part(back))
    }

    fn width(&self) -> i64 {
        self.weight.size()[0]
    }

    /// Inputs behind those that are kept, or behind zeros: `[batch, width − 1 + position, channel]`.
    fn behind(&self, state: Option<&Tensor>, input: &Tensor) -> Tensor {
        match state {
            Some(state) => Tensor::cat(&[state, input], 1),
            None => input.constant_pad_nd([0, 0, self.width() - 1, 0]),
        }
    }

    /// A product for each weight, and not libtorch's convolution: sums of few are then the same whatever the text's length.
    fn sum(&self, all: &Tensor) -> Tensor {
        let (width, n) = (self.width(), all.size()[1] - self.width() + 1);
        let part = |at: i64| all.narrow(1, at, n) * self.weight.get(at);
        let sum = (1..width).fold(part(0), |sum, at| sum + part(at));
        match &self.bias {
            Some(bias) => sum + bias,
            None => sum,
        }
    }
}

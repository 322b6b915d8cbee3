//! A convolution over the last few positions, each channel by itself.

use tch::Tensor;

use crate::attention::LayerMemory;
use crate::error::Result;
use crate::tap::{Site, Tap};
use crate::weights::Weights;

pub struct CausalConvolution {
    weight: Tensor, // [width, channel]
    bias: Option<Tensor>,
}

impl CausalConvolution {
    pub fn load(
        weights: &mut Weights,
        name: &str,
        n_channels: usize,
        width: usize,
        bias: bool,
    ) -> Result<Self> {
        let weight = weights.take(&format!("{name}.weight"), &[n_channels, 1, width])?;
        let weight = match weight.defined() {
            true => weight.squeeze_dim(1).tr().contiguous(),
            false => weight,
        };
        let bias = match bias {
            true => Some(weights.take(&format!("{name}.bias"), &[n_channels])?),
            false => None,
        };
        Ok(Self { weight, bias })
    }

    /// What inputs `[batch, position, channel]` come to behind those that the memory has, where it keeps the last of them; both are
    /// shown to the tap.
    pub fn pass(
        &self,
        inputs: Tensor,
        memory: Option<&LayerMemory>,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let inputs = tap.visit(Site::ConvolutionInput, layer, inputs);
        let kept = memory.and_then(|memory| memory.state(0));
        let all = self.behind(kept.as_ref(), &inputs);
        if let Some(memory) = memory {
            memory.keep(0, &self.kept(&all));
        }
        tap.visit(Site::ConvolutionOutput, layer, self.forward(&all))
    }

    /// Inputs `[batch, position, channel]` behind those that are kept, or behind zeros: `[batch, width − 1 + position, channel]`.
    pub fn behind(&self, kept: Option<&Tensor>, input: &Tensor) -> Tensor {
        match kept {
            Some(kept) => Tensor::cat(&[kept, input], 1),
            None => input.constant_pad_nd([0, 0, self.width() - 1, 0]),
        }
    }

    /// Of inputs as [`Self::behind`] gives them: `[batch, position, channel]`.
    ///
    /// A product for each weight, and not libtorch's convolution: sums of few are then the same whatever the text's length.
    pub fn forward(&self, all: &Tensor) -> Tensor {
        let (width, n) = (self.width(), all.size()[1] - self.width() + 1);
        let part = |at: i64| all.narrow(1, at, n) * self.weight.get(at);
        let sum = (1..width).fold(part(0), |sum, at| sum + part(at));
        match &self.bias {
            Some(bias) => sum + bias,
            None => sum,
        }
    }

    /// What of these inputs is kept for what follows.
    fn kept(&self, all: &Tensor) -> Tensor {
        let kept = self.width() - 1;
        all.narrow(1, all.size()[1] - kept, kept)
    }

    /// From the cotangent of the result of a text from its start on to that of its inputs.
    pub fn backward(&self, cotangent: &Tensor) -> Tensor {
        let (width, n) = (self.width(), cotangent.size()[1]);
        let ahead = cotangent.constant_pad_nd([0, 0, 0, width - 1]);
        // An input meets the last weight at its own position, and those before it at later ones.
        let part = |back: i64| ahead.narrow(1, back, n) * self.weight.get(width - 1 - back);
        (1..width).fold(part(0), |sum, back| sum + part(back))
    }

    fn width(&self) -> i64 {
        self.weight.size()[0]
    }
}

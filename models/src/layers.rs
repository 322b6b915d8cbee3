//! What blocks are built of. Each layer has a `forward` and the `backward` that pulls cotangents
//! (gradients with respect to its output) back to its input; weights get no gradients.

use tch::{Kind, Tensor};

use crate::config::Activation;
use crate::error::Result;
use crate::weights::Weights;

/// x W + b.
pub struct Linear {
    pub weight: Tensor, // [in, out]
    pub bias: Option<Tensor>,
}

impl Linear {
    pub fn load(weights: &mut Weights, name: &str, inputs: usize, outputs: usize) -> Result<Self> {
        Ok(Self {
            weight: weights.take_linear(&format!("{name}.weight"), inputs, outputs)?,
            bias: Some(weights.take(&format!("{name}.bias"), &[outputs])?),
        })
    }

    pub fn forward(&self, x: &Tensor) -> Tensor {
        let size = x.size();
        let (inputs, outputs) = (size[size.len() - 1], self.weight.size()[1]);
        let rows = x.reshape([-1, inputs]);
        let y = match &self.bias {
            Some(bias) => bias.addmm(&rows, &self.weight),
            None => rows.mm(&self.weight),
        };
        y.reshape([&size[..size.len() - 1], &[outputs]].concat())
    }

    pub fn backward(&self, cotangent: &Tensor) -> Tensor {
        cotangent.matmul(&self.weight.tr())
    }
}

/// Layer normalisation (1607.06450).
pub struct LayerNorm {
    pub weight: Tensor, // [hidden]
    pub bias: Tensor,   // [hidden]
    pub epsilon: f64,
}

impl LayerNorm {
    pub fn load(weights: &mut Weights, name: &str, size: usize, epsilon: f64) -> Result<Self> {
        Ok(Self {
            weight: weights.take(&format!("{name}.weight"), &[size])?,
            bias: weights.take(&format!("{name}.bias"), &[size])?,
            epsilon,
        })
    }

    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.layer_norm(
            self.weight.size(),
            Some(&self.weight),
            Some(&self.bias),
            self.epsilon,
            true,
        )
    }

    /// With n the normalised x and g = cotangent · weight: (g − mean(g) − n mean(g n)) / σ.
    pub fn backward(&self, x: &Tensor, cotangent: &Tensor) -> Tensor {
        let centered = x - x.mean_dim(-1, true, None::<Kind>);
        let variance = centered.square().mean_dim(-1, true, None::<Kind>);
        let inverse_deviation = (variance + self.epsilon).rsqrt(); // [.., 1]
        let normalised = centered * &inverse_deviation;
        let g = cotangent * &self.weight;
        let along = (&g * &normalised).mean_dim(-1, true, None::<Kind>);
        (&g - g.mean_dim(-1, true, None::<Kind>) - normalised * along) * inverse_deviation
    }
}

impl Activation {
    pub fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::Relu => x.relu(),
            Self::Silu => x.silu(),
            Self::Tanh => x.tanh(),
        }
    }

    /// The slope at x.
    pub fn derivative(self, x: &Tensor) -> Tensor {
        let one = x.ones_like();
        match self {
            Self::Gelu => x.gelu_backward(&one, "none"),
            Self::GeluTanh => x.gelu_backward(&one, "tanh"),
            Self::Relu => x.gt(0.0).to_kind(x.kind()),
            Self::Silu => x.silu_backward(&one),
            Self::Tanh => 1.0 - x.tanh().square(),
        }
    }
}

//! What blocks are built of. Each layer has a `forward` and the `backward` that pulls cotangents
//! (gradients with respect to its output) back to its input; weights get no gradients.

use tch::{Kind, Tensor};

use crate::config::{Activation, NormConfig, NormKind};
use crate::error::Result;
use crate::weights::Weights;

/// x W + b.
pub struct Linear {
    pub weight: Tensor, // [in, out]
    pub bias: Option<Tensor>,
}

impl Linear {
    pub fn load(
        weights: &mut Weights,
        name: &str,
        inputs: usize,
        outputs: usize,
        bias: bool,
    ) -> Result<Self> {
        let weight = weights.take_linear(&format!("{name}.weight"), inputs, outputs)?;
        let bias = match bias {
            true => Some(weights.take(&format!("{name}.bias"), &[outputs])?),
            false => None,
        };
        Ok(Self { weight, bias })
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

/// Normalisation over the last axis: layer norm (1607.06450) or root mean square (1910.07467).
pub struct Norm {
    kind: NormKind,
    weight: Option<Tensor>,
    bias: Option<Tensor>,
    epsilon: f64,
}

impl Norm {
    /// A norm with weights of the given shape, whose last axis is normalised over.
    pub fn load(weights: &mut Weights, name: &str, shape: &[usize], config: NormConfig) -> Result<Self> {
        let mut part = |part: &str| weights.take(&format!("{name}.{part}"), shape).map(Some);
        let (weight, bias) = match config.kind {
            NormKind::Layer { bias: true } => (part("weight")?, part("bias")?),
            NormKind::Layer { bias: false } | NormKind::Rms { .. } => (part("weight")?, None),
            NormKind::Plain => (None, None),
        };
        Ok(Self {
            kind: config.kind,
            weight,
            bias,
            epsilon: config.epsilon,
        })
    }

    /// A norm with the given weight alone.
    pub fn with_weight(weight: Tensor, config: NormConfig) -> Self {
        Self {
            kind: config.kind,
            weight: Some(weight),
            bias: None,
            epsilon: config.epsilon,
        }
    }

    pub fn forward(&self, x: &Tensor) -> Tensor {
        match self.kind {
            NormKind::Rms { from_one } => self.root_mean_square(x, from_one),
            _ => self.layer_norm(x),
        }
    }

    fn layer_norm(&self, x: &Tensor) -> Tensor {
        let own_axes = self.weight.as_ref().map_or(1, Tensor::dim);
        if own_axes == 1 {
            let size = x.size()[x.dim() - 1];
            return x.layer_norm(
                [size],
                self.weight.as_ref(),
                self.bias.as_ref(),
                self.epsilon,
                true,
            );
        }
        let size = x.size()[x.dim() - 1];
        let normalised = x.layer_norm([size], None::<Tensor>, None::<Tensor>, self.epsilon, true);
        match &self.weight {
            Some(weight) => normalised * weight,
            None => normalised,
        }
    }

    /// Computed in single precision at least, as the models were trained.
    fn root_mean_square(&self, x: &Tensor, from_one: bool) -> Tensor {
        let kind = x.kind();
        let wide = if kind == Kind::Double { kind } else { Kind::Float };
        let x = x.to_kind(wide);
        let normalised = &x * self.inverse_root(&x);
        match &self.weight {
            Some(weight) if from_one => (normalised * (weight.to_kind(wide) + 1.0)).to_kind(kind),
            Some(weight) => normalised.to_kind(kind) * weight,
            None => normalised.to_kind(kind),
        }
    }

    /// 1 / √(mean x² + ε), `[.., 1]`.
    fn inverse_root(&self, x: &Tensor) -> Tensor {
        (x.square().mean_dim(-1, true, None::<Kind>) + self.epsilon).rsqrt()
    }

    /// What is added after the scaling.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
    }

    /// The cotangent of x when its deviation is a constant: then the norm is linear but for its bias, and what parts
    /// of x give sums to what x gives.
    pub fn backward_linear(&self, x: &Tensor, cotangent: &Tensor) -> Tensor {
        let mean = |x: &Tensor| x.mean_dim(-1, true, None::<Kind>);
        let g = self.weighted(cotangent);
        match self.kind {
            NormKind::Rms { .. } => g * self.inverse_root(x),
            _ => (&g - mean(&g)) * self.inverse_root(&(x - mean(x))),
        }
    }

    /// cotangent · weight
    fn weighted(&self, cotangent: &Tensor) -> Tensor {
        match (&self.weight, self.kind) {
            (Some(weight), NormKind::Rms { from_one: true }) => cotangent * (weight + 1.0),
            (Some(weight), _) => cotangent * weight,
            (None, _) => cotangent.shallow_clone(),
        }
    }

    /// With n the normalised x, σ its former deviation and g = cotangent · weight:
    /// (g − mean(g) − n mean(g n)) / σ; without mean(g) for the root mean square.
    pub fn backward(&self, x: &Tensor, cotangent: &Tensor) -> Tensor {
        let is_rms = matches!(self.kind, NormKind::Rms { .. });
        let g = self.weighted(cotangent);
        let mean = |x: &Tensor| x.mean_dim(-1, true, None::<Kind>);
        let centered = if is_rms { x.shallow_clone() } else { x - mean(x) };
        let inverse_deviation = self.inverse_root(&centered); // [.., 1]
        let normalised = centered * &inverse_deviation;
        let along = mean(&(&g * &normalised));
        let g = if is_rms { g } else { &g - mean(&g) };
        (g - normalised * along) * inverse_deviation
    }
}

/// c tanh(x / c).
pub fn soft_cap(x: Tensor, cap: Option<f64>) -> Tensor {
    match cap {
        Some(cap) => (x / cap).tanh() * cap,
        None => x,
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

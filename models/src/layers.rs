//! What blocks are built of. Each layer has a `forward` and the `backward` that pulls cotangents
//! (gradients with respect to its output) back to its input; weights get no gradients.

use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::adapter::LowRank;
use crate::config::{Activation, NormConfig, NormKind, Xielu};
use crate::error::Result;
use crate::fused;
use crate::host::wide;
use crate::rules::{Rule, over_itself};
use crate::weight::Weight;
use crate::weights::Weights;

/// The slope of the sigmoid.
pub(crate) fn sigmoid_slope(x: &Tensor) -> Tensor {
    x.sigmoid() * (1.0 - x.sigmoid())
}

/// x W + b, and what an adapter adds to it.
pub struct Linear {
    /// `[in, out]`, without what an adapter adds: the methods are with it.
    weight: Weight,
    pub bias: Option<Tensor>,
    low_rank: Option<Rc<LowRank>>,
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
        Ok(Self::new(
            weight,
            bias,
            weights.low_rank(&format!("{name}.weight")),
        ))
    }

    /// `weight` is `[in, out]`.
    pub(crate) fn new(weight: Weight, bias: Option<Tensor>, low_rank: Option<Rc<LowRank>>) -> Self {
        let added = low_rank.as_ref().and_then(|low_rank| low_rank.bias.as_ref());
        let bias = match (bias, added) {
            (Some(bias), Some(added)) => Some(bias + added),
            (None, Some(added)) => Some(added.shallow_clone()),
            (bias, None) => bias,
        };
        Self {
            weight,
            bias,
            low_rank,
        }
    }

    /// Another hold on the same.
    pub(crate) fn shallow_clone(&self) -> Self {
        Self {
            weight: self.weight.shallow_clone(),
            bias: self.bias.as_ref().map(Tensor::shallow_clone),
            low_rank: self.low_rank.clone(),
        }
    }

    /// What its weight computes with, and where.
    pub fn place(&self) -> (Kind, Device) {
        self.weight.place()
    }

    pub fn forward(&self, x: &Tensor) -> Tensor {
        if self.low_rank.is_none()
            && let Some(y) = self.weight.affine_of_few(x, self.bias.as_ref())
        {
            return y;
        }
        let size = x.size();
        let (inputs, outputs) = (size[size.len() - 1], self.weight.size()[1]);
        let rows = x.reshape([-1, inputs]);
        let y = match (&self.low_rank, &self.bias) {
            (None, bias) => self.weight.affine(&rows, bias.as_ref()),
            (Some(low_rank), bias) => {
                let y = low_rank.forward(&rows, self.weight.affine(&rows, None));
                bias.as_ref().map_or(y.shallow_clone(), |bias| y + bias)
            }
        };
        y.reshape([&size[..size.len() - 1], &[outputs]].concat())
    }

    /// The same without its bias: x W.
    pub fn linear(&self, x: &Tensor) -> Tensor {
        let y = self.forward(x);
        match &self.bias {
            Some(bias) => y - bias,
            None => y,
        }
    }

    /// How many numbers it takes.
    pub fn inputs(&self) -> i64 {
        self.weight.size()[0]
    }

    pub fn backward(&self, cotangent: &Tensor) -> Tensor {
        match &self.low_rank {
            None => self.weight.back(cotangent),
            Some(low_rank) => {
                let beside = low_rank.backward(cotangent);
                self.weight.back(&low_rank.gained(cotangent.shallow_clone())) + beside
            }
        }
    }

    /// The layer of the outputs from `start` on, `length` of them, without its bias.
    pub fn part(&self, start: i64, length: i64) -> Self {
        Self {
            weight: self.weight.outputs(start, length),
            bias: None,
            low_rank: self
                .low_rank
                .as_ref()
                .map(|low_rank| Rc::new(low_rank.part(start, length))),
        }
    }

    /// How much of each input goes along `direction`, `[out]`, in what the layer makes of it: `[in]`.
    pub fn along(&self, direction: &Tensor) -> Tensor {
        match &self.low_rank {
            None => self.weight.along(direction),
            Some(_) => self.backward(&direction.unsqueeze(0)).squeeze_dim(0),
        }
    }

    /// What an output is the product of with the input: `[in]`.
    pub fn column(&self, output: i64) -> Tensor {
        match &self.low_rank {
            None => self.weight.outputs(output, 1).tensor().select(1, 0),
            Some(_) => {
                let part = self.part(output, 1);
                part.along(&Tensor::ones([1], self.place()))
            }
        }
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
            NormKind::LayerFromOne => {
                let less = part("weight")?;
                let weight = less.map(|less| if less.defined() { less + 1.0 } else { less });
                (weight, part("bias")?)
            }
            NormKind::Layer { bias: true } => (part("weight")?, part("bias")?),
            NormKind::Layer { bias: false } | NormKind::Rms { .. } => (part("weight")?, None),
            NormKind::Plain | NormKind::BareRms => (None, None),
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
        self.forward_by(x, Rule::Gradient)
    }

    /// The same, differentiated by a rule.
    pub fn forward_by(&self, x: &Tensor, rule: Rule) -> Tensor {
        match (self.kind, rule) {
            (NormKind::Rms { from_one }, _) => self.root_mean_square(x, from_one, rule),
            (NormKind::BareRms, _) => self.root_mean_square(x, false, rule),
            (_, Rule::Gradient) => self.layer_norm(x),
            _ => {
                let centered = x - x.mean_dim(-1, true, None::<Kind>);
                let normalised = rule.over_root_mean_square(&centered, self.epsilon);
                let scaled = match &self.weight {
                    Some(weight) => normalised * weight,
                    None => normalised,
                };
                match &self.bias {
                    Some(bias) => scaled + bias,
                    None => scaled,
                }
            }
        }
    }

    fn layer_norm(&self, x: &Tensor) -> Tensor {
        let own_axes = self.weight.as_ref().map_or(1, Tensor::dim);
        if own_axes == 1 {
            if let Some(normalised) =
                fused::layer_norm(x, self.weight.as_ref(), self.bias.as_ref(), self.epsilon)
            {
                return normalised;
            }
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
    fn root_mean_square(&self, x: &Tensor, from_one: bool, rule: Rule) -> Tensor {
        if let (Some(weight), true) = (&self.weight, rule == Rule::Gradient) {
            let more = if from_one { 1.0 } else { 0.0 };
            if let Some(normalised) = fused::root_mean_square(x, weight, more, self.epsilon) {
                return normalised;
            }
        }
        let kind = x.kind();
        let wide = wide(kind);
        let x = x.to_kind(wide);
        let normalised = rule.over_root_mean_square(&x, self.epsilon);
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

    /// Its linear part: `x` centred where the norm does that, times the weight. Neither deviation nor bias, so that
    /// sums of vectors are sums of what becomes of them.
    pub fn linear(&self, x: &Tensor) -> Tensor {
        match self.kind.is_rms() {
            true => self.weighted(x),
            false => self.weighted(&(x - x.mean_dim(-1, true, None::<Kind>))),
        }
    }

    /// What becomes of a part of what is normed, over the deviation of the `whole`: parts that sum to the whole sum to what
    /// becomes of it, but for the bias.
    pub fn share(&self, whole: &Tensor, part: &Tensor) -> Tensor {
        let centered = match self.kind.is_rms() {
            true => whole.shallow_clone(),
            false => whole - whole.mean_dim(-1, true, None::<Kind>),
        };
        self.linear(part) * self.inverse_root(&centered)
    }

    /// What is added after the scaling.
    pub fn bias(&self) -> Option<&Tensor> {
        self.bias.as_ref()
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
        self.backward_by(x, cotangent, Rule::Gradient)
    }

    /// The same by a rule: the frozen one holds σ.
    pub fn backward_by(&self, x: &Tensor, cotangent: &Tensor, rule: Rule) -> Tensor {
        let is_rms = self.kind.is_rms();
        let g = self.weighted(cotangent);
        let mean = |x: &Tensor| x.mean_dim(-1, true, None::<Kind>);
        let centered = if is_rms { x.shallow_clone() } else { x - mean(x) };
        let inverse_deviation = self.inverse_root(&centered); // [.., 1]
        let normalised = centered * &inverse_deviation;
        let along = mean(&(&g * &normalised));
        let g = if is_rms { g } else { &g - mean(&g) };
        if rule == Rule::Frozen {
            return g * inverse_deviation;
        }
        (g - normalised * along) * inverse_deviation
    }
}

impl Activation {
    pub fn forward(self, x: &Tensor) -> Tensor {
        match self {
            Self::Gelu => x.gelu("none"),
            Self::GeluTanh => x.gelu("tanh"),
            Self::Relu => x.relu(),
            Self::SquaredRelu => x.relu().square(),
            Self::Silu => x.silu(),
            Self::Tanh => x.tanh(),
            Self::SoftmaxLinear => x * x.softmax(-1, None::<Kind>),
            Self::Xielu(numbers) => numbers.forward(x),
            Self::LimitedSilu { alpha, limit } => {
                let x = x.clamp_max(limit);
                &x * (&x * alpha).sigmoid()
            }
        }
    }

    /// From a cotangent of its value at x to that of x, by a rule of one pass.
    pub fn backward_by(self, x: &Tensor, cotangent: &Tensor, rule: Rule) -> Tensor {
        match (self, rule) {
            (Self::SoftmaxLinear, _) => {
                let gate = x.softmax(-1, None::<Kind>);
                match rule {
                    Rule::Frozen => cotangent * gate,
                    _ => {
                        let along = cotangent * x;
                        let mean = (&gate * &along).sum_dim_intlist(-1, true, None::<Kind>);
                        gate * (cotangent + along - mean)
                    }
                }
            }
            (_, Rule::Frozen) => cotangent * over_itself(x, &self.forward(x), &self.derivative(x)),
            _ => cotangent * self.derivative(x),
        }
    }

    /// The slope at x; of one that mixes neurons the neuron's own, which leaves out what it does to others.
    pub fn derivative(self, x: &Tensor) -> Tensor {
        let one = x.ones_like();
        match self {
            Self::Gelu => x.gelu_backward(&one, "none"),
            Self::GeluTanh => x.gelu_backward(&one, "tanh"),
            Self::Relu => x.gt(0.0).to_kind(x.kind()),
            Self::SquaredRelu => x.relu() * 2.0,
            Self::Silu => x.silu_backward(&one),
            Self::Tanh => 1.0 - x.tanh().square(),
            Self::SoftmaxLinear => {
                let gate = x.softmax(-1, None::<Kind>);
                &gate + x * &gate * (1.0 - &gate)
            }
            Self::Xielu(numbers) => numbers.derivative(x),
            Self::LimitedSilu { alpha, limit } => {
                let sigmoid = (x * alpha).sigmoid();
                let slope = &sigmoid + x * alpha * &sigmoid * (1.0 - &sigmoid);
                slope * x.le(limit)
            }
        }
    }
}

impl Xielu {
    fn forward(self, x: &Tensor) -> Tensor {
        let above = x.square() * self.positive;
        let below = (x.clamp_max(self.epsilon).expm1() - x) * self.negative;
        above.where_self(&x.gt(0.0), &below) + x * self.beta
    }

    fn derivative(self, x: &Tensor) -> Tensor {
        let above = x * (2.0 * self.positive);
        let below = (x.clamp_max(self.epsilon).exp() * x.le(self.epsilon) - 1.0) * self.negative;
        above.where_self(&x.gt(0.0), &below) + self.beta
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slopes_of_activations_are_autograds() {
        let limited = Activation::LimitedSilu {
            alpha: 1.702,
            limit: 1.5,
        };
        let with_numbers = [Activation::Xielu(Xielu::START), limited];
        for &activation in Activation::ALL.iter().chain(&with_numbers) {
            // No point is a corner.
            let x = Tensor::linspace(-3.0, 3.1, 30, (Kind::Double, Device::Cpu)).set_requires_grad(true);
            let sum = activation.forward(&x).sum(None::<Kind>);
            let expected = Tensor::run_backward(&[sum], &[&x], false, false).remove(0);
            let apart = (activation.derivative(&x) - expected).abs().max();
            assert!(crate::host::number(&apart) < 1e-12, "{activation:?}: {apart:?}");
        }
    }

    #[test]
    fn the_way_back_through_an_activation_that_mixes_neurons_is_autograds() {
        let x = Tensor::linspace(-2.0, 3.0, 12, (Kind::Double, Device::Cpu)).reshape([3, 4]);
        let cotangent = (&x * 1.7).sin();
        for rule in [Rule::Gradient, Rule::Frozen] {
            // A rule takes two halves, the first of which is differentiated.
            let twice = |x: &Tensor| match rule {
                Rule::Gradient => x.shallow_clone(),
                _ => Tensor::cat(&[x, x], 0),
            };
            let leaf = x.copy().set_requires_grad(true);
            let value = rule.activate(Activation::SoftmaxLinear, &twice(&leaf));
            let sum = (value.narrow(0, 0, 3) * &cotangent).sum(None::<Kind>);
            let expected = Tensor::run_backward(&[sum], &[&leaf], false, false).remove(0);
            let found = Activation::SoftmaxLinear.backward_by(&x, &cotangent, rule);
            let apart = (found - expected).abs().max();
            assert!(crate::host::number(&apart) < 1e-12, "{rule:?}: {apart:?}");
        }
    }
}

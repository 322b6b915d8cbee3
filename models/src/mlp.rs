//! The second half of a layer: neurons.
//!
//! - [`Mlp`], [`Gated`]
//! - [`Experts`]: several, of which a router chooses a few; `expert` is one of them, `ends` what stands between them and the stream

mod ends;
mod expert;
mod experts;
mod router;

use tch::{Device, Kind, Tensor};

use crate::config::{Activation, Config, Mlp as MlpConfig, Xielu};
use crate::error::Result;
use crate::host;
use crate::layers::{Linear, Norm};
use crate::tap::{Site, Tap};
use crate::weights::Weights;

pub use experts::Experts;

/// A layer's neurons.
pub struct Mlp {
    pub activation: Activation,
    pub shape: Shape,
}

pub enum Shape {
    /// down(act(up x)), or down(norm(act(up x))).
    Plain {
        up: Linear,
        norm: Option<Norm>,
        down: Linear,
    },
    Gated(Gated),
    Experts(Box<Experts>),
    /// The layer has none.
    Nothing,
}

/// down(act(gate x) · up x) (2002.05202).
pub struct Gated {
    pub input: GatedInput,
    pub down: Linear,
}

pub enum GatedInput {
    Separate {
        gate: Linear,
        up: Linear,
    },
    /// Gate and up side by side.
    Joined(Linear),
    /// Gate and up in turn, neuron by neuron.
    InTurn(Linear),
}

impl Mlp {
    pub fn load(config: &Config, layer: usize, weights: &mut Weights) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, config.neurons(layer));
        let name = config.name_in_layer(layer, "mlp");
        let shape = match &config.mlp {
            _ if !config.has_mlp(layer) => Shape::Nothing,
            MlpConfig::Plain { bias } => Shape::plain(weights, &name, [hidden, inner], *bias, None)?,
            MlpConfig::Normed { norm } => {
                let norm = Norm::load(weights, &format!("{name}.norm"), &[inner], *norm)?;
                Shape::plain(weights, &name, [hidden, inner], true, Some(norm))?
            }
            MlpConfig::Gated { bias, joined } => {
                Shape::Gated(Gated::load(weights, &name, hidden, inner, *bias, *joined)?)
            }
            MlpConfig::Experts(experts) if !experts.layers[layer] => {
                let inner = experts.dense_size;
                match experts.gated {
                    true => Shape::Gated(Gated::load(weights, &name, hidden, inner, false, false)?),
                    false => Shape::plain(weights, &name, [hidden, inner], false, None)?,
                }
            }
            MlpConfig::Experts(experts) => {
                Shape::Experts(Box::new(Experts::load(config, experts, &name, weights)?))
            }
        };
        let activation = match config.activation {
            Activation::Xielu(_) => Activation::Xielu(learned(weights, &format!("{name}.activation"))?),
            activation => activation,
        };
        Ok(Self { activation, shape })
    }

    /// Where its weights are, where it has any.
    pub fn place(&self) -> Option<(Kind, Device)> {
        match &self.shape {
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => Some(down.place()),
            Shape::Experts(experts) => experts.each().next().map(|expert| expert.down().place()),
            Shape::Nothing => None,
        }
    }

    pub fn forward(&self, x: &Tensor, layer: usize, tap: &mut dyn Tap) -> Tensor {
        match &self.shape {
            Shape::Nothing => x.zeros_like(),
            Shape::Plain { up, norm, down } => {
                let pre = tap.visit(Site::MlpPre, layer, up.forward(x));
                let active = tap.activate(self.activation, &pre);
                let inner = match norm {
                    Some(norm) => norm.forward_by(&active, tap.rule()),
                    None => active,
                };
                down.forward(&tap.visit(Site::MlpInner, layer, inner))
            }
            Shape::Gated(gated) => {
                let (gate, up) = gated.input(x);
                let gate = tap.visit(Site::MlpPre, layer, gate);
                let up = tap.visit(Site::MlpUp, layer, up);
                let inner = tap.rule().product(&tap.activate(self.activation, &gate), &up);
                gated.down.forward(&tap.visit(Site::MlpInner, layer, inner))
            }
            Shape::Experts(experts) => experts.forward(x, layer, tap),
        }
    }

    /// How much of each neuron's activation goes along `direction`, `[hidden]`, in what the MLP makes of one token's
    /// `x`, `[hidden]`: `[neuron]`, as [`Site::MlpInner`] has them.
    pub fn neurons_along(&self, x: &Tensor, direction: &Tensor) -> Tensor {
        match &self.shape {
            Shape::Nothing => direction.narrow(0, 0, 0),
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => down.along(direction),
            Shape::Experts(experts) => experts.along(x, direction),
        }
    }

    /// What each of some neurons adds to the MLP's output by 1 of activation, `[neuron, hidden]`: rows of its second
    /// projection. Neurons are numbered as [`Site::MlpInner`] has them; of experts without the router's weight, and behind the linear
    /// part of a norm on what they write.
    ///
    /// # Panics
    /// In a layer without neurons: a mistake of the caller's, as a neuron beyond the last is.
    pub fn neuron_writes(&self, neurons: &[usize]) -> Tensor {
        let write = |&neuron: &usize| {
            let of = |down: &Linear, at: usize| {
                let (kind, device) = down.place();
                let one = Tensor::zeros([1, down.inputs()], (kind, device));
                down.linear(&one.index_fill(1, &host::index(&[at as i64], device), 1.0))
            };
            match &self.shape {
                Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => of(down, neuron),
                Shape::Experts(experts) => {
                    let (index, expert, at) = experts.of_neuron(neuron);
                    experts.written(index, &of(expert.down(), at))
                }
                Shape::Nothing => panic!("a layer without neurons"),
            }
        };
        Tensor::cat(&neurons.iter().map(write).collect::<Vec<_>>(), 0)
    }

    /// Sums of the same by weights, `[sum, neuron]` to `[sum, hidden]`.
    ///
    /// # Panics
    /// In a layer without neurons: a mistake of the caller's, as a neuron beyond the last is.
    pub fn sums_write(&self, by: &Tensor) -> Tensor {
        match &self.shape {
            Shape::Nothing => panic!("a layer without neurons"),
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => down.linear(by),
            Shape::Experts(experts) => {
                let parts = by.split_with_sizes(experts.sizes(), -1);
                let each = experts.each().zip(&parts).enumerate();
                let each: Vec<Tensor> = each
                    .map(|(index, (expert, part))| experts.written(index, &expert.down().linear(part)))
                    .collect();
                Tensor::stack(&each, 0).sum_dim_intlist(0, false, None::<Kind>)
            }
        }
    }

    /// How many neurons there are, those of all experts side by side.
    pub fn n_neurons(&self) -> usize {
        match &self.shape {
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => down.inputs() as usize,
            Shape::Experts(experts) => experts.sizes().iter().sum::<i64>() as usize,
            Shape::Nothing => 0,
        }
    }

    /// What the MLP adds whatever its neurons do, for one token's `x`, `[hidden]`: experts' biases have the router's
    /// weights.
    pub fn output_bias(&self, x: &Tensor) -> Option<Tensor> {
        match &self.shape {
            Shape::Plain { down, .. } | Shape::Gated(Gated { down, .. }) => {
                down.bias.as_ref().map(Tensor::shallow_clone)
            }
            Shape::Experts(experts) => experts.bias(x),
            Shape::Nothing => None,
        }
    }
}

/// The numbers of a layer's activation.
fn learned(weights: &mut Weights, name: &str) -> Result<Xielu> {
    let mut number = |part: &str, shape: &[usize]| -> Result<f64> {
        let number = weights.take(&format!("{name}.{part}"), shape)?;
        // What is missing is said when all of it is known.
        Ok(match number.defined() {
            true => host::number(&number.reshape([1]).get(0)),
            false => 0.0,
        })
    };
    let above_zero = |x: f64| if x > 30.0 { x } else { x.exp().ln_1p() };
    let beta = number("beta", &[])?;
    Ok(Xielu {
        positive: above_zero(number("positive", &[1])?),
        negative: beta + above_zero(number("negative", &[1])?),
        beta,
        epsilon: number("epsilon", &[])?,
    })
}

impl Shape {
    fn plain(
        weights: &mut Weights,
        name: &str,
        [hidden, inner]: [usize; 2],
        bias: bool,
        norm: Option<Norm>,
    ) -> Result<Self> {
        Ok(Self::Plain {
            up: Linear::load(weights, &format!("{name}.up"), hidden, inner, bias)?,
            norm,
            down: Linear::load(weights, &format!("{name}.down"), inner, hidden, bias)?,
        })
    }
}

impl Gated {
    fn load(
        weights: &mut Weights,
        name: &str,
        hidden: usize,
        inner: usize,
        bias: bool,
        joined: bool,
    ) -> Result<Self> {
        let mut linear = |part: &str, inputs, outputs| {
            Linear::load(weights, &format!("{name}.{part}"), inputs, outputs, bias)
        };
        let input = match joined {
            true => GatedInput::Joined(linear("gate_up", hidden, 2 * inner)?),
            false => GatedInput::Separate {
                gate: linear("gate", hidden, inner)?,
                up: linear("up", hidden, inner)?,
            },
        };
        Ok(Self {
            input,
            down: linear("down", inner, hidden)?,
        })
    }

    /// gate x and up x.
    pub fn input(&self, x: &Tensor) -> (Tensor, Tensor) {
        match &self.input {
            GatedInput::Separate { gate, up } => (gate.forward(x), up.forward(x)),
            GatedInput::Joined(both) => {
                let both = both.forward(x);
                let inner = both.size()[both.dim() - 1] / 2;
                (both.narrow(-1, 0, inner), both.narrow(-1, inner, inner))
            }
            GatedInput::InTurn(both) => {
                let both = both.forward(x).unflatten(-1, [-1, 2]);
                (both.select(-1, 0), both.select(-1, 1))
            }
        }
    }

    /// Cotangents of gate x and up x to that of x.
    pub fn input_backward(&self, gate: &Tensor, up: &Tensor) -> Tensor {
        match &self.input {
            GatedInput::Separate {
                gate: to_gate,
                up: to_up,
            } => to_gate.backward(gate) + to_up.backward(up),
            GatedInput::Joined(both) => both.backward(&Tensor::cat(&[gate, up], -1)),
            GatedInput::InTurn(both) => both.backward(&Tensor::stack(&[gate, up], -1).flatten(-2, -1)),
        }
    }
}

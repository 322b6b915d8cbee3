//! A gated delta net in the place of a layer's attention.

use tch::{Device, Kind, Tensor};

use crate::attention::{LayerMemory, split_heads};
use crate::causal_convolution::CausalConvolution;
use crate::config::{self, Activation, Config, NormConfig, NormKind};
use crate::error::Result;
use crate::host::wide;
use crate::layers::{Linear, Norm, sigmoid_slope};
use crate::recurrence::Recurrence;
use crate::rules::Rule;
use crate::tap::Tap;
use crate::weights::Weights;

/// Linear attention by the gated delta rule (2412.06464): queries, keys and values go through a short convolution and a
/// [`Recurrence`], whose outputs are normed and gated.
pub struct DeltaNet {
    of: config::DeltaNet,
    projections: Projections,
    kernel: CausalConvolution,
    /// Decays are exp(−exp(this) · softplus(step + bias)), `[head of values]` both.
    decay: Tensor,
    step_bias: Tensor,
    norm: Norm,
    output: Linear,
}

enum Projections {
    /// Of each head of keys its query, key, values and gates; and its rates and steps.
    Grouped { inputs: Linear, rates: Linear },
    Separate {
        inputs: Linear,
        gate: Linear,
        rate: Linear,
        step: Linear,
    },
}

/// What the stream is projected to, `[batch, position, ..]`.
struct Projected {
    /// Queries, keys and values of all heads.
    inputs: Tensor,
    gate: Tensor,
    rate: Tensor,
    step: Tensor,
}

impl DeltaNet {
    pub fn load(of: config::DeltaNet, config: &Config, layer: usize, weights: &mut Weights) -> Result<Self> {
        let (hidden, n_heads) = (config.hidden_size, of.n_value_heads);
        let channels = 2 * of.keys() + of.values();
        let name = config.name_in_layer(layer, "delta_net");
        let mut linear =
            |part: &str, outputs| Linear::load(weights, &format!("{name}.{part}"), hidden, outputs, false);
        let projections = match of.grouped {
            true => Projections::Grouped {
                inputs: linear("inputs", channels + of.values())?,
                rates: linear("rates", 2 * n_heads)?,
            },
            false => Projections::Separate {
                inputs: linear("inputs", channels)?,
                gate: linear("gate", of.values())?,
                rate: linear("rate", n_heads)?,
                step: linear("step", n_heads)?,
            },
        };
        let norm = NormConfig {
            kind: NormKind::Rms { from_one: false },
            ..config.norm
        };
        Ok(Self {
            of,
            projections,
            kernel: CausalConvolution::load(weights, &format!("{name}.kernel"), channels, of.width, false)?,
            decay: weights.take(&format!("{name}.decay"), &[n_heads])?,
            step_bias: weights.take(&format!("{name}.step_bias"), &[n_heads])?,
            norm: Norm::load(weights, &format!("{name}.norm"), &[of.value_dim], norm)?,
            output: Linear::load(weights, &format!("{name}.output"), of.values(), hidden, false)?,
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
        let (rule, kind) = (tap.rule(), x.kind());
        let projected = self.project(x);
        let inputs = projected.inputs.shallow_clone();
        let convolved = self.kernel.pass(inputs, memory.as_ref(), layer, tap);
        let recurrence = self.recurrence(&rule.activate(Activation::Silu, &convolved), &projected, rule);
        let read = recurrence.forward(kind, memory.as_ref(), layer, rule, tap);
        let normed = self.norm.forward_by(&read, rule);
        let gate = split_heads(&projected.gate, self.of.n_value_heads as i64);
        let gated = rule.product(&rule.activate(Activation::Silu, &gate), &normed);
        self.output.forward(&gated.transpose(1, 2).flatten(2, 3))
    }

    fn project(&self, x: &Tensor) -> Projected {
        let of = &self.of;
        match &self.projections {
            Projections::Separate {
                inputs,
                gate,
                rate,
                step,
            } => Projected {
                inputs: inputs.forward(x),
                gate: gate.forward(x),
                rate: rate.forward(x),
                step: step.forward(x),
            },
            Projections::Grouped { inputs, rates } => {
                let groups = of.n_key_heads as i64;
                let (key, values) = (of.key_dim as i64, (of.values() / of.n_key_heads) as i64);
                let all = inputs.forward(x).unflatten(-1, [groups, -1]);
                let [query, key, value, gate] = all
                    .split_with_sizes([key, key, values, values], -1)
                    .try_into()
                    .expect("four of them");
                let [query, key, value, gate] = [query, key, value, gate].map(|x| x.flatten(-2, -1));
                let rates = rates.forward(x).unflatten(-1, [groups, 2, -1]);
                let part = |index| rates.select(-2, index).flatten(-2, -1);
                Projected {
                    inputs: Tensor::cat(&[query, key, value], -1),
                    gate,
                    rate: part(0),
                    step: part(1),
                }
            }
        }
    }

    /// Of what the convolution has come to: queries and keys of length 1, queries over √key.
    fn recurrence(&self, mixed: &Tensor, projected: &Projected, rule: Rule) -> Recurrence {
        let of = &self.of;
        let wide = wide(mixed.kind());
        let (keys, n_heads) = (of.keys() as i64, of.n_value_heads as i64);
        let mixed = mixed.to_kind(wide);
        let root = (of.key_dim as f64).sqrt();
        let of_length_one = |start: i64| {
            let heads = split_heads(&mixed.narrow(-1, start, keys), of.n_key_heads as i64);
            let normed = rule.over_root_mean_square(&heads, EPSILON / of.key_dim as f64) / root;
            match of.n_value_heads / of.n_key_heads {
                1 => normed,
                per_group => normed.repeat_interleave_self_int(per_group as i64, 1, None),
            }
        };
        let by_head = |x: &Tensor| x.to_kind(wide).transpose(1, 2).unsqueeze(-1);
        let step = by_head(&projected.step) + self.step_bias.to_kind(wide).reshape([-1, 1, 1]);
        let step = rule.elementwise(&step, Tensor::softplus, Tensor::sigmoid);
        let rate = by_head(&projected.rate);
        Recurrence {
            query: of_length_one(0) / root,
            key: of_length_one(keys),
            value: split_heads(&mixed.narrow(-1, 2 * keys, of.values() as i64), n_heads),
            log_decay: -step * self.decay.to_kind(wide).exp().reshape([-1, 1, 1]),
            rate: Some(rule.elementwise(&rate, Tensor::sigmoid, sigmoid_slope)),
        }
    }
}

/// What is added to the squared length of queries and keys.
const EPSILON: f64 = 1e-6;

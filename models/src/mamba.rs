//! Selective state spaces in the place of a layer's attention.

use tch::{Device, Kind, Tensor};

use crate::attention::{LayerMemory, split_heads};
use crate::causal_convolution::CausalConvolution;
use crate::config::{self, Activation, Config, NormConfig, NormKind};
use crate::error::Result;
use crate::host::wide;
use crate::layers::{Linear, Norm};
use crate::recurrence::Recurrence;
use crate::rules::Rule;
use crate::tap::Tap;
use crate::weights::Weights;

/// A selective state space behind a short convolution: by channel (2312.00752), or by head (2405.21060). How far a step goes is made
/// of the stream, Δ = softplus(step + bias); the state decays by exp(−exp(decay) Δ), takes Δ x along B, and is read along C.
pub struct Mamba {
    of: config::Mamba,
    inputs: Linear,
    kernel: CausalConvolution,
    selection: Selection,
    /// Logarithms of what decays are made of, `[channel, state]` or `[head]`.
    decay: Tensor,
    /// How much of x goes past the state, `[channel]` or `[head]`.
    skip: Tensor,
    output: Linear,
}

/// Where steps, B and C come from.
enum Selection {
    /// From what the convolution comes to: the first few numbers of `of_inputs` make a step for each channel.
    ByChannel { of_inputs: Linear, step: Linear },
    /// From the stream, B and C through the convolution.
    ByHead {
        step_bias: Tensor,
        /// Of each group of channels, behind the gate.
        norm: Norm,
    },
}

impl Mamba {
    pub fn load(of: config::Mamba, config: &Config, layer: usize, weights: &mut Weights) -> Result<Self> {
        let (hidden, inner) = (config.hidden_size, of.inner());
        let channels = of.channels();
        let name = config.name_in_layer(layer, "mamba");
        let kernel = format!("{name}.kernel");
        let kernel = CausalConvolution::load(weights, &kernel, channels, of.width, of.kernel_bias)?;
        let mut linear = |part: &str, inputs, outputs, bias| {
            Linear::load(weights, &format!("{name}.{part}"), inputs, outputs, bias)
        };
        let output = linear("output", inner, hidden, of.bias)?;
        let (inputs, selection, decay) = match of.kind {
            config::MambaKind::ByChannel { rank, .. } => (
                linear("inputs", hidden, 2 * inner, of.bias)?,
                Selection::ByChannel {
                    of_inputs: linear("selection", inner, rank + 2 * of.state, false)?,
                    step: linear("step", rank, inner, true)?,
                },
                vec![inner, of.state],
            ),
            config::MambaKind::ByHead {
                n_heads,
                n_norm_groups,
                ..
            } => (
                linear("inputs", hidden, inner + channels + n_heads, of.bias)?,
                Selection::ByHead {
                    step_bias: weights.take(&format!("{name}.step_bias"), &[n_heads])?,
                    norm: norm(
                        weights,
                        &format!("{name}.norm.weight"),
                        inner,
                        n_norm_groups,
                        config.norm,
                    )?,
                },
                vec![n_heads],
            ),
        };
        Ok(Self {
            of,
            inputs,
            kernel,
            selection,
            skip: weights.take(&format!("{name}.skip"), &decay[..1])?,
            decay: weights.take(&format!("{name}.decay"), &decay)?,
            output,
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
        let (inputs, gate, step) = self.project(x);
        let convolved = self.kernel.pass(inputs, memory.as_ref(), layer, tap);
        let mixed = rule.activate(Activation::Silu, &convolved);
        let gate = rule.activate(Activation::Silu, &gate);
        let inner = self.of.inner() as i64;
        let (values, recurrence) = match &self.selection {
            Selection::ByChannel { of_inputs, step } => self.by_channel(&mixed, of_inputs, step, rule),
            Selection::ByHead { step_bias, .. } => self.by_head(&mixed, &step, step_bias, rule),
        };
        let read = recurrence.forward(kind, memory.as_ref(), layer, rule, tap);
        // Heads, or channels, are an axis before that of positions.
        let sum = read + values.to_kind(kind) * self.skip.reshape([-1, 1, 1]);
        let sum = sum.transpose(1, 2).reshape([x.size()[0], x.size()[1], inner]);
        let gated = rule.product(&gate, &sum);
        let normed = match &self.selection {
            Selection::ByChannel { .. } => gated,
            Selection::ByHead { norm, .. } => {
                let groups = gated.unflatten(-1, [self.of.n_norm_groups() as i64, -1]);
                norm.forward_by(&groups, rule).flatten(-2, -1)
            }
        };
        self.output.forward(&normed)
    }

    /// What goes into the convolution, gates, and steps where these are of the stream.
    fn project(&self, x: &Tensor) -> (Tensor, Tensor, Tensor) {
        let (inner, channels) = (self.of.inner() as i64, self.of.channels() as i64);
        let all = self.inputs.forward(x);
        let part = |start, length| all.narrow(-1, start, length);
        match &self.selection {
            Selection::ByChannel { .. } => (part(0, inner), part(inner, inner), part(0, 0)),
            Selection::ByHead { .. } => {
                let n_heads = all.size()[2] - inner - channels;
                (
                    part(inner, channels),
                    part(0, inner),
                    part(inner + channels, n_heads),
                )
            }
        }
    }

    /// A state for each channel, B and C the same for all: `[batch, channel, position, 1]` and what is carried.
    fn by_channel(
        &self,
        mixed: &Tensor,
        of_inputs: &Linear,
        step: &Linear,
        rule: Rule,
    ) -> (Tensor, Recurrence) {
        let config::MambaKind::ByChannel { rank, norm, .. } = self.of.kind else {
            unreachable!("loaded by its kind");
        };
        let state = self.of.state as i64;
        let [short, along, read] = of_inputs
            .forward(mixed)
            .split_with_sizes([rank as i64, state, state], -1)
            .try_into()
            .expect("three of them");
        let wide = wide(mixed.kind());
        let normed = |x: Tensor| match norm {
            Some(epsilon) => {
                let kind = x.kind();
                rule.over_root_mean_square(&x.to_kind(wide), epsilon)
                    .to_kind(kind)
            }
            None => x,
        };
        let by_channel = |x: &Tensor| x.to_kind(wide).transpose(1, 2).unsqueeze(-1);
        let for_all = |x: Tensor| normed(x).to_kind(wide).unsqueeze(1);
        let step = self.steps(&by_channel(&step.forward(&normed(short))), rule);
        let values = by_channel(mixed);
        let recurrence = Recurrence {
            query: for_all(read),
            key: for_all(along),
            value: rule.product(&step, &values),
            log_decay: -step * self.decay.to_kind(wide).exp().unsqueeze(1),
            rate: None,
        };
        (values, recurrence)
    }

    /// A state for each head, B and C the same for those of a group: `[batch, head, position, head_dim]` and what is carried.
    fn by_head(&self, mixed: &Tensor, step: &Tensor, step_bias: &Tensor, rule: Rule) -> (Tensor, Recurrence) {
        let config::MambaKind::ByHead {
            n_heads, n_groups, ..
        } = self.of.kind
        else {
            unreachable!("loaded by its kind");
        };
        let wide = wide(mixed.kind());
        let mixed = mixed.to_kind(wide);
        let (inner, of_group) = (self.of.inner() as i64, (n_groups * self.of.state) as i64);
        let by_group = |start: i64| {
            let groups = split_heads(&mixed.narrow(-1, start, of_group), n_groups as i64);
            match n_heads / n_groups {
                1 => groups,
                per_group => groups.repeat_interleave_self_int(per_group as i64, 1, None),
            }
        };
        let by_head = |x: Tensor| x.transpose(1, 2).unsqueeze(-1);
        let step = self.steps(&by_head(step.to_kind(wide) + step_bias.to_kind(wide)), rule);
        let values = split_heads(&mixed.narrow(-1, 0, inner), n_heads as i64);
        let recurrence = Recurrence {
            query: by_group(inner + of_group),
            key: by_group(inner),
            value: rule.product(&step, &values),
            log_decay: -step * self.decay.to_kind(wide).exp().reshape([-1, 1, 1]),
            rate: None,
        };
        (values, recurrence)
    }

    /// Δ: softplus, within the limits that there are.
    fn steps(&self, x: &Tensor, rule: Rule) -> Tensor {
        let (least, most) = self.of.step_limits;
        let step = |x: &Tensor| x.softplus().clamp(least, most);
        let slope = |x: &Tensor| {
            let step = x.softplus();
            x.sigmoid() * step.ge(least) * step.le(most)
        };
        rule.elementwise(x, step, slope)
    }
}

/// A norm of each of some groups of channels.
fn norm(weights: &mut Weights, name: &str, size: usize, n_groups: usize, config: NormConfig) -> Result<Norm> {
    let weight = weights.take(name, &[size])?;
    let weight = match weight.defined() {
        true => weight.reshape([n_groups as i64, -1]),
        false => weight,
    };
    let kind = NormKind::Rms { from_one: false };
    Ok(Norm::with_weight(weight, NormConfig { kind, ..config }))
}

//! Layers' own inputs: of each token a second embedding, of which every layer reads a part that is its own, together with
//! what it makes of the first (as in Gemma 3n and Gemma 4).

use tch::Tensor;

use crate::config::{Activation, Config};
use crate::error::Result;
use crate::layers::{Linear, Norm};
use crate::rules::Rule;
use crate::tap::Tap;
use crate::weight::Weight;
use crate::weights::Weights;

/// What makes them. Of a token with scaled embedding x and row r of the second table, by layer:
/// (norm(P x / √hidden) + √n r) / √2, n being how many numbers a layer has.
pub(super) struct OwnInputs {
    pub(super) table: Weight, // [vocabulary, layer · number]
    project: Linear,
    norm: Norm,
    size: [i64; 2],
    hidden: i64,
}

impl OwnInputs {
    /// `None` of a model whose layers read the stream alone.
    pub(super) fn load(config: &Config, weights: &mut Weights) -> Result<Option<Self>> {
        let (n, hidden) = (config.embedding.own, config.hidden_size);
        if n == 0 {
            return Ok(None);
        }
        let all = config.n_layers * n;
        let of_all = config.norm;
        Ok(Some(Self {
            table: weights.take_whole("own_embedding.weight", &[config.vocab_size, all])?,
            project: Linear::load(weights, "own_projection", hidden, all, false)?,
            norm: Norm::load(weights, "own_norm", &[n], of_all)?,
            size: [config.n_layers as i64, n as i64],
            hidden: hidden as i64,
        }))
    }

    /// Before the norm, `[.., layer, number]`.
    fn projected(&self, x: &Tensor) -> Tensor {
        (self.project.forward(x) * self.factor()).unflatten(-1, self.size)
    }

    fn factor(&self) -> f64 {
        (self.hidden as f64).powf(-0.5)
    }

    /// From scaled embeddings `[.., hidden]` and rows of the table.
    pub(super) fn forward(&self, x: &Tensor, rows: &Tensor, rule: Rule) -> Tensor {
        let projected = self.norm.forward_by(&self.projected(x), rule);
        // Rounded as the numbers are: in bfloat16 the models were trained with it so.
        let scale = Tensor::from((self.size[1] as f64).sqrt()).to_kind(rows.kind());
        (projected + (rows * scale).unflatten(-1, self.size)) * 0.5f64.sqrt()
    }

    /// From the cotangent of the same to those of both.
    pub(super) fn backward(&self, x: &Tensor, cotangent: &Tensor, rule: Rule) -> (Tensor, Tensor) {
        let cotangent = cotangent * 0.5f64.sqrt();
        let of_projected = self.norm.backward_by(&self.projected(x), &cotangent, rule);
        let of_x = self.project.backward(&of_projected.flatten(-2, -1)) * self.factor();
        (of_x, cotangent.flatten(-2, -1) * (self.size[1] as f64).sqrt())
    }
}

/// What a layer makes of its own: norm(out(act(gate x) · input)), with x the stream behind the MLP, which it is added to.
pub struct OwnInput {
    gate: Linear,
    output: Linear,
    norm: Norm,
    activation: Activation,
}

impl OwnInput {
    pub(super) fn load(config: &Config, layer: usize, weights: &mut Weights) -> Result<Option<Self>> {
        let (n, hidden) = (config.embedding.own, config.hidden_size);
        if n == 0 {
            return Ok(None);
        }
        let name = config.name_in_layer(layer, "own");
        Ok(Some(Self {
            gate: Linear::load(weights, &format!("{name}.gate"), hidden, n, false)?,
            output: Linear::load(weights, &format!("{name}.output"), n, hidden, false)?,
            norm: Norm::load(weights, &format!("{name}.norm"), &[hidden], config.norm)?,
            activation: config.activation,
        }))
    }

    pub(super) fn forward(&self, x: &Tensor, input: &Tensor, tap: &mut dyn Tap) -> Tensor {
        let rule = tap.rule();
        let active = tap.activate(self.activation, &self.gate.forward(x));
        let inner = rule.product(&active, input);
        self.norm.forward_by(&self.output.forward(&inner), rule)
    }

    /// From the cotangent of what is added to those of the stream and of the input.
    pub(crate) fn backward(
        &self,
        x: &Tensor,
        input: &Tensor,
        cotangent: &Tensor,
        rule: Rule,
    ) -> (Tensor, Tensor) {
        let gate = self.gate.forward(x);
        let active = self.activation.forward(&gate);
        let made = self.output.forward(&(&active * input));
        let inner = self
            .output
            .backward(&self.norm.backward_by(&made, cotangent, rule));
        let of_stream = match rule {
            Rule::Frozen => cotangent.zeros_like(),
            _ => {
                let of_active = self.activation.backward_by(&gate, &(&inner * input), rule);
                self.gate.backward(&of_active)
            }
        };
        (of_stream, inner * active)
    }
}

//! Direct logit attribution: what each part of the model wrote to a token's logit (Elhage et al. 2021, "A mathematical
//! framework for transformer circuits").
//!
//! The logit of a token is a product of its row of the head with the last state, and that state a sum of what the
//! embedding and each layer's attention and MLP added to the stream. With the deviation that each norm divides by taken as
//! it was, all of that is linear: the token's direction is pulled back through the norms on the stream, and a part's
//! contribution is its product with the direction at its place. Contributions and biases sum to the logit exactly.

use ecco_interpreter::Watch;
use ecco_models::decoder::Decoder;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::layers::Norm;
use ecco_models::model::Body;
use ecco_models::rules::Rule;
use ecco_models::run::{Input, forward};
use ecco_models::stack::Block;
use ecco_models::tap::NoTap;
use ecco_models::{Model, Site};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result, refuse};
use crate::rows::Rows;

/// Which logit, and where.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogitQuery {
    /// The position that is read; the token stands at the next.
    pub row: usize,
    pub token: u32,
    /// Explains the difference to this token's logit instead.
    pub contrast: Option<u32>,
}

/// What the parts wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Direct {
    /// The logit, or the difference of two, as the head makes it: before a cap, where the model has one. The sum of
    /// `embedding`, of each layer's attention, cross-attention and MLP, and of `bias`.
    pub logit: f64,
    pub embedding: f64,
    /// Of the head and of the norms that stand on the stream.
    pub bias: f64,
    pub layers: Vec<Layer>,
    /// The model caps its logits.
    pub capped: bool,
}

/// What one layer wrote.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// The sum of `heads` and `attention_bias`.
    pub attention: f64,
    pub heads: Vec<f64>,
    /// What is added whatever the heads do: in a layer without attention all that stands in its place wrote, its heads being 0.
    pub attention_bias: f64,
    /// Of attention to an encoder, where there is one.
    pub cross: Option<f64>,
    /// The sum of `neurons` and `mlp_bias`. What a layer makes of an input of its own counts as the MLP's, whatever its neurons do.
    pub mlp: f64,
    pub neurons: Vec<f64>,
    pub mlp_bias: f64,
    /// The neurons' activations.
    pub activations: Vec<f64>,
}

impl Direct {
    /// The sum of all parts, which is the logit up to rounding.
    pub fn sum(&self) -> f64 {
        let of_layer = |layer: &Layer| layer.attention + layer.cross.unwrap_or(0.0) + layer.mlp;
        self.embedding + self.bias + self.layers.iter().map(of_layer).sum::<f64>()
    }

    /// Layer and index of the `n` neurons that wrote most, either way.
    pub fn top_neurons(&self, n: usize) -> Vec<(usize, usize)> {
        let of_layer =
            |(layer, of): (usize, &Layer)| (0..of.neurons.len()).map(move |neuron| (layer, neuron));
        let mut all: Vec<(usize, usize)> = self.layers.iter().enumerate().flat_map(of_layer).collect();
        let size = |&(layer, neuron): &(usize, usize)| self.layers[layer].neurons[neuron].abs();
        let n = n.min(all.len());
        if n < all.len() {
            all.select_nth_unstable_by(n, |a, b| size(b).total_cmp(&size(a)));
            all.truncate(n);
        }
        all.sort_by(|a, b| size(b).total_cmp(&size(a)).then(a.cmp(b)));
        all
    }
}

const SITES: &[Site] = &[
    Site::ResidualBefore,
    Site::HeadOutputs,
    Site::AttentionOutput,
    Site::CrossOutput,
    Site::MlpInput,
    Site::MlpInner,
    Site::MlpOutput,
    Site::ResidualAfter,
];

/// One pass over `input`, and a few products of vectors.
///
/// # Errors
/// A model that reads all at once: between its stream and its head stands a layer that is not linear.
pub fn direct(model: &Model, input: &Input, wanted: LogitQuery, watch: &mut Watch) -> Result<Direct> {
    let decoder = match model.body() {
        Body::Decoder(decoder) => decoder.as_ref(),
        Body::EncoderDecoder(both) => &both.decoder,
        Body::Encoder(_) => {
            return Err(Error::NotLinear {
                what: "direct logit attribution",
                model: model.name().to_owned(),
                model_type: model.config().model_type.clone(),
            });
        }
    };
    check(model, input, wanted)?;
    Ok(guard(|| {
        let n_layers = model.config().n_layers;
        let mut tap = Rows::new(SITES, &[wanted.row], &decoder.stack, watch);
        let states = forward(model, input, &mut tap)?;
        let state = states.select(1, wanted.row as i64); // [1, size]
        let logits = decoder.uncapped_logits(&state).get(0); // [vocabulary]
        let mut way = Way::from_head(decoder, &tap, wanted);
        let mut layers: Vec<LayerTensors> = (0..n_layers).rev().map(|layer| way.layer(layer)).collect();
        layers.reverse();
        let of = |id: u32| wide(&logits.get(i64::from(id)));
        let logit = match wanted.contrast {
            Some(contrast) => of(wanted.token) - of(contrast),
            None => of(wanted.token),
        };
        let embedding = way.along(&way.saved(Site::ResidualBefore, 0));
        Ok(on_host([&logit, &embedding, &way.bias], &layers, decoder))
    })?)
}

/// [`Layer`]'s parts where they were computed.
struct LayerTensors {
    attention: Tensor,
    heads: Tensor, // [head]
    attention_bias: Tensor,
    cross: Option<Tensor>,
    mlp: Tensor,
    neurons: Tensor, // [neuron]
    mlp_bias: Tensor,
    activations: Tensor, // [neuron]
}

impl LayerTensors {
    /// In the order of [`on_host`].
    fn all(&self) -> impl Iterator<Item = &Tensor> {
        let first = [&self.attention, &self.heads, &self.attention_bias];
        let last = [&self.mlp, &self.neurons, &self.mlp_bias, &self.activations];
        first.into_iter().chain(last).chain(&self.cross)
    }
}

/// All parts, in one crossing.
fn on_host([logit, embedding, bias]: [&Tensor; 3], layers: &[LayerTensors], decoder: &Decoder) -> Direct {
    let whole = [logit, embedding, bias].into_iter();
    let all: Vec<&Tensor> = whole.chain(layers.iter().flat_map(LayerTensors::all)).collect();
    let mut values = host::numbers_of_all(&all).into_iter();
    let mut next = || values.next().unwrap_or_default();
    let one = |values: Vec<f64>| values.first().copied().unwrap_or(f64::NAN);
    let (logit, embedding, bias) = (one(next()), one(next()), one(next()));
    let layer = |layer: &LayerTensors| Layer {
        attention: one(next()),
        heads: next(),
        attention_bias: one(next()),
        mlp: one(next()),
        neurons: next(),
        mlp_bias: one(next()),
        activations: next(),
        cross: layer.cross.as_ref().map(|_| one(next())),
    };
    Direct {
        logit,
        embedding,
        bias,
        layers: layers.iter().map(layer).collect(),
        capped: decoder.config().head.soft_cap.is_some(),
    }
}

fn check(model: &Model, input: &Input, wanted: LogitQuery) -> Result<()> {
    let n = input.spoken().len();
    if wanted.row >= n {
        let reason = format!("the model has read {n} tokens, 0 to {}", n.saturating_sub(1));
        return Err(refuse("position", wanted.row, reason));
    }
    let vocabulary = model.config().vocab_size;
    let tokens = [("target", Some(wanted.token)), ("contrast", wanted.contrast)];
    for (option, token) in tokens {
        if let Some(id) = token.filter(|&id| id as usize >= vocabulary) {
            return Err(refuse(
                option,
                id.to_string(),
                format!("the vocabulary has {vocabulary} tokens"),
            ));
        }
    }
    Ok(())
}

/// The way from the logit back through the stream.
struct Way<'a> {
    decoder: &'a Decoder,
    rows: &'a Rows<'a, 'a>,
    /// What the logit is the product of with the stream at this place, `[hidden]` in float64.
    direction: Tensor,
    bias: Tensor, // [] in float64, as all sums are
}

impl<'a> Way<'a> {
    /// To the last layer's output.
    fn from_head(decoder: &'a Decoder, rows: &'a Rows<'a, 'a>, wanted: LogitQuery) -> Self {
        let config = decoder.config();
        let column = |id: u32| wide(&decoder.head.column(i64::from(id)));
        let bias = |id: u32| match &decoder.head.bias {
            Some(bias) => wide(&bias.get(i64::from(id))),
            None => nothing(decoder.head.place().1),
        };
        let (mut direction, mut offset) = (column(wanted.token), bias(wanted.token));
        if let Some(contrast) = wanted.contrast {
            // Not in place: in float64 it is a view of the head.
            direction = &direction - column(contrast);
            offset = &offset - bias(contrast);
        }
        let scaled = (direction * config.head.scale).to_kind(decoder.kind());
        let mut way = Self {
            decoder,
            rows,
            direction: wide(&decoder.project_backward(&scaled)),
            bias: offset * config.head.scale,
        };
        let last = way.saved(Site::ResidualAfter, config.n_layers - 1);
        (way.direction, way.bias) = through(&decoder.stack.final_norm, &last, &way.direction, &way.bias);
        way
    }

    /// From a layer's output to its input.
    fn layer(&mut self, layer: usize) -> LayerTensors {
        let block = &self.decoder.stack.blocks[layer];
        let (from_norms, after_sum) = (block.residual.from_norms, block.residual.after_sum);
        let place = (Kind::Double, block.place().1);
        (self.direction, self.bias) = (bring(&self.direction, place), bring(&self.bias, place));
        let after = block
            .own_input
            .as_ref()
            .map(|_| self.along(&self.saved(Site::ResidualAfter, layer)));
        self.direction = block.scaled(self.direction.shallow_clone());
        let pre = self.saved(Site::ResidualBefore, layer);
        let attended = self.saved(Site::AttentionOutput, layer);
        let looked = self.rows.get(Site::CrossOutput, layer).map(row);
        let written = self.saved(Site::MlpOutput, layer);
        // The stream between the layer's parts.
        let around = |norm: &Option<Norm>, x: &Tensor| match (norm, from_norms) {
            (Some(norm), true) => wide(&norm.forward(&x.to_kind(block_kind(block)))),
            _ => x.shallow_clone(),
        };
        let sum = around(&block.attention_norm, &pre) + &attended;
        let mid = on_stream(block, &block.attention_post_norm, &sum);
        let post_norm = block.cross.as_ref().map_or(&None, |cross| &cross.post_norm);
        let cross_sum = looked
            .as_ref()
            .map_or_else(|| mid.shallow_clone(), |looked| &mid + looked);
        let before_mlp = on_stream(block, post_norm, &cross_sum);

        let last = around(&block.mlp_norm, &before_mlp) + &written;
        self.back_through(after_sum, &block.mlp_post_norm, &last);
        let mlp = self.along(&written);
        let (neurons, activations, mlp_bias) = self.neurons(block, layer);
        let (mlp, mlp_bias) = match after {
            Some(after) => {
                let own = after - self.along(&last);
                (mlp + &own, mlp_bias + own)
            }
            None => (mlp, mlp_bias),
        };
        self.back_through(from_norms, &block.mlp_norm, &before_mlp);
        if looked.is_some() {
            self.back_through(after_sum, post_norm, &cross_sum);
        }
        let cross = looked.map(|looked| self.along(&looked));
        self.back_through(after_sum, &block.attention_post_norm, &sum);
        let (heads, attention_bias) = self.heads(block, layer);
        let attention = self.along(&attended);
        self.back_through(from_norms, &block.attention_norm, &pre);
        LayerTensors {
            attention,
            heads,
            attention_bias,
            cross,
            mlp,
            neurons,
            mlp_bias,
            activations,
        }
    }

    /// Each head's part, and what is added whatever the heads do.
    fn heads(&self, block: &Block, layer: usize) -> (Tensor, Tensor) {
        let (Some(attention), Some(mixed)) =
            (block.mixer.attention(), self.rows.get(Site::HeadOutputs, layer))
        else {
            let n_heads = self.decoder.config().n_heads as i64;
            let none = Tensor::zeros([n_heads], (Kind::Double, self.direction.device()));
            return (none, self.along(&self.saved(Site::AttentionOutput, layer)));
        };
        let output = &attention.output;
        let mixed = mixed.select(1, 0); // [head, head_dim]
        let made = || output.forward(&mixed.reshape([1, -1]));
        let (direction, bias) = self.behind_branch(block, &block.attention_post_norm, made);
        let along = output.along(&direction.to_kind(mixed.kind())).view_as(&mixed);
        let heads = (wide(&mixed) * wide(&along)).sum_dim_intlist(-1, false, None::<Kind>);
        (heads, bias + of_bias(output.bias.as_ref(), &direction))
    }

    /// Each neuron's part, the neurons' activations, and what is added whatever they do.
    fn neurons(&self, block: &Block, layer: usize) -> (Tensor, Tensor, Tensor) {
        let (Some(input), Some(inner)) = (
            self.rows.get(Site::MlpInput, layer),
            self.rows.get(Site::MlpInner, layer),
        ) else {
            return (self.none(), self.none(), zero(&self.direction));
        };
        let made = || block.mlp.forward(&input.unsqueeze(0), layer, &mut NoTap).get(0);
        let (direction, bias) = self.behind_branch(block, &block.mlp_post_norm, made);
        let along = block
            .mlp
            .neurons_along(&input.get(0), &direction.to_kind(input.kind()));
        let activations = row(inner);
        let neurons = wide(&along) * &activations;
        let added = block.mlp.output_bias(&input.get(0));
        let bias = bias + of_bias(added.as_ref(), &direction);
        (neurons, activations, bias)
    }

    /// The direction before the norm and the factor on a branch's output, and that norm's bias along it. `made` is the
    /// norm's input, `[1, hidden]`.
    fn behind_branch(
        &self,
        block: &Block,
        norm: &Option<Norm>,
        made: impl FnOnce() -> Tensor,
    ) -> (Tensor, Tensor) {
        let direction = &self.direction * block.residual.scale;
        let bias = zero(&direction);
        match norm {
            Some(_) if block.residual.after_branch => through(norm, &row(&made()), &direction, &bias),
            _ => (direction, bias),
        }
    }

    /// Back through a norm, where there is one and it stands on the stream.
    fn back_through(&mut self, on_stream: bool, norm: &Option<Norm>, x: &Tensor) {
        if on_stream {
            (self.direction, self.bias) = through(norm, x, &self.direction, &self.bias);
        }
    }

    fn along(&self, part: &Tensor) -> Tensor {
        part.dot(&self.direction)
    }

    fn none(&self) -> Tensor {
        self.direction.narrow(0, 0, 0)
    }

    /// A site that every decoder has, at the row.
    fn saved(&self, site: Site, layer: usize) -> Tensor {
        match self.rows.get(site, layer) {
            Some(saved) => bring(&row(saved), (Kind::Double, self.direction.device())),
            None => Tensor::zeros_like(&self.direction),
        }
    }
}

/// The direction before a norm, and the bias with the norm's own.
fn through(norm: &Option<Norm>, x: &Tensor, direction: &Tensor, bias: &Tensor) -> (Tensor, Tensor) {
    match norm {
        Some(norm) => (
            norm.backward_by(x, direction, Rule::Frozen),
            bias + of_bias(norm.bias(), direction),
        ),
        None => (direction.shallow_clone(), bias.shallow_clone()),
    }
}

/// The stream behind a norm that stands on it.
fn on_stream(block: &Block, norm: &Option<Norm>, x: &Tensor) -> Tensor {
    match (norm, block.residual.after_sum) {
        (Some(norm), true) => wide(&norm.forward(&x.to_kind(block_kind(block)))),
        _ => x.shallow_clone(),
    }
}

fn block_kind(block: &Block) -> Kind {
    block.place().0
}

fn of_bias(bias: Option<&Tensor>, direction: &Tensor) -> Tensor {
    bias.map_or_else(|| zero(direction), |bias| wide(bias).dot(direction))
}

/// Nothing, where another tensor is: `[]`.
fn zero(at: &Tensor) -> Tensor {
    nothing(at.device())
}

fn nothing(device: Device) -> Tensor {
    Tensor::zeros([0; 0], (Kind::Double, device))
}

/// The one row of what was recorded, in float64.
fn row(saved: &Tensor) -> Tensor {
    wide(&saved.get(0))
}

fn wide(x: &Tensor) -> Tensor {
    x.to_kind(Kind::Double)
}

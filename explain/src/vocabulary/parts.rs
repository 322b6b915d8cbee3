//! A decoder's weights by the names of their parts, heads apart, in the shapes that TransformerLens gives them; as they are, or with
//! norms and biases folded in, so that what is left of the model is easier to think about and gives the same probabilities:
//!
//! - a norm's weights and biases go into what reads the stream behind it (`fold_ln`), and the biases of values, which attention passes on
//!   whole, into those of the output (`fold_value_biases`)
//! - a norm behind neurons goes into what these write
//! - where all norms take the mean away, so do the weights: what reads sees no mean, what writes writes none
//!   (`center_writing_weights`)
//! - logits are less their mean over the vocabulary, which no probability sees (`center_unembed`)
//!
//! What is left of a norm is the division by the deviation.

use ecco_interpreter::named;
use ecco_models::Model;
use ecco_models::attention::{Attention, Projections};
use ecco_models::config::{Positions, PreNorm};
use ecco_models::decoder::Decoder;
use ecco_models::guard::guard;
use ecco_models::host::bring;
use ecco_models::layers::Norm;
use ecco_models::mlp::Shape;
use ecco_models::stack::Block;
use tch::{Kind, Tensor};

use super::weights::{embedded, wide_place};
use super::{check_layer, linear_decoder};
use crate::error::{Result, refuse};

named! {
    /// A part. x is the stream, a row.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum Part {
        /// Of each token what it begins the stream with: `[token, hidden]`.
        Embedding = "W_E",
        /// Of each position what is added to that: `[position, hidden]`.
        Positions = "W_pos",
        /// x · W + b are queries, keys, values: `[head, hidden, head_dim]` and `[head, head_dim]`; keys and values by the heads that
        /// have some of their own.
        Query = "W_Q",
        Key = "W_K",
        Value = "W_V",
        QueryBias = "b_Q",
        KeyBias = "b_K",
        ValueBias = "b_V",
        /// What each head writes: `[head, head_dim, hidden]`, and all of them: `[hidden]`.
        Output = "W_O",
        OutputBias = "b_O",
        /// What neurons read: `[hidden, neuron]`, `[neuron]`; of gated ones what is multiplied with the activated gate.
        In = "W_in",
        InBias = "b_in",
        /// What is activated of gated neurons.
        Gate = "W_gate",
        GateBias = "b_gate",
        /// What neurons write: `[neuron, hidden]`, and all of them: `[hidden]`.
        Out = "W_out",
        OutBias = "b_out",
        /// Logits of the stream behind the last layer: `[hidden, token]`, `[token]`.
        Unembedding = "W_U",
        UnembeddingBias = "b_U",
    }
}

impl Part {
    /// Whether each layer has one.
    pub fn is_of_layer(self) -> bool {
        !matches!(
            self,
            Self::Embedding | Self::Positions | Self::Unembedding | Self::UnembeddingBias
        )
    }

    /// Whether each head has one.
    pub fn is_of_head(self) -> bool {
        self.axes()[0] == "head"
    }

    /// Whether layers that read others' keys and values have none.
    fn is_of_keys(self) -> bool {
        matches!(self, Self::Key | Self::Value | Self::KeyBias | Self::ValueBias)
    }

    pub fn axes(self) -> &'static [&'static str] {
        match self {
            Self::Embedding => &["token", "hidden"],
            Self::Positions => &["position", "hidden"],
            Self::Query | Self::Key | Self::Value => &["head", "hidden", "head_dim"],
            Self::QueryBias | Self::KeyBias | Self::ValueBias => &["head", "head_dim"],
            Self::Output => &["head", "head_dim", "hidden"],
            Self::OutputBias | Self::OutBias => &["hidden"],
            Self::In | Self::Gate => &["hidden", "neuron"],
            Self::InBias | Self::GateBias => &["neuron"],
            Self::Out => &["neuron", "hidden"],
            Self::Unembedding => &["hidden", "token"],
            Self::UnembeddingBias => &["token"],
        }
    }
}

/// Which one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PartAt {
    pub part: Part,
    /// Of those that each layer has.
    pub layer: Option<usize>,
    /// One head's of those that heads have; of keys and values, those that this head reads.
    pub head: Option<usize>,
}

/// The numbers of a part, in single precision at least; `folded` as the module says.
///
/// # Errors
/// A model that is no decoder; a layer, a head or a part that is not there; what cannot be folded.
pub fn part(model: &Model, at: PartAt, folded: bool) -> Result<Tensor> {
    let decoder = linear_decoder(model, "a weight by the name of its part")?;
    let name = at.part.name();
    let layer = match (at.part.is_of_layer(), at.layer) {
        (true, None) => {
            return Err(refuse(
                "layer",
                "missing",
                format!("each layer has a {name}: say which"),
            ));
        }
        (false, Some(layer)) => return Err(refuse("layer", layer, format!("{name} is of no layer"))),
        (true, Some(layer)) => {
            check_layer(decoder, layer)?;
            layer
        }
        (false, None) => 0,
    };
    if folded {
        check_folding(decoder, at.part, layer)?;
    }
    if let Some(head) = at.head {
        let n = decoder.config().n_heads;
        if !at.part.is_of_head() {
            return Err(refuse("head", head, format!("{name} is of no head")));
        }
        if head >= n {
            return Err(refuse("head", head, format!("layers have heads 0 to {}", n - 1)));
        }
    }
    let block = &decoder.stack.blocks[layer];
    check_there(block, at.part, layer)?;
    let found = guard(|| {
        let all = match at.part.is_of_layer() {
            true => of_layer(decoder, block, at.part, folded),
            false => of_ends(decoder, at.part, folded),
        };
        Ok(all.map(|all| match at.head {
            None => all,
            Some(head) => {
                let per_group = decoder.config().n_heads as i64 / all.size()[0];
                all.get(head as i64 / per_group)
            }
        }))
    })?;
    found.ok_or_else(|| refuse("name", format!("{name:?}"), "this model has none"))
}

/// Whether a model has a part, of a layer where it is of one.
///
/// # Errors
/// A model that is no decoder; a layer that is not there.
pub fn has(model: &Model, part: Part, layer: usize) -> Result<bool> {
    let decoder = linear_decoder(model, "a weight by the name of its part")?;
    check_layer(decoder, layer)?;
    let is_there = part != Part::Positions || decoder.stack.embedding.positions().is_some();
    Ok(is_there && check_there(&decoder.stack.blocks[layer], part, layer).is_ok())
}

fn check_there(block: &Block, part: Part, layer: usize) -> Result<()> {
    let reason = match part {
        _ if !part.is_of_layer() => return Ok(()),
        _ if part.is_of_head() || part == Part::OutputBias => match block.mixer.attention() {
            Some(attention) if matches!(attention.projections, Projections::Latent(_)) => {
                "attention goes by way of short vectors there, with norms between".to_owned()
            }
            Some(attention) if attention.source.is_some() && part.is_of_keys() => {
                let source = attention.source.unwrap_or_default();
                format!("layer {layer} reads the keys and values of layer {source}")
            }
            Some(_) => return Ok(()),
            None => format!("layer {layer} has no attention"),
        },
        _ => match &block.mlp.shape {
            Shape::Experts(_) => format!("layer {layer} has experts; lm.weights() lists what they have"),
            Shape::Nothing => format!("layer {layer} has no MLP"),
            Shape::Plain { .. } if matches!(part, Part::Gate | Part::GateBias) => {
                "its neurons have no gates".to_owned()
            }
            _ => return Ok(()),
        },
    };
    Err(refuse("name", format!("{:?}", part.name()), reason))
}

/// Whether what is left is the same model.
fn check_folding(decoder: &Decoder, part: Part, layer: usize) -> Result<()> {
    let (residual, block) = (&decoder.config().residual, &decoder.stack.blocks[layer]);
    let writes = match part {
        Part::Output | Part::OutputBias => block.attention_post_norm.is_some(),
        Part::Out | Part::OutBias => block.mlp_post_norm.is_some(),
        _ => false,
    };
    let reason = if residual.after_sum || residual.from_norms {
        "this model norms the stream itself, whose norms belong to no weight"
    } else if decoder.config().embedding.norm && matches!(part, Part::Embedding | Part::Positions) {
        "a norm follows the embeddings, and divides their sum"
    } else if writes {
        "a norm follows what is written, and divides it"
    } else {
        return Ok(());
    };
    Err(refuse("folded", format!("true, of {}", part.name()), reason))
}

/// Whether nothing in the model sees the mean of the stream.
fn is_centred(decoder: &Decoder) -> bool {
    let (config, stack) = (decoder.config(), &decoder.stack);
    let residual = &config.residual;
    let is_read_behind_norms =
        residual.before != PreNorm::None && !residual.bare_start && stack.final_norm.is_some();
    is_read_behind_norms && !config.embedding.norm && !config.norm.kind.is_rms()
}

fn centred(x: Tensor, axis: i64) -> Tensor {
    let mean = x.mean_dim(axis, true, None::<Kind>);
    x - mean
}

/// What is written to the stream.
fn written(decoder: &Decoder, x: Tensor, folded: bool) -> Tensor {
    match folded && is_centred(decoder) {
        true => centred(x, -1),
        false => x,
    }
}

/// `None` of what a model does without.
fn of_ends(decoder: &Decoder, part: Part, folded: bool) -> Option<Tensor> {
    let (config, place) = (decoder.config(), wide_place(decoder));
    let n = config.vocab_size as i64;
    let ids = || (0..n as u32).collect::<Vec<u32>>();
    Some(match part {
        Part::Embedding if folded => written(decoder, embedded(decoder, &ids(), place), folded),
        // Of two tables the first.
        Part::Embedding => {
            bring(&decoder.stack.embed(&ids()), place)
                .get(0)
                .narrow(-1, 0, config.embedding.size as i64)
        }
        Part::Positions => {
            let rows = bring(decoder.stack.embedding.positions()?, place);
            let offset = match config.positions {
                Positions::Learned { offset } => offset as i64,
                _ => 0,
            };
            let rows = rows.narrow(0, offset, rows.size()[0] - offset);
            written(decoder, rows, folded)
        }
        Part::Unembedding if folded => {
            let eye = Tensor::eye(config.hidden_size as i64, decoder.stack.place());
            let logits = bring(&decoder.along_vocabulary(&eye, 0, n), place);
            uncapped(decoder, logits)
        }
        Part::Unembedding => {
            let eye = Tensor::eye(decoder.head.inputs(), decoder.head.place());
            bring(&decoder.head.part(0, n).forward(&eye), place)
        }
        _ if folded => {
            let none = || Tensor::zeros([config.hidden_size as i64], decoder.stack.place());
            let norm = decoder.stack.final_norm.as_ref();
            let bias = norm.and_then(Norm::bias).map_or_else(none, Tensor::shallow_clone);
            let states = decoder.read_out(&bias.unsqueeze(0), true);
            uncapped(decoder, bring(&decoder.uncapped_logits(&states), place)).get(0)
        }
        _ => match &decoder.head.bias {
            Some(bias) => bring(bias, place),
            None => Tensor::zeros([n], place),
        },
    })
}

/// Less the mean over the vocabulary, but where a cap sees it.
fn uncapped(decoder: &Decoder, logits: Tensor) -> Tensor {
    match decoder.config().head.soft_cap {
        None => centred(logits, -1),
        Some(_) => logits,
    }
}

/// What reads the stream, or neurons, is asked about: `[1, hidden, hidden]` and `[1, 1, hidden]`, behind the norm where that is folded in.
fn stream(block: &Block, norm: Option<&Norm>, hidden: i64, folded: bool) -> (Tensor, Tensor) {
    let place = block.place();
    let (eye, none) = (Tensor::eye(hidden, place), Tensor::zeros([hidden], place));
    match norm.filter(|_| folded) {
        None => (eye.unsqueeze(0), none.reshape([1, 1, -1])),
        Some(norm) => {
            let bias = norm.bias().map_or(none, |bias| bring(bias, place));
            (norm.linear(&eye).unsqueeze(0), bias.reshape([1, 1, -1]))
        }
    }
}

/// `None` of what a model does without.
fn of_layer(decoder: &Decoder, block: &Block, part: Part, folded: bool) -> Option<Tensor> {
    let place = wide_place(decoder);
    let hidden = decoder.config().hidden_size as i64;
    let scale = if folded { block.residual.scale } else { 1.0 };
    let none = Tensor::zeros([1, 1, hidden], block.place());
    match part {
        Part::Output => {
            let attention = block.mixer.attention()?;
            let eye = Tensor::eye(attention.n_heads * attention.value_dim, block.place());
            let output = bring(&(attention.output.linear(&eye) * scale), place);
            let heads = output.unflatten(0, [attention.n_heads, attention.value_dim]);
            Some(written(decoder, heads, folded))
        }
        Part::OutputBias => {
            let attention = block.mixer.attention()?;
            let passed_on = match folded && passes_on(attention) {
                true => bring(&value_bias(block, attention, hidden), place),
                false => Tensor::zeros([attention.n_kv_heads, attention.value_dim], place),
            };
            let per_group = attention.n_heads / passed_on.size()[0];
            let passed_on = passed_on
                .repeat_interleave_self_int(per_group, 0, None)
                .flatten(0, -1);
            let bias = attention
                .output
                .forward(&bring(&passed_on.unsqueeze(0), block.place()));
            Some(written(decoder, bring(&(bias * scale), place).get(0), folded))
        }
        Part::Out | Part::OutBias => {
            let (down, norm) = match &block.mlp.shape {
                Shape::Plain { norm, down, .. } => (down, norm.as_ref()),
                Shape::Gated(gated) => (&gated.down, None),
                Shape::Experts(_) | Shape::Nothing => return None,
            };
            let (eye, bias) = stream(block, norm, down.inputs(), folded);
            let x = match part {
                Part::Out => down.linear(&eye).get(0),
                _ => down.forward(&bias).get(0).get(0),
            };
            Some(written(decoder, bring(&(x * scale), place), folded))
        }
        Part::In | Part::InBias | Part::Gate | Part::GateBias => {
            let norm = block
                .mlp_norm
                .as_ref()
                .or(match decoder.config().residual.before {
                    PreNorm::Shared => block.attention_norm.as_ref(),
                    _ => None,
                });
            let (eye, bias) = stream(block, norm, hidden, folded);
            let read = |x: &Tensor| match &block.mlp.shape {
                Shape::Plain { up, .. } => Some(up.forward(x)),
                Shape::Gated(gated) => {
                    let (gate, up) = gated.input(x);
                    Some(if matches!(part, Part::Gate | Part::GateBias) {
                        gate
                    } else {
                        up
                    })
                }
                Shape::Experts(_) | Shape::Nothing => None,
            };
            let found = match part {
                Part::In | Part::Gate => (read(&eye)? - read(&none)?).get(0),
                _ => read(&bias)?.get(0).get(0),
            };
            Some(bring(&found, place))
        }
        _ => {
            let attention = block.mixer.attention()?;
            let norm = block.attention_norm.as_ref();
            let (eye, bias) = stream(block, norm, hidden, folded);
            let read = |x: &Tensor| {
                let made = || attention.project_joined(x, &Norm::linear);
                let (x, n) = match (part, attention.to_queries()) {
                    (_, Some(to_queries)) => (to_queries.forward(x), attention.n_heads),
                    (Part::Query | Part::QueryBias, None) => (made().0, attention.n_heads),
                    (Part::Key | Part::KeyBias, None) => (made().1, attention.n_kv_heads),
                    (_, None) => (made().2, attention.n_kv_heads),
                };
                x.get(0).unflatten(-1, [n, -1]).transpose(0, 1) // [head, row, head_dim]
            };
            let found = match part {
                Part::Query | Part::Key | Part::Value => read(&eye) - read(&none),
                // They are in those of the output.
                Part::ValueBias if folded && passes_on(attention) => read(&bias).squeeze_dim(1).zeros_like(),
                _ => read(&bias).squeeze_dim(1),
            };
            Some(bring(&found, place))
        }
    }
}

/// Whether what is added to all values is added to what heads mix of them: their shares sum to 1, but where some of them look at
/// nothing, and nothing cuts values off or weighs what is mixed.
fn passes_on(attention: &Attention) -> bool {
    let is_gated = matches!(attention.projections, Projections::Gated { .. });
    attention.sinks.is_none() && attention.clip.is_none() && !is_gated
}

/// The biases of values with the norm's in them: `[head, head_dim]`.
fn value_bias(block: &Block, attention: &Attention, hidden: i64) -> Tensor {
    let (_, bias) = stream(block, block.attention_norm.as_ref(), hidden, true);
    let (.., value) = attention.project_joined(&bias, &Norm::linear);
    value.get(0).get(0).unflatten(-1, [attention.n_kv_heads, -1])
}

//! The decoder: one for all families, what differs is in [`DecoderConfig`].

use std::ops::ControlFlow;

use tch::{Device, Kind, Tensor};

use crate::config::{Activation, DecoderConfig};
use crate::error::{Error, Result};
use crate::layers::{LayerNorm, Linear};
use crate::tap::{Site, Tap};
use crate::weights::Weights;

/// A causal transformer with its weights on one device.
pub struct Decoder {
    pub config: DecoderConfig,
    pub token_embedding: Tensor,    // [vocabulary, hidden]
    pub position_embedding: Tensor, // [position, hidden]
    pub blocks: Vec<Block>,
    pub final_norm: LayerNorm,
    pub head: Linear,
}

/// One layer.
pub struct Block {
    pub attention_norm: LayerNorm,
    pub qkv: Linear,
    pub attention_output: Linear,
    pub mlp_norm: LayerNorm,
    pub up: Linear,
    pub down: Linear,
    pub activation: Activation,
    pub n_heads: i64,
    /// The factor on query · key.
    pub scale: f64,
}

impl Decoder {
    pub fn load(config: DecoderConfig, mut weights: Weights) -> Result<Self> {
        let (hidden, vocabulary) = (config.hidden_size, config.vocab_size);
        let token_embedding = weights.take("token_embedding.weight", &[vocabulary, hidden])?;
        let position_embedding =
            weights.take("position_embedding.weight", &[config.context_length, hidden])?;
        let blocks = (0..config.n_layers)
            .map_while(|layer| match weights.lacks_layer(layer) {
                true => None,
                false => Some(Block::load(&config, layer, &mut weights)),
            })
            .collect::<Result<Vec<_>>>()?;
        let final_norm = LayerNorm::load(&mut weights, "final_norm", hidden, config.norm_epsilon)?;
        let head_weight = if config.tied_head {
            weights.discard("head.weight");
            token_embedding.shallow_clone()
        } else {
            weights.take("head.weight", &[vocabulary, hidden])?
        };
        weights.finish()?;
        let head = Linear {
            weight: head_weight.tr(),
            bias: None,
        };
        Ok(Self {
            config,
            token_embedding,
            position_embedding,
            blocks,
            final_norm,
            head,
        })
    }

    pub fn device(&self) -> Device {
        self.token_embedding.device()
    }

    pub fn kind(&self) -> Kind {
        self.token_embedding.kind()
    }

    /// Token embeddings alone, without positions: `[1, position, hidden]`.
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::from_slice(&ids).to_device(self.device());
        self.token_embedding.index_select(0, &ids).unsqueeze(0)
    }

    /// From token embeddings `[batch, position, hidden]` to the final norm's output of the same shape.
    /// With a cache the embeddings are those of the tokens that follow what it holds.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        mut cache: Option<&mut Cache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let start = cache.as_ref().map_or(0, |cache| cache.length);
        let n_positions = embeddings.size()[1];
        let mut x = embeddings + self.position_embedding.narrow(0, start, n_positions);
        for (layer, block) in self.blocks.iter().enumerate() {
            if tap.proceed(layer) == ControlFlow::Break(()) {
                return Err(Error::Interrupted);
            }
            let memory = cache.as_deref_mut().map(|cache| cache.layer(layer, n_positions));
            x = block.forward(x, memory, layer, tap);
        }
        if let Some(cache) = cache {
            cache.length += n_positions;
        }
        Ok(tap.visit(
            Site::FinalNorm,
            self.blocks.len() - 1,
            self.final_norm.forward(&x),
        ))
    }

    /// The head: `[.., hidden]` to `[.., vocabulary]`.
    pub fn logits(&self, normalised: &Tensor) -> Tensor {
        self.head.forward(normalised)
    }
}

impl Block {
    fn load(config: &DecoderConfig, layer: usize, weights: &mut Weights) -> Result<Self> {
        let (hidden, inner, epsilon) = (config.hidden_size, config.intermediate_size, config.norm_epsilon);
        let name = |part: &str| format!("layers.{layer}.{part}");
        Ok(Self {
            attention_norm: LayerNorm::load(weights, &name("attention_norm"), hidden, epsilon)?,
            qkv: Linear::load(weights, &name("attention.qkv"), hidden, 3 * hidden)?,
            attention_output: Linear::load(weights, &name("attention.output"), hidden, hidden)?,
            mlp_norm: LayerNorm::load(weights, &name("mlp_norm"), hidden, epsilon)?,
            up: Linear::load(weights, &name("mlp.up"), hidden, inner)?,
            down: Linear::load(weights, &name("mlp.down"), inner, hidden)?,
            activation: config.activation,
            n_heads: config.n_heads as i64,
            scale: config.attention_scales[layer],
        })
    }

    /// ```text
    /// pre ──┬── norm ── q k v ── pattern · v ── output ──(+)── mid ──┬── norm ── up ── act ── down ──(+)── post
    ///       └────────────────────────────────────────────┘          └───────────────────────────────┘
    /// ```
    fn forward(&self, x: Tensor, memory: Option<LayerMemory>, layer: usize, tap: &mut dyn Tap) -> Tensor {
        let x = tap.visit(Site::ResidualPre, layer, x); // [batch, position, hidden]
        let mixed = self.attend(&self.attention_norm.forward(&x), memory, layer, tap);
        let x = tap.visit(
            Site::ResidualMid,
            layer,
            x + self.attention_output.forward(&mixed),
        );
        let pre = tap.visit(Site::MlpPre, layer, self.up.forward(&self.mlp_norm.forward(&x)));
        let inner = tap.visit(Site::MlpInner, layer, self.activation.forward(&pre)); // [batch, position, neuron]
        tap.visit(Site::ResidualPost, layer, x + self.down.forward(&inner))
    }

    /// The heads' outputs side by side, before the output projection: `[batch, position, hidden]`.
    fn attend(&self, x: &Tensor, memory: Option<LayerMemory>, layer: usize, tap: &mut dyn Tap) -> Tensor {
        let qkv = self.qkv.forward(x).chunk(3, -1);
        let query = tap.visit(Site::Query, layer, self.split_heads(&qkv[0])); // [batch, head, query, head_dim]
        let mut key = tap.visit(Site::Key, layer, self.split_heads(&qkv[1]));
        let mut value = tap.visit(Site::Value, layer, self.split_heads(&qkv[2]));
        if let Some(memory) = memory {
            (key, value) = memory.extend(&key, &value);
        }
        let mixed = if tap.wants(Site::AttentionPattern, layer) {
            let pattern = causal_pattern(&query, &key, self.scale);
            tap.visit(Site::AttentionPattern, layer, pattern).matmul(&value)
        } else {
            // One query attends to everything; several at once are the start of the sequence.
            let is_causal = query.size()[2] > 1;
            Tensor::scaled_dot_product_attention(
                &query,
                &key,
                &value,
                None::<Tensor>,
                0.0,
                is_causal,
                self.scale,
                false,
            )
        };
        mixed.transpose(1, 2).flatten(2, 3)
    }

    /// `[.., position, hidden]` to `[.., head, position, head_dim]`.
    pub fn split_heads(&self, x: &Tensor) -> Tensor {
        x.unflatten(-1, [self.n_heads, -1]).transpose(-3, -2)
    }
}

/// softmax(scale · q kᵀ) over the keys up to each query; the last query stands at the last key.
fn causal_pattern(query: &Tensor, key: &Tensor, scale: f64) -> Tensor {
    let (n_queries, n_keys) = (query.size()[2], key.size()[2]);
    let scores = query.matmul(&key.transpose(-2, -1)) * scale; // [batch, head, query, key]
    let future = Tensor::ones([n_queries, n_keys], (Kind::Bool, query.device())).triu(n_keys - n_queries + 1);
    scores
        .masked_fill(&future, f64::NEG_INFINITY)
        .softmax(-1, None::<Kind>)
}

/// Keys and values of what a sequence holds so far (KV cache), with room for what is to come.
pub struct Cache {
    keys: Vec<Tensor>, // by layer: [1, head, position, head_dim]
    values: Vec<Tensor>,
    length: i64,
}

impl Cache {
    pub fn new(decoder: &Decoder, capacity: usize) -> Self {
        let config = &decoder.config;
        let size = [
            1,
            config.n_heads as i64,
            capacity as i64,
            config.head_dim() as i64,
        ];
        let room = || {
            (0..config.n_layers)
                .map(|_| Tensor::empty(size, (decoder.kind(), decoder.device())))
                .collect()
        };
        Self {
            keys: room(),
            values: room(),
            length: 0,
        }
    }

    /// Bytes a cache of `capacity` positions takes.
    pub fn bytes(config: &DecoderConfig, capacity: usize, kind: Kind) -> u64 {
        (2 * config.n_layers * config.hidden_size * capacity * kind.elt_size_in_bytes()) as u64
    }

    fn layer(&self, layer: usize, n_new: i64) -> LayerMemory<'_> {
        LayerMemory {
            keys: &self.keys[layer],
            values: &self.values[layer],
            start: self.length,
            n_new,
        }
    }
}

struct LayerMemory<'a> {
    keys: &'a Tensor,
    values: &'a Tensor,
    start: i64,
    n_new: i64,
}

impl LayerMemory<'_> {
    /// Writes the new keys and values behind the old and gives back views of all.
    fn extend(&self, key: &Tensor, value: &Tensor) -> (Tensor, Tensor) {
        let write = |room: &Tensor, new: &Tensor| {
            room.narrow(2, self.start, self.n_new).copy_(new);
            room.narrow(2, 0, self.start + self.n_new)
        };
        (write(self.keys, key), write(self.values, value))
    }
}

//! The decoder: one for all families, what differs is in [`DecoderConfig`].

use std::ops::ControlFlow;

use tch::{Device, Kind, Tensor};

use crate::attention::{Attention, Cache, LayerMemory, View};
use crate::config::{Before, DecoderConfig, NormConfig, Positions, Residual};
use crate::error::{Error, Result};
use crate::layers::{Linear, Norm, soft_cap};
use crate::mlp::Mlp;
use crate::tap::{Site, Tap};
use crate::weights::Weights;

/// A causal transformer with its weights on one device.
pub struct Decoder {
    pub config: DecoderConfig,
    pub embedding: Embedding,
    pub blocks: Vec<Block>,
    pub final_norm: Option<Norm>,
    /// From the residual stream to the embedding's width, where that is another.
    project_out: Option<Linear>,
    pub head: Linear,
    n_parameters: u64,
}

/// From token ids to the residual stream.
pub struct Embedding {
    tokens: Tensor,            // [vocabulary, size]
    positions: Option<Tensor>, // [position, hidden]
    project: Option<Linear>,
    norm: Option<Norm>,
}

/// One layer.
pub struct Block {
    pub attention: Attention,
    pub mlp: Mlp,
    pub attention_norm: Option<Norm>,
    pub mlp_norm: Option<Norm>,
    pub attention_post_norm: Option<Norm>,
    pub mlp_post_norm: Option<Norm>,
    pub residual: Residual,
}

impl Decoder {
    pub fn load(config: DecoderConfig, mut weights: Weights) -> Result<Self> {
        let (hidden, vocabulary, size) = (config.hidden_size, config.vocab_size, config.embedding.size);
        let embedding = Embedding::load(&config, &mut weights)?;
        let blocks = (0..config.n_layers)
            .map_while(|layer| match weights.lacks_layer(layer) {
                true => None,
                false => Some(Block::load(&config, layer, &mut weights)),
            })
            .collect::<Result<Vec<_>>>()?;
        let final_norm = match config.residual.final_norm {
            true => Some(Norm::load(&mut weights, "final_norm", &[hidden], config.norm)?),
            false => None,
        };
        let project_out = match size == hidden {
            true => None,
            false => Some(Linear::load(&mut weights, "project_out", hidden, size, false)?),
        };
        let weight = if config.head.tied {
            weights.discard("head.weight");
            embedding.tokens.shallow_clone()
        } else {
            weights.take("head.weight", &[vocabulary, size])?
        };
        let bias = match config.head.bias {
            true => Some(weights.take("head.bias", &[vocabulary])?),
            false => None,
        };
        let n_parameters = weights.finish()?;
        let head = Linear {
            weight: weight.tr(),
            bias,
        };
        Ok(Self {
            config,
            embedding,
            blocks,
            final_norm,
            project_out,
            head,
            n_parameters,
        })
    }

    pub fn device(&self) -> Device {
        self.embedding.tokens.device()
    }

    pub fn kind(&self) -> Kind {
        self.embedding.tokens.kind()
    }

    /// Weights, each counted once.
    pub fn n_parameters(&self) -> u64 {
        self.n_parameters
    }

    /// Token embeddings alone, without positions: `[1, position, size]`.
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::from_slice(&ids).to_device(self.device());
        self.embedding.tokens.index_select(0, &ids).unsqueeze(0)
    }

    /// From token embeddings `[batch, position, size]` to the head's input, which has the same shape: the final
    /// norm's output, where there is one. With a cache the embeddings are those of the tokens that follow what
    /// it holds.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        mut cache: Option<&mut Cache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let start = cache.as_ref().map_or(0, |cache| cache.length);
        let n_positions = embeddings.size()[1];
        let view = View::new(&self.config, start, n_positions, self.kind(), self.device());
        let mut x = self.embedding.forward(embeddings, start, &self.config);
        for (layer, block) in self.blocks.iter().enumerate() {
            if tap.proceed(layer) == ControlFlow::Break(()) {
                return Err(Error::Interrupted);
            }
            let memory = cache.as_deref_mut().map(|cache| cache.layer(layer, n_positions));
            x = block.forward(x, memory, &view, layer, tap);
        }
        if let Some(cache) = cache {
            cache.length += n_positions;
        }
        let normalised = self
            .final_norm
            .as_ref()
            .map_or_else(|| x.shallow_clone(), |norm| norm.forward(&x));
        let normalised = tap.visit(Site::FinalNorm, self.blocks.len() - 1, normalised);
        Ok(match &self.project_out {
            Some(project) => project.forward(&normalised),
            None => normalised,
        })
    }

    /// From the cotangent of the head's input to that of the last layer's output `x`.
    pub fn output_backward(&self, x: &Tensor, cotangent: &Tensor) -> Tensor {
        let cotangent = match &self.project_out {
            Some(project) => project.backward(cotangent),
            None => cotangent.shallow_clone(),
        };
        match &self.final_norm {
            Some(norm) => norm.backward(x, &cotangent),
            None => cotangent,
        }
    }

    /// From the cotangent of `logits`, the head's output, to that of its input.
    pub fn logits_backward(&self, logits: &Tensor, cotangent: &Tensor) -> Tensor {
        let head = &self.config.head;
        let slope = match head.soft_cap {
            Some(cap) => (1.0 - (logits / cap).square()) * head.scale,
            None if head.scale == 1.0 => return self.head.backward(cotangent),
            None => Tensor::from(head.scale)
                .to_kind(cotangent.kind())
                .to_device(cotangent.device()),
        };
        self.head.backward(&(cotangent * slope))
    }

    /// The head: `[.., size]` to `[.., vocabulary]`.
    pub fn logits(&self, states: &Tensor) -> Tensor {
        let head = &self.config.head;
        let logits = self.head.forward(states);
        let logits = if head.scale == 1.0 {
            logits
        } else {
            logits * head.scale
        };
        soft_cap(logits, head.soft_cap)
    }
}

impl Embedding {
    fn load(config: &DecoderConfig, weights: &mut Weights) -> Result<Self> {
        let (hidden, size) = (config.hidden_size, config.embedding.size);
        let positions = match config.positions {
            Positions::Learned { offset } => Some(weights.take(
                "position_embedding.weight",
                &[config.context_length + offset, hidden],
            )?),
            _ => None,
        };
        Ok(Self {
            tokens: weights.take("token_embedding.weight", &[config.vocab_size, size])?,
            positions,
            project: match size == hidden {
                true => None,
                false => Some(Linear::load(weights, "project_in", size, hidden, false)?),
            },
            norm: match config.embedding.norm {
                true => Some(Norm::load(weights, "embedding_norm", &[hidden], config.norm)?),
                false => None,
            },
        })
    }

    /// Token embeddings to the residual stream before the first layer.
    fn forward(&self, embeddings: &Tensor, start: i64, config: &DecoderConfig) -> Tensor {
        let x = self.sum(embeddings, start, config);
        match &self.norm {
            Some(norm) => norm.forward(&x),
            None => x,
        }
    }

    /// Token embeddings, scaled and projected, and positions.
    fn sum(&self, embeddings: &Tensor, start: i64, config: &DecoderConfig) -> Tensor {
        let mut x = match config.embedding.scale {
            1.0 => embeddings.shallow_clone(),
            // Rounded as the embeddings are: in bfloat16 the models were trained with it so.
            scale => {
                embeddings
                    * Tensor::from(scale)
                        .to_kind(embeddings.kind())
                        .to_device(embeddings.device())
            }
        };
        if let Some(project) = &self.project {
            x = project.forward(&x);
        }
        if let (Some(positions), Positions::Learned { offset }) = (&self.positions, &config.positions) {
            x = x + positions.narrow(0, start + *offset as i64, embeddings.size()[1]);
        }
        x
    }

    /// From the cotangent of the stream before the first layer to that of the token embeddings.
    pub fn backward(&self, embeddings: &Tensor, mut cotangent: Tensor, config: &DecoderConfig) -> Tensor {
        if let Some(norm) = &self.norm {
            cotangent = norm.backward(&self.sum(embeddings, 0, config), &cotangent);
        }
        if let Some(project) = &self.project {
            cotangent = project.backward(&cotangent);
        }
        match config.embedding.scale {
            1.0 => cotangent,
            scale => cotangent * scale,
        }
    }
}

impl Block {
    fn load(config: &DecoderConfig, layer: usize, weights: &mut Weights) -> Result<Self> {
        let residual = &config.residual;
        let hidden = [config.hidden_size];
        let mut norm = |wanted: bool, part: &str, config: NormConfig| {
            let name = format!("layers.{layer}.{part}");
            match wanted {
                true => Norm::load(weights, &name, &hidden, config).map(Some),
                false => Ok(None),
            }
        };
        let is_after = residual.after_branch || residual.after_sum;
        let (attention_norm, mlp_norm) = (
            norm(residual.before != Before::None, "attention_norm", config.norm)?,
            norm(residual.before == Before::Both, "mlp_norm", config.norm)?,
        );
        // Where these are the only norms, files have them under the names of those before the branches.
        let names = match residual.after_sum {
            true => ["attention_norm", "mlp_norm"],
            false => ["attention_post_norm", "mlp_post_norm"],
        };
        let attention_post_norm = norm(is_after, names[0], config.norm)?;
        let mlp_post_norm = norm(is_after, names[1], config.norm)?;
        Ok(Self {
            attention: Attention::load(config, layer, weights)?,
            mlp: Mlp::load(config, layer, weights)?,
            attention_norm,
            mlp_norm,
            attention_post_norm,
            mlp_post_norm,
            residual: residual.clone(),
        })
    }

    /// ```text
    /// pre ──┬── norm ── attention ── norm ──(+)── norm ── mid ──┬── norm ── mlp ── norm ──(+)── norm ── post
    ///       └────────────────────────────────┘                 └──────────────────────────┘
    /// ```
    /// No family has all of these norms. In parallel, the MLP reads pre, and mid is not there.
    fn forward(
        &self,
        x: Tensor,
        memory: Option<LayerMemory>,
        view: &View,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let x = tap.visit(Site::ResidualPre, layer, x); // [batch, position, hidden]
        let normalised = apply(&self.attention_norm, &x);
        let attended = self.attention.forward(&normalised, memory, view, layer, tap);
        let attended = tap.visit(
            Site::AttentionOutput,
            layer,
            self.branch(&self.attention_post_norm, attended),
        );
        let (mid, mlp_input) = if self.residual.parallel {
            let own = self.mlp_norm.as_ref().map(|norm| norm.forward(&x));
            (x + attended, own.unwrap_or(normalised))
        } else {
            let mid = tap.visit(
                Site::ResidualMid,
                layer,
                self.sum(&self.attention_post_norm, x, attended),
            );
            let normalised = apply(&self.mlp_norm, &mid);
            (mid, normalised)
        };
        let mlp = self.branch(&self.mlp_post_norm, self.mlp.forward(&mlp_input, layer, tap));
        let mlp = tap.visit(Site::MlpOutput, layer, mlp);
        tap.visit(Site::ResidualPost, layer, self.sum(&self.mlp_post_norm, mid, mlp))
    }

    /// A branch's output as it is added to the stream.
    fn branch(&self, norm: &Option<Norm>, output: Tensor) -> Tensor {
        let output = match norm {
            Some(norm) if self.residual.after_branch => norm.forward(&output),
            _ => output,
        };
        if self.residual.scale == 1.0 {
            output
        } else {
            output * self.residual.scale
        }
    }

    fn sum(&self, norm: &Option<Norm>, x: Tensor, branch: Tensor) -> Tensor {
        match norm {
            Some(norm) if self.residual.after_sum => norm.forward(&(x + branch)),
            _ => x + branch,
        }
    }
}

fn apply(norm: &Option<Norm>, x: &Tensor) -> Tensor {
    norm.as_ref()
        .map_or_else(|| x.shallow_clone(), |norm| norm.forward(x))
}

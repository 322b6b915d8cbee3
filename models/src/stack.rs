//! What decoders and encoders are made of: an embedding, blocks, a norm. What differs between families is in
//! [`Config`].

use std::ops::ControlFlow;

use tch::{Device, Kind, Tensor};

use crate::attention::{Attention, Cache, LayerMemory, View};
use crate::config::{Before, Config, NormConfig, Positions, Projected, Residual};
use crate::error::{Error, Result};
use crate::layers::{Linear, Norm};
use crate::mlp::Mlp;
use crate::tap::{Site, Tap};
use crate::weights::Weights;

/// Embedding, blocks and norm, with their weights on one device.
pub struct Stack {
    pub config: Config,
    pub embedding: Embedding,
    pub blocks: Vec<Block>,
    pub final_norm: Option<Norm>,
}

/// From token ids to the residual stream.
pub struct Embedding {
    pub tokens: Tensor,        // [vocabulary, size]
    positions: Option<Tensor>, // [position, size or hidden]
    /// The vector of the first segment; texts have one.
    segment: Option<Tensor>, // [size]
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

impl Stack {
    pub fn load(config: Config, weights: &mut Weights) -> Result<Self> {
        let embedding = Embedding::load(&config, weights)?;
        let blocks = (0..config.n_layers)
            .map_while(
                |layer| match weights.lacks_layer(config.weights_of_layer(layer)) {
                    true => None,
                    false => Some(Block::load(&config, layer, weights)),
                },
            )
            .collect::<Result<Vec<_>>>()?;
        let final_norm = match config.residual.final_norm {
            true => Some(Norm::load(
                weights,
                "final_norm",
                &[config.hidden_size],
                config.norm,
            )?),
            false => None,
        };
        Ok(Self {
            config,
            embedding,
            blocks,
            final_norm,
        })
    }

    pub fn device(&self) -> Device {
        self.embedding.tokens.device()
    }

    pub fn kind(&self) -> Kind {
        self.embedding.tokens.kind()
    }

    /// Token embeddings alone, without positions: `[1, position, size]`.
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        let ids = Tensor::from_slice(&ids).to_device(self.device());
        self.embedding.tokens.index_select(0, &ids).unsqueeze(0)
    }

    /// From token embeddings `[batch, position, size]` to the residual stream after the last layer, normalised
    /// where the model does that: `[batch, position, hidden]`. With a cache the embeddings are those of the
    /// tokens that follow what it holds. `padding` is true where a position holds no token, `[batch, position]`.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        padding: Option<&Tensor>,
        mut cache: Option<&mut Cache>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let start = cache.as_ref().map_or(0, |cache| cache.length);
        let n_positions = embeddings.size()[1];
        let view = View::new(
            &self.config,
            start,
            n_positions,
            padding,
            self.kind(),
            self.device(),
        );
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
        let normalised = apply(&self.final_norm, &x);
        Ok(tap.visit(Site::FinalNorm, self.blocks.len() - 1, normalised))
    }
}

impl Embedding {
    fn load(config: &Config, weights: &mut Weights) -> Result<Self> {
        let (hidden, size) = (config.hidden_size, config.embedding.size);
        let (width, bias) = match config.embedding.projected {
            Projected::BeforePositions => (hidden, false),
            Projected::Last => (size, true),
        };
        let positions = match config.positions {
            Positions::Learned { offset } => {
                let shape = [config.context_length + offset, width];
                Some(weights.take("position_embedding.weight", &shape)?)
            }
            _ => None,
        };
        let segment = match config.embedding.n_segments {
            0 => None,
            n => Some(weights.take("segment_embedding.weight", &[n, width])?),
        };
        Ok(Self {
            tokens: weights.take("token_embedding.weight", &[config.vocab_size, size])?,
            positions,
            segment: segment.filter(Tensor::defined).map(|segments| segments.get(0)),
            project: match size == hidden {
                true => None,
                false => Some(Linear::load(weights, "project_in", size, hidden, bias)?),
            },
            norm: match config.embedding.norm {
                true => Some(Norm::load(weights, "embedding_norm", &[width], config.norm)?),
                false => None,
            },
        })
    }

    /// Token embeddings to the residual stream before the first layer.
    fn forward(&self, embeddings: &Tensor, start: i64, config: &Config) -> Tensor {
        let x = apply(&self.norm, &self.sum(embeddings, start, config));
        match (&self.project, config.embedding.projected) {
            (Some(project), Projected::Last) => project.forward(&x),
            _ => x,
        }
    }

    /// Token embeddings, scaled and projected, and positions.
    fn sum(&self, embeddings: &Tensor, start: i64, config: &Config) -> Tensor {
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
        if let (Some(project), Projected::BeforePositions) = (&self.project, config.embedding.projected) {
            x = project.forward(&x);
        }
        if let (Some(positions), Positions::Learned { offset }) = (&self.positions, &config.positions) {
            // Not in place: what comes in may be the caller's.
            x = x.g_add(&positions.narrow(0, start + *offset as i64, embeddings.size()[1]));
        }
        match &self.segment {
            Some(segment) => x + segment,
            None => x,
        }
    }

    /// From the cotangent of the stream before the first layer to that of the token embeddings.
    pub fn backward(&self, embeddings: &Tensor, mut cotangent: Tensor, config: &Config) -> Tensor {
        let is_last = config.embedding.projected == Projected::Last;
        let project = |cotangent: Tensor| match &self.project {
            Some(project) => project.backward(&cotangent),
            None => cotangent,
        };
        if is_last {
            cotangent = project(cotangent);
        }
        if let Some(norm) = &self.norm {
            cotangent = norm.backward(&self.sum(embeddings, 0, config), &cotangent);
        }
        if !is_last {
            cotangent = project(cotangent);
        }
        match config.embedding.scale {
            1.0 => cotangent,
            scale => cotangent * scale,
        }
    }
}

impl Block {
    fn load(config: &Config, layer: usize, weights: &mut Weights) -> Result<Self> {
        let residual = &config.residual;
        let hidden = [config.hidden_size];
        let first_is_bare = layer == 0 && residual.bare_start;
        let stored = config.weights_of_layer(layer);
        let mut norm = |wanted: bool, part: &str, config: NormConfig| {
            let name = format!("layers.{stored}.{part}");
            match wanted {
                true => Norm::load(weights, &name, &hidden, config).map(Some),
                false => Ok(None),
            }
        };
        let is_after = residual.after_branch || residual.after_sum;
        let (attention_norm, mlp_norm) = (
            norm(
                residual.before != Before::None && !first_is_bare,
                "attention_norm",
                config.norm,
            )?,
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

//! What decoders and encoders are made of: an embedding, blocks, a norm. What differs between families is in
//! [`Config`].

mod block;
pub(crate) mod common;
mod mixer;
mod sines;

use std::ops::{ControlFlow, Deref};
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::attention::{Cache, CrossMemory, Cursor, Start, Views};
use crate::config::{Config, InnerProjection, Positions, Sines};
use crate::edit::{EditTap, StackEdits};
use crate::error::{Error, Result};
use crate::guard::ensure_read;
use crate::host::{self, bring};
use crate::layers::{Linear, Norm};
use crate::rules::Rule;
use crate::tap::{NoTap, Reader, Site, Tap};
use crate::weight::Weight;
use crate::weights::Weights;

use block::Surroundings;
pub use block::{Block, Cross, apply, apply_by};
use common::Common;
pub use mixer::Mixer;

/// Embedding, blocks and norm with their weights, and what is changed in its passes. Blocks may be on other devices
/// than the rest: the stream is brought to each.
pub struct Stack {
    parts: Rc<Parts>,
    edits: Option<Rc<StackEdits>>,
}

/// What views on one stack share.
pub struct Parts {
    common: Common,
    pub embedding: Embedding,
    pub blocks: Vec<Block>,
    pub final_norm: Option<Norm>,
}

/// What is known of a batch's positions beside their embeddings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Marks<'a> {
    /// True where a position holds no token, `[batch, position]`.
    pub padding: Option<&'a Tensor>,
    /// In which segment each is, `[batch or 1, position]`; all in the first without.
    pub segments: Option<&'a Tensor>,
}

/// From token ids to the residual stream.
pub struct Embedding {
    pub tokens: Weight,        // [vocabulary, size]
    positions: Option<Tensor>, // [position, size or hidden]
    segments: Option<Tensor>,  // [segment, size or hidden]
    project: Option<Linear>,
    norm: Option<Norm>,
}

impl Stack {
    pub fn load(config: Config, weights: &mut Weights) -> Result<Self> {
        let embedding = Embedding::load(&config, weights)?;
        let blocks = (0..config.n_layers)
            .map_while(
                |layer| match weights.lacks_layer(&config.name_in_layer(layer, "")) {
                    true => None,
                    false => Some(Block::load(&config, layer, weights)),
                },
            )
            .collect::<Result<Vec<_>>>()?;
        let final_norm = match config.residual.final_norm {
            true => Some(Norm::load(
                weights,
                &config.name("final_norm"),
                &[config.hidden_size],
                config.norm,
            )?),
            false => None,
        };
        let common = Common::load(config, weights)?;
        let parts = Parts {
            common,
            embedding,
            blocks,
            final_norm,
        };
        Ok(Self {
            parts: Rc::new(parts),
            edits: None,
        })
    }

    /// A view on the same weights whose passes are edited.
    pub(crate) fn edited(&self, edits: &Rc<StackEdits>) -> Self {
        Self {
            parts: Rc::clone(&self.parts),
            edits: Some(Rc::clone(edits)).filter(|edits| !edits.is_empty()),
        }
    }

    /// Whether anything is changed in its passes.
    pub fn is_edited(&self) -> bool {
        self.edits.is_some()
    }

    /// Of the main part: where texts come in and states come out.
    pub fn device(&self) -> Device {
        self.embedding.tokens.device()
    }

    /// Type and device of the main part.
    pub fn place(&self) -> (Kind, Device) {
        (self.kind(), self.device())
    }

    /// Type and device of each layer.
    pub fn places(&self) -> Vec<(Kind, Device)> {
        self.blocks.iter().map(Block::place).collect()
    }

    pub fn kind(&self) -> Kind {
        self.embedding.tokens.kind()
    }

    /// Token embeddings alone, without positions: `[1, position, size]`.
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        self.embed_from(&host::tensor(&ids, self.device()))
    }

    /// The same of ids that are on the device already, `[position]`.
    pub fn embed_from(&self, ids: &Tensor) -> Tensor {
        self.embedding.tokens.rows(ids).unsqueeze(0)
    }

    /// From token embeddings `[batch, position, size]` to the residual stream after the last layer, normalised
    /// where the model does that: `[batch, position, hidden]`. With a cache the embeddings are those of the
    /// tokens that follow what it holds.
    pub fn forward(
        &self,
        embeddings: &Tensor,
        marks: Marks,
        cache: Option<&mut Cache>,
        memories: Option<&[CrossMemory]>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let start = cache.as_ref().map_or(0, |cache| cache.length);
        self.with_edits(start, tap, |tap| {
            let start = Start::Known(start);
            let x = self
                .embedding
                .forward(embeddings, start, marks.segments, &self.config, tap.rule());
            self.through(0, x, start, marks.padding, cache, memories, tap)
        })
    }

    /// The same from a later layer on: `x` is the residual stream before it, `[batch, position, hidden]`, of texts from
    /// their start on.
    pub fn resume(
        &self,
        first: usize,
        x: &Tensor,
        memories: Option<&[CrossMemory]>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let x = x.shallow_clone();
        self.with_edits(0, tap, |tap| {
            self.through(first, x, Start::Known(0), None, None, memories, tap)
        })
    }

    /// The same of one more token of one text, `[1, 1, size]`, whose place is a number on the device. All layers have to be at
    /// one place and nothing edited.
    pub fn step(&self, embeddings: &Tensor, cache: &mut Cache, cursor: &Cursor) -> Result<Tensor> {
        let start = Start::OnDevice(cursor);
        let x = self
            .embedding
            .forward(embeddings, start, None, &self.config, Rule::Gradient);
        self.through(0, x, start, None, Some(cache), None, &mut NoTap)
    }

    /// Work whose tap sees what is edited, of texts that go on at `start`.
    fn with_edits<T>(&self, start: i64, tap: &mut dyn Tap, work: impl FnOnce(&mut dyn Tap) -> T) -> T {
        let _below = crate::below_autograd::BelowAutograd::new();
        match &self.edits {
            Some(edits) => work(&mut EditTap { edits, start, tap }),
            None => work(tap),
        }
    }

    #[allow(clippy::too_many_arguments)] // What a pass is made of.
    fn through(
        &self,
        first: usize,
        mut x: Tensor,
        start: Start,
        padding: Option<&Tensor>,
        mut cache: Option<&mut Cache>,
        memories: Option<&[CrossMemory]>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let n_positions = x.size()[1];
        let mut views = Views::new(&self.parts, start, n_positions, padding);
        let rule = tap.rule();
        for (layer, block) in self.blocks.iter().enumerate().skip(first) {
            if tap.proceed(layer) == ControlFlow::Break(()) {
                return Err(Error::Interrupted);
            }
            ensure_read()?;
            let memory = cache
                .as_deref_mut()
                .map(|cache| cache.layer(layer, start, n_positions));
            let source = memories.map(|memories| &memories[layer]);
            let place = block.place();
            x = block.forward(
                bring(&x, place),
                Surroundings {
                    memory,
                    source,
                    view: views.at(place),
                },
                layer,
                tap,
            );
        }
        if let Some(cache) = cache {
            cache.length += n_positions;
        }
        let (last, x) = (self.blocks.len() - 1, bring(&x, self.place()));
        let x = tap.read(Reader::Head, last, &x).unwrap_or(x);
        Ok(tap.visit(Site::FinalNorm, last, apply_by(&self.final_norm, &x, rule)))
    }

    /// One layer alone: from the residual stream before it to that after it, `[batch, position, hidden]`, of a text
    /// from its start on. A tap may make more of one text on the way.
    pub fn layer(&self, layer: usize, x: Tensor, source: Option<&CrossMemory>, tap: &mut dyn Tap) -> Tensor {
        let block = &self.blocks[layer];
        let place = block.place();
        let mut views = Views::new(&self.parts, Start::Known(0), x.size()[1], None);
        let around = Surroundings {
            memory: None,
            source,
            view: views.at(place),
        };
        self.with_edits(0, tap, |tap| block.forward(bring(&x, place), around, layer, tap))
    }
}

impl Deref for Stack {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Deref for Parts {
    type Target = Common;

    fn deref(&self) -> &Common {
        &self.common
    }
}

impl Embedding {
    /// What is added to tokens' embeddings, a row each: `[row, size or hidden]`; before the first position's are the offset's.
    pub fn positions(&self) -> Option<&Tensor> {
        self.positions.as_ref()
    }

    fn load(config: &Config, weights: &mut Weights) -> Result<Self> {
        let (hidden, size) = (config.hidden_size, config.embedding.size);
        let (width, bias) = match config.embedding.projected {
            InnerProjection::BeforePositions => (hidden, false),
            InnerProjection::Last => (size, true),
        };
        let own = config.embedding_name();
        let name = if weights.has(&own) {
            &own
        } else {
            "token_embedding.weight"
        };
        let tokens = weights.take_whole(name, &[config.vocab_size, size])?;
        let positions = match config.positions {
            Positions::Learned { offset } => {
                let shape = [config.context_length + offset, width];
                Some(weights.take(&config.name("position_embedding.weight"), &shape)?)
            }
            Positions::Sinusoidal {
                sines: Sines::Counted,
                ..
            } => {
                let name = config.name("position_embedding.weight");
                let shape = [config.context_length, width];
                Some(match weights.has(&name) {
                    true => weights.take(&name, &shape)?,
                    false => sines::counted(config.context_length, width),
                })
            }
            _ => None,
        };
        let segments = match config.embedding.n_segments {
            0 => None,
            n => Some(weights.take(&config.name("segment_embedding.weight"), &[n, width])?),
        };
        let place = |x: Tensor| {
            if tokens.defined() {
                bring(&x, tokens.place())
            } else {
                x
            }
        };
        Ok(Self {
            positions: positions.map(place),
            tokens,
            segments: segments.filter(Tensor::defined),
            project: match size == hidden {
                true => None,
                false => Some(Linear::load(
                    weights,
                    &config.name("project_in"),
                    size,
                    hidden,
                    bias,
                )?),
            },
            norm: match config.embedding.norm {
                true => Some(Norm::load(
                    weights,
                    &config.name("embedding_norm"),
                    &[width],
                    config.norm,
                )?),
                false => None,
            },
        })
    }

    /// Token embeddings to the residual stream before the first layer.
    fn forward(
        &self,
        embeddings: &Tensor,
        start: Start,
        segments: Option<&Tensor>,
        config: &Config,
        rule: Rule,
    ) -> Tensor {
        let x = apply_by(&self.norm, &self.sum(embeddings, start, segments, config), rule);
        match (&self.project, config.embedding.projected) {
            (Some(project), InnerProjection::Last) => project.forward(&x),
            _ => x,
        }
    }

    /// Token embeddings, scaled and projected, positions and segments.
    fn sum(&self, embeddings: &Tensor, start: Start, segments: Option<&Tensor>, config: &Config) -> Tensor {
        let mut x = match config.embedding.scale {
            1.0 => embeddings.shallow_clone(),
            // Rounded as the embeddings are: in bfloat16 the models were trained with it so. A single number goes to
            // the device with the call.
            scale => embeddings * Tensor::from(scale).to_kind(embeddings.kind()),
        };
        if let (Some(project), InnerProjection::BeforePositions) = (&self.project, config.embedding.projected)
        {
            x = project.forward(&x);
        }
        // Not in place: what comes in may be the caller's.
        match (&config.positions, &self.positions) {
            (Positions::Learned { offset } | Positions::Sinusoidal { offset, .. }, Some(positions)) => {
                let offset = *offset as i64;
                x = x.g_add(&match start {
                    Start::Known(start) => positions.narrow(0, start + offset, embeddings.size()[1]),
                    Start::OnDevice(cursor) => positions.index_select(0, &(&cursor.position + offset)),
                });
            }
            (Positions::Sinusoidal { offset, .. }, None) => {
                let on = (Kind::Float, x.device());
                let first = *offset as i64;
                let places = match start {
                    Start::Known(start) => {
                        let first = start + first;
                        Tensor::arange_start(first, first + embeddings.size()[1], on)
                    }
                    Start::OnDevice(cursor) => (&cursor.position + first).to_kind(Kind::Float),
                };
                x = x.g_add(&sines::endless(&places, &x));
            }
            _ => {}
        }
        match (&self.segments, segments) {
            (Some(vectors), None) => x + vectors.get(0),
            (Some(vectors), Some(segments)) => {
                let rows = vectors.index_select(0, &segments.flatten(0, -1));
                x + rows.unflatten(0, segments.size())
            }
            (None, _) => x,
        }
    }

    /// What tokens alone write to the stream, `[.., hidden]`: their embeddings `[.., size]` scaled and projected, and a
    /// norm's linear part; no positions, segments or biases.
    pub fn of_tokens(&self, embeddings: &Tensor, config: &Config) -> Tensor {
        let x = embeddings * config.embedding.scale;
        let normed = |x: &Tensor| match &self.norm {
            Some(norm) => norm.linear(x),
            None => x.shallow_clone(),
        };
        match (&self.project, config.embedding.projected) {
            (Some(project), InnerProjection::Last) => project.linear(&normed(&x)),
            (Some(project), _) => normed(&project.linear(&x)),
            (None, _) => normed(&x),
        }
    }

    /// From the cotangent of the stream before the first layer to that of the token embeddings.
    pub fn backward(
        &self,
        embeddings: &Tensor,
        mut cotangent: Tensor,
        config: &Config,
        rule: Rule,
    ) -> Tensor {
        let is_last = config.embedding.projected == InnerProjection::Last;
        let project = |cotangent: Tensor| match &self.project {
            Some(project) => project.backward(&cotangent),
            None => cotangent,
        };
        if is_last {
            cotangent = project(cotangent);
        }
        if let Some(norm) = &self.norm {
            cotangent = norm.backward_by(
                &self.sum(embeddings, Start::Known(0), None, config),
                &cotangent,
                rule,
            );
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

//! From token ids to the residual stream.

use tch::{Kind, Tensor};

use super::own_input::OwnInputs;
use super::{apply_by, sines};
use crate::attention::Start;
use crate::config::{Config, InnerProjection, Positions, Sines};
use crate::error::Result;
use crate::host::bring;
use crate::layers::{Linear, Norm};
use crate::rules::Rule;
use crate::weight::Weight;
use crate::weights::Weights;

/// From token ids to the residual stream.
pub struct Embedding {
    pub tokens: Weight,        // [vocabulary, size]
    positions: Option<Tensor>, // [position, size or hidden]
    segments: Option<Tensor>,  // [segment, size or hidden]
    project: Option<Linear>,
    norm: Option<Norm>,
    /// Of a model whose layers have inputs of their own.
    own: Option<OwnInputs>,
}

impl Embedding {
    /// What is added to tokens' embeddings, a row each: `[row, size or hidden]`; before the first position's are the offset's.
    pub fn positions(&self) -> Option<&Tensor> {
        self.positions.as_ref()
    }

    pub(super) fn load(config: &Config, weights: &mut Weights) -> Result<Self> {
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
            own: OwnInputs::load(config, weights)?,
        })
    }

    /// Token embeddings to the residual stream before the first layer.
    pub(super) fn forward(
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

    /// What tokens begin with, `[position, size]`: where layers have inputs of their own, the rows of the second table stand behind those of
    /// the first, so that all a token brings is one vector.
    pub fn rows(&self, ids: &Tensor) -> Tensor {
        let first = self.tokens.rows(ids);
        match &self.own {
            Some(own) => Tensor::cat(&[first, own.table.rows(ids)], -1),
            None => first,
        }
    }

    /// The mean of the same over the vocabulary, `[size]`.
    pub fn mean_row(&self) -> Tensor {
        let first = self.tokens.mean_row();
        match &self.own {
            Some(own) => Tensor::cat(&[first, own.table.mean_row()], -1),
            None => first,
        }
    }

    /// What tokens begin with is the first table's, and the second's.
    fn both(embeddings: &Tensor, config: &Config) -> (Tensor, Tensor) {
        let size = config.embedding.size as i64;
        let rest = embeddings.size()[embeddings.dim() - 1] - size;
        (embeddings.narrow(-1, 0, size), embeddings.narrow(-1, size, rest))
    }

    /// Token embeddings with their factor.
    fn scaled(&self, embeddings: &Tensor, config: &Config) -> Tensor {
        let first = match self.own {
            Some(_) => Self::both(embeddings, config).0,
            None => embeddings.shallow_clone(),
        };
        match config.embedding.scale {
            1.0 => first,
            // Rounded as the embeddings are: in bfloat16 the models were trained with it so. A single number goes to
            // the device with the call.
            scale => &first * Tensor::from(scale).to_kind(first.kind()),
        }
    }

    /// Of each layer what it reads besides the stream, `[batch, position, layer, number]`.
    pub(super) fn own_inputs(&self, embeddings: &Tensor, config: &Config, rule: Rule) -> Option<Tensor> {
        let own = self.own.as_ref()?;
        let (_, rows) = Self::both(embeddings, config);
        Some(own.forward(&self.scaled(embeddings, config), &rows, rule))
    }

    /// Token embeddings, scaled and projected, positions and segments.
    fn sum(&self, embeddings: &Tensor, start: Start, segments: Option<&Tensor>, config: &Config) -> Tensor {
        let mut x = self.scaled(embeddings, config);
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

    /// What tokens alone write to the stream, `[.., hidden]`: their embeddings `[.., size]`, of two tables the first's, scaled and projected, and a
    /// norm's linear part; no positions, segments or biases.
    pub fn of_tokens(&self, embeddings: &Tensor, config: &Config) -> Tensor {
        let x = embeddings.narrow(-1, 0, config.embedding.size as i64) * config.embedding.scale;
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

    /// From the cotangents of the stream before the first layer, and of layers' own inputs where there are any, to that of the
    /// token embeddings.
    pub fn backward(
        &self,
        embeddings: &Tensor,
        mut cotangent: Tensor,
        of_inputs: Option<&Tensor>,
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
        let own = self.own.as_ref().zip(of_inputs);
        let own = own.map(|(own, of_inputs)| own.backward(&self.scaled(embeddings, config), of_inputs, rule));
        if let Some((of_scaled, _)) = &own {
            cotangent = cotangent.g_add(of_scaled);
        }
        let first = match config.embedding.scale {
            1.0 => cotangent,
            scale => cotangent * scale,
        };
        match own {
            Some((_, of_rows)) => Tensor::cat(&[first, of_rows], -1),
            None => first,
        }
    }
}

//! What decoders and encoders are made of: an embedding, blocks, a norm. What differs between families is in
//! [`Config`].

mod block;
pub(crate) mod common;
mod embedding;
mod mixer;
mod own_input;
mod sines;

use std::ops::{ControlFlow, Deref};
use std::rc::Rc;

use tch::{Device, Kind, Tensor};

use crate::attention::{Beside, Cache, CrossMemory, Cursor, Start, Views};
use crate::config::Config;
use crate::edit::{EditTap, StackEdits};
use crate::error::{Error, Result};
use crate::guard::ensure_read;
use crate::host::{self, bring};
use crate::layers::Norm;
use crate::rules::Rule;
use crate::tap::{Capture, NoTap, Reader, Site, Tap};
use crate::weights::Weights;

use block::Surroundings;
pub use block::{Block, Cross, apply, apply_by};
use common::Common;
pub use embedding::Embedding;
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

/// Where a pass begins: the layer, the stream before it, and what it has beside that.
struct Begin {
    layer: usize,
    x: Tensor,
    beside: Rc<Beside>,
}

/// What is known of a batch's positions beside their embeddings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Marks<'a> {
    /// True where a position holds no token, `[batch, position]`.
    pub padding: Option<&'a Tensor>,
    /// In which segment each is, `[batch or 1, position]`; all in the first without.
    pub segments: Option<&'a Tensor>,
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

    /// Token embeddings alone, without positions: `[1, position, size]`, see [`Config::input_size`].
    pub fn embed(&self, ids: &[u32]) -> Tensor {
        let ids: Vec<i64> = ids.iter().map(|&id| i64::from(id)).collect();
        self.embed_from(&host::tensor(&ids, self.device()))
    }

    /// The same of ids that are on the device already, `[position]`.
    pub fn embed_from(&self, ids: &Tensor) -> Tensor {
        self.embedding.rows(ids).unsqueeze(0)
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
            let begin = self.begin(embeddings, start, marks.segments, tap.rule());
            self.through(begin, start, marks.padding, cache, memories, tap)
        })
    }

    /// The same from a later layer on: `x` is the residual stream before it, `[batch, position, hidden]`, of texts from
    /// their start on, and `beside` what the pass had beside it.
    pub fn resume(
        &self,
        first: usize,
        (x, beside): (&Tensor, &Beside),
        memories: Option<&[CrossMemory]>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let begin = Begin {
            layer: first,
            x: x.shallow_clone(),
            beside: beside.again(),
        };
        self.with_edits(0, tap, |tap| {
            self.through(begin, Start::Known(0), None, None, memories, tap)
        })
    }

    /// The same of one more token of one text, `[1, 1, size]`, whose place is a number on the device. All layers have to be at
    /// one place and nothing edited.
    pub fn step(&self, embeddings: &Tensor, cache: &mut Cache, cursor: &Cursor) -> Result<Tensor> {
        let start = Start::OnDevice(cursor);
        let begin = self.begin(embeddings, start, None, Rule::Gradient);
        self.through(begin, start, None, Some(cache), None, &mut NoTap)
    }

    /// What passes over these embeddings have beside the stream before their first layer.
    pub(crate) fn beside(&self, embeddings: &Tensor, rule: Rule) -> Rc<Beside> {
        Rc::new(Beside::new(self.embedding.own_inputs(
            embeddings,
            &self.config,
            rule,
        )))
    }

    /// What a pass has had beside the stream, by what [`Self::recorder`] has seen of it. Its embeddings are asked for where they are needed.
    pub fn beside_of_pass(&self, embeddings: impl FnOnce() -> Tensor, recorded: &Capture) -> Beside {
        let inputs = match self.config.embedding.own {
            0 => None,
            _ => self
                .embedding
                .own_inputs(&embeddings(), &self.config, Rule::Gradient),
        };
        let of_layer = |layer: usize| {
            let both = [Site::Keys, Site::Values].map(|site| recorded.tensor(site, layer).shallow_clone());
            (layer, both)
        };
        Beside::of(inputs, self.config.sources().into_iter().map(of_layer).collect())
    }

    /// Records what [`Self::beside_of_pass`] needs.
    pub fn recorder(&self) -> Capture {
        Capture::new(&[Site::Keys, Site::Values], Some(&self.config.sources()))
    }

    /// The first layer's.
    fn begin(&self, embeddings: &Tensor, start: Start, segments: Option<&Tensor>, rule: Rule) -> Begin {
        let (embedding, config) = (&self.embedding, &self.config);
        Begin {
            layer: 0,
            x: embedding.forward(embeddings, start, segments, config, rule),
            beside: self.beside(embeddings, rule),
        }
    }

    /// Work whose tap sees what is edited, of texts that go on at `start`.
    fn with_edits<T>(&self, start: i64, tap: &mut dyn Tap, work: impl FnOnce(&mut dyn Tap) -> T) -> T {
        let _below = crate::below_autograd::BelowAutograd::new();
        match &self.edits {
            Some(edits) => work(&mut EditTap { edits, start, tap }),
            None => work(tap),
        }
    }

    fn through(
        &self,
        begin: Begin,
        start: Start,
        padding: Option<&Tensor>,
        mut cache: Option<&mut Cache>,
        memories: Option<&[CrossMemory]>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor> {
        let mut x = begin.x;
        let n_positions = x.size()[1];
        let mut views = Views::new(&self.parts, start, n_positions, padding).with(begin.beside);
        let rule = tap.rule();
        for (layer, block) in self.blocks.iter().enumerate().skip(begin.layer) {
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
    /// from its start on, and `beside` what its pass had beside it. A tap may make more of one text on the way.
    pub fn layer(
        &self,
        layer: usize,
        (x, beside): (Tensor, &Beside),
        source: Option<&CrossMemory>,
        tap: &mut dyn Tap,
    ) -> Tensor {
        let block = &self.blocks[layer];
        let place = block.place();
        let mut views = Views::new(&self.parts, Start::Known(0), x.size()[1], None).with(beside.again());
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

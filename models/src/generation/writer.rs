//! A model that writes: its decoder, what it has written so far, and what its encoder has read.

use tch::{Kind, Tensor};

use super::recorder::Recorder;
use super::step::Step;
use crate::attention::{Cache, CrossMemory};
use crate::decoder::Decoder;
use crate::error::Result;
use crate::model::{Body, Model};
use crate::tap::{NoTap, Tap};

pub struct Writer<'a> {
    decoder: &'a Decoder,
    memories: Option<Vec<CrossMemory>>,
    cache: Cache,
    /// How tokens are read behind the first, where that is by steps of fixed shapes. It has the cache's memory.
    step: Option<Step>,
    guide: Option<Guide>,
    recorder: Option<&'a mut Recorder>,
}

/// The same text without what was given but its last token, which scores are led away from (2306.17806).
struct Guide {
    cache: Cache,
    scale: f64,
}

impl<'a> Writer<'a> {
    /// With room for sequences of `max_length`. An encoder reads `input` here, once.
    pub fn new(model: &'a Model, input: &[u32], max_length: usize) -> Result<Self> {
        Self::of_several(model, &[input], max_length)
    }

    /// For several sequences side by side, whose inputs are equally long.
    pub fn of_several(model: &'a Model, inputs: &[&[u32]], max_length: usize) -> Result<Self> {
        let (decoder, memories): (&Decoder, _) = match model.body() {
            Body::Decoder(decoder) => (decoder, None),
            Body::EncoderDecoder(both) => {
                let embeddings = both.encoder.embed(&inputs.concat()).squeeze_dim(0);
                let embeddings = embeddings.unflatten(0, [inputs.len() as i64, -1]); // [text, position, size]
                let read = both.read(&embeddings, None, &mut NoTap)?;
                (&both.decoder, Some(read))
            }
            Body::Encoder(_) => return Err(model.not_causal("generating text")),
        };
        let places = decoder.stack.places();
        let cache = || Cache::of_several(inputs.len(), model.config(), max_length, &places);
        let scale = model.generation.guidance_scale;
        Ok(Self {
            decoder,
            memories,
            step: None,
            recorder: None,
            cache: cache(),
            guide: (scale != 1.0).then(|| Guide {
                cache: cache(),
                scale,
            }),
        })
    }

    /// The same by steps of fixed shapes, recorded where that can be: see [`obstacle`](super::step::obstacle).
    pub fn by_steps(decoder: &'a Decoder, max_length: usize) -> Result<Self> {
        let mut step = decoder.steps.take(decoder, max_length)?;
        Ok(Self {
            decoder,
            memories: None,
            cache: step.begin(),
            guide: None,
            step: Some(step),
            recorder: None,
        })
    }

    /// What is read is recorded, too; not by steps of fixed shapes.
    pub(super) fn record(&mut self, recorder: Option<&'a mut Recorder>) {
        self.recorder = recorder;
    }

    /// What is written by steps goes on being so after this: they serve the next text, too.
    pub fn end(mut self) {
        if let Some(step) = self.step.take() {
            self.decoder.steps.keep(step);
        }
    }

    /// Why its steps are not recorded, where they were to be.
    pub fn without_graph(&self) -> Option<&str> {
        self.step.as_ref().and_then(Step::without)
    }

    /// Logits of what follows the first tokens of one sequence: `[1, vocabulary]`.
    pub fn begin(&mut self, ids: &[u32]) -> Result<Tensor> {
        self.begin_all(&[ids.to_vec()])
    }

    /// The same of each of some sequences, which are equally long: `[sequence, vocabulary]`.
    pub fn begin_all(&mut self, sequences: &[Vec<u32>]) -> Result<Tensor> {
        let embeddings = self.decoder.embed(&sequences.concat()).squeeze_dim(0);
        let embeddings = embeddings.unflatten(0, [sequences.len() as i64, -1]); // [sequence, position, size]
        let logits = self.next(&embeddings)?;
        if let Some(step) = &self.step {
            step.go_to(self.cache.length);
        }
        if self.guide.is_none() {
            return Ok(logits);
        }
        self.guided(logits, &embeddings.narrow(1, -1, 1))
    }

    /// Logits of what follows each of the sequences, of which all but the last token were read: `[sequence, vocabulary]`.
    ///
    /// Where they grow over a border behind which positions turn at other frequencies, all of them is read anew, as
    /// transformers does.
    pub fn go_on(&mut self, sequences: &[Vec<u32>]) -> Result<Tensor> {
        let n = sequences.len() as i64;
        if self.turns_anew() {
            self.cache.length = 0;
        }
        let from = self.cache.length as usize;
        let new: Vec<u32> = sequences.iter().flat_map(|ids| &ids[from..]).copied().collect();
        let embeddings = self.decoder.embed(&new).squeeze_dim(0);
        let embeddings = embeddings.unflatten(0, [n, -1]); // [sequence, position, size]
        let logits = self.next(&embeddings)?;
        self.guided(logits, &embeddings.narrow(1, -1, 1))
    }

    /// The same where the last ids, `[sequence]`, are on the decoder's device.
    pub fn go_on_from(&mut self, sequences: &[Vec<u32>], ids: &Tensor) -> Result<Tensor> {
        if let Some(step) = &mut self.step {
            return step.next(self.decoder, ids);
        }
        if self.turns_anew() {
            return self.go_on(sequences);
        }
        let embeddings = self.decoder.stack.embed_from(ids).transpose(0, 1);
        let logits = self.next(&embeddings)?;
        self.guided(logits, &embeddings)
    }

    /// Whether the next token turns what was read by other angles, so that it has to be read anew.
    fn turns_anew(&self) -> bool {
        let read = self.cache.length as usize;
        self.decoder.config().positions.turn_anew(read, read + 1)
    }

    /// Goes on with these of the sequences, each as often as it is named.
    pub fn select(&mut self, sequences: &[i64]) {
        self.cache.select(sequences);
        for memory in self.memories.iter_mut().flatten() {
            memory.select(sequences);
        }
        if let Some(guide) = &mut self.guide {
            guide.cache.select(sequences);
        }
    }

    /// Logits as the guide leads them, as transformers' UnbatchedClassifierFreeGuidanceLogitsProcessor does;
    /// `embeddings`, `[sequence, 1, size]`, are those of the last tokens.
    fn guided(&mut self, logits: Tensor, embeddings: &Tensor) -> Result<Tensor> {
        let Some(guide) = &mut self.guide else {
            return Ok(logits);
        };
        let states = self
            .decoder
            .forward(embeddings, Some(&mut guide.cache), &mut NoTap)?;
        let alone = self.decoder.logits(&states.select(1, -1));
        let alone = alone.log_softmax(-1, Kind::Float);
        Ok((logits.log_softmax(-1, Kind::Float) - &alone) * guide.scale + alone)
    }

    /// `embeddings`: `[sequence, position, size]`.
    fn next(&mut self, embeddings: &Tensor) -> Result<Tensor> {
        let memories = self.memories.as_deref();
        let tap: &mut dyn Tap = match &mut self.recorder {
            Some(recorder) => *recorder,
            None => &mut NoTap,
        };
        let states = self
            .decoder
            .forward_with(embeddings, Some(&mut self.cache), memories, tap)?;
        let last = states.select(1, -1); // [sequence, size]
        Ok(self.decoder.logits(&last).to_kind(Kind::Float))
    }
}

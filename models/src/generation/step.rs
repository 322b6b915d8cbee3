//! The step that makes a token, in fixed shapes: caches of one length, a mask over all of them, place and token as numbers on the
//! device. So it can be recorded as a [CUDA graph](crate::cuda_graph) and replayed for each token.
//!
//! A decoder keeps its steps, one for each length: recording takes as long as some tokens, and its caches their memory.

use tch::{Device, Kind, Tensor};

use crate::attention::{Cache, Cursor};
use crate::config::{Mlp, Positions};
use crate::cuda_graph::Graph;
use crate::decoder::Decoder;
use crate::device;
use crate::error::{Error, Result};
use crate::guard::guard;
use crate::model::{Body, Model};

/// Texts of up to so many tokens share a step.
const SHORTEST: usize = 256;
/// Longer ones' steps have room for multiples of this.
const STRIDE: usize = 1024;

/// A step with room for texts of some length.
pub struct Step {
    cache: Cache,
    cursor: Cursor,
    id: Tensor, // [1]
    /// What was recorded, and the logits that it fills.
    graph: Option<(Graph, Tensor)>,
    /// Why nothing was recorded.
    without: Option<String>,
}

/// A decoder's steps that are not in use.
#[derive(Default)]
pub struct Steps(std::cell::RefCell<Vec<Step>>);

impl Steps {
    /// The step for texts of up to so many tokens, made where there is none. It goes back when it is given to
    /// [`Self::keep`]; where something went wrong meanwhile it does not.
    pub fn take(&self, decoder: &Decoder, max_length: usize) -> Result<Step> {
        let capacity = capacity(max_length, decoder.config().length_limit());
        let mut kept = self.0.borrow_mut();
        let known = kept
            .iter()
            .position(|step| step.cursor.capacity == capacity as i64);
        match known {
            Some(at) => Ok(kept.swap_remove(at)),
            None => Step::new(decoder, capacity),
        }
    }

    pub fn keep(&self, step: Step) {
        self.0.borrow_mut().push(step);
    }
}

impl Step {
    fn new(decoder: &Decoder, capacity: usize) -> Result<Self> {
        let (stack, config) = (&decoder.stack, decoder.config());
        let bytes = Cache::bytes(config, capacity, stack.kind());
        let room = format!("a step for texts of {capacity} tokens");
        device::ensure_room(stack.device(), bytes, &room)?;
        let mut step = Self {
            cache: Cache::new(config, capacity, &stack.places()),
            cursor: Cursor::new(stack, capacity as i64, stack.place()),
            id: Tensor::zeros([1], (Kind::Int64, stack.device())),
            graph: None,
            without: None,
        };
        step.cache.fill(0.0);
        let recorded = match stack.device() {
            Device::Cuda(index) => {
                let said = |error: Error| error.to_string();
                Graph::record(index, || guard(|| step.compute(decoder)).map_err(said))
            }
            device => Err(format!("the model is on {}", device::device_name(device))),
        };
        match recorded {
            Ok(graph) => step.graph = Some(graph),
            Err(reason) => step.without = Some(reason),
        }
        Ok(step)
    }

    /// Why nothing was recorded: then each step is asked for operation by operation.
    pub fn without(&self) -> Option<&str> {
        self.without.as_deref()
    }

    /// The cache for what a text begins with, which is read in the usual way.
    pub fn begin(&mut self) -> Cache {
        // What is hidden is multiplied by zero, which is zero only where an earlier text has left numbers.
        self.cache.fill(0.0);
        self.cache.anew()
    }

    /// Goes on behind so many tokens.
    pub fn go_to(&self, position: i64) {
        self.cursor.set(position);
    }

    /// Reads one more token, whose id is on the device, `[1]`: logits of what follows, `[1, vocabulary]`, which the next step
    /// may overwrite.
    pub fn next(&mut self, decoder: &Decoder, id: &Tensor) -> Result<Tensor> {
        self.id.copy_(id);
        match &self.graph {
            Some((graph, logits)) => {
                let said = |message| Error::Torch { message };
                graph.replay().map_err(said)?;
                Ok(logits.shallow_clone())
            }
            None => self.compute(decoder),
        }
    }

    fn compute(&mut self, decoder: &Decoder) -> Result<Tensor> {
        let embeddings = decoder.stack.embed_from(&self.id); // [1, 1, size]
        let states = decoder.step(&embeddings, &mut self.cache, &self.cursor)?;
        let logits = decoder.logits(&states.select(1, -1)).to_kind(Kind::Float);
        self.cursor.advance();
        Ok(logits)
    }
}

/// Tokens that the step for a text of so many has room for: few lengths, so that few are made.
fn capacity(max_length: usize, limit: Option<usize>) -> usize {
    let room = if max_length <= STRIDE {
        max_length.next_power_of_two().max(SHORTEST)
    } else {
        max_length.next_multiple_of(STRIDE)
    };
    room.min(limit.unwrap_or(room))
}

/// Why a text cannot be written by steps of fixed shapes.
pub fn obstacle(model: &Model, max_length: usize, n_beams: usize) -> Option<String> {
    let Body::Decoder(decoder) = model.body() else {
        return Some("the decoder's steps depend on how much its encoder has read".into());
    };
    let (stack, config) = (&decoder.stack, decoder.config());
    if n_beams > 1 {
        return Some(format!("{n_beams} beams change places from token to token"));
    }
    if model.is_stored() {
        return Some("stored blocks are decoded anew at each step".into());
    }
    if model.generation.guidance_scale != 1.0 {
        return Some("guidance_scale has two texts read side by side".into());
    }
    if stack.is_edited() {
        return Some("what is edited may depend on the token's place, which the step does not know".into());
    }
    if matches!(&config.mlp, Mlp::Experts(experts) if experts.layers.contains(&true)) {
        return Some("which of a layer's experts are needed has to be asked of the device".into());
    }
    if stack.places().iter().any(|place| *place != stack.place()) {
        return Some(format!("the layers are in several places ({})", model.device()));
    }
    match &config.positions {
        positions if !positions.are_steady(max_length) => Some(format!(
            "texts of {max_length} tokens turn at other frequencies than short ones"
        )),
        Positions::Learned { .. }
        | Positions::Shortformer
        | Positions::Sinusoidal { .. }
        | Positions::Alibi { .. }
        | Positions::Rotary { .. } => None,
        Positions::Buckets { .. } | Positions::Disentangled(_) => {
            Some("the model tells positions by distances".into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_lengths_serve_all_texts() {
        let of = |n: usize| capacity(n, None);
        assert_eq!(
            [1, 256, 257, 600, 1024, 1025, 4100].map(of),
            [256, 256, 512, 1024, 1024, 2048, 5120]
        );
        // There are positions for so many and no more.
        assert_eq!(capacity(30, Some(40)), 40);
    }
}

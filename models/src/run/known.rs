//! Passes that differ from another one from a layer on.

use std::ops::ControlFlow;

use tch::Tensor;

use super::{Input, states};
use crate::attention::{Beside, CrossMemory};
use crate::error::Result;
use crate::model::{Body, Model};
use crate::rules::Rule;
use crate::tap::{Capture, NoTap, Site, Tap};

/// A pass that is known up to a layer, to go on from there: over one text, without padding.
pub struct Known {
    /// The residual stream before each layer of the stack whose head speaks, `[1, position, hidden]`.
    streams: Vec<Tensor>,
    /// What it had beside them.
    beside: Beside,
    /// What an encoder beside it has read.
    memories: Option<Vec<CrossMemory>>,
}

/// One pass over a text, whose streams are kept; and what it gives, see [`states`].
pub fn known(model: &Model, input: &Input, own: &mut dyn Tap) -> Result<(Known, Tensor)> {
    let mut streams = StreamTap {
        tap: own,
        streams: Vec::new(),
        beside: model.stack().recorder(),
    };
    let (memories, states) = match model.body() {
        Body::EncoderDecoder(both) => {
            let memories = both.read(&both.encoder.embed(&input.ids), None, &mut NoTap)?;
            let written = both.decoder.embed(&input.target);
            let states = both
                .decoder
                .forward_with(&written, None, Some(&memories), &mut streams)?;
            (Some(memories), states)
        }
        _ => (
            None,
            states(model, std::slice::from_ref(input), &mut streams, &mut NoTap)?,
        ),
    };
    let known = Known {
        beside: model
            .stack()
            .beside_of_pass(|| input.embed(model.reader()), &streams.beside),
        streams: streams.streams,
        memories,
    };
    Ok((known, states))
}

/// `n` times the rest of a pass side by side, from a layer on: [`states`] as if the tap had seen all of it.
pub fn resume(model: &Model, known: &Known, layer: usize, n: usize, own: &mut dyn Tap) -> Result<Tensor> {
    let x = known.streams[layer].expand([n as i64, -1, -1], false);
    let from = (&x, &known.beside);
    match model.body() {
        Body::Decoder(decoder) => decoder.resume(layer, from, None, own),
        Body::Encoder(encoder) => encoder.stack.resume(layer, from, None, own),
        Body::EncoderDecoder(both) => both.decoder.resume(layer, from, known.memories.as_deref(), own),
    }
}

/// Keeps the streams before layers.
struct StreamTap<'a> {
    tap: &'a mut dyn Tap,
    streams: Vec<Tensor>,
    beside: Capture,
}

impl Tap for StreamTap<'_> {
    fn wants(&self, site: Site, layer: usize) -> bool {
        site == Site::ResidualBefore || self.beside.wants(site, layer) || self.tap.wants(site, layer)
    }

    fn visit(&mut self, site: Site, layer: usize, value: Tensor) -> Tensor {
        let value = self.tap.visit(site, layer, value);
        if site == Site::ResidualBefore {
            self.streams.push(value.shallow_clone());
        }
        self.beside.visit(site, layer, value)
    }

    fn proceed(&mut self, layer: usize) -> ControlFlow<()> {
        self.tap.proceed(layer)
    }

    fn rule(&self) -> Rule {
        self.tap.rule()
    }
}

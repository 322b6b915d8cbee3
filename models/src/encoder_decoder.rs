//! The encoder–decoder: one stack reads, another writes and looks at what the first has read.

use tch::{Device, Kind, Tensor};

use crate::attention::CrossMemory;
use crate::config::Config;
use crate::decoder::Decoder;
use crate::edit::Edits;
use crate::error::Result;
use crate::stack::{Marks, Stack};
use crate::tap::Tap;
use crate::weights::Weights;

/// The embedding that both sides have where they have none of their own, and the head where it is tied.
pub(crate) const SHARED: &str = "token_embedding.weight";

/// An encoder–decoder with its weights on one device.
pub struct EncoderDecoder {
    pub encoder: Stack,
    pub decoder: Decoder,
}

impl EncoderDecoder {
    pub fn load(config: Config, encoder: Config, weights: &mut Weights) -> Result<Self> {
        let sides = [encoder.embedding_name(), config.embedding_name()];
        let sides = sides.each_ref().map(String::as_str);
        let shared = if encoder.head.tied {
            &sides[..]
        } else {
            &sides[1..]
        };
        weights.tie(SHARED, shared, config.head.tied);
        if config.head.tied {
            weights.tie(SHARED, &["head.weight"], !config.head.prefers_own);
        }
        let this = Self {
            encoder: Stack::load(encoder, weights)?,
            decoder: Decoder::load(config, weights)?,
        };
        // Where each side and the head have their own, the shared one is stored and used by nothing.
        weights.pass_over(SHARED);
        Ok(this)
    }

    /// A view on the same weights whose passes are edited.
    pub(crate) fn edited(&self, edits: &Edits) -> Self {
        Self {
            encoder: self.encoder.edited(&edits.encoder),
            decoder: self.decoder.edited(&edits.own),
        }
    }

    pub fn config(&self) -> &Config {
        self.decoder.config()
    }

    pub fn device(&self) -> Device {
        self.decoder.device()
    }

    pub fn kind(&self) -> Kind {
        self.decoder.kind()
    }

    /// The encoder's states of token embeddings `[batch, position, size]`, as the decoder's layers see them.
    pub fn read(
        &self,
        embeddings: &Tensor,
        padding: Option<&Tensor>,
        tap: &mut dyn Tap,
    ) -> Result<Vec<CrossMemory>> {
        let marks = Marks {
            padding,
            ..Marks::default()
        };
        let states = self.encoder.forward(embeddings, marks, None, None, tap)?;
        let crosses = self
            .decoder
            .stack
            .blocks
            .iter()
            .filter_map(|block| block.cross.as_ref());
        Ok(crosses
            .map(|cross| cross.attention.remember(&states, padding, tap.rule()))
            .collect())
    }
}

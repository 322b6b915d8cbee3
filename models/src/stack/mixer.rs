//! The first branch of a layer: what mixes positions.

use tch::{Device, Kind, Tensor};

use crate::attention::{Attention, LayerMemory, View};
use crate::config::{self, Config};
use crate::error::Result;
use crate::short_convolution::ShortConvolution;
use crate::tap::Tap;
use crate::weights::Weights;

pub enum Mixer {
    Attention(Box<Attention>),
    ShortConvolution(ShortConvolution),
}

impl Mixer {
    pub(super) fn load(config: &Config, layer: usize, weights: &mut Weights) -> Result<Self> {
        Ok(match config.mixer(layer) {
            config::Mixer::Attention => {
                Self::Attention(Box::new(Attention::load(config, layer, "attention", weights)?))
            }
            config::Mixer::ShortConvolution(of) => {
                Self::ShortConvolution(ShortConvolution::load(of, config, layer, weights)?)
            }
        })
    }

    pub fn attention(&self) -> Option<&Attention> {
        match self {
            Self::Attention(attention) => Some(attention),
            Self::ShortConvolution(_) => None,
        }
    }

    /// Where its weights are.
    pub fn place(&self) -> (Kind, Device) {
        match self {
            Self::Attention(attention) => attention.place(),
            Self::ShortConvolution(convolution) => convolution.place(),
        }
    }

    /// From the normalised stream `[batch, position, hidden]` to what is added to it.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        memory: Option<LayerMemory>,
        view: &View,
        layer: usize,
        tap: &mut dyn Tap,
    ) -> Tensor {
        match self {
            Self::Attention(attention) => attention.forward(x, memory, view, layer, tap),
            Self::ShortConvolution(convolution) => convolution.forward(x, memory, layer, tap),
        }
    }
}

//! The first branch of a layer: what mixes positions.

use tch::{Device, Kind, Tensor};

use super::Stack;
use crate::attention::{self, Attention, Cache, LayerMemory, Start, View, Views};
use crate::config::{self, Config};
use crate::delta_net::DeltaNet;
use crate::error::Result;
use crate::mamba::Mamba;
use crate::short_convolution::ShortConvolution;
use crate::tap::{NoTap, Tap};
use crate::weights::Weights;

pub enum Mixer {
    Attention(Box<Attention>),
    ShortConvolution(ShortConvolution),
    DeltaNet(Box<DeltaNet>),
    Mamba(Box<Mamba>),
    /// The layer is an MLP alone.
    Nothing,
}

impl Mixer {
    pub(super) fn load(config: &Config, layer: usize, weights: &mut Weights) -> Result<Self> {
        Ok(match config.mixer(layer) {
            config::Mixer::Attention => {
                Self::Attention(Box::new(Attention::load(config, layer, attention::OWN, weights)?))
            }
            config::Mixer::ShortConvolution(of) => {
                Self::ShortConvolution(ShortConvolution::load(of, config, layer, weights)?)
            }
            config::Mixer::DeltaNet(of) => {
                Self::DeltaNet(Box::new(DeltaNet::load(of, config, layer, weights)?))
            }
            config::Mixer::Mamba(of) => Self::Mamba(Box::new(Mamba::load(of, config, layer, weights)?)),
            config::Mixer::Nothing => Self::Nothing,
        })
    }

    pub fn attention(&self) -> Option<&Attention> {
        match self {
            Self::Attention(attention) => Some(attention),
            _ => None,
        }
    }

    /// Where its weights are, where it has any.
    pub fn place(&self) -> Option<(Kind, Device)> {
        Some(match self {
            Self::Attention(attention) => attention.place(),
            Self::ShortConvolution(convolution) => convolution.place(),
            Self::DeltaNet(net) => net.place(),
            Self::Mamba(mamba) => mamba.place(),
            Self::Nothing => return None,
        })
    }

    /// From the normalised stream `[batch, position, hidden]` to what is added to it.
    pub(crate) fn forward(
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
            Self::DeltaNet(net) => net.forward(x, memory, layer, tap),
            Self::Mamba(mamba) => mamba.forward(x, memory, layer, tap),
            Self::Nothing => x.zeros_like(),
        }
    }
}

impl Stack {
    /// What a layer keeps of a text of which its mixer reads `x`, `[1, position, hidden]`, from the text's start on.
    pub fn kept_of(&self, layer: usize, x: &Tensor) -> Vec<Tensor> {
        let mixer = &self.blocks[layer].mixer;
        let n_positions = x.size()[1];
        let cache = Cache::new(&self.config, n_positions as usize, &self.places());
        let start = Start::Known(0);
        let mut views = Views::new(self, start, n_positions, None);
        let view = views.at(self.blocks[layer].place());
        let _ = self.with_edits(0, &mut NoTap, |tap| {
            let memory = cache.layer(layer, start, n_positions);
            mixer.forward(x, Some(memory), view, layer, tap)
        });
        cache.of_layer(layer)
    }
}

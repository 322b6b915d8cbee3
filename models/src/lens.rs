//! Lenses that were fitted: of each layer an affine map from its residual stream to what the last layer's would be.
//!
//! - [`FittedLens`], whose maps [`Translator::translate`] applies
//! - [`reading`]: from files, our own and published ones
//!
//! Fitting them is `ecco_explain`'s.

pub mod reading;

use ecco_interpreter::named;
use tch::{Kind, Tensor};

use crate::host::bring;
use crate::model::Model;

named! {
/// How the maps are found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LensMethod {
    /// The mean derivative of the last layer's stream by this one's; no bias.
    #[default]
    Jacobian = "jacobian" | "jlens" | "j-lens",
    /// The same of the pass that is made linear: patterns, deviations of norms and gates are held, activations are their value over
    /// their input ([`crate::Rule::Frozen`]).
    Relevance = "relevance",
    /// The least divergence of the output from what the map makes the head say (Belrose et al. 2023, 2303.08112).
    Tuned = "tuned" | "tuned_lens",
}
}

/// Maps of some depths. The output has none: it is read as it is.
pub struct FittedLens {
    pub method: LensMethod,
    /// How many texts it was fitted on, where that is known.
    pub n_texts: Option<u64>,
    /// By depth, rising.
    pub translators: Vec<Translator>,
}

/// y = M x + b of the stream x after `depth` layers.
pub struct Translator {
    pub depth: usize,
    /// `[hidden, hidden]`, from the second axis to the first.
    pub matrix: Tensor,
    /// `[hidden]`
    pub bias: Option<Tensor>,
}

impl FittedLens {
    /// What its numbers are computed with, for a model.
    pub fn kind(model: &Model) -> Kind {
        match model.stack().kind() {
            Kind::Double => Kind::Double,
            _ => Kind::Float,
        }
    }

    pub fn at(&self, depth: usize) -> Option<&Translator> {
        self.translators
            .iter()
            .find(|translator| translator.depth == depth)
    }

    /// How wide the stream is that it reads.
    pub fn width(&self) -> usize {
        self.translators
            .first()
            .map_or(0, |first| first.matrix.size()[1] as usize)
    }
}

impl Translator {
    /// States `[.., hidden]` as they would stand at the end, of their own type.
    pub fn translate(&self, x: &Tensor) -> Tensor {
        let place = (self.matrix.kind(), x.device());
        let y = bring(x, place).matmul(&bring(&self.matrix, place).tr());
        let y = match &self.bias {
            Some(bias) => y + bring(bias, place),
            None => y,
        };
        bring(&y, (x.kind(), x.device()))
    }
}

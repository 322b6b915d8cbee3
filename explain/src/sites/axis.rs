//! What of a site counts as one part.

use ecco_interpreter::named;
use ecco_models::run::Place;
use tch::{Kind, Tensor};

use crate::error::{Result, refuse};

named! {
/// What is taken together, all else at its site being summed or left as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SiteAxis {
    /// All of one position; of an attention pattern one query.
    #[default]
    Position = "position",
    /// One head at all positions; of keys and values those that heads share.
    Head = "head",
    /// One head at one position: all positions of a head, then those of the next.
    HeadPosition = "head_position",
    /// One neuron at all positions.
    Neuron = "neuron",
}
}

impl SiteAxis {
    /// What is usual at a place.
    pub fn usual(place: Place) -> Self {
        match place.axes() {
            ["layer", "head" | "key_head", ..] => Self::Head,
            _ => Self::Position,
        }
    }

    /// The axes of a layer's parts.
    pub fn axes(self) -> &'static [&'static str] {
        match self {
            Self::Position => &["position"],
            Self::Head => &["head"],
            Self::HeadPosition => &["head", "position"],
            Self::Neuron => &["neuron"],
        }
    }

    /// How many parts a layer has whose value is of this size, `[position, feature]` or with heads before, in a text of
    /// `n` tokens.
    ///
    /// # Errors
    /// For a place that is no layer's or is not divided so.
    pub(crate) fn n_parts(self, place: Place, size: &[usize], n: usize) -> Result<usize> {
        let not_so = |reason: &str| Err(refuse("by", self.name(), reason));
        match self {
            _ if place.axes()[0] != "layer" => {
                let reason = "it stands behind all layers; expected a place of each layer";
                Err(refuse("site", place.name(), reason))
            }
            Self::Position => Ok(n),
            Self::Head if size.len() == 3 => Ok(size[0]),
            Self::HeadPosition if size.len() == 3 => Ok(size[0] * n),
            Self::Head | Self::HeadPosition => not_so("the site is not divided by heads; head_outputs is"),
            Self::Neuron if place.axes().contains(&"neuron") => Ok(size[1]),
            Self::Neuron => not_so("the site has no neurons; mlp_inner has"),
        }
    }

    /// A batch's tensor, `[row, position, feature]` or `[row, head, position, …]`, by its parts: `[row, part, …]`.
    pub(crate) fn parted(self, x: &Tensor) -> Tensor {
        match self {
            Self::HeadPosition => x.flatten(1, 2),
            _ => x.transpose(1, self.dim(x.dim())),
        }
    }

    /// The way back from [`Self::parted`] to a tensor of that size.
    pub(crate) fn joined(self, x: &Tensor, size: &[i64]) -> Tensor {
        match self {
            Self::HeadPosition => x.reshape(size),
            _ => x.transpose(1, self.dim(x.dim())),
        }
    }

    /// The one dimension in which parts lie.
    fn dim(self, n_dims: usize) -> i64 {
        match self {
            Self::Position if n_dims == 4 => 2,
            Self::Neuron => 2,
            Self::Position | Self::Head | Self::HeadPosition => 1,
        }
    }

    /// Sums over all else of one text's `[1, …]`: `[part]` in double precision.
    pub(crate) fn sums(self, x: &Tensor) -> Tensor {
        let parts = self.parted(x).get(0).flatten(1, -1); // [part, all else]
        parts.sum_dim_intlist(-1, false, Kind::Double)
    }
}

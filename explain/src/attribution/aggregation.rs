//! From the numbers along an embedding to one.

use ecco_interpreter::named;
use tch::{Kind, Tensor};

named! {
    /// How the numbers along a token's embedding become one score.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
    pub enum Aggregation {
        /// √Σ x².
        #[default]
        L2 = "l2",
        /// Σ |x|.
        L1 = "l1",
        /// Σ x, with its sign.
        Sum = "sum",
        /// The mean of x, with its sign.
        Mean = "mean",
    }
}

impl Aggregation {
    /// Whether scores have signs.
    pub fn is_signed(self) -> bool {
        matches!(self, Self::Sum | Self::Mean)
    }

    /// `[.., size]` to `[..]`.
    pub(super) fn of(self, x: &Tensor) -> Tensor {
        match self {
            Self::L2 => x.square().sum_dim_intlist(-1, false, Kind::Double).sqrt(),
            Self::L1 => x.abs().sum_dim_intlist(-1, false, Kind::Double),
            Self::Sum => x.sum_dim_intlist(-1, false, Kind::Double),
            Self::Mean => x.mean_dim(-1, false, Kind::Double),
        }
    }
}

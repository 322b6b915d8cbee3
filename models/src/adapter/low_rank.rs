//! What an adapter adds to a linear layer, which keeps its weight.

use tch::{Kind, Tensor};

/// Beside x W: x W ⊙ gain + x · down · up, and what is added to the bias.
pub(crate) struct LowRank {
    down: Tensor, // [in, rank]
    up: Tensor,   // [rank, out], scaled
    /// How much longer each output's weights become, `[out]`; `None` where they become no longer (all but DoRA).
    gain: Option<Tensor>,
    pub(crate) bias: Option<Tensor>, // [out]
}

impl LowRank {
    /// LoRA's (2106.09685): `scale` is what its product is multiplied by.
    pub(super) fn new(down: Tensor, up: &Tensor, bias: Option<&Tensor>, scale: f64) -> Self {
        Self {
            down,
            up: up * scale,
            gain: None,
            bias: bias.map(|bias| bias * scale),
        }
    }

    /// The same with the lengths that DoRA (2402.09353) gives to each output's weights: `magnitude`, `[out]`, of the
    /// sum of `weight`, `[in, out]`, and the product.
    pub(super) fn with_magnitude(self, magnitude: &Tensor, weight: &Tensor) -> Self {
        let kind = weight.kind();
        let wide = |x: &Tensor| x.to_kind(if kind == Kind::Double { kind } else { Kind::Float });
        let sum = wide(weight) + wide(&self.down).mm(&wide(&self.up));
        let length = sum.square().sum_dim_intlist(0, false, None::<Kind>).sqrt();
        let gain = (wide(magnitude) / length).to_kind(kind);
        Self {
            up: &self.up * &gain,
            gain: Some(gain),
            ..self
        }
    }

    /// A share of the way from the layer without it.
    pub(super) fn at(&self, share: f64) -> Self {
        Self {
            down: self.down.shallow_clone(),
            up: &self.up * share,
            gain: self.gain.as_ref().map(|gain| (gain - 1.0) * share + 1.0),
            bias: self.bias.as_ref().map(|bias| bias * share),
        }
    }

    /// How many numbers it has.
    pub(super) fn count(&self) -> u64 {
        let optional = [&self.gain, &self.bias].into_iter().flatten();
        let all = [&self.down, &self.up].into_iter().chain(optional);
        all.map(|tensor| tensor.numel() as u64).sum()
    }

    /// For the outputs from `start` on, `length` of them.
    pub(crate) fn part(&self, start: i64, length: i64) -> Self {
        let cut = |x: &Option<Tensor>| x.as_ref().map(|x| x.narrow(0, start, length));
        Self {
            down: self.down.shallow_clone(),
            up: self.up.narrow(1, start, length),
            gain: cut(&self.gain),
            bias: cut(&self.bias),
        }
    }

    /// From x W, `[row, out]`, to the layer's output without its bias; `x` is `[row, in]`.
    pub(crate) fn forward(&self, x: &Tensor, product: Tensor) -> Tensor {
        self.gained(product) + x.mm(&self.down).mm(&self.up)
    }

    /// The cotangent `[.., out]` as the weight sees it.
    pub(crate) fn gained(&self, cotangent: Tensor) -> Tensor {
        match &self.gain {
            Some(gain) => cotangent * gain,
            None => cotangent,
        }
    }

    /// What goes back beside the weight: `[.., out]` to `[.., in]`.
    pub(crate) fn backward(&self, cotangent: &Tensor) -> Tensor {
        cotangent.matmul(&self.up.tr()).matmul(&self.down.tr())
    }
}

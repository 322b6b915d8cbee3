//! Cross-layer transcoders: features read in one layer, and write what the MLP adds there and in every layer behind it
//! (Ameisen et al. 2025, Circuit Tracing). So what layer l adds is b_dec_l + Σ over i ≤ l of a_i W_dec_i\[:, l − i\].
//!
//! A layer of one is a [`Dictionary`] that knows those below it; any other dictionary writes in one layer, alone.

use std::ops::Range;
use std::rc::Rc;

use tch::Tensor;

use super::Dictionary;

impl Dictionary {
    /// Whether it is a layer of a cross-layer transcoder.
    pub fn is_cross_layer(&self) -> bool {
        !self.later.is_empty() || !self.earlier.is_empty()
    }

    /// The layers below it, from the first on, whose features write where it writes.
    pub fn earlier(&self) -> &[Rc<Self>] {
        &self.earlier
    }

    /// The layers that its features write in.
    pub fn layers(&self) -> Range<usize> {
        self.writes.layer..self.writes.layer + 1 + self.later.len()
    }

    /// What its features write in a layer, `[feature, output]`.
    pub(super) fn decoder_at(&self, layer: usize) -> &Tensor {
        match layer.checked_sub(self.writes.layer + 1) {
            None => &self.decoder,
            Some(behind) => &self.later[behind],
        }
    }

    /// What all its features write in a layer, by what they read, `[.., input]`: `[.., output]`.
    pub fn writes_at(&self, layer: usize, x: &Tensor) -> Tensor {
        let code = self.encode(x);
        self.written(layer, &code, &code.activations, None)
    }

    /// What features of layers below write where it writes, by what each of these reads.
    pub fn written_by_earlier(&self, reads: &[Tensor]) -> Option<Tensor> {
        let each = self.earlier.iter().zip(reads);
        let each = each.map(|(below, x)| below.writes_at(self.writes.layer, x));
        each.reduce(|all, one| all + one)
    }
}

//! How much memory attributions take, and so how much is done at once.

use ecco_models::Config;
use ecco_models::config::Positions;
use ecco_models::device::step_bytes;

use super::objective::Objective;

/// Memory that a batch may take on a host.
const BATCH_BYTES: u64 = 512 << 20;

impl Objective<'_> {
    /// Bytes that one text takes in a pass whose graph is kept for gradients.
    pub(crate) fn bytes_per_text(&self) -> u64 {
        let config = self.model().config();
        let on_gpu = self.device().is_cuda();
        let of = |config: &Config, n: usize, n_others: usize| {
            let seen = match on_gpu && is_fused(config) {
                true => 0,
                false => config.n_heads * (n + n_others),
            };
            // Some tensors of each width live in every layer: see `Block::forward`.
            let per_position = 16 * config.hidden_size + 6 * config.intermediate_size + 4 * seen;
            let per_position = per_position + config.work_of_mixers();
            n * config.n_layers * per_position
        };
        let n = self.n_sources();
        let numbers = match &config.encoder {
            None => of(config, n, 0),
            Some(encoder) => {
                let n_read = self.input().ids.len();
                of(encoder, n_read, 0) + of(config, n + 1 - n_read.min(n), n_read)
            }
        };
        let head = 4 * self.rows().len().max(1) * config.vocab_size;
        ((numbers + head) * self.kind().elt_size_in_bytes()) as u64
    }

    /// How many texts go through the model together where gradients are taken of all.
    pub(crate) fn rows_at_once(&self) -> i64 {
        let most = if self.device().is_cuda() { 64 } else { 8 };
        let bytes = step_bytes(self.device(), BATCH_BYTES);
        (bytes / self.bytes_per_text().max(1)).clamp(1, most) as i64
    }

    /// How many targets are explained together: their contributions are kept along the embeddings in double precision.
    pub(super) fn targets_at_once(&self) -> usize {
        let size = self.model().config().input_size();
        let bytes = (self.n_sources() * size * 3 * size_of::<f64>()) as u64;
        (step_bytes(self.device(), BATCH_BYTES) / bytes.max(1)).clamp(1, 200) as usize
    }
}

/// Whether attention is one operation on a GPU, which keeps no pattern.
fn is_fused(config: &Config) -> bool {
    let is_plain = matches!(
        config.positions,
        Positions::Rotary { .. } | Positions::Learned { .. } | Positions::Sinusoidal { .. }
    );
    is_plain && config.attention.soft_cap.is_none() && !config.attention.sinks
}

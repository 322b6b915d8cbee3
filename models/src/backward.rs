//! Batched vector–Jacobian products of the decoder, written out.
//!
//! Explaining k generated tokens takes k gradients with respect to the same embeddings. Attention is
//! causal, so one forward pass over the whole sequence holds what all of them need; here k cotangents are
//! pulled back through it together, each layer a few large matrix products. Autograd would run one
//! backward pass per token. Two more savings: only positions up to the last target matter, and in the
//! last layer only the target's own row is wide.
//!
//! `tests/` hold it against autograd.

use std::ops::ControlFlow;

use tch::{Kind, Tensor};

use crate::decoder::{Block, Decoder};
use crate::error::{Error, Result};
use crate::tap::{Capture, Site};

/// What a forward pass has to record for [`pull_back`].
pub const SITES: &[Site] = &[
    Site::ResidualPre,
    Site::Query,
    Site::Key,
    Site::Value,
    Site::AttentionPattern,
    Site::ResidualMid,
    Site::MlpPre,
    Site::ResidualPost,
];

/// Gradients with respect to the embeddings, `[target, position, hidden]`.
///
/// Target i is a function of the final norm's output at position `rows[i]`, and `cotangents[i]`
/// (`[target, hidden]`) its gradient there. `saved` is a forward pass over one sequence. Only the first
/// `max(rows) + 1` positions are computed: the gradient at all later ones is zero.
///
/// `proceed` is asked before each layer.
pub fn pull_back(
    decoder: &Decoder,
    saved: &Capture,
    rows: &[usize],
    cotangents: &Tensor,
    proceed: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<Tensor> {
    let n_positions = rows.iter().max().map_or(0, |row| row + 1) as i64;
    let rows: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    let rows = Tensor::from_slice(&rows).to_device(decoder.device());
    let last = decoder.blocks.len() - 1;
    let x = Queries::Rows(&rows).of(saved.tensor(Site::ResidualPost, last), 1);
    let mut cotangent = decoder.final_norm.backward(&x, &cotangents.unsqueeze(1)); // [target, 1, hidden]
    for (layer, block) in decoder.blocks.iter().enumerate().rev() {
        if proceed() == ControlFlow::Break(()) {
            return Err(Error::Interrupted);
        }
        let queries = if layer == last {
            Queries::Rows(&rows)
        } else {
            Queries::First(n_positions)
        };
        cotangent = Layer {
            block,
            saved,
            layer,
            queries,
            n_positions,
        }
        .backward(&cotangent);
    }
    Ok(cotangent)
}

/// The positions at which a layer's output has a cotangent.
#[derive(Clone, Copy)]
enum Queries<'a> {
    /// One for each target.
    Rows(&'a Tensor),
    /// All up to a length, for every target.
    First(i64),
}

impl Queries<'_> {
    /// A saved tensor `[1, …]` at these positions of `axis`: `[target, …, 1, …]` or `[1, …, length, …]`.
    fn of(self, saved: &Tensor, axis: i64) -> Tensor {
        match self {
            Self::Rows(rows) => saved
                .squeeze_dim(0)
                .index_select(axis - 1, rows)
                .movedim_int(axis - 1, 0)
                .unsqueeze(axis),
            Self::First(length) => saved.narrow(axis, 0, length),
        }
    }

    /// Adds a tensor at these positions of axis 1 to a whole one, `[target, position, hidden]`.
    fn add_to(self, whole: Tensor, part: &Tensor) -> Tensor {
        match self {
            Self::First(_) => whole + part,
            Self::Rows(rows) => {
                let index = rows.reshape([-1, 1, 1]).expand_as(part);
                whole.scatter_add(1, &index, part)
            }
        }
    }
}

/// One layer's part of the way back.
struct Layer<'a> {
    block: &'a Block,
    saved: &'a Capture,
    layer: usize,
    queries: Queries<'a>,
    n_positions: i64,
}

impl Layer<'_> {
    /// From the cotangent of the layer's output at the queries to that of its input at all positions.
    fn backward(&self, cotangent: &Tensor) -> Tensor {
        let cotangent = cotangent + self.mlp(cotangent); // of the residual stream between
        self.attention(&cotangent)
    }

    fn saved(&self, site: Site) -> &Tensor {
        self.saved.tensor(site, self.layer)
    }

    fn mlp(&self, cotangent: &Tensor) -> Tensor {
        let block = self.block;
        let slope = block
            .activation
            .derivative(&self.queries.of(self.saved(Site::MlpPre), 1));
        let inner = block.down.backward(cotangent) * slope; // [target, query, neuron]
        let mid = self.queries.of(self.saved(Site::ResidualMid), 1);
        block.mlp_norm.backward(&mid, &block.up.backward(&inner))
    }

    fn attention(&self, cotangent: &Tensor) -> Tensor {
        let block = self.block;
        let mixed = block.split_heads(&block.attention_output.backward(cotangent)); // [target, head, query, dim]
        let (query, key, value) = self.attention_pattern(&mixed);
        let join = |x: Tensor| x.transpose(1, 2).flatten(2, 3); // [target, position, hidden]
        let weights = block.qkv.weight.tr().chunk(3, 0); // q, k, v: [hidden, hidden]
        let of_query = join(query).matmul(&weights[0]);
        let of_rest = join(key).matmul(&weights[1]) + join(value).matmul(&weights[2]);
        let normalised = self.queries.add_to(of_rest, &of_query);
        let pre = self.saved(Site::ResidualPre).narrow(1, 0, self.n_positions);
        self.queries
            .add_to(block.attention_norm.backward(&pre, &normalised), cotangent)
    }

    /// Back through pattern · v and the softmax to queries, keys and values, `[target, head, position, dim]`.
    ///
    /// With P the pattern and dP its cotangent, softmax gives dS = P (dP − Σ P dP).
    fn attention_pattern(&self, mixed: &Tensor) -> (Tensor, Tensor, Tensor) {
        let up_to = |site| self.saved(site).narrow(2, 0, self.n_positions);
        let (key, value) = (up_to(Site::Key), up_to(Site::Value));
        let query = self.queries.of(self.saved(Site::Query), 2);
        let pattern = self
            .queries
            .of(self.saved(Site::AttentionPattern), 2)
            .narrow(3, 0, self.n_positions);
        let of_value = pattern.transpose(-2, -1).matmul(mixed);
        let of_pattern = mixed.matmul(&value.transpose(-2, -1)) * &pattern; // [target, head, query, key]
        let total = of_pattern.sum_dim_intlist(-1, true, None::<Kind>);
        let of_scores = (of_pattern - pattern * total) * self.block.scale;
        let of_query = of_scores.matmul(&key);
        let of_key = of_scores.transpose(-2, -1).matmul(&query);
        (of_query, of_key, of_value)
    }
}

/// Bytes that pulling one cotangent back takes at its widest, for choosing how many go together.
pub fn bytes_per_target(decoder: &Decoder, n_positions: usize) -> u64 {
    let config = &decoder.config;
    // A few tensors of each width live at once: see `Layer::mlp` and `Layer::attention_pattern`.
    let per_position =
        3 * config.intermediate_size + 8 * config.hidden_size + 4 * config.n_heads * n_positions;
    (n_positions * per_position * decoder.kind().elt_size_in_bytes()) as u64
}

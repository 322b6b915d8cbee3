//! A layer's attention as four matrices by head, with the norms around it folded in, and what their eigenvalues say.

use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch};
use ecco_models::Model;
use ecco_models::attention::Attention;
use ecco_models::decoder::Decoder;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::layers::Norm;
use ecco_models::model::Body;
use ecco_models::stack::Block;
use ndarray::Array2;
use tch::{Device, Kind, Tensor};

use crate::error::{Result, refuse};

/// A head, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadAt {
    pub layer: usize,
    pub head: usize,
}

/// One layer's heads. Norms are there by their linear parts: without deviations and biases.
struct Layer {
    query: Tensor,  // [head, hidden, head_dim]
    key: Tensor,    // [key head, hidden, head_dim]
    value: Tensor,  // [key head, hidden, value_dim]
    output: Tensor, // [head, value_dim, hidden]
    scale: f64,
}

/// One head's circuits: `[hidden, head_dim]` from the stream, `output` `[value_dim, hidden]` to it.
pub(super) struct Head {
    pub query: Tensor,
    pub key: Tensor,
    pub value: Tensor,
    pub output: Tensor,
    /// The factor on query · key.
    pub scale: f64,
}

type Place = (Kind, Device);

/// Where all of it is computed: on the main device, in single precision at least.
pub(super) fn wide_place(decoder: &Decoder) -> Place {
    let (kind, device) = decoder.stack.place();
    (if kind == Kind::Double { kind } else { Kind::Float }, device)
}

/// `None` of a layer without attention.
fn layer(decoder: &Decoder, layer: usize, place: Place) -> Option<Layer> {
    let block = &decoder.stack.blocks[layer];
    let (attention, own) = (block.mixer.attention()?, block.place());
    let [query, key, value] = made(decoder, block, attention);
    let heads = |x: Tensor, n: i64| {
        let x = bring(&x, place).get(0);
        x.unflatten(-1, [n, -1]).transpose(0, 1) // [head, hidden, head_dim]
    };
    let mixed = attention.n_heads * attention.value_dim;
    let output = attention.output.linear(&Tensor::eye(mixed, own)) * block.residual.scale;
    let output = match block.residual.after_branch {
        true => linear(&block.attention_post_norm, &output),
        false => output,
    };
    Some(Layer {
        query: heads(query, attention.n_heads),
        key: heads(key, attention.n_kv_heads),
        value: heads(value, attention.n_kv_heads),
        output: bring(&output, place).unflatten(0, [attention.n_heads, attention.value_dim]),
        scale: attention.scale,
    })
}

/// What queries, keys and values are of each number of the stream, heads side by side: `[1, hidden, heads · head_dim]`, those of an
/// earlier layer where a layer reads that one's.
fn made(decoder: &Decoder, block: &Block, attention: &Attention) -> [Tensor; 3] {
    let (hidden, own) = (decoder.config().hidden_size as i64, block.place());
    let stream = linear(&block.attention_norm, &Tensor::eye(hidden, own)).unsqueeze(0);
    let nothing = Tensor::zeros([1, 1, hidden], own);
    let source = attention.source.map(|source| &decoder.stack.blocks[source]);
    let of_source = source.and_then(|block| Some(made(decoder, block, block.mixer.attention()?)));
    match (attention.to_queries(), of_source) {
        (Some(to_queries), Some([_, key, value])) => {
            let query = to_queries.forward(&stream) - to_queries.forward(&nothing);
            [query, key, value]
        }
        _ => {
            let all = |x: &Tensor| attention.project_joined(x, &Norm::linear);
            let (made, biases) = (all(&stream), all(&nothing));
            [made.0 - biases.0, made.1 - biases.1, made.2 - biases.2]
        }
    }
}

/// A head of a layer that has attention: see `check_head`.
pub(super) fn head(decoder: &Decoder, at: HeadAt, place: Place) -> Head {
    let layer = layer(decoder, at.layer, place).expect("a layer with heads");
    layer.head(at.head)
}

impl Layer {
    fn head(&self, head: usize) -> Head {
        let at = head as i64;
        let group = at / (self.query.size()[0] / self.key.size()[0]);
        Head {
            query: self.query.get(at),
            key: self.key.get(group),
            value: self.value.get(group),
            output: self.output.get(at),
            scale: self.scale,
        }
    }

    /// A matrix of the key heads for each head.
    fn by_head(&self, of_keys: &Tensor) -> Tensor {
        let per_group = self.query.size()[0] / of_keys.size()[0];
        of_keys.repeat_interleave_self_int(per_group, 0, None)
    }
}

impl Head {
    /// The first `n` singular vectors of what the head writes for what it reads, `[n, hidden]`, as long as their singular
    /// values; the largest number of each is positive.
    pub(super) fn main_directions(&self, n: usize) -> Tensor {
        // The values' columns are few: the rest of the singular vectors is in the small factor.
        let value = host::tensors(&[&self.value, &self.output]);
        let (value, output) = (value[0].to_kind(Kind::Double), value[1].to_kind(Kind::Double));
        let (_, small) = Tensor::linalg_qr(&value, "reduced");
        let (_, lengths, vectors) = small.matmul(&output).svd(true, true); // [hidden, n]
        let n = (n as i64).min(lengths.size()[0]);
        let (lengths, vectors) = (lengths.narrow(0, 0, n).unsqueeze(1), vectors.tr().narrow(0, 0, n));
        let largest = vectors.abs().argmax(1, true);
        let signs = vectors.gather(1, &largest, false).sign();
        vectors * lengths * signs
    }
}

/// What an MLP's output `[.., hidden]` comes to in the stream.
pub(super) fn of_mlp(decoder: &Decoder, layer: usize, output: &Tensor, place: Place) -> Tensor {
    let block = &decoder.stack.blocks[layer];
    let output = output * block.residual.scale;
    bring(
        &match block.residual.after_branch {
            true => linear(&block.mlp_post_norm, &output),
            false => output,
        },
        place,
    )
}

/// What tokens alone write to the stream, `[token, hidden]`.
pub(super) fn embedded(decoder: &Decoder, ids: &[u32], place: Place) -> Tensor {
    let stack = &decoder.stack;
    let of_tokens = stack.embedding.of_tokens(&stack.embed(ids), &stack.config);
    bring(&of_tokens, place).get(0)
}

fn linear(norm: &Option<Norm>, x: &Tensor) -> Tensor {
    match norm {
        Some(norm) => norm.linear(x),
        None => x.shallow_clone(),
    }
}

/// Norms on the stream itself leave no sum of what was written.
pub(super) fn check_stream(decoder: &Decoder, at: HeadAt) -> Result<()> {
    match is_sum(decoder) {
        true => Ok(()),
        false => Err(refuse(
            "head",
            format!("{}.{}", at.layer, at.head),
            "this model normalises the stream itself, so that a head's weights alone do not say what it writes",
        )),
    }
}

fn is_sum(decoder: &Decoder) -> bool {
    let residual = &decoder.config().residual;
    !residual.after_sum && !residual.from_norms
}

/// Whether scores are products of queries and keys.
pub(super) fn check_bilinear(decoder: &Decoder, at: HeadAt) -> Result<()> {
    match is_bilinear(decoder, at.layer) {
        true => Ok(()),
        false => Err(refuse(
            "head",
            format!("{}.{}", at.layer, at.head),
            "this model norms queries and keys or caps them or their product, so that weights alone do not say what is looked for",
        )),
    }
}

fn is_bilinear(decoder: &Decoder, layer: usize) -> bool {
    let is_free = |attention: &Attention| {
        let is_plain = attention.soft_cap.is_none() && attention.clip.is_none();
        is_plain && attention.query_norm.is_none() && attention.key_norm.is_none()
    };
    decoder.stack.blocks[layer].mixer.attention().is_some_and(is_free)
}

/// Tokens of the vocabulary that are read at once.
const CHUNK: usize = 4096;

/// The vocabulary in parts: where each begins, and its length.
pub(super) fn chunks(vocabulary: usize) -> impl Iterator<Item = (i64, i64)> {
    let part = move |start: usize| (start as i64, CHUNK.min(vocabulary - start) as i64);
    (0..vocabulary).step_by(CHUNK).map(part)
}

pub(super) fn report(
    watch: &mut Watch,
    label: &'static str,
    done: u64,
    total: u64,
) -> ecco_models::error::Result<()> {
    let progress = Progress {
        label: label.into(),
        done,
        total: Some(total),
        unit: "parts",
    };
    match watch(&progress) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(ecco_models::Error::Interrupted),
    }
}

/// Copying and matching scores, (layer, head) each: Σλ / Σ|λ| of W_E W_V W_O W_U and of W_E W_Q (W_E W_K)ᵀ. The
/// eigenvalues that are not zero are those of the small matrices W_O (W_U W_E) W_V and W_Kᵀ (W_Eᵀ W_E) W_Q. `None` where
/// the weights alone do not say, and NaN in layers without attention.
///
/// # Errors
/// An interrupt.
pub fn eigenvalue_scores(model: &Model, watch: &mut Watch) -> Result<[Option<Array2<f64>>; 2]> {
    let Body::Decoder(decoder) = model.body() else {
        return Ok([None, None]);
    };
    if !is_sum(decoder) {
        return Ok([None, None]);
    }
    let found = guard(|| {
        let place = wide_place(decoder);
        let (written, alike) = products(decoder, place, watch)?;
        let n_layers = decoder.stack.blocks.len();
        let (mut copying, mut matching) = (Vec::new(), Vec::new());
        for at in 0..n_layers {
            report(watch, "eigenvalues of heads", at as u64, n_layers as u64)?;
            let Some(layer) = layer(decoder, at, place) else {
                let none = [f64::NAN].repeat(decoder.config().n_heads);
                copying.extend(&none);
                matching.extend(&none);
                continue;
            };
            let value = layer.by_head(&layer.value);
            copying.extend(shares(&layer.output.matmul(&written).matmul(&value)));
            if is_bilinear(decoder, at) {
                let key = layer.by_head(&layer.key);
                matching.extend(shares(&key.transpose(1, 2).matmul(&alike).matmul(&layer.query)));
            }
        }
        Ok((copying, matching, n_layers))
    });
    let (copying, matching, n_layers) = found?;
    let n_heads = decoder.config().n_heads;
    let table = |values: Vec<f64>| Array2::from_shape_vec((n_layers, n_heads), values).ok();
    Ok([table(copying), table(matching)])
}

/// Over the vocabulary Σ u eᵀ and Σ e eᵀ, `[hidden, hidden]`: u of the head's direction for a token, e what it writes.
fn products(
    decoder: &Decoder,
    place: Place,
    watch: &mut Watch,
) -> ecco_models::error::Result<(Tensor, Tensor)> {
    let config = decoder.config();
    let hidden = config.hidden_size as i64;
    let eye = Tensor::eye(hidden, decoder.stack.place());
    let zeros = || Tensor::zeros([hidden, hidden], (Kind::Double, place.1));
    let (mut written, mut alike) = (zeros(), zeros());
    for (start, length) in chunks(config.vocab_size) {
        report(
            watch,
            "eigenvalues of heads",
            start as u64,
            config.vocab_size as u64,
        )?;
        let ids: Vec<u32> = (start as u32..(start + length) as u32).collect();
        let embedded = embedded(decoder, &ids, place); // [token, hidden]
        let head = bring(&decoder.along_vocabulary(&eye, start, length), place); // [hidden, token]
        written += head.matmul(&embedded);
        alike += embedded.tr().matmul(&embedded);
    }
    Ok((bring(&written, place), bring(&alike, place)))
}

/// Σλ / Σ|λ| of each matrix, `[head, n, n]`.
fn shares(small: &Tensor) -> Vec<f64> {
    // On the host: not every build has eigenvalues on a GPU.
    let small = host::tensors(&[small]).remove(0).to_kind(Kind::Double);
    if host::number(&small.isfinite().all()) == 0.0 {
        return vec![f64::NAN; small.size()[0] as usize];
    }
    let values = small.linalg_eigvals(); // [head, n]
    let sum = values.real().sum_dim_intlist(-1, false, None::<Kind>);
    let sizes = values.abs().sum_dim_intlist(-1, false, None::<Kind>);
    host::numbers(&(sum / sizes))
}

//! Directions, neurons, heads in the vocabulary: what they promote and suppress, without any text.
//!
//! The logits are a product of the head of the model with the last state, and that state a sum of what was written to it.
//! With the deviations of norms left out, what a part writes is a direction, and the direction has a logit for each token
//! (Geva et al. 2022, 2203.14680; Dar et al. 2022, 2209.02535). A head's two circuits are read in the same way (Elhage et
//! al. 2021): what it writes after having looked at a token (OV), and which tokens it looks for (QK).
//!
//! - here: directions and what is made of them; [`weights`]: a head's weights as the circuits need them;
//!   [`parts`]: a decoder's weights by the names of their parts

pub mod parts;
pub mod weights;

use ecco_interpreter::Watch;
use ecco_models::Model;
use ecco_models::config::Mixer;
use ecco_models::decoder::Decoder;
use ecco_models::guard::guard;
use ecco_models::host::{self, bring};
use ecco_models::model::Body;
use tch::{Kind, Tensor};

use crate::error::{Error, Result, refuse};
use weights::{HeadAt, chunks, report};

/// What a direction does to the logits.
#[derive(Debug, Clone, PartialEq)]
pub struct Spoken {
    /// The tokens it raises most, largest first.
    pub promotes: Vec<(u32, f64)>,
    /// Those it lowers most, lowest first.
    pub suppresses: Vec<(u32, f64)>,
}

/// What is read in the vocabulary.
#[derive(Debug, Clone, PartialEq)]
pub enum Written {
    /// Vectors of the stream, each as long as it is wide.
    Directions(Vec<Vec<f32>>),
    /// What neurons of a layer write.
    Neurons { layer: usize, neurons: Vec<usize> },
    /// Sums of what a layer's neurons write, by their weights, of each of several layers: `[sum][layer]`.
    Sums(Vec<Vec<(usize, Vec<f32>)>>),
    /// The directions along which a head writes most: its first singular vectors, with their lengths.
    Head { at: HeadAt, n: usize },
    /// What a head writes after having looked at each of these tokens alone.
    Ov { at: HeadAt, tokens: Vec<u32> },
}

/// Rows of a result at most.
pub const MOST_ROWS: usize = 256;

/// The `n` tokens that each direction raises and lowers most, and the directions' lengths.
///
/// # Errors
/// A model whose head is not linear; layers, heads and neurons that are not there; vectors of another width.
pub fn vocabulary(
    model: &Model,
    written: &Written,
    n: usize,
    watch: &mut Watch,
) -> Result<Vec<(Spoken, f64)>> {
    let decoder = linear_decoder(model, "reading in the vocabulary")?;
    check(decoder, written)?;
    Ok(guard(|| {
        report(watch, "reading in the vocabulary", 0, 1)?;
        let directions = directions(decoder, written); // [row, hidden]
        let norms = directions
            .to_kind(Kind::Double)
            .norm_scalaropt_dim(2, [-1], false);
        let directions = bring(&directions, decoder.stack.place());
        let n_rows = directions.size()[0];
        let mut logits = Vec::new();
        for (start, length) in chunks(decoder.config().vocab_size) {
            report(
                watch,
                "reading in the vocabulary",
                start as u64,
                decoder.config().vocab_size as u64,
            )?;
            logits.push(
                decoder
                    .along_vocabulary(&directions, start, length)
                    .to_kind(Kind::Float),
            );
        }
        let spoken = spoken(&Tensor::cat(&logits, 1), n);
        debug_assert_eq!(spoken.len(), n_rows as usize);
        Ok(spoken.into_iter().zip(host::numbers(&norms)).collect())
    })?)
}

/// Of each token as query, the `n` tokens that a head looks for most and least: scores at distance 0, before the softmax.
///
/// # Errors
/// As [`vocabulary`]; heads that norm their queries or keys, or cap their scores: these are not bilinear.
pub fn looked_for(
    model: &Model,
    at: HeadAt,
    tokens: &[u32],
    n: usize,
    watch: &mut Watch,
) -> Result<Vec<Spoken>> {
    let decoder = linear_decoder(model, "a head's circuit")?;
    check_head(decoder, at)?;
    check_tokens(decoder, tokens)?;
    weights::check_bilinear(decoder, at)?;
    Ok(guard(|| {
        report(watch, "reading a head", 0, 1)?;
        let place = weights::wide_place(decoder);
        let head = weights::head(decoder, at, place);
        let queries = weights::embedded(decoder, tokens, place).matmul(&head.query); // [token, head_dim]
        let sought = queries.matmul(&head.key.tr()) * head.scale; // [token, hidden]
        let vocabulary = decoder.config().vocab_size;
        let mut scores = Vec::new();
        for (start, length) in chunks(vocabulary) {
            report(watch, "reading a head", start as u64, vocabulary as u64)?;
            let ids: Vec<u32> = (start as u32..(start + length) as u32).collect();
            scores.push(sought.matmul(&weights::embedded(decoder, &ids, place).tr()));
        }
        Ok(spoken(&Tensor::cat(&scores, 1), n))
    })?)
}

/// The decoder whose head is a product with the stream.
pub(crate) fn linear_decoder<'a>(model: &'a Model, what: &'static str) -> Result<&'a Decoder> {
    match model.body() {
        Body::Decoder(decoder) => Ok(decoder),
        Body::EncoderDecoder(both) => Ok(&both.decoder),
        Body::Encoder(_) => Err(Error::NotLinear {
            what,
            model: model.name().to_owned(),
            model_type: model.config().model_type.clone(),
        }),
    }
}

/// What is written, a row each: `[row, hidden]`.
///
/// # Errors
/// As [`vocabulary`].
pub(crate) fn rows(model: &Model, written: &Written) -> Result<Tensor> {
    let decoder = linear_decoder(model, "what is written to the stream")?;
    check(decoder, written)?;
    Ok(guard(|| Ok(directions(decoder, written)))?)
}

fn check(decoder: &Decoder, written: &Written) -> Result<()> {
    let config = decoder.config();
    let rows = match written {
        Written::Directions(all) => {
            let width = config.hidden_size;
            if let Some(other) = all.iter().find(|vector| vector.len() != width) {
                let reason = format!("the model's stream has {width} at each position");
                return Err(refuse(
                    "direction",
                    format!("a vector of {} numbers", other.len()),
                    reason,
                ));
            }
            if all.iter().flatten().any(|x| !x.is_finite()) {
                return Err(refuse("direction", "not finite", "expected numbers"));
            }
            all.len()
        }
        Written::Neurons { layer, neurons } => {
            check_layer(decoder, *layer)?;
            let n = n_neurons(decoder, *layer)?;
            if let Some(neuron) = neurons.iter().find(|neuron| **neuron >= n) {
                let reason = format!("layer {layer} has neurons 0 to {}", n - 1);
                return Err(refuse("neuron", neuron, reason));
            }
            neurons.len()
        }
        Written::Sums(all) => {
            for (layer, sum) in all.iter().flatten() {
                check_layer(decoder, *layer)?;
                let n = n_neurons(decoder, *layer)?;
                if sum.len() != n {
                    let reason = format!("layer {layer} has {n} neurons");
                    return Err(refuse("factor", format!("{} weights", sum.len()), reason));
                }
            }
            all.len()
        }
        Written::Head { at, .. } => {
            check_head(decoder, *at)?;
            1
        }
        Written::Ov { at, tokens } => {
            check_head(decoder, *at)?;
            check_tokens(decoder, tokens)?;
            tokens.len()
        }
    };
    check_rows(rows)
}

fn check_rows(rows: usize) -> Result<()> {
    match rows {
        0 => Err(refuse("rows", 0, "name at least one")),
        rows if rows > MOST_ROWS => Err(refuse(
            "rows",
            rows,
            format!("at most {MOST_ROWS} are read at once"),
        )),
        _ => Ok(()),
    }
}

fn check_layer(decoder: &Decoder, layer: usize) -> Result<()> {
    let n = decoder.stack.blocks.len();
    match layer < n {
        true => Ok(()),
        false => Err(refuse(
            "layer",
            layer,
            format!("the model has layers 0 to {}", n - 1),
        )),
    }
}

/// Of a layer that has any.
fn n_neurons(decoder: &Decoder, layer: usize) -> Result<usize> {
    match decoder.stack.blocks[layer].mlp.n_neurons() {
        0 => Err(refuse("layer", layer, "this layer has no MLP, and so no neurons")),
        n => Ok(n),
    }
}

fn check_head(decoder: &Decoder, at: HeadAt) -> Result<()> {
    check_layer(decoder, at.layer)?;
    let mixer = decoder.config().mixer(at.layer);
    if mixer != Mixer::Attention {
        let reason = format!("this layer has {} in the place of attention", mixer.name());
        return Err(refuse("layer", at.layer, reason));
    }
    let n = decoder.config().n_heads;
    if at.head >= n {
        return Err(refuse(
            "head",
            at.head,
            format!("layers have heads 0 to {}", n - 1),
        ));
    }
    weights::check_stream(decoder, at)
}

fn check_tokens(decoder: &Decoder, tokens: &[u32]) -> Result<()> {
    check_rows(tokens.len())?;
    let n = decoder.config().vocab_size;
    match tokens.iter().find(|token| **token as usize >= n) {
        Some(token) => Err(refuse("tokens", token, format!("the vocabulary has {n} tokens"))),
        None => Ok(()),
    }
}

/// `[row, hidden]`, as they come to the stream.
fn directions(decoder: &Decoder, written: &Written) -> Tensor {
    let place = weights::wide_place(decoder);
    match written {
        Written::Directions(all) => {
            let flat: Vec<f32> = all.iter().flatten().copied().collect();
            bring(
                &host::tensor(&flat, place.1).reshape([all.len() as i64, -1]),
                place,
            )
        }
        Written::Neurons { layer, neurons } => weights::of_mlp(
            decoder,
            *layer,
            &decoder.stack.blocks[*layer].mlp.neuron_writes(neurons),
            place,
        ),
        Written::Sums(all) => {
            let row = |sum: &Vec<(usize, Vec<f32>)>| {
                let part = |(layer, by): &(usize, Vec<f32>)| {
                    let mlp = &decoder.stack.blocks[*layer].mlp;
                    let block = decoder.stack.blocks[*layer].place();
                    let by = bring(&host::tensor(by, block.1), block).unsqueeze(0);
                    weights::of_mlp(decoder, *layer, &mlp.sums_write(&by), place)
                };
                let parts: Vec<Tensor> = sum.iter().map(part).collect();
                Tensor::cat(&parts, 0).sum_dim_intlist(0, false, None::<Kind>)
            };
            Tensor::stack(&all.iter().map(row).collect::<Vec<_>>(), 0)
        }
        Written::Head { at, n } => weights::head(decoder, *at, place).main_directions(*n),
        Written::Ov { at, tokens } => {
            let head = weights::head(decoder, *at, place);
            let read = weights::embedded(decoder, tokens, place);
            read.matmul(&head.value).matmul(&head.output)
        }
    }
}

/// The ends of each row of `[row, vocabulary]`.
fn spoken(logits: &Tensor, n: usize) -> Vec<Spoken> {
    let n = (n as i64).min(logits.size()[1]);
    let (high, high_ids) = logits.topk(n, -1, true, true);
    let (low, low_ids) = logits.topk(n, -1, false, true);
    let [high, high_ids, low, low_ids] = host::numbers_of_each([&high, &high_ids, &low, &low_ids]);
    let pairs = |ids: &[f64], values: &[f64]| {
        ids.iter()
            .map(|id| *id as u32)
            .zip(values.iter().copied())
            .collect()
    };
    let n = n as usize;
    let row = |row: usize| {
        let of = row * n..(row + 1) * n;
        Spoken {
            promotes: pairs(&high_ids[of.clone()], &high[of.clone()]),
            suppresses: pairs(&low_ids[of.clone()], &low[of]),
        }
    };
    (0..logits.size()[0] as usize).map(row).collect()
}

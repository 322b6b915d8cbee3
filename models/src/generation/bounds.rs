//! Where a text begins, how long it may become, and whether there is room for it.

use tch::Kind;

use super::options::GenerateOptions;
use crate::attention::Cache;
use crate::device;
use crate::error::{Error, Result, refuse};
use crate::model::{Body, Model};

/// The Python library's.
const DEFAULT_MAX_LENGTH: usize = 8;

/// What the decoder starts with, where an encoder reads the prompt.
pub(super) fn start_id(model: &Model) -> Result<Option<u32>> {
    match model.body() {
        Body::Decoder(_) => Ok(None),
        Body::Encoder(_) => Err(model.not_causal("generating text")),
        Body::EncoderDecoder(_) => model.generation.decoder_start().map(Some),
    }
}

/// The token of the language to write in.
pub(super) fn target(model: &Model, language: &str) -> Result<u32> {
    let id = model.tokenizer.language_of("tgt_lang", language)?;
    model.check_ids(&[id])?;
    match model.body() {
        Body::EncoderDecoder(_) => Ok(id),
        _ => {
            let reason = "only an encoder–decoder is told the language of what it writes";
            Err(refuse("tgt_lang", format!("{language:?}"), reason))
        }
    }
}

/// How long the sequence may become that begins with `n_context` tokens.
pub(super) fn max_length(model: &Model, n_context: usize, options: &GenerateOptions) -> Result<usize> {
    let config = &model.generation;
    let context = model.config().length_limit().unwrap_or(usize::MAX);
    let max_length = match (options.generate, options.max_length, config.max_new_tokens) {
        (Some(n), ..) => n_context.saturating_add(n),
        (None, Some(max_length), _) => max_length,
        (None, None, Some(n)) => n_context.saturating_add(n).min(context),
        (None, None, None) => config
            .max_length
            .map_or(DEFAULT_MAX_LENGTH, |length| length.min(context)),
    };
    let is_answer = matches!(model.body(), Body::EncoderDecoder(_));
    if max_length <= n_context && options.generate.is_none() {
        return match is_answer {
            true => Err(refuse(
                "max_length",
                max_length,
                "the token that the decoder starts with counts too",
            )),
            false => Err(Error::NoRoom {
                max_length,
                n_input: n_context,
            }),
        };
    }
    if max_length > context {
        let n_generate = options.generate.unwrap_or(max_length - n_context);
        return match is_answer {
            true => {
                let reason = format!("{} writes at most {} tokens", model.name(), context - n_context);
                Err(refuse("generate", n_generate, reason))
            }
            false => Err(Error::TooLong {
                model: model.name().to_owned(),
                n_input: n_context,
                n_generate,
                context,
            }),
        };
    }
    Ok(max_length)
}

pub(super) fn check_stop(stop: &[String]) -> Result<()> {
    match stop.iter().any(String::is_empty) {
        true => Err(refuse(
            "stop",
            "\"\"",
            "an empty text would end the generation at once",
        )),
        false => Ok(()),
    }
}

/// The caches, and in a beam search the scores of all beams at once, a few times over.
pub(super) fn check_room(model: &Model, max_length: usize, n_beams: usize) -> Result<()> {
    // A text that is guided is written twice.
    let n_caches = 1 + u64::from(model.generation.guidance_scale != 1.0);
    let cache = n_caches * Cache::bytes(model.config(), max_length, model.stack().kind());
    let scores = (model.config().vocab_size * Kind::Float.elt_size_in_bytes()) as u64;
    let per_beam = if n_beams > 1 {
        cache.saturating_add(4 * scores)
    } else {
        cache
    };
    let what = match n_beams {
        1 => format!("a text of {max_length} tokens"),
        _ => format!("{n_beams} texts of {max_length} tokens"),
    };
    device::ensure_room(
        model.stack().device(),
        per_beam.saturating_mul(n_beams as u64),
        &what,
    )
}

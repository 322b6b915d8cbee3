//! GGUF, the files of llama.cpp: a model in one file, its configuration and tokenizer in the header, its weights
//! usually in blocks of few bits (<https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>).
//!
//! - `reader`: the container, bounded against what a file may say of itself
//! - `blocks`: what blocks become, bit for bit as the Python package `gguf` has it
//! - `architectures`, `header`, `tensors`: the header as `config.json`, tensors under our names
//! - `vocabulary`, `pre_tokenizers`: the header as `tokenizer.json`

mod architectures;
pub(crate) mod blocks;
mod header;
mod pre_tokenizers;
mod reader;
mod tensors;
mod vocabulary;

use std::collections::BTreeMap;

use self::header::Header;
use self::reader::Gguf;
pub(crate) use self::tensors::GgufWeight;
use crate::error::Result;

/// The documents that a file's header stands for.
pub(crate) struct Documents {
    pub(crate) config: Vec<u8>,
    pub(crate) generation_config: Vec<u8>,
    /// By name, as a folder has them.
    pub(crate) tokenizer: BTreeMap<&'static str, Vec<u8>>,
}

/// What a file is called in messages, and what it holds.
pub(crate) type NamedBytes<'a> = (&'a str, &'a [u8]);

/// Reads what files say of their model: one, or the parts of one in order.
pub(crate) fn documents(files: &[NamedBytes]) -> Result<Documents> {
    let gguf = Gguf::parse_all(files)?;
    let header = Header::new(first_name(files), &gguf)?;
    Ok(Documents {
        config: header.config()?.to_string().into_bytes(),
        generation_config: header.generation_config().to_string().into_bytes(),
        tokenizer: vocabulary::documents(&header)?,
    })
}

/// Every weight of a model's files, under the name that its family has for it.
pub(crate) fn weights<'a>(files: &[NamedBytes<'a>]) -> Result<Vec<GgufWeight<'a>>> {
    let gguf = Gguf::parse_all(files)?;
    tensors::weights(&Header::new(first_name(files), &gguf)?)
}

fn first_name<'a>(files: &[NamedBytes<'a>]) -> &'a str {
    files.first().map_or("the GGUF file", |(name, _)| name)
}

#[cfg(test)]
fn fixture(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/gguf");
    std::fs::read(format!("{folder}/{name}")).expect("a fixture")
}

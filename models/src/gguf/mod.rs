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

/// Reads what a file says of its model; `file` is its name in messages.
pub(crate) fn documents(file: &str, bytes: &[u8]) -> Result<Documents> {
    let gguf = Gguf::parse(file, bytes)?;
    let header = Header::new(file, &gguf)?;
    Ok(Documents {
        config: header.config()?.to_string().into_bytes(),
        generation_config: header.generation_config().to_string().into_bytes(),
        tokenizer: vocabulary::documents(&header)?,
    })
}

/// Every weight of a file under its canonical name.
pub(crate) fn weights<'a>(file: &str, bytes: &'a [u8]) -> Result<Vec<GgufWeight<'a>>> {
    let gguf = Gguf::parse(file, bytes)?;
    tensors::weights(&Header::new(file, &gguf)?)
}

//! A text that goes on where another ends: without what tokenizers put around one that stands by itself.

use tokenizers::normalizers::{NormalizerWrapper, Sequence as Normalizers};
use tokenizers::pre_tokenizers::PreTokenizerWrapper;
use tokenizers::pre_tokenizers::metaspace::PrependScheme;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::{Model as _, OffsetType, PreTokenizer};

use super::Tokenizer;
use crate::chat::Prompt;
use crate::error::Result;

/// Special tokens that stand around a text: how many before it, and how many behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ends {
    pub before: usize,
    pub behind: usize,
}

impl Tokenizer {
    /// The ids of a text that goes on behind another one: without special tokens, and without the space that some
    /// tokenizers put before a text.
    pub fn encode_behind(&self, text: &str) -> Result<Vec<u32>> {
        if let Some(numbered) = &self.numbered {
            return self.ids_of(text, |inner, text| numbered.encode_behind(inner, text));
        }
        self.ids_of(text, |inner, text| {
            let normalizer = inner.get_normalizer().and_then(without_space_before);
            let words = inner.get_pre_tokenizer().map(without_space_before_words);
            let known = inner.get_added_vocabulary();
            let mut parts = known.extract_and_normalize(normalizer.as_ref(), text);
            if let Some(words) = words {
                words.pre_tokenize(&mut parts)?;
            }
            let model = inner.get_model();
            parts.tokenize(|part| model.tokenize(part.get()))?;
            let encoding = parts.into_encoding(None, 0, OffsetType::None)?;
            Ok(encoding.get_ids().to_vec())
        })
    }

    /// The ids of a prompt and its continuation, and how many are the prompt's. Together they are read as one text, so
    /// that words come out as the model knows them, unless a token would reach over the border: then the prompt's tokens
    /// stay, and the continuation's begin where the prompt ends. Special tokens that end a text end both.
    pub fn encode_continued(&self, prompt: Prompt, text: &str) -> Result<(Vec<u32>, usize)> {
        let mut before = prompt.ids(self)?;
        let (behind, whole) = match prompt {
            Prompt::Text(prompt) => (self.ends()?.behind, self.encode(&format!("{prompt}{text}"))?),
            Prompt::Bare(prompt) | Prompt::Read(prompt, _) => {
                (0, self.encode_bare(&format!("{prompt}{text}"))?)
            }
        };
        let end = before.split_off(before.len().saturating_sub(behind));
        let n_input = before.len();
        let ids = match whole.starts_with(&before) {
            _ if text.is_empty() => before,
            true => whole,
            false => [before, self.encode_behind(text)?, end].concat(),
        };
        Ok((ids, n_input))
    }

    /// The special tokens that [`Self::encode`] puts around a text.
    pub fn ends(&self) -> Result<Ends> {
        self.ends_of(|text| self.encode(text))
    }

    pub(super) fn ends_of(&self, encode: impl Fn(&str) -> Result<Vec<u32>>) -> Result<Ends> {
        // A letter is no special token, so it is seen where it stands.
        let (whole, bare) = (encode("a")?, self.encode_bare("a")?);
        let before = whole.windows(bare.len().max(1)).position(|part| part == bare);
        let before = before.unwrap_or(0);
        let behind = whole.len().saturating_sub(before + bare.len());
        Ok(Ends { before, behind })
    }

    /// The special tokens at the start of the ids of a text that began with them already, where the tokenizer put them
    /// there once more: `<s>` of `<s><s>She`. Empty where none stand there twice.
    pub fn doubled_start<'i>(&self, ids: &'i [u32]) -> Result<&'i [u32]> {
        let n = self.ends()?.before;
        let is_double = n > 0 && ids.len() >= 2 * n && ids[..n] == ids[n..2 * n];
        Ok(if is_double { &ids[..n] } else { &[] })
    }
}

fn without_space_before(normalizer: &NormalizerWrapper) -> Option<NormalizerWrapper> {
    match normalizer {
        NormalizerWrapper::Prepend(_) => None,
        NormalizerWrapper::Sequence(all) => {
            let kept = all.as_ref().iter().filter_map(without_space_before);
            Some(NormalizerWrapper::Sequence(Normalizers::new(kept.collect())))
        }
        other => Some(other.clone()),
    }
}

fn without_space_before_words(words: &PreTokenizerWrapper) -> PreTokenizerWrapper {
    match words {
        PreTokenizerWrapper::Metaspace(words) => {
            let mut words = words.clone();
            words.prepend_scheme = PrependScheme::Never;
            PreTokenizerWrapper::Metaspace(words)
        }
        PreTokenizerWrapper::ByteLevel(words) => {
            PreTokenizerWrapper::ByteLevel(words.add_prefix_space(false))
        }
        PreTokenizerWrapper::Sequence(all) => {
            let all = all.as_ref().iter().map(without_space_before_words);
            PreTokenizerWrapper::Sequence(PreTokenizers::new(all.collect()))
        }
        other => other.clone(),
    }
}

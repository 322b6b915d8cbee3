//! A text to ids. The library takes a text whole, knows no interrupt, and makes 230 bytes of each: short texts are read
//! where they are given, longer ones in a process of its own.

use std::time::{Duration, Instant};

use tch::Device;
use tokenizers::Tokenizer as HfTokenizer;

use super::{Tokenizer, damage};
use crate::apart::{Bounds, Fault, caught, in_process};
use crate::chat::TokenSequence;
use crate::device;
use crate::error::{Error, Result, format_bytes, refuse};
use ecco_interpreter::is_interrupted;

/// Bytes, as the steps before the vocabulary may make them, that are read in place.
const SHORT: u64 = 16 << 10;
/// Growth up to which they are counted as given: most letters stay one.
pub(super) const USUAL_GROWTH: u64 = 64;
/// What a text that is read in place may take; a tokenizer that takes longer is always read apart from then on.
const PROMPT: Duration = Duration::from_millis(50);

/// Memory for each byte of a text, as measured, and beside that.
const PER_BYTE: u64 = 250;
const BASE: u64 = 64 << 20;

impl Tokenizer {
    /// The ids of a text, with the special tokens that the model expects around it.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>> {
        let ids = self.encode_as(text, true)?;
        match self.source {
            Some(source) => self.with_language(ids, source),
            None => Ok(ids),
        }
    }

    /// The ids of a text that has all its special tokens already.
    pub fn encode_bare(&self, text: &str) -> Result<Vec<u32>> {
        self.encode_as(text, false)
    }

    /// Two texts as the template has them, with the token types that it gives.
    ///
    /// # Errors
    /// As [`Self::encode`]; a tokenizer whose pieces something else numbers reads one text.
    pub fn encode_pair(&self, first: &str, second: &str) -> Result<TokenSequence> {
        if self.numbered.is_some() {
            let reason = "the model's tokenizer reads one text at a time";
            return Err(refuse("the second text", format!("{second:?}"), reason));
        }
        let rows = self.ids_of(&format!("{first}{second}"), |inner, both| {
            let encoding = inner.encode(both.split_at(first.len()), true)?;
            let is_second = encoding.get_sequence_ids().into_iter();
            let is_second = is_second.map(|sequence| u32::from(sequence == Some(1)));
            let types = encoding.get_type_ids().iter().copied();
            Ok(encoding
                .get_ids()
                .iter()
                .copied()
                .chain(types)
                .chain(is_second)
                .collect())
        })?;
        let n = rows.len() / 3;
        let (ids, segments, is_second) = (&rows[..n], &rows[n..2 * n], &rows[2 * n..]);
        let first_of_second = is_second.iter().position(|&is| is == 1);
        let behind = is_second.iter().rposition(|&is| is == 1).map(|last| last + 1);
        Ok(TokenSequence {
            ids: ids.to_vec(),
            segments: match segments.iter().all(|&segment| segment == 0) {
                true => vec![],
                false => segments.to_vec(),
            },
            second: first_of_second.zip(behind).map(|(from, to)| from..to),
            roles: vec![],
        })
    }

    pub(super) fn encode_as(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>> {
        if let Some(numbered) = &self.numbered {
            return self.ids_of(text, |inner, text| {
                numbered.encode(inner, text, add_special_tokens)
            });
        }
        self.ids_of(text, move |inner, text| {
            let encoding = inner.encode_fast(text, add_special_tokens)?;
            Ok(encoding.get_ids().to_vec())
        })
    }

    /// The fewest tokens that a text of so many bytes has, where that is known.
    pub(crate) fn fewest(&self, n_bytes: usize) -> Option<usize> {
        self.longest.map(|longest| n_bytes / longest.max(1))
    }

    /// The ids that the library makes of a text.
    pub(super) fn ids_of(
        &self,
        text: &str,
        encode: impl Fn(&HfTokenizer, &str) -> tokenizers::Result<Vec<u32>> + Send + Sync,
    ) -> Result<Vec<u32>> {
        if is_interrupted() {
            return Err(Error::Interrupted);
        }
        let growth = if self.growth > USUAL_GROWTH {
            self.growth
        } else {
            1
        };
        let ids = match growth.saturating_mul(text.len() as u64) {
            0..=SHORT if !self.is_slow.get() => self.in_place(text, &encode),
            _ => self.apart(text, &encode)?,
        };
        match ids {
            Ok(Ok(ids)) => Ok(ids),
            Ok(Err(reason)) => {
                let start = format!("{:?}", text.chars().take(40).collect::<String>());
                Err(refuse("text", start, reason))
            }
            Err(fault) => Err(damage(self.file, fault)),
        }
    }

    fn in_place(
        &self,
        text: &str,
        encode: impl Fn(&HfTokenizer, &str) -> tokenizers::Result<Vec<u32>>,
    ) -> Result<Result<Vec<u32>, String>, Fault> {
        let start = Instant::now();
        let ids = caught(|| encode(&self.inner, text).map_err(|error| error.to_string()));
        if start.elapsed() > PROMPT {
            self.is_slow.set(true);
        }
        ids
    }

    fn apart(
        &self,
        text: &str,
        encode: &(impl Fn(&HfTokenizer, &str) -> tokenizers::Result<Vec<u32>> + Send + Sync),
    ) -> Result<Result<Result<Vec<u32>, String>, Fault>> {
        let n_bytes = text.len() as u64;
        let what = format!("tokenizing a text of {}", format_bytes(n_bytes));
        let needed = n_bytes.saturating_mul(PER_BYTE).saturating_add(BASE);
        device::ensure_room(Device::Cpu, needed, &what)?;
        let free = device::available_host_memory().unwrap_or(u64::MAX);
        let bounds = Bounds {
            memory: needed.saturating_mul(self.growth).min(free),
            time: Duration::MAX,
            output: usize::MAX,
        };
        let inner = &self.inner;
        let ids = in_process(bounds, || {
            let ids = encode(inner, text).map_err(|error| error.to_string())?;
            Ok(ids.iter().flat_map(|id| id.to_le_bytes()).collect())
        });
        Ok(match ids {
            Ok(bytes) => Ok(bytes.map(|bytes| ids_from(&bytes))),
            Err(Fault::NoProcess(_)) => self.in_place(text, encode),
            Err(Fault::Memory) => {
                return Err(Error::OutOfMemory {
                    what,
                    needed: format!("more than {}", format_bytes(bounds.memory)),
                    available: format_bytes(free),
                    where_: "host memory".into(),
                });
            }
            Err(fault) => Err(fault),
        })
    }
}

fn ids_from(bytes: &[u8]) -> Vec<u32> {
    let (words, _) = bytes.as_chunks();
    words.iter().map(|word| u32::from_le_bytes(*word)).collect()
}

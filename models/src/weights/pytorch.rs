//! Weights from what `torch.save` writes: an archive with a pickle that says what there is, and the numbers as they
//! are. The pickle is read without running it, see [`super::pickle`].

use std::borrow::Cow;

use safetensors::Dtype;
use serde_json::{Map, Value as Json};

use super::archive::{self, Entries};
use super::pickle::{self, Built, Fault, Value, View};
use super::stored::{StoredData, StoredWeight};
use crate::error::{Error, Result};
use crate::files::WeightFile;

/// Of a checkpoint of training code, where the weights are; of a Jacobian lens, where its matrices are.
const NESTS: [&str; 5] = ["state_dict", "model_state_dict", "model", "module", "J"];
/// The largest pickle that is read; those of large models have a megabyte.
const LARGEST: usize = 16 << 20;
/// Entries that are looked at, and of a dictionary within: one of many entries may stand in many places.
const MOST_SETTINGS: usize = 1000;
const MOST_INNER: usize = 100;
/// The format before archives begins with this number.
const OLD: &[u8] = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19";

/// A tensor of a file.
#[derive(Debug)]
struct Found<'a> {
    name: Cow<'a, str>,
    shape: Vec<usize>,
    dtype: Dtype,
    bytes: &'a [u8],
    strides: Vec<usize>,
}

/// All tensors of a file, as views of it.
///
/// # Errors
/// [`Error::Pickle`] where it asks for what is not given, [`Error::OldPickle`] and
/// [`Error::BarePickle`] for what is no archive,
/// [`Error::Damaged`] with what is wrong otherwise.
pub(super) fn weights(file: &WeightFile) -> Result<Vec<StoredWeight<'_>>> {
    let bytes = file.bytes.as_slice();
    if let Some(format) = old_format(bytes) {
        let file = file.path.clone();
        return Err(Error::OldPickle { file, format });
    }
    if is_bare_pickle(bytes) {
        let file = file.path.clone();
        return Err(Error::BarePickle { file });
    }
    let found = read(bytes).map_err(|fault| error(file, fault))?;
    let weights = found.into_iter().map(|found| StoredWeight {
        file,
        name: found.name.into_owned(),
        shape: found.shape,
        data: StoredData::Numbers {
            dtype: found.dtype,
            bytes: found.bytes,
            strides: Some(found.strides),
        },
    });
    Ok(weights.collect())
}

/// What a file's dictionary says beside its tensors: numbers, truths and texts by key; those of a dictionary in it behind
/// its key and a full stop.
///
/// # Errors
/// As of [`weights`].
pub(crate) fn settings(file: &WeightFile) -> Result<Map<String, Json>> {
    let read = || {
        let entries = archive::entries(file.bytes.as_slice()).map_err(Fault::Damaged)?;
        let (_, pickle) = main_pickle(&entries).map_err(Fault::Damaged)?;
        pickle::read(pickle)
    };
    let (value, built) = read().map_err(|fault| error(file, fault))?;
    let mut settings = Map::new();
    for (key, value) in entries_of(value, &built).into_iter().take(MOST_SETTINGS) {
        let inner = entries_of(*value, &built).into_iter().take(MOST_INNER);
        settings.extend(inner.filter_map(|(name, value)| Some((format!("{key}.{name}"), json(value)?))));
        settings.extend(json(value).map(|value| (key.to_owned(), value)));
    }
    Ok(settings)
}

/// A dictionary's entries whose keys are texts; none of what is no dictionary.
fn entries_of<'a, 'b>(value: Value<'a>, built: &'b Built<'a>) -> Vec<(&'a str, &'b Value<'a>)> {
    let Value::Dict(dict) = value else { return vec![] };
    let entries = built.dicts[dict].iter();
    entries
        .filter_map(|(key, value)| Some((text(key)?, value)))
        .collect()
}

fn text<'a>(value: &Value<'a>) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn json(value: &Value) -> Option<Json> {
    match value {
        Value::Bool(truth) => Some(Json::Bool(*truth)),
        Value::Int(number) => Some((*number).into()),
        Value::Float(number) => Some((*number).into()),
        Value::Text(text) => Some((*text).into()),
        _ => None,
    }
}

fn error(file: &WeightFile, fault: Fault) -> Error {
    let bytes = file.bytes.as_slice();
    match fault {
        Fault::Damaged(_) if bytes.len() > 8 && !bytes.starts_with(b"PK") => Error::Damaged {
            file: file.name.clone(),
            reason: format!(
                "not a PyTorch file: it begins with {:?}",
                String::from_utf8_lossy(&bytes[..8])
            ),
        },
        Fault::Damaged(reason) => Error::Damaged {
            file: file.name.clone(),
            reason: format!("not a whole PyTorch file: {reason}"),
        },
        Fault::Refused(name) => Error::Pickle {
            file: file.path.clone(),
            name,
        },
    }
}

fn read(bytes: &[u8]) -> std::result::Result<Vec<Found<'_>>, Fault> {
    let entries = archive::entries(bytes).map_err(Fault::Damaged)?;
    let (root, pickle) = main_pickle(&entries).map_err(Fault::Damaged)?;
    let (value, built) = pickle::read(pickle)?;
    let named =
        state(value, &built).ok_or_else(|| Fault::Damaged("it has no dictionary of tensors".into()))?;
    let mut found = Vec::new();
    for (name, view) in named {
        let numbers = numbers(view, &built, &entries, root, bytes.len())
            .map_err(|reason| Fault::Damaged(format!("{name} {reason}")))?;
        found.push(Found {
            name,
            shape: view.shape.clone(),
            dtype: view.dtype,
            bytes: numbers,
            strides: view.strides.clone(),
        });
    }
    Ok(found)
}

fn old_format(bytes: &[u8]) -> Option<&'static str> {
    match bytes.get(257..262) {
        _ if bytes.starts_with(OLD) => Some("PyTorch's format before 1.6"),
        Some(b"ustar") => Some("PyTorch's format before 0.1.10"),
        _ => None,
    }
}

/// What `pickle.dump` writes: the number of a protocol, and a full stop at the end.
fn is_bare_pickle(bytes: &[u8]) -> bool {
    matches!(bytes, [0x80, 2..=5, .., b'.'])
}

/// The folder of the archive, and the pickle in it.
fn main_pickle<'a>(entries: &Entries<'a>) -> std::result::Result<(&'a str, &'a [u8]), String> {
    let found = entries.iter().find_map(|(name, content)| {
        let root = name.strip_suffix("data.pkl")?;
        let is_root = root.find('/').is_some_and(|slash| slash + 1 == root.len());
        is_root.then_some((root, *content))
    });
    let (root, pickle) = found.ok_or("it has no data.pkl")?;
    if pickle.len() > LARGEST {
        return Err(format!("data.pkl has {} bytes", pickle.len()));
    }
    match entry(entries, root, "byteorder") {
        Some(order) if order != b"little" => Err(format!(
            "its numbers are {}-endian",
            String::from_utf8_lossy(&order[..order.len().min(20)])
        )),
        _ => Ok((root, pickle)),
    }
}

fn entry<'a>(entries: &Entries<'a>, root: &str, name: &str) -> Option<&'a [u8]> {
    entries.get(format!("{root}{name}").as_str()).copied()
}

/// The tensors by name: of the dictionary that was saved, or of the one in it that has the weights.
fn state<'a, 'b>(value: Value<'a>, built: &'b Built<'a>) -> Option<Vec<(Cow<'a, str>, &'b View)>> {
    let tensors = |value: Value<'a>| {
        let Value::Dict(dict) = value else { return None };
        let entries = built.dicts[dict].iter();
        let tensors: Vec<_> = entries
            .filter_map(|entry| match entry {
                (Value::Text(name), Value::Tensor(tensor)) => {
                    Some((Cow::Borrowed(*name), &built.tensors[*tensor]))
                }
                (Value::Int(number), Value::Tensor(tensor)) => {
                    Some((Cow::Owned(number.to_string()), &built.tensors[*tensor]))
                }
                _ => None,
            })
            .collect();
        Some(tensors).filter(|tensors| !tensors.is_empty())
    };
    let nested = |nest: &&str| {
        let Value::Dict(dict) = value else { return None };
        let mut entries = built.dicts[dict].iter();
        let (_, inner) = entries.find(|(key, _)| *key == Value::Text(nest))?;
        tensors(*inner)
    };
    tensors(value).or_else(|| NESTS.iter().find_map(nested))
}

/// A tensor's numbers in the file.
fn numbers<'a>(
    view: &View,
    built: &Built<'a>,
    entries: &Entries<'a>,
    root: &str,
    file_size: usize,
) -> std::result::Result<&'a [u8], String> {
    let storage = &built.storages[view.storage];
    let size = view.dtype.bitsize() / 8;
    let key = storage.key;
    let content = entry(entries, root, &format!("data/{key}"));
    let content = content.ok_or_else(|| format!("is in the storage {key:?}, which is not there"))?;
    let unit = storage.dtype.map_or(1, |dtype| dtype.bitsize() / 8);
    if storage.n.checked_mul(unit) != Some(content.len()) {
        return Err(format!(
            "is in the storage {key:?}, which should have {} numbers of {unit} bytes and has {} bytes",
            storage.n,
            content.len()
        ));
    }
    let n = view.shape.iter().try_fold(size, |n, &axis| n.checked_mul(axis));
    // A few numbers that are repeated by strides of 0 must not fill the memory.
    if n.is_none_or(|n| n > file_size) {
        return Err(format!(
            "has shape {:?}, which is more than the file has",
            view.shape
        ));
    }
    let reach = view
        .shape
        .iter()
        .zip(&view.strides)
        .try_fold(0_usize, |reach, (&axis, &stride)| {
            reach.checked_add(axis.saturating_sub(1).checked_mul(stride)?)
        });
    let start = view.offset.checked_mul(size);
    let length = match n {
        Some(0) => Some(0),
        _ => reach.and_then(|reach| reach.checked_add(1)?.checked_mul(size)),
    };
    let part = start.zip(length).and_then(|(start, length)| {
        let end = start.checked_add(length)?;
        content.get(start..end)
    });
    part.ok_or_else(|| {
        let (shape, strides, offset) = (&view.shape, &view.strides, view.offset);
        format!("reaches beyond the storage {key:?}: shape {shape:?}, strides {strides:?}, from {offset}")
    })
}

#[cfg(test)]
mod tests;

//! Files of weights: which of a folder's they are, and how they are mapped into memory.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use memmap2::MmapOptions;
use serde_json::Value;

use super::bytes::{SharedBytes, WatchedMap, WeightBytes};
use super::watched::Watched;
use super::{dangling, is_there, json, read, regular};
use crate::error::{Error, Result};

/// One file of weights.
pub struct WeightFile {
    pub name: String,
    /// The whole path, for people.
    pub path: String,
    pub format: WeightFormat,
    source: Option<Source>,
    pub bytes: Arc<WeightBytes>,
}

impl WeightFile {
    /// What stands before the name in the path.
    pub(crate) fn folder(&self) -> &str {
        self.path.strip_suffix(&self.name).unwrap_or_default()
    }
}

/// How a file of weights is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WeightFormat {
    Safetensors,
    /// What `torch.save` writes.
    Pytorch,
    Gguf,
    /// Arrays as numpy writes them: dictionaries, and no models.
    Npz,
}

/// What weights are called in a folder, what the ones before the others are preferred to; one file, or an index of
/// several.
const NAMES: [(&str, &str, WeightFormat); 2] = [
    (
        "model.safetensors",
        "model.safetensors.index.json",
        WeightFormat::Safetensors,
    ),
    (
        "pytorch_model.bin",
        "pytorch_model.bin.index.json",
        WeightFormat::Pytorch,
    ),
];

/// What the files of one format are called by their ends.
const ENDS: [(&str, WeightFormat); 6] = [
    (".safetensors", WeightFormat::Safetensors),
    (".bin", WeightFormat::Pytorch),
    (".pt", WeightFormat::Pytorch),
    (".pth", WeightFormat::Pytorch),
    (".ckpt", WeightFormat::Pytorch),
    (".gguf", WeightFormat::Gguf),
];

/// What weights that are not read are called by their ends.
const OTHERS: [&str; 5] = [".onnx", ".h5", ".msgpack", ".mlmodel", ".tflite"];

/// What training leaves beside the weights, by how the names begin.
const NO_MODEL: [&str; 5] = ["training_args", "optimizer", "scheduler", "rng_state", "adapter_"];

/// What stands in the place of a large file where git-lfs has not fetched it.
const LFS: &[u8] = b"version https://git-lfs.github.com/spec/";

/// The name of the index of several files of a format.
pub(crate) fn index_name(format: WeightFormat) -> &'static str {
    let names = NAMES.iter().find(|(.., of)| *of == format);
    names.map_or("", |(_, index, _)| index)
}

/// The file behind a map, and how it was when it was mapped.
struct Source {
    file: File,
    size: u64,
    changed: Option<SystemTime>,
}

impl WeightFile {
    /// Maps a file.
    ///
    /// # Errors
    /// Where there is no such file, or its name is none of weights.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        map(path)
    }

    /// A safetensors file that is part of the program.
    pub(crate) fn inside(name: &str, bytes: &'static [u8]) -> Self {
        Self {
            name: name.into(),
            path: name.into(),
            format: WeightFormat::Safetensors,
            source: None,
            bytes: Arc::new(WeightBytes::Inside(bytes)),
        }
    }

    /// A part of its bytes that keeps them there; `None` where they are not its own.
    pub(crate) fn share(&self, part: &[u8]) -> Option<SharedBytes> {
        SharedBytes::of(&self.bytes, part)
    }

    /// Refuses a file that was written to since it was mapped: where it has become shorter there is nothing, and
    /// elsewhere the weights may be another model's. To replace the file by another changes nothing.
    pub fn ensure_unchanged(&self) -> Result<()> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        let now = source.file.metadata().ok();
        let same = now.is_some_and(|now| now.len() == source.size && now.modified().ok() == source.changed);
        let file = || self.name.clone();
        match same {
            false => Err(Error::FileChanged { file: file() }),
            true if self.bytes.is_lost() => Err(Error::FileLost { file: file() }),
            true => Ok(()),
        }
    }
}

/// Whether a file has weights, or is an index of such, by its name.
pub(crate) fn is_weights(path: &Path) -> bool {
    let name = name_of(path);
    format_by_name(&name).is_some() || NAMES.iter().any(|(_, index, _)| *index == name)
}

pub(super) fn is_gguf(path: &Path) -> bool {
    format_by_name(&name_of(path)) == Some(WeightFormat::Gguf)
}

/// The files that have the weights: of a folder those that transformers would take, elsewhere the one that is named.
pub(super) fn weight_paths(path: &Path) -> Result<Vec<PathBuf>> {
    if path.is_dir() {
        return paths_in(path);
    }
    let name = name_of(path);
    let folder = path.parent().unwrap_or(path);
    match NAMES.iter().find(|(_, index, _)| *index == name) {
        Some((_, index, format)) => shard_paths(folder, index, *format),
        None if format_by_name(&name) == Some(WeightFormat::Gguf) => gguf_parts(folder, &name),
        None => Ok(vec![path.to_owned()]),
    }
}

fn paths_in(folder: &Path) -> Result<Vec<PathBuf>> {
    for (single, index, format) in NAMES {
        if is_there(&folder.join(single)) {
            return Ok(vec![folder.join(single)]);
        }
        if is_there(&folder.join(index)) {
            return shard_paths(folder, index, format);
        }
    }
    if let Some(parts) = gguf_in(folder)? {
        return Ok(parts);
    }
    let mut found = names_in(folder);
    found.retain(|name| {
        format_by_name(name).is_some() && !NO_MODEL.iter().any(|start| name.starts_with(start))
    });
    Err(match found.is_empty() {
        true => unread(folder),
        false => Error::WeightsElsewhere {
            folder: folder.to_owned(),
            found,
        },
    })
}

/// How many of a folder's folders are looked at where it has no weights.
const MOST_BELOW: usize = 64;

/// The error for a folder without weights: what it and its folders have instead, `tf_model.h5`, `original/`, `onnx/`, a
/// model of its own in one.
fn unread(folder: &Path) -> Error {
    let mut found = names_in(folder);
    found.retain(|name| is_other(name));
    let mut model = None;
    let folders = names_in(folder)
        .into_iter()
        .map(|name| (folder.join(&name), name));
    for (inner, name) in folders.filter(|(path, _)| path.is_dir()).take(MOST_BELOW) {
        let names = names_in(&inner);
        let file = names
            .iter()
            .find(|name| is_weights(Path::new(name)) || is_other(name));
        if let Some(file) = file {
            found.push(format!("{name}/{file}"));
            let is_model = inner.join("config.json").is_file() && is_weights(Path::new(file));
            model = model.or(is_model.then_some(inner));
        }
    }
    let folder = folder.to_owned();
    match found.is_empty() {
        true => Error::FileMissing {
            folder,
            file: "model.safetensors",
        },
        false => Error::WeightsUnread { folder, found, model },
    }
}

/// What a folder has, by the alphabet.
pub(crate) fn names_in(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}

fn is_other(name: &str) -> bool {
    OTHERS.iter().any(|end| name.ends_with(end))
}

/// The GGUF model of a folder that has one.
fn gguf_in(folder: &Path) -> Result<Option<Vec<PathBuf>>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let names: Vec<String> = names
        .filter(|name| format_by_name(name) == Some(WeightFormat::Gguf))
        // Of one in several parts, the first.
        .filter(|name| part_of(name).is_none_or(|(_, number, _)| number == 1))
        .collect();
    match names.as_slice() {
        [name] => gguf_parts(folder, name).map(Some),
        _ => Ok(None),
    }
}

/// The names of all parts of a GGUF model: of `model-00001-of-00003.gguf` three.
pub(crate) fn gguf_part_names(name: &str) -> Vec<String> {
    match part_of(name) {
        Some((stem, _, n_parts)) => {
            let part = |number| format!("{stem}-{number:05}-of-{n_parts:05}.gguf");
            (1..=n_parts).map(part).collect()
        }
        None => vec![name.to_owned()],
    }
}

fn gguf_parts(folder: &Path, name: &str) -> Result<Vec<PathBuf>> {
    let parts = gguf_part_names(name);
    match parts
        .iter()
        .find(|part| !folder.join(part).exists())
        .filter(|_| parts.len() > 1)
    {
        Some(missing) => Err(Error::Damaged {
            file: name.to_owned(),
            reason: format!("is one of {} parts, of which {missing} is not there", parts.len()),
        }),
        None => Ok(parts.iter().map(|part| folder.join(part)).collect()),
    }
}

/// The stem of a part's name, its number and how many there are.
fn part_of(name: &str) -> Option<(&str, usize, usize)> {
    let (rest, n_parts) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, number) = rest.rsplit_once('-')?;
    let count = |text: &str| Some(text).filter(|text| text.len() == 5)?.parse::<usize>().ok();
    Some((stem, count(number)?, count(n_parts)?))
        .filter(|(_, number, n_parts)| (1..=*n_parts).contains(number))
}

fn shard_paths(folder: &Path, index_name: &'static str, format: WeightFormat) -> Result<Vec<PathBuf>> {
    let damaged = |reason: String| Error::Damaged {
        file: index_name.into(),
        reason,
    };
    let text = read(folder, index_name)?;
    if !json::is_index(&text) {
        return Err(damaged("has more values than any index of weights".into()));
    }
    let index: Value = serde_json::from_slice(&text).map_err(|error| damaged(error.to_string()))?;
    let map = index.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| damaged("no weight_map".into()))?;
    let mut names = Vec::new();
    for name in map.values() {
        let name = name.as_str().unwrap_or_default();
        if format_by_name(name) != Some(format) || name.contains(['/', '\\']) {
            return Err(damaged(format!(
                "names {name:?}, which is not a {} file in this folder",
                format.name()
            )));
        }
        names.push(name);
    }
    if names.is_empty() {
        return Err(damaged("weight_map names no file".into()));
    }
    names.sort_unstable();
    names.dedup();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

impl WeightFormat {
    fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Pytorch => "PyTorch",
            Self::Gguf => "GGUF",
            Self::Npz => "numpy",
        }
    }
}

fn format_by_name(name: &str) -> Option<WeightFormat> {
    let end = ENDS.iter().find(|(end, _)| name.ends_with(end));
    end.map(|(_, format)| *format)
}

/// Whether a file is safetensors by what it holds, whatever its name.
fn is_safetensors(bytes: &[u8]) -> bool {
    safetensors::SafeTensors::read_metadata(bytes).is_ok()
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn map(path: &Path) -> Result<WeightFile> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let name = name_of(path);
    let damaged = |reason: &str| Error::Damaged {
        file: name_of(path),
        reason: reason.to_owned(),
    };
    if let Some(target) = dangling(path) {
        return Err(Error::Dangling {
            path: path.to_owned(),
            target,
        });
    }
    let format = match name.ends_with(".npz") {
        true => Some(WeightFormat::Npz),
        false => format_by_name(&name),
    };
    let format = format.ok_or_else(|| damaged("no file of weights by its name"));
    let (file, _) = regular::open(path).map_err(|source| match source.kind() {
        std::io::ErrorKind::InvalidInput => damaged(&source.to_string()),
        _ => io(source),
    })?;
    let format = format?;
    let metadata = file.metadata().map_err(io)?;
    // SAFETY: the map is private, and watched: where its file becomes shorter, zeros are read, and what was computed of
    // them is an error.
    let map = unsafe { MmapOptions::new().no_reserve_swap().map_copy(&file) }.map_err(io)?;
    let watched = Watched::new(&map, &name);
    let format = match format {
        WeightFormat::Pytorch if is_safetensors(&map) => WeightFormat::Safetensors,
        format => format,
    };
    if map.starts_with(LFS) {
        return Err(Error::LfsPointer {
            path: path.to_owned(),
        });
    }
    Ok(WeightFile {
        name,
        path: path.display().to_string(),
        format,
        source: Some(Source {
            size: metadata.len(),
            changed: metadata.modified().ok(),
            file,
        }),
        bytes: Arc::new(WeightBytes::Mapped(WatchedMap { watched, map })),
    })
}

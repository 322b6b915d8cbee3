//! A model's files, from a Hugging Face folder or from inside the binary.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use memmap2::{MmapMut, MmapOptions, UncheckedAdvice};
use serde_json::Value;

use crate::error::{Error, Result};

/// The files of one model, weights mapped and not yet read.
pub struct ModelFiles {
    pub config: Vec<u8>,
    pub generation_config: Option<Vec<u8>>,
    pub tokenizer: TokenizerFiles,
    pub weights: Vec<WeightFile>,
}

/// What a tokenizer is made of: small files by name, those of `TOKENIZER_FILES` that are there.
#[derive(Default)]
pub struct TokenizerFiles {
    folder: PathBuf,
    files: BTreeMap<&'static str, Vec<u8>>,
    /// Chat templates for a purpose, by its name.
    templates: BTreeMap<String, Vec<u8>>,
}

/// Read beside the vocabulary.
const TOKENIZER_FILES: [&str; 4] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
];
/// Where chat templates for a purpose are, each `NAME.jinja`.
pub(crate) const TEMPLATE_FOLDER: &str = "additional_chat_templates";
/// There are two or three.
pub(crate) const MOST_TEMPLATES: usize = 32;
/// Read where there is no `tokenizer.json`.
const VOCABULARY_FILES: [&str; 3] = ["vocab.json", "merges.txt", "vocab.txt"];
/// SentencePiece's.
pub(crate) const SENTENCE_PIECE_FILES: [&str; 4] = [
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "tokenizer.model",
];

impl TokenizerFiles {
    /// What a folder has.
    ///
    /// # Errors
    /// Where nothing in it is a vocabulary.
    pub fn open(folder: &Path) -> Result<Self> {
        let mut this = Self {
            folder: folder.to_owned(),
            ..Self::default()
        };
        let add = |this: &mut Self, names: &[&'static str]| {
            for name in names.iter().filter(|name| folder.join(name).exists()) {
                this.files.insert(name, read(folder, name)?);
            }
            Ok::<_, Error>(())
        };
        add(&mut this, &["tokenizer.json"])?;
        if this.files.is_empty() {
            add(&mut this, &VOCABULARY_FILES)?;
            add(&mut this, &SENTENCE_PIECE_FILES)?;
        }
        match this.files.is_empty() {
            true => return Err(this.without_tokenizer()),
            false => add(&mut this, &TOKENIZER_FILES)?,
        }
        this.templates = templates(&folder.join(TEMPLATE_FOLDER))?;
        Ok(this)
    }

    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    /// SentencePiece's model, with its name, where nothing newer is there.
    pub(crate) fn sentence_piece(&self) -> Option<(&'static str, &[u8])> {
        let mut names = SENTENCE_PIECE_FILES.iter();
        names.find_map(|name| Some((*name, self.get(name)?)))
    }

    /// Chat templates for a purpose, each with its name: `tool_use`, `rag`.
    pub fn templates(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.templates
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_slice()))
    }

    /// The error for a folder whose tokenizer cannot be read here.
    pub(crate) fn without_tokenizer(&self) -> Error {
        let all = VOCABULARY_FILES.iter().chain(&SENTENCE_PIECE_FILES);
        let found: Vec<&str> = all
            .copied()
            .filter(|name| self.folder.join(name).exists())
            .collect();
        let folder = self.folder.clone();
        match found.is_empty() {
            true => Error::FileMissing {
                folder,
                file: "tokenizer.json",
            },
            false => Error::TokenizerMissing {
                folder,
                found: found.join(", "),
            },
        }
    }
}

/// The templates in a folder, which need not be there.
fn templates(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(".jinja")).collect();
    names.sort();
    names.truncate(MOST_TEMPLATES);
    names
        .into_iter()
        .map(|file| {
            Ok((
                file.trim_end_matches(".jinja").to_owned(),
                read_small(folder, &file)?,
            ))
        })
        .collect()
}

/// One safetensors file.
pub struct WeightFile {
    pub name: String,
    pub bytes: WeightBytes,
    source: Option<Source>,
}

/// The file behind a map, and how it was when it was mapped.
struct Source {
    file: File,
    size: u64,
    changed: Option<SystemTime>,
}

impl WeightFile {
    /// Refuses a file that was written to since it was mapped: reading where it has become shorter would end the
    /// process, and elsewhere the weights may be another model's. To replace the file by another changes nothing.
    pub fn ensure_unchanged(&self) -> Result<()> {
        let Some(source) = &self.source else {
            return Ok(());
        };
        let now = source.file.metadata().ok();
        let same = now.is_some_and(|now| now.len() == source.size && now.modified().ok() == source.changed);
        match same {
            true => Ok(()),
            false => Err(Error::FileChanged {
                file: self.name.clone(),
            }),
        }
    }
}

pub enum WeightBytes {
    Inside(&'static [u8]),
    /// Copy-on-write: an in-place operation on a weight must neither crash nor reach the file.
    Mapped(MmapMut),
}

impl WeightBytes {
    pub fn as_slice(&self) -> &[u8] {
        match self {
            Self::Inside(bytes) => bytes,
            Self::Mapped(map) => map,
        }
    }
}

impl WeightBytes {
    /// Gives pages back that are not needed for now; they are read from the file again if they are.
    pub fn give_back(&self, part: &[u8]) {
        let Self::Mapped(map) = self else { return };
        // SAFETY: only asks for a number.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) }.max(1) as usize;
        let start = (part.as_ptr() as usize - map.as_ptr() as usize).next_multiple_of(page);
        let end = (part.as_ptr() as usize - map.as_ptr() as usize + part.len()) / page * page;
        if start < end {
            // SAFETY: whole pages of this map, of whose bytes none was written: a tensor is only a view of the map
            // where it is not copied, and then nothing is given back.
            let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, end - start) };
        }
    }
}

impl ModelFiles {
    /// The demo model: see its card in `demo/model/README.md`.
    pub fn demo() -> Self {
        Self {
            config: include_bytes!("../../demo/model/config.json").to_vec(),
            generation_config: Some(include_bytes!("../../demo/model/generation_config.json").to_vec()),
            tokenizer: TokenizerFiles {
                folder: PathBuf::new(),
                files: [(
                    "tokenizer.json",
                    include_bytes!("../../demo/model/tokenizer.json").to_vec(),
                )]
                .into(),
                templates: BTreeMap::new(),
            },
            weights: vec![WeightFile {
                name: "demo".into(),
                bytes: WeightBytes::Inside(include_bytes!("../../demo/model/model.safetensors")),
                source: None,
            }],
        }
    }

    /// A folder as `save_pretrained` writes it.
    pub fn open(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::FolderNotFound {
                path: folder.to_owned(),
            });
        }
        Ok(Self {
            config: read(folder, "config.json")?,
            generation_config: match folder.join("generation_config.json") {
                path if path.exists() => Some(read(folder, "generation_config.json")?),
                _ => None,
            },
            tokenizer: TokenizerFiles::open(folder)?,
            weights: weight_paths(folder)?
                .iter()
                .map(|path| map(path))
                .collect::<Result<_>>()?,
        })
    }

    /// Refuses weights that were written to since they were mapped.
    pub fn ensure_unchanged(&self) -> Result<()> {
        self.weights.iter().try_for_each(WeightFile::ensure_unchanged)
    }

    /// Size of all weights, in bytes.
    pub fn weight_bytes(&self) -> u64 {
        self.weights
            .iter()
            .map(|file| file.bytes.as_slice().len() as u64)
            .sum()
    }
}

/// Small files are bounded: a name that leads to a device or a huge file must not fill the memory.
const LARGEST_SMALL_FILE: u64 = 256 << 20;

fn read(folder: &Path, file: &'static str) -> Result<Vec<u8>> {
    match read_small(folder, file) {
        Err(Error::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(Error::FileMissing {
                folder: folder.to_owned(),
                file,
            })
        }
        read => read,
    }
}

fn read_small(folder: &Path, file: &str) -> Result<Vec<u8>> {
    let path = folder.join(file);
    match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() || metadata.len() > LARGEST_SMALL_FILE => Err(Error::Damaged {
            file: file.into(),
            reason: "not a file of a sane size".into(),
        }),
        Ok(_) => std::fs::read(&path).map_err(|source| Error::Io { path, source }),
        Err(source) => Err(Error::Io { path, source }),
    }
}

fn weight_paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let single = folder.join("model.safetensors");
    if single.exists() {
        return Ok(vec![single]);
    }
    if folder.join(INDEX).exists() {
        return shard_paths(folder);
    }
    let pickle = std::fs::read_dir(folder).ok().and_then(|entries| {
        entries
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .find(|name| {
                [".bin", ".pt", ".pth", ".ckpt"]
                    .iter()
                    .any(|ending| name.ends_with(ending))
            })
    });
    Err(match pickle {
        Some(name) => Error::Pickle {
            file: folder.join(name).display().to_string(),
        },
        None => Error::FileMissing {
            folder: folder.to_owned(),
            file: "model.safetensors",
        },
    })
}

pub const INDEX: &str = "model.safetensors.index.json";

fn shard_paths(folder: &Path) -> Result<Vec<PathBuf>> {
    let damaged = |reason: String| Error::Damaged {
        file: INDEX.into(),
        reason,
    };
    let index: Value =
        serde_json::from_slice(&read(folder, INDEX)?).map_err(|error| damaged(error.to_string()))?;
    let map = index.get("weight_map").and_then(Value::as_object);
    let map = map.ok_or_else(|| damaged("no weight_map".into()))?;
    let mut names = Vec::new();
    for name in map.values() {
        let name = name.as_str().unwrap_or_default();
        let is_plain = name.ends_with(".safetensors") && !name.contains(['/', '\\']);
        if !is_plain {
            return Err(damaged(format!(
                "names {name:?}, which is not a safetensors file in this folder"
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

fn map(path: &Path) -> Result<WeightFile> {
    let io = |source| Error::Io {
        path: path.to_owned(),
        source,
    };
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    // Before it is opened: to open a pipe waits for its other end, for ever.
    if !std::fs::metadata(path).map_err(io)?.is_file() {
        let reason = "a folder, a pipe or a device, not a file".into();
        return Err(Error::Damaged { file: name, reason });
    }
    let file = File::open(path).map_err(io)?;
    let metadata = file.metadata().map_err(io)?;
    // SAFETY: the map is private. A file that shrinks while it is mapped is the one hazard left: model files are
    // replaced by renaming, by transformers and by the hub's cache alike, and `ensure_unchanged` refuses one
    // that was not.
    let map = unsafe { MmapOptions::new().map_copy(&file) }.map_err(io)?;
    Ok(WeightFile {
        name,
        bytes: WeightBytes::Mapped(map),
        source: Some(Source {
            size: metadata.len(),
            changed: metadata.modified().ok(),
            file,
        }),
    })
}

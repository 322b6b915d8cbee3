//! A model's files, from a Hugging Face folder or from inside the binary.

mod weights;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

pub use weights::{WeightBytes, WeightFile, WeightFormat};
pub(crate) use weights::{index_name, is_weights};
use weights::{map, weight_paths};

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
}

/// Read beside the vocabulary.
const TOKENIZER_FILES: [&str; 3] = [
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
];
/// Read where there is no `tokenizer.json`.
const VOCABULARY_FILES: [&str; 3] = ["vocab.json", "merges.txt", "vocab.txt"];
/// SentencePiece's, which only Python reads.
const SENTENCE_PIECE_FILES: [&str; 4] = [
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
            files: BTreeMap::new(),
        };
        let add = |this: &mut Self, names: &[&'static str]| {
            for name in names.iter().filter(|name| folder.join(name).exists()) {
                this.files.insert(name, read(folder, name)?);
            }
            Ok(())
        };
        add(&mut this, &["tokenizer.json"])?;
        if this.files.is_empty() {
            add(&mut this, &VOCABULARY_FILES)?;
        }
        match this.files.is_empty() {
            true => Err(this.without_tokenizer()),
            false => add(&mut this, &TOKENIZER_FILES).map(|()| this),
        }
    }

    /// Whether there is no vocabulary.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
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
            },
            weights: vec![WeightFile::inside(
                "demo",
                include_bytes!("../../demo/model/model.safetensors"),
            )],
        }
    }

    /// A folder as `save_pretrained` writes it; or a file of weights, whose folder has the rest.
    pub fn open(path: &Path) -> Result<Self> {
        let folder = match path.metadata() {
            Ok(metadata) if metadata.is_dir() => path,
            Ok(_) => path.parent().unwrap_or(path),
            Err(_) => return Err(Error::FolderNotFound { path: path.into() }),
        };
        Ok(Self {
            config: read(folder, "config.json")?,
            generation_config: match folder.join("generation_config.json") {
                path if path.exists() => Some(read(folder, "generation_config.json")?),
                _ => None,
            },
            tokenizer: TokenizerFiles::open(folder)?,
            weights: weight_paths(path)?
                .iter()
                .map(|path| map(path))
                .collect::<Result<_>>()?,
        })
    }

    /// A folder as PEFT writes it: `adapter_config.json`, the adapter's weights, and a tokenizer where it has one.
    pub fn open_adapter(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::FolderNotFound { path: folder.into() });
        }
        let weights = ["adapter_model.safetensors", "adapter_model.bin"];
        let weights = weights
            .iter()
            .map(|name| folder.join(name))
            .find(|path| path.exists());
        let weights = weights.ok_or_else(|| Error::FileMissing {
            folder: folder.to_owned(),
            file: "adapter_model.safetensors",
        })?;
        Ok(Self {
            config: read(folder, "adapter_config.json")?,
            generation_config: None,
            tokenizer: match folder.join("tokenizer.json").exists() {
                true => TokenizerFiles::open(folder)?,
                false => TokenizerFiles::default(),
            },
            weights: vec![map(&weights)?],
        })
    }

    /// Refuses weights that were written to since they were mapped.
    pub fn ensure_unchanged(&self) -> Result<()> {
        self.weights.iter().try_for_each(WeightFile::ensure_unchanged)
    }
}

/// Small files are bounded: a name that leads to a device or a huge file must not fill the memory.
const LARGEST_SMALL_FILE: u64 = 256 << 20;

/// Where a link leads that leads to nothing: in a cache whose contents were cleared, or copied without them.
fn dangling(path: &Path) -> Option<PathBuf> {
    let target = std::fs::read_link(path).ok()?;
    (!path.exists()).then_some(target)
}

fn read(folder: &Path, file: &'static str) -> Result<Vec<u8>> {
    let path = folder.join(file);
    if let Some(target) = dangling(&path) {
        return Err(Error::Dangling { path, target });
    }
    let io = |source| Error::Io {
        path: path.clone(),
        source,
    };
    match std::fs::metadata(&path) {
        Ok(metadata) if !metadata.is_file() || metadata.len() > LARGEST_SMALL_FILE => Err(Error::Damaged {
            file: file.into(),
            reason: "not a file of a sane size".into(),
        }),
        Ok(_) => std::fs::read(&path).map_err(io),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::FileMissing {
            folder: folder.to_owned(),
            file,
        }),
        Err(error) => Err(io(error)),
    }
}

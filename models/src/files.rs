//! A model's files, from a Hugging Face folder or from inside the binary.

mod bytes;
mod digest;
pub(crate) mod json;
pub(crate) mod regular;
pub(crate) mod watched;
mod weights;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::gguf;

pub use bytes::{SharedBytes, WeightBytes};
pub use weights::{WeightFile, WeightFormat};
pub(crate) use weights::{gguf_part_names, index_name, is_weights, names_in};
use weights::{is_gguf, weight_paths};

/// The files of one model, weights mapped and not yet read.
pub struct ModelFiles {
    pub config: Vec<u8>,
    pub generation_config: Option<Vec<u8>>,
    pub tokenizer: TokenizerFiles,
    pub weights: Vec<WeightFile>,
}

/// What a tokenizer is made of: small files by name, those of `TOKENIZER_FILES` that are there.
#[derive(Default, Clone)]
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
/// What PEFT calls the files of an adapter; of its weights the first that is there.
pub(crate) const ADAPTER_SETTINGS: &str = "adapter_config.json";
pub(crate) const ADAPTER_WEIGHTS: [&str; 2] = ["adapter_model.safetensors", "adapter_model.bin"];
/// Names of a dictionary's weights and settings in its folder, by what writes them; the first that is there counts.
pub(crate) const DICTIONARIES: [(&str, &str); 6] = [
    ("sae_weights.safetensors", "cfg.json"),
    ("sae.safetensors", "cfg.json"),
    ("params.safetensors", "config.json"),
    ("params.npz", ""),
    ("checkpoints/final.safetensors", "hyperparams.json"),
    ("ae.pt", "config.json"),
];
/// What a dictionary's settings are called beside a file that is named.
pub(crate) const DICTIONARY_SETTINGS: [&str; 5] = [
    "cfg.json",
    "config.json",
    "hyperparams.json",
    "../hyperparams.json",
    "config.yaml",
];
/// Where chat templates for a purpose are, each `NAME.jinja`.
pub(crate) const TEMPLATE_FOLDER: &str = "additional_chat_templates";
/// There are two or three.
pub(crate) const MOST_TEMPLATES: usize = 32;
/// Read where there is no `tokenizer.json`.
const VOCABULARY_FILES: [&str; 3] = ["vocab.json", "merges.txt", "vocab.txt"];
/// SentencePiece's.
pub(crate) const SENTENCE_PIECE_FILES: [&str; 5] = [
    "spiece.model",
    "sentencepiece.bpe.model",
    "spm.model",
    "tokenizer.model",
    // Marian's; what is in its target.spm alone is not found in a text that is read, and vocab.json has all tokens.
    "source.spm",
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
            for name in names.iter().filter(|name| is_there(&folder.join(name))) {
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

    /// Whether there is no vocabulary.
    pub(crate) fn is_empty(&self) -> bool {
        self.files.is_empty()
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

    /// The error for a file that the tokenizer needs.
    pub(crate) fn missing(&self, file: &'static str) -> Error {
        Error::FileMissing {
            folder: self.folder.clone(),
            file,
        }
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
        let paths = match weight_paths(path) {
            Ok(paths) if paths.iter().all(|path| is_gguf(path)) => return Self::of_gguf(folder, &paths),
            Err(error @ (Error::WeightsElsewhere { .. } | Error::WeightsUnread { model: Some(_), .. }))
                if !folder.join("config.json").exists() =>
            {
                return Err(error);
            }
            Err(Error::Damaged { file, reason }) if is_gguf(Path::new(&file)) => {
                return Err(Error::Damaged { file, reason });
            }
            paths => paths,
        };
        Ok(Self {
            config: read(folder, "config.json")?,
            generation_config: match folder.join("generation_config.json") {
                path if is_there(&path) => Some(read(folder, "generation_config.json")?),
                _ => None,
            },
            tokenizer: TokenizerFiles::open(folder)?,
            weights: paths?
                .iter()
                .map(|path| WeightFile::open(path))
                .collect::<Result<_>>()?,
        })
    }

    /// One GGUF file, or the parts of one: its header has all the rest.
    fn of_gguf(folder: &Path, paths: &[PathBuf]) -> Result<Self> {
        let weights: Vec<WeightFile> = paths
            .iter()
            .map(|path| WeightFile::open(path))
            .collect::<Result<_>>()?;
        let named: Vec<gguf::NamedBytes> = weights
            .iter()
            .map(|file| (file.name.as_str(), file.bytes.as_slice()))
            .collect();
        let documents = gguf::documents(&named)?;
        Ok(Self {
            config: documents.config,
            generation_config: Some(documents.generation_config),
            tokenizer: TokenizerFiles {
                folder: folder.to_owned(),
                files: documents.tokenizer,
                templates: BTreeMap::new(),
            },
            weights,
        })
    }

    /// The name of the GGUF file that all is from, if it is one.
    pub(crate) fn gguf_name(&self) -> Option<&str> {
        let first = self.weights.first()?;
        (first.format == WeightFormat::Gguf).then_some(first.name.as_str())
    }

    /// A folder as PEFT writes it: `adapter_config.json`, the adapter's weights, and a tokenizer where it has one.
    pub fn open_adapter(folder: &Path) -> Result<Self> {
        if !folder.is_dir() {
            return Err(Error::FolderNotFound { path: folder.into() });
        }
        let weights = ADAPTER_WEIGHTS
            .iter()
            .map(|name| folder.join(name))
            .find(|path| is_there(path));
        let weights = weights.ok_or_else(|| Error::FileMissing {
            folder: folder.to_owned(),
            file: ADAPTER_WEIGHTS[0],
        })?;
        Ok(Self {
            config: read(folder, ADAPTER_SETTINGS)?,
            generation_config: None,
            tokenizer: match is_there(&folder.join("tokenizer.json")) {
                true => TokenizerFiles::open(folder)?,
                false => TokenizerFiles::default(),
            },
            weights: vec![WeightFile::open(&weights)?],
        })
    }

    /// Refuses weights that were written to since they were mapped.
    pub fn ensure_unchanged(&self) -> Result<()> {
        self.weights.iter().try_for_each(WeightFile::ensure_unchanged)
    }
}

/// Whether there is something of a name, if only a link that leads nowhere: what that lacks is told when it is read.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// Where a link leads that leads to nothing: in a cache whose contents were cleared, or copied without them.
fn dangling(path: &Path) -> Option<PathBuf> {
    let target = std::fs::read_link(path).ok()?;
    (!path.exists()).then_some(target)
}

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

/// A path, with the user's folder for `~`.
pub(crate) fn expanded(name: &str) -> PathBuf {
    match name.strip_prefix("~/") {
        Some(rest) => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(rest),
        None => PathBuf::from(name),
    }
}

/// A file of a bounded size.
pub(crate) fn read_small(folder: &Path, file: &str) -> Result<Vec<u8>> {
    let path = folder.join(file);
    if let Some(target) = dangling(&path) {
        return Err(Error::Dangling { path, target });
    }
    let bytes = regular::read(&path, regular::largest(file)).map_err(|source| match source.kind() {
        ErrorKind::InvalidInput | ErrorKind::FileTooLarge => Error::Damaged {
            file: file.into(),
            reason: source.to_string(),
        },
        _ => Error::Io { path, source },
    })?;
    // The others are measured by who reads them.
    let settings = ["config.json", "special_tokens_map.json", "added_tokens.json"];
    if settings.iter().any(|end| file.ends_with(end)) {
        json::check_settings(file, &bytes)?;
    }
    Ok(bytes)
}

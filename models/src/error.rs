//! What can go wrong between a name and a generated token, with the values that matter.

use std::path::PathBuf;

use ecco_interpreter::{Diagnostic, Kind};

use crate::files::is_weights;
use crate::hub::HubError;

/// An error of this crate. `Display` says what was wrong with which value; its hint what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("no model folder at {}", path.display())]
    FolderNotFound { path: PathBuf },

    #[error("{} has no {file}", folder.display())]
    FileMissing { folder: PathBuf, file: &'static str },

    #[error("{} has no tokenizer.json, and its tokenizer ({found}) is of a kind that is not read here", folder.display())]
    TokenizerMissing { folder: PathBuf, found: String },

    #[error("{file} was written to since the model was loaded, which still reads from it")]
    FileChanged { file: String },

    #[error("{file} could not be read to its end: it was written to meanwhile, or its disk failed")]
    FileLost { file: String },

    #[error("{model} has no chat template: neither tokenizer_config.json nor chat_template.jinja has one")]
    NoChatTemplate { model: String },

    #[error("the chat template {reason}")]
    ChatTemplate { reason: String },

    #[error("cannot read {}: {source}", path.display())]
    Io { path: PathBuf, source: std::io::Error },

    #[error("{file}: {reason}")]
    Damaged { file: String, reason: String },

    #[error("{file} asks for {name} to be run, which is not done: of pickles only tensors are read")]
    Pickle { file: String, name: String },

    #[error("{file} is a bare pickle, which can run anything when it is loaded: it is not read")]
    BarePickle { file: String },

    #[error("{file} is in {format}, which is not read")]
    OldPickle { file: String, format: &'static str },

    #[error("{} has no model.safetensors, but {}", folder.display(), found.join(", "))]
    WeightsElsewhere { folder: PathBuf, found: Vec<String> },

    #[error("{} has no weights that are read here, only {}", folder.display(), found.join(", "))]
    WeightsUnread {
        folder: PathBuf,
        found: Vec<String>,
        model: Option<PathBuf>,
    },

    #[error("{} is a link to {}, which is not there", path.display(), target.display())]
    Dangling { path: PathBuf, target: PathBuf },

    #[error("{} is a pointer that git-lfs left, not the file itself", path.display())]
    LfsPointer { path: PathBuf },

    #[error("{file}: {key} is {value}: {reason}")]
    Config {
        file: &'static str,
        key: String,
        value: String,
        reason: String,
    },

    #[error("unknown model_type {model_type:?}; supported: {supported}")]
    UnknownFamily { model_type: String, supported: String },

    #[error("{file}: unknown general.architecture {architecture:?}; supported: {supported}")]
    UnknownArchitecture {
        file: String,
        architecture: String,
        supported: String,
    },
    #[error("the weights are quantized by {method:?}, which is not read here; read are: {supported}")]
    UnknownQuantization { method: String, supported: String },

    #[error("{file}: {name} is a part of a quantized weight, but config.json has no quantization_config")]
    Unquantized { file: String, name: String },

    #[error("{file}: {name} is stored as {dtype}; expected F32, F16, BF16 or F64")]
    NotNumbers {
        file: String,
        name: String,
        dtype: String,
    },

    #[error(
        "{file}: {name} is stored as {dtype}, as {method} quantizes it, and there is no {scales} to make numbers of it"
    )]
    NoScale {
        file: String,
        name: String,
        dtype: String,
        method: &'static str,
        scales: String,
    },

    #[error("{model} was loaded without an adapter")]
    NoAdapter { model: String },

    #[error("the adapter {} is for a model that is not here{}", adapter.display(), named(base))]
    NoBase { adapter: PathBuf, base: String },

    #[error("{file} {reason}")]
    AdapterMisfit { file: &'static str, reason: String },

    #[error("{file} lacks weights: {names}")]
    WeightsMissing {
        file: String,
        names: String,
        /// Nothing but the head's matrix.
        head_alone: bool,
    },

    #[error(
        "token {id}, {text:?}, is none of the model's {vocabulary} tokens: its embedding has no row for it"
    )]
    NoRow {
        id: u32,
        text: String,
        vocabulary: usize,
    },

    #[error("{file} has weights that a {model_type} model does not: {names}")]
    WeightsUnexpected {
        file: String,
        model_type: String,
        names: String,
        /// What all of them begin with.
        start: String,
    },

    #[error("{file}: {name} has shape {found:?}, config.json asks for {expected:?}")]
    WeightShape {
        file: String,
        name: String,
        found: Vec<usize>,
        expected: Vec<usize>,
    },

    #[error("{file}: {name} holds {what} at flat index {index}")]
    WeightNotFinite {
        file: String,
        name: String,
        what: f64,
        index: usize,
    },

    #[error("{option} is {value}: {reason}")]
    Option {
        option: &'static str,
        value: String,
        reason: String,
    },

    #[error("{what} needs a model that reads from left to right, which {model} ({model_type}) does not")]
    NotCausal {
        what: &'static str,
        model: String,
        model_type: String,
    },

    #[error("{model} reads a text and writes none, so it has no score")]
    NoWriting { model: String },

    #[error("{model} reads one text and writes another: give both")]
    NoPrompt { model: String },

    #[error("{}: there is nothing to score", match prompt {
        true => "the continuation is empty",
        false => "the text has no token with another before it",
    })]
    NothingWritten { prompt: bool },

    #[error("{model} was saved without a head, so it says nothing about its states")]
    NoHead { model: String },

    #[error("{what} of a model under interventions is not implemented")]
    Edited { what: &'static str },

    #[error("the model has no {site}{}", at_layer(*.layer))]
    NoSite { site: String, layer: Option<usize> },

    #[error("the layers of {site} are not equally wide, so they are no single tensor")]
    Widths { site: String },

    #[error("what {model} says is no number (NaN or infinite)")]
    NoNumbers { model: String },

    #[error("the text is empty")]
    EmptyText,

    #[error("the text has {n_input} tokens{}, but {model} takes {context} tokens in all", to_come(*.n_generate))]
    TooLong {
        model: String,
        n_input: usize,
        n_generate: usize,
        context: usize,
    },

    #[error("the text has {}, {fewest} tokens or more, but {model} takes {context} in all", format_bytes(*.bytes))]
    TextTooLong {
        model: String,
        bytes: u64,
        /// Tokens that it has at least.
        fewest: usize,
        context: usize,
    },

    #[error("max_length is {max_length}, but the text alone has {n_input} tokens")]
    NoRoom { max_length: usize, n_input: usize },

    #[error("{what} needs {needed}, but {available} of {where_} is available")]
    OutOfMemory {
        what: String,
        needed: String,
        available: String,
        where_: String,
    },

    #[error("{what} needs a process of its own, which cannot be started: {source}")]
    NoProcess {
        what: &'static str,
        source: std::io::Error,
    },

    #[error("libtorch is not there: {reason}")]
    NoLibtorch { reason: String },

    #[error("libtorch: {message}")]
    Torch { message: String },

    #[error(transparent)]
    Hub(crate::hub::HubError),

    #[error("interrupted")]
    Interrupted,
}

impl Error {
    /// The same about a GGUF file, whose header stands for `config.json` and all else.
    pub(crate) fn in_gguf(self, gguf: &str) -> Self {
        let reason = match self {
            Self::Config {
                key, value, reason, ..
            } => format!("its header says that {key} is {value}: {reason}"),
            Self::WeightShape {
                name,
                found,
                expected,
                ..
            } => format!("{name} has shape {found:?}, its header asks for {expected:?}"),
            Self::Damaged { file, reason } if file != gguf && !file.ends_with(".gguf") => {
                format!("its header as {file}: {reason}")
            }
            other => return other,
        };
        Self::Damaged {
            file: gguf.to_owned(),
            reason,
        }
    }
}

impl Diagnostic for Error {
    fn hint(&self) -> Option<String> {
        Some(match self {
            Self::FolderNotFound { .. } => {
                "a Hugging Face folder holds config.json, tokenizer.json and model.safetensors; \"demo\" needs none"
                    .into()
            }
            Self::NoProcess { .. } => "end other programs, or allow more processes: ulimit -u".into(),
            Self::NoLibtorch { reason } if reason.contains("File too large") => {
                "a part of it is written to memory as a file: allow larger ones, ulimit -f".into()
            }
            Self::NoLibtorch { reason } if reason.contains("annot allocate memory") => {
                "allow more memory: ulimit -v".into()
            }
            Self::NoLibtorch { .. } => {
                "install it in the environment that the kernel is in: pip install torch==2.11.0".into()
            }
            Self::FileMissing { file: "tokenizer.json", .. } => {
                "save it with transformers: AutoTokenizer.from_pretrained(…).save_pretrained(folder)".into()
            }
            Self::TokenizerMissing { folder, .. } => format!(
                "write it once: python -c \"from transformers import AutoTokenizer as T; \
                 T.from_pretrained('{0}').save_pretrained('{0}')\"",
                folder.display()
            ),
            Self::FileChanged { .. } | Self::FileLost { .. } => {
                "free the model and load it again; a file is replaced safely by renaming another".into()
            }
            Self::NoChatTemplate { .. } => {
                "it was not trained on conversations: give it a text to continue".into()
            }
            Self::Damaged { file, .. } if [".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".gguf"].iter().any(|end| file.ends_with(end)) => {
                "the file is incomplete or was altered: copy or download it again".into()
            }
            Self::UnknownQuantization { .. } => "take the model that it was made from; or, where transformers reads it, \
                 let it write the numbers: python -c \"from transformers import AutoModelForCausalLM as M; \
                 M.from_pretrained('FOLDER').dequantize().save_pretrained('OTHER')\""
                .into(),
            Self::AdapterMisfit { .. } => "an adapter fits the model that it was trained on alone: its \
                 adapter_config.json names that as base_model_name_or_path"
                .into(),
            Self::NoAdapter { .. } => "load it with its adapter: a folder with adapter_config.json, or a hub id".into(),
            Self::NoBase { .. } => {
                "load the model that the adapter is for, by folder or hub id, and name the adapter beside it".into()
            }
            Self::NotNumbers { .. } => "such weights are those of a quantized model whose config.json says so no more: take its own, or \
                 the model that it was made from".into(),
            Self::NoScale { .. } => "the checkpoint is not whole: take all its files, or the model that it was made from".into(),
            Self::Unquantized { .. } => {
                "copy or download config.json again, or the model that it was made from".into()
            }
            Self::Pickle { file, .. } => format!(
                "if you trust whoever made it, keep its tensors alone: python -c \"import torch; p = {}; d = torch.load(p, map_location='cpu', weights_only=False); d = d.get('state_dict', d); \
                 torch.save({{k: v for k, v in d.items() if torch.is_tensor(v)}}, p)\"",
                quoted(file)
            ),
            Self::BarePickle { file } => format!(
                "if you trust whoever made it, write its tensors as torch does: python -c \"import pickle, torch; p = {}; \
                 d = pickle.load(open(p, 'rb')); d = d.get('state_dict', d); torch.save({{k: torch.as_tensor(v) for k, v in \
                 d.items()}}, p)\"",
                quoted(file)
            ),
            Self::OldPickle { file, format } => format!(
                "write it anew: python -c \"import torch; p = {}; torch.save(torch.load(p, map_location='cpu'{}), p)\"",
                quoted(file),
                // torch.load refuses the oldest otherwise.
                if format.contains("0.1") { ", weights_only=False" } else { ", weights_only=True" }
            ),
            Self::WeightsElsewhere { folder, found } => {
                format!("give the path of the one that is meant: {:?}", folder.join(&found[0]))
            }
            Self::WeightsUnread { model: Some(model), .. } => format!("give the folder that is meant: {model:?}"),
            Self::WeightsUnread { .. } => "those are other formats, or of other programs: copy or download \
                 model.safetensors, too"
                .into(),
            Self::Io { path, source } if source.kind() == std::io::ErrorKind::NotFound && is_weights(path) => {
                "an index names it: copy or download it, too".into()
            }
            Self::Dangling { .. } => "copy or download it again, contents and not links".into(),
            Self::LfsPointer { .. } => "fetch it: git lfs pull".into(),
            Self::WeightsMissing { head_alone: true, .. } => {
                "if its head is the embedding's matrix, say so in config.json: \"tie_word_embeddings\": true".into()
            }
            Self::WeightsMissing { file, .. } => format!(
                "config.json and {file} have to be of one model: compare its model_type, number of layers and sizes, or \
                 copy both again from where they are together"
            ),
            Self::WeightsUnexpected { file, model_type, start, .. } => leave_out(file, model_type, start),
            Self::NoRow { text, .. } => format!("leave {text:?} out of the text"),
            Self::TooLong { n_input, context, .. } if n_input < context => {
                format!("generate at most {} tokens", context - n_input)
            }
            Self::TooLong { .. } | Self::TextTooLong { .. } => "shorten the text".into(),
            Self::NoNumbers { .. } => "its weights, or the type that they are computed in, overflow: float32 may be wide \
                                       enough where float16 is not"
                .into(),
            Self::EmptyText => "write at least one token; alone may stand the one that the model's texts start with, \
                                such as <s> or <|endoftext|>"
                .into(),
            Self::NoRoom { .. } => "say how many tokens to make".into(),
            Self::OutOfMemory { .. } => "free a model that is loaded".into(),
            Self::NoWriting { .. } => "run it, and explain what it says".into(),
            Self::NoPrompt { .. } => "first what it reads, then what it writes".into(),
            Self::NothingWritten { .. } => "give what follows: a prompt, and its continuation".into(),
            Self::Edited { .. } => "explain what the model says without them".into(),
            Self::Widths { .. } => "take one layer".into(),
            Self::WeightNotFinite { .. } => "the model was damaged in training or conversion".into(),
            Self::Hub(error) => return error.hint(),
            _ => return None,
        })
    }

    fn kind(&self) -> Kind {
        match self {
            Self::FolderNotFound { .. }
            | Self::FileMissing { .. }
            | Self::TokenizerMissing { .. }
            | Self::WeightsElsewhere { .. }
            | Self::WeightsUnread { .. }
            | Self::Dangling { .. } => Kind::File,
            Self::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => Kind::File,
            Self::Hub(error) => error.kind(),
            Self::Io { .. } | Self::FileChanged { .. } | Self::FileLost { .. } | Self::NoProcess { .. } => {
                Kind::Os
            }
            Self::OutOfMemory { .. } => Kind::Memory,
            Self::NoLibtorch { .. } => Kind::Import,
            Self::NoNumbers { .. } => Kind::Arithmetic,
            Self::Torch { .. } => Kind::Runtime,
            Self::Interrupted => Kind::Interrupt,
            _ => Kind::Value,
        }
    }

    fn at(&self) -> Option<&str> {
        match self {
            Self::Option { option, .. } => Some(option),
            _ => None,
        }
    }
}

impl From<HubError> for Error {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Interrupted => Self::Interrupted,
            error => Self::Hub(error),
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

fn to_come(n_generate: usize) -> String {
    match n_generate {
        0 => String::new(),
        n => format!(" and {n} are to be generated"),
    }
}

/// Which model an adapter names.
fn named(base: &str) -> String {
    match base {
        "" => ", and it names none".into(),
        base => format!(": {base:?}"),
    }
}

fn at_layer(layer: Option<usize>) -> String {
    layer.map_or(String::new(), |layer| format!(" at layer {layer}"))
}

/// A text as Python reads it between double quotes of a shell.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("'");
    for char in text.chars() {
        match char {
            '\'' | '"' | '$' | '`' | '\\' | '!' => quoted.push_str(&format!("\\x{:02x}", u32::from(char))),
            char => quoted.push(char),
        }
    }
    quoted + "'"
}

/// How weights that begin with `start` are left out of a file.
fn leave_out(file: &str, model_type: &str, start: &str) -> String {
    let save = match file.ends_with(".safetensors") {
        true => "from safetensors.torch import load_file as load, save_file as save",
        false => "from torch import load, save",
    };
    let metadata = if file.ends_with(".safetensors") {
        ", {'format': 'pt'}"
    } else {
        ""
    };
    let is_plain = |text: &str| {
        text.chars()
            .all(|char| char.is_ascii_alphanumeric() || "._-".contains(char))
    };
    match is_plain(file) && is_plain(start) && !start.is_empty() && !file.ends_with(".json") {
        true => format!(
            "if config.json is of another model, take the right one; if the model does without them, leave them out: \
             python -c \"{save}; save({{k: v for k, v in load('{file}').items() if not k.startswith('{start}')}}, \
             '{file}'{metadata})\""
        ),
        false => format!("config.json says that the model is a {model_type}: is it this file's?"),
    }
}

/// `1.2 GB` for people.
pub fn format_bytes(bytes: u64) -> String {
    match bytes {
        0..1_000 => format!("{bytes} B"),
        1_000..1_000_000 => format!("{:.0} kB", bytes as f64 / 1e3),
        1_000_000..1_000_000_000 => format!("{:.1} MB", bytes as f64 / 1e6),
        _ => format!("{:.1} GB", bytes as f64 / 1e9),
    }
}

/// A refusal of an option's value.
pub(crate) fn refuse(option: &'static str, value: impl ToString, reason: impl Into<String>) -> Error {
    Error::Option {
        option,
        value: value.to_string(),
        reason: reason.into(),
    }
}

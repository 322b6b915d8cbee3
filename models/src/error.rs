//! What can go wrong between a name and a generated token, with the values that matter.

mod hints;

use std::path::PathBuf;

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
    UnknownQuantization {
        method: String,
        supported: String,
        /// The class of transformers that config.json names, where it does.
        class: String,
    },

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

    #[error("{} has weights that a {model_type} model does not: {names}", file_of(path))]
    WeightsUnexpected {
        path: String,
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

    #[error("{site} is not at all layers, but at {}", listed(layers))]
    SomeLayers { site: String, layers: Vec<usize> },

    #[error("the layers of {site} are not equally wide, so they are no single tensor")]
    Widths { site: String },

    #[error("what {model} says is no number (NaN or infinite)")]
    NoNumbers { model: String },

    /// `start` is the token that the model's texts start with.
    #[error("the text is empty")]
    EmptyText { start: Option<String> },

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

    #[error(
        "libtorch in {} is {version}, and this program works with {}",
        folder.display(),
        crate::libtorch::SERVED.join(" and ")
    )]
    OtherLibtorch { version: String, folder: PathBuf },

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

impl From<HubError> for Error {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Interrupted => Self::Interrupted,
            error => Self::Hub(error),
        }
    }
}

pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The file's name of a path.
fn file_of(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or_default()
}

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

fn listed(layers: &[usize]) -> String {
    let layers: Vec<String> = layers.iter().map(usize::to_string).collect();
    layers.join(", ")
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

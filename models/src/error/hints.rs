//! What to do about an error, and what kind of one it is.

use ecco_interpreter::{Diagnostic, Kind};

use super::{Error, file_of};
use crate::files::is_weights;
use crate::libtorch::BUILT_FOR;

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
            Self::OtherLibtorch { .. } => format!("pip install torch=={BUILT_FOR}"),
            Self::NoLibtorch { .. } => {
                format!("install it in the environment that the kernel is in: pip install torch=={BUILT_FOR}")
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
            Self::UnknownQuantization { class, .. } => format!(
                "take the model that it was made from; or, where transformers reads it, let it write the numbers: python -c \"from \
                 transformers import {} as M; M.from_pretrained('FOLDER').dequantize().save_pretrained('OTHER')\"",
                // What loads a decoder would take a BERT for one, and no T5 at all.
                if class.is_empty() || !class.chars().all(|c| c.is_ascii_alphanumeric()) { "AutoModel" } else { class }
            ),
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
                "if you trust whoever made it, keep its tensors alone: python -c \"import os, torch; p = {}; \
                 d = torch.load(p, map_location='cpu', weights_only=False); {TENSORS}\"",
                quoted(file)
            ),
            Self::BarePickle { file } => format!(
                "if you trust whoever made it, write its tensors as torch does: python -c \"import os, pickle, torch; p = {}; \
                 d = pickle.load(open(p, 'rb')); {TENSORS}\"",
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
            Self::WeightsUnexpected { path, model_type, start, .. } => leave_out(path, model_type, start),
            Self::NoRow { text, .. } => format!("leave {text:?} out of the text"),
            Self::TooLong { n_input, context, .. } if n_input < context => {
                format!("generate at most {} tokens", context - n_input)
            }
            Self::TooLong { .. } | Self::TextTooLong { .. } => "shorten the text".into(),
            Self::NoNumbers { .. } => "its weights, or the type that they are computed in, overflow: float32 may be wide \
                                       enough where float16 is not"
                .into(),
            Self::EmptyText { start: None } => "write at least one token".into(),
            Self::EmptyText { start: Some(start) } => format!(
                "write at least one token; alone may stand the one that the model's texts start with: {start:?}"
            ),
            Self::NoRoom { .. } => "say how many tokens to make".into(),
            Self::OutOfMemory { .. } => "free a model that is loaded".into(),
            Self::NoWriting { .. } => "run it, and explain what it says".into(),
            Self::NoPrompt { .. } => "first what it reads, then what it writes".into(),
            Self::NothingWritten { .. } => "give what follows: a prompt, and its continuation".into(),
            Self::Edited { .. } => "explain what the model says without them".into(),
            Self::Widths { .. } | Self::SomeLayers { .. } => "take one layer".into(),
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
            Self::NoLibtorch { .. } | Self::OtherLibtorch { .. } => Kind::Import,
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

/// Writes to `p` the tensors of `d`: its own, or those of a dictionary or module in it, whichever has most. Nothing is written
/// where there are none, and what was there stays under another name.
const TENSORS: &str = "t = lambda x: {k: torch.as_tensor(v) for k, v in (x.state_dict() if hasattr(x, 'state_dict') else x if \
    isinstance(x, dict) else {}).items() if hasattr(v, 'shape')}; s = max(map(t, [d, *(d.values() if isinstance(d, dict) else [])]), key=len); \
    assert s, 'no tensors in it'; os.rename(p, p + '.before'); torch.save(s, p)";

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
fn leave_out(path: &str, model_type: &str, start: &str) -> String {
    let file = file_of(path);
    let (save, metadata) = match file.ends_with(".safetensors") {
        true => (
            "from safetensors.torch import load_file as load, save_file as save",
            ", {'format': 'pt'}",
        ),
        false => ("from torch import load, save", ""),
    };
    let is_plain = |text: &str| {
        text.chars()
            .all(|char| char.is_ascii_alphanumeric() || "._-".contains(char))
    };
    match is_plain(file) && is_plain(start) && !start.is_empty() && !file.ends_with(".json") {
        true => format!(
            "if config.json is of another model, take the right one; if the model does without them, leave them out: \
             python -c \"{save}; p = {}; save({{k: v for k, v in load(p).items() if not k.startswith('{start}')}}, p{metadata})\"",
            quoted(path)
        ),
        false => format!("config.json says that the model is a {model_type}: is it this file's?"),
    }
}

//! A model that is loaded: configuration, weights on their device, tokenizer.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::Value;
use tch::Tensor;

use crate::chat::{Chat, ChatOptions, ChatTemplate};
use crate::config::{Config, ConfigFile, Task};
use crate::decoder::Decoder;
use crate::device;
use crate::edit::{Edit, Edits};
use crate::encoder::Encoder;
use crate::encoder_decoder::EncoderDecoder;
use crate::error::{Error, Result};
use crate::files::ModelFiles;
use crate::generation::GenerationConfig;
use crate::guard::guard;
use crate::progress::{Progress, Watch};
use crate::stack::Stack;
use crate::tap::{Capture, Site, Tap, Watched};
use crate::tokenizer::Tokenizer;
use crate::{families, hub, weights::Weights};

/// Where and how to load.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LoadOptions {
    /// `cpu`, `cuda`, `cuda:1`; default: the first GPU if there is one.
    pub device: Option<String>,
    /// `float32`, `float16`, `bfloat16`; default: as the file has it, but float32 for float16 on the CPU.
    pub dtype: Option<String>,
    /// Branch, tag or commit of a hub model; default `main`.
    pub revision: Option<String>,
}

/// A language model, resident on one device.
pub struct Model {
    name: String,
    body: Body,
    n_parameters: u64,
    pub(crate) tokenizer: Rc<Tokenizer>,
    pub(crate) generation: Rc<GenerationConfig>,
    chat: Option<Rc<ChatTemplate>>,
    /// The mapped weights; on the CPU the tensors are views of them.
    files: Rc<ModelFiles>,
}

/// The tensors of a model, by how it reads.
pub enum Body {
    /// From left to right.
    Decoder(Box<Decoder>),
    /// All at once.
    Encoder(Box<Encoder>),
    /// All at once, to write another text from left to right.
    EncoderDecoder(Box<EncoderDecoder>),
}

/// Loads `"demo"`, a Hugging Face folder, or a hub id.
///
/// A hub model comes from the cache that Python's `huggingface_hub` uses, or is downloaded into it.
pub fn load(name_or_folder: &str, options: &LoadOptions, watch: &mut Watch) -> Result<Model> {
    let source = source(name_or_folder)?;
    if let (Some(revision), Source::Demo | Source::Folder(_)) = (&options.revision, &source) {
        return Err(Error::Option {
            option: "revision",
            value: format!("{revision:?}"),
            reason: format!("{name_or_folder:?} is not a model on the hub, so it has no revisions"),
        });
    }
    let files = match source {
        Source::Demo => ModelFiles::demo(),
        Source::Folder(folder) => ModelFiles::open(&folder)?,
        Source::Hub(id) => {
            let hub_options = hub::HubOptions {
                revision: options.revision.clone(),
            };
            ModelFiles::open(&hub::fetch(&id, &hub_options, watch)?)?
        }
    };
    Model::from_files(name_or_folder, files, options, watch)
}

enum Source {
    Demo,
    Folder(PathBuf),
    Hub(String),
}

/// An existing folder wins over a hub id; what looks like a path is never looked up on the hub.
fn source(name: &str) -> Result<Source> {
    if name == "demo" {
        return Ok(Source::Demo);
    }
    let path = match name.strip_prefix("~/") {
        Some(rest) => PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(rest),
        None => PathBuf::from(name),
    };
    let looks_like_path = name.is_empty()
        || name.starts_with(['/', '.', '~', '\\'])
        || name.ends_with('/')
        || name.matches('/').count() > 1;
    match path.is_dir() {
        true => Ok(Source::Folder(path)),
        false if looks_like_path => Err(Error::FolderNotFound { path }),
        false => Ok(Source::Hub(name.to_owned())),
    }
}

impl Model {
    /// Loads a Hugging Face folder.
    pub fn open(folder: &Path, options: &LoadOptions, watch: &mut Watch) -> Result<Self> {
        let name = folder.display().to_string();
        Self::from_files(&name, ModelFiles::open(folder)?, options, watch)
    }

    fn from_files(name: &str, files: ModelFiles, options: &LoadOptions, watch: &mut Watch) -> Result<Self> {
        let device = device::device(options.device.as_deref())?;
        let kind = options.dtype.as_deref().map(device::kind).transpose()?;
        let config_file = ConfigFile::parse(&files.config)?;
        let family = families::find(&config_file)?;
        let config = (family.config)(&config_file)?;
        let tokenizer = Tokenizer::read(&files.tokenizer, &config.model_type)?;
        let chat = ChatTemplate::read(&files.tokenizer)?;
        check_vocabulary(&tokenizer, &config)?;
        let said = files.generation_config.as_deref();
        let generation = GenerationConfig::parse(said, &files.config, config.vocab_size)?;
        let needed = Weights::bytes_needed(&files, device, kind)?;
        device::ensure_room(device, needed, &format!("loading {name}"))?;
        let (body, n_parameters) = guard(|| {
            let mut weights = Weights::load(&files, family, device, kind, watch)?;
            let mut config = config;
            let body = match (config.encoder.take(), &config.task) {
                (Some(encoder), _) => {
                    config.encoder = Some(encoder.clone());
                    Body::EncoderDecoder(Box::new(EncoderDecoder::load(config, *encoder, &mut weights)?))
                }
                (None, Task::NextToken) => Body::Decoder(Box::new(Decoder::load(config, &mut weights)?)),
                (None, _) => Body::Encoder(Box::new(Encoder::load(config, &mut weights)?)),
            };
            Ok((body, weights.finish()?))
        })?;
        files.ensure_unchanged()?;
        Ok(Self {
            name: name.to_owned(),
            body,
            n_parameters,
            tokenizer: Rc::new(tokenizer),
            generation: Rc::new(generation),
            chat: chat.map(Rc::new),
            files: Rc::new(files),
        })
    }

    /// Edits for this model: see [`Model::edited`].
    pub fn edits(&self, edits: Vec<Edit>) -> Result<Edits> {
        guard(|| Ok(Edits::new(edits, self.stack().kind(), self.stack().device())))
    }

    /// A view on the same weights in whose every pass these edits are made, and no others.
    pub fn edited(&self, edits: &Edits) -> Self {
        let body = match &self.body {
            Body::Decoder(decoder) => Body::Decoder(Box::new(decoder.edited(&edits.own))),
            Body::Encoder(encoder) => Body::Encoder(Box::new(encoder.edited(&edits.own))),
            Body::EncoderDecoder(both) => Body::EncoderDecoder(Box::new(both.edited(edits))),
        };
        Self {
            name: self.name.clone(),
            body,
            n_parameters: self.n_parameters,
            tokenizer: Rc::clone(&self.tokenizer),
            generation: Rc::clone(&self.generation),
            chat: self.chat.clone(),
            files: Rc::clone(&self.files),
        }
    }

    /// The name it was asked for by.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn config(&self) -> &Config {
        &self.stack().config
    }

    /// The tensors themselves, for what computes on them.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Embedding and blocks.
    pub fn stack(&self) -> &Stack {
        match &self.body {
            Body::Decoder(decoder) => &decoder.stack,
            Body::Encoder(encoder) => &encoder.stack,
            Body::EncoderDecoder(both) => &both.decoder.stack,
        }
    }

    /// The decoder, for what only makes sense from left to right.
    ///
    /// # Errors
    /// [`Error::NotCausal`] for an encoder; `what` says what was wanted.
    pub fn decoder(&self, what: &'static str) -> Result<&Decoder> {
        match &self.body {
            Body::Decoder(decoder) => Ok(decoder),
            Body::Encoder(_) | Body::EncoderDecoder(_) => Err(self.not_causal(what)),
        }
    }

    pub(crate) fn not_causal(&self, what: &'static str) -> Error {
        Error::NotCausal {
            what,
            model: self.name.clone(),
            model_type: self.config().model_type.clone(),
        }
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// A conversation as the model was trained to read it. `messages` is a list of maps with `role` and `content`.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`] for a model that has none, [`Error::ChatTemplate`] for messages that its template
    /// refuses.
    pub fn chat(&self, messages: &Value, options: &ChatOptions) -> Result<Chat> {
        let template = self.chat.as_ref().ok_or_else(|| Error::NoChatTemplate {
            model: self.name.clone(),
        })?;
        template.render(messages, options)
    }

    /// What the model's files say about generating text.
    pub fn generation_config(&self) -> &GenerationConfig {
        &self.generation
    }

    /// The token that fills up a text, where the model has one.
    pub fn pad_id(&self) -> Option<u32> {
        let pad = self.tokenizer.pad().map(|token| token.id);
        pad.filter(|&id| (id as usize) < self.config().vocab_size)
            .or(self.generation.pad_id)
    }

    pub fn device(&self) -> String {
        device::device_name(self.stack().device())
    }

    pub fn dtype(&self) -> String {
        device::kind_name(self.stack().kind()).into()
    }

    pub fn n_parameters(&self) -> u64 {
        self.n_parameters
    }

    /// Bytes the weights take on their device.
    pub fn memory_bytes(&self) -> u64 {
        self.n_parameters * self.stack().kind().elt_size_in_bytes() as u64
    }

    /// One pass over a whole sequence: the head's input `[1, position, size]`.
    pub fn forward(&self, ids: &[u32], tap: &mut dyn Tap) -> Result<Tensor> {
        self.check_ids(ids)?;
        guard(|| {
            let embeddings = self.stack().embed(ids);
            match &self.body {
                Body::Decoder(decoder) => decoder.forward(&embeddings, None, tap),
                Body::Encoder(encoder) => encoder.forward(&embeddings, None, tap),
                Body::EncoderDecoder(_) => Err(self.not_causal("one pass over one text")),
            }
        })
    }

    /// What the head says of a whole sequence, on the host: `(position, vocabulary)` for next and masked tokens,
    /// `(position)` for replaced ones, `(label)` for labels.
    ///
    /// # Errors
    /// [`Error::NoHead`] for a model that has none.
    pub fn logits(&self, ids: &[u32]) -> Result<ndarray::ArrayD<f32>> {
        let states = self.forward(ids, &mut crate::tap::NoTap)?;
        guard(|| {
            let logits = match &self.body {
                Body::Decoder(decoder) => Some(decoder.logits(&states)),
                Body::Encoder(encoder) => encoder.logits(&states, None),
                Body::EncoderDecoder(both) => Some(both.decoder.logits(&states)),
            };
            let logits = logits.ok_or_else(|| Error::NoHead {
                model: self.name.clone(),
            })?;
            crate::tap::to_array(&logits.get(0))
        })
    }

    /// Refuses a sequence the model cannot take.
    pub fn check_ids(&self, ids: &[u32]) -> Result<()> {
        if self.stack().device() == tch::Device::Cpu {
            self.files.ensure_unchanged()?;
        }
        self.check_ids_for(self.config(), ids)
    }

    /// The same for one of its stacks.
    pub(crate) fn check_ids_for(&self, config: &Config, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            return Err(Error::EmptyText);
        }
        if ids.len() > config.context_length {
            let (n_input, context) = (ids.len(), config.context_length);
            return Err(Error::TooLong {
                model: self.name.clone(),
                n_input,
                n_generate: 0,
                context,
            });
        }
        match ids.iter().find(|&&id| id as usize >= config.vocab_size) {
            Some(id) => Err(Error::Option {
                option: "token id",
                value: id.to_string(),
                reason: format!("the vocabulary has {} tokens", config.vocab_size),
            }),
            None => Ok(()),
        }
    }
}

/// One forward pass over `ids` that records `sites`, at `layers` or at all.
pub fn capture(
    model: &Model,
    ids: &[u32],
    sites: &[Site],
    layers: Option<&[usize]>,
    watch: &mut Watch,
) -> Result<Capture> {
    let n_layers = model.config().n_layers;
    let mut report = |layer| watch(&running(layer, n_layers));
    let mut tap = Watched {
        capture: Capture::new(sites, layers),
        report: &mut report,
    };
    let _ = model.forward(ids, &mut tap)?;
    Ok(tap.capture)
}

/// How far a pass is.
pub(crate) fn running(layer: usize, n_layers: usize) -> Progress {
    Progress {
        label: "running the model".into(),
        done: layer as u64,
        total: Some(n_layers as u64),
        unit: "layers",
    }
}

fn check_vocabulary(tokenizer: &Tokenizer, config: &Config) -> Result<()> {
    if tokenizer.id_bound() <= config.vocab_size {
        return Ok(());
    }
    Err(Error::Damaged {
        file: "tokenizer.json".into(),
        reason: format!(
            "has ids up to {}, but the model's vocabulary has {} tokens",
            tokenizer.id_bound() - 1,
            config.vocab_size
        ),
    })
}

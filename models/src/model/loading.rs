//! From a name to a model: files, what they say, weights where they belong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tch::{Device, Kind};

use super::{Body, Model};
use crate::adapter::{self, Tunable};
use crate::chat::ChatTemplate;
use crate::config::{Config, ConfigFile, Task};
use crate::decoder::Decoder;
use crate::device;
use crate::encoder::Encoder;
use crate::encoder_decoder::EncoderDecoder;
use crate::error::{Error, Result, refuse};
use crate::families::{self, Family};
use crate::files::watched;
use crate::files::{ModelFiles, expanded, gguf_part_names, is_weights};
use crate::generation::config::GenerationConfig;
use crate::guard::guard;
use crate::holders::{Entry, Held};
use crate::hub;
use crate::placement::{self, Parts, Placement};
use crate::quantization::dequantized;
use crate::tokenizer::Tokenizer;
use crate::weight::Weight;
use crate::weights::{
    StoredWeight, WeightType, Weights, leave_out_guessing_layers, side_by_side, stored_weights,
    take_prefix_off,
};
use ecco_interpreter::Watch;

/// Where and how to load.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct LoadOptions {
    /// `cpu`, `cuda`, `cuda:1`, or `auto`: on several devices, where one does not have the room. Default: the first GPU
    /// if there is one.
    pub device: Option<String>,
    /// `float32`, `float16`, `bfloat16`; default: as the file has it, but float32 for float16 on the CPU, and for what is
    /// computed from blocks. `stored`: blocks, and half floats on the CPU, stay as the file has them, and become numbers
    /// when they are used.
    pub dtype: Option<String>,
    /// Branch, tag or commit of a hub model; default `main`.
    pub revision: Option<String>,
    /// An adapter for the model, as PEFT saves it: a folder or a hub id, with `@` and a revision where it is not the
    /// default branch.
    pub adapter: Option<String>,
}

/// Loads `"demo"`, a Hugging Face folder or a file of weights in one, a GGUF file, or a hub id; of a model on the hub a
/// GGUF file by `owner/name/file.gguf`; a folder with an adapter is loaded with the model that it names.
///
/// A hub model comes from the cache that Python's `huggingface_hub` uses, or is downloaded into it.
pub fn load(name_or_folder: &str, options: &LoadOptions, watch: &mut Watch) -> Result<Model> {
    of_whole_files(|| find(name_or_folder, options, watch))
}

/// Where a file could not be read to its end, what was found wrong with it is not what it says.
pub(super) fn of_whole_files(load: impl FnOnce() -> Result<Model>) -> Result<Model> {
    let losses = watched::losses();
    load().map_err(|error| match watched::lost_since(losses) {
        Some(file) => Error::FileLost { file },
        None => error,
    })
}

fn find(name_or_folder: &str, options: &LoadOptions, watch: &mut Watch) -> Result<Model> {
    let (source, adapter) = with_adapter(name_or_folder, source(name_or_folder)?, options, watch)?;
    if let (Some(revision), Source::Demo | Source::Folder(_)) = (&options.revision, &source) {
        return Err(refuse(
            "revision",
            format!("{revision:?}"),
            format!("{name_or_folder:?} is not a model on the hub, so it has no revisions"),
        ));
    }
    let (files, adapter, notice) = match fetched(&source, options.revision.clone(), watch) {
        Err(Error::Hub(hub::HubError::AdapterOnly { repo_id })) if adapter.is_none() => {
            let adapter = of_hub(&repo_id, options.revision.clone(), watch)?;
            let base = base_beside(None, &repo_id, &adapter)?;
            let (files, notice) = fetched(&base, None, watch)?;
            (files, Some(adapter), notice)
        }
        found => {
            let (files, notice) = found?;
            (files, adapter, notice)
        }
    };
    let files = (Rc::new(files), adapter.map(Rc::new));
    let mut model = Model::from_files(name_or_folder, files, options, None, watch)?;
    model.notices.splice(..0, notice);
    Ok(model)
}

/// A model's files, those of the hub at a revision, and what people should know of how they were found.
fn fetched(
    source: &Source,
    revision: Option<String>,
    watch: &mut Watch,
) -> Result<(ModelFiles, Option<String>)> {
    let options = hub::HubOptions { revision };
    match source {
        Source::Demo => Ok((ModelFiles::demo(), None)),
        Source::Folder(folder) => Ok((ModelFiles::open(folder)?, None)),
        Source::Hub(id) => {
            let snapshot = hub::fetch(id, &options, watch)?;
            Ok((ModelFiles::open(&snapshot.folder)?, snapshot.notice))
        }
        Source::HubFile(id, file) => {
            let parts = gguf_part_names(file);
            let folder = hub::fetch_files(&hub::HubSettings::from_env(), id, &parts, &options, watch)?;
            Ok((ModelFiles::open(&folder.join(file))?, None))
        }
    }
}

/// Where a model comes from, and its adapter.
fn with_adapter(
    name: &str,
    source: Source,
    options: &LoadOptions,
    watch: &mut Watch,
) -> Result<(Source, Option<ModelFiles>)> {
    let of_folder = match &source {
        Source::Folder(folder) if adapter::is_adapter(folder) => Some(folder.clone()),
        _ => None,
    };
    match (of_folder, &options.adapter) {
        (Some(_), Some(other)) => Err(refuse(
            "adapter",
            format!("{other:?}"),
            format!("{name:?} is an adapter itself; name the model that both are for"),
        )),
        (Some(folder), None) => {
            let files = ModelFiles::open_adapter(&folder)?;
            let base = base_beside(Some(&folder), &folder.display().to_string(), &files)?;
            Ok((base, Some(files)))
        }
        (None, _) => Ok((source, named_adapter(options, watch)?)),
    }
}

/// The adapter that the options name.
fn named_adapter(options: &LoadOptions, watch: &mut Watch) -> Result<Option<ModelFiles>> {
    let Some(named) = &options.adapter else {
        return Ok(None);
    };
    let folder = expanded(named);
    if folder.join(adapter::FILE).is_file() {
        return ModelFiles::open_adapter(&folder).map(Some);
    }
    let (id, revision) = match named.split_once('@') {
        Some((id, revision)) => (id, Some(revision.to_owned())),
        None => (named.as_str(), None),
    };
    match source(id) {
        Ok(Source::Hub(id)) => of_hub(&id, revision, watch).map(Some),
        _ => {
            let reason = "expected a folder with adapter_config.json, or a hub id";
            Err(refuse("adapter", format!("{named:?}"), reason))
        }
    }
}

/// An adapter on the hub.
fn of_hub(id: &str, revision: Option<String>, watch: &mut Watch) -> Result<ModelFiles> {
    let options = hub::HubOptions { revision };
    let folder = hub::fetch_adapter(&hub::HubSettings::from_env(), id, &options, watch)?;
    ModelFiles::open_adapter(&folder)
}

/// The model that an adapter names: a folder, here or beside the adapter's, or a hub id.
fn base_beside(folder: Option<&Path>, name: &str, adapter: &ModelFiles) -> Result<Source> {
    let unknown = |base: &str| Error::NoBase {
        adapter: name.into(),
        base: base.to_owned(),
    };
    let base = adapter::base_of(adapter)?.ok_or_else(|| unknown(""))?;
    match folder.map(|folder| folder.join(&base)) {
        Some(beside) if beside.is_dir() => Ok(Source::Folder(beside)),
        _ => source(&base).map_err(|_| unknown(&base)),
    }
}

enum Source {
    Demo,
    Folder(PathBuf),
    Hub(String),
    /// A GGUF file of a model on the hub.
    HubFile(String, String),
}

/// An existing folder or file wins over a hub id; what looks like a path is never looked up on the hub.
fn source(name: &str) -> Result<Source> {
    if name == "demo" {
        return Ok(Source::Demo);
    }
    let path = expanded(name);
    let looks_like_path = name.is_empty()
        || name.starts_with(['/', '.', '~', '\\'])
        || name.ends_with('/')
        || name.ends_with(".gguf")
        || name.matches('/').count() > 1;
    match path.is_dir() || path.is_file() && is_weights(&path) {
        true => Ok(Source::Folder(path)),
        false if is_hub_file(name) => {
            let (id, file) = name.rsplit_once('/').unwrap_or((name, ""));
            Ok(Source::HubFile(id.to_owned(), file.to_owned()))
        }
        false if looks_like_path => Err(Error::FolderNotFound { path }),
        false => Ok(Source::Hub(name.to_owned())),
    }
}

/// Whether a name is `owner/name/file.gguf`.
fn is_hub_file(name: &str) -> bool {
    let parts: Vec<&str> = name.split('/').collect();
    let plain = |part: &&str| !part.is_empty() && !part.starts_with(['.', '~', '\\']);
    parts.len() == 3 && name.ends_with(".gguf") && parts.iter().all(plain)
}

impl Model {
    /// Loads a Hugging Face folder.
    pub fn open(folder: &Path, options: &LoadOptions, watch: &mut Watch) -> Result<Self> {
        Self::open_anywhere(folder, options, None, watch)
    }

    /// The same with its parts where they are told to go.
    pub fn open_placed(
        folder: &Path,
        options: &LoadOptions,
        placement: &Placement,
        watch: &mut Watch,
    ) -> Result<Self> {
        Self::open_anywhere(folder, options, Some(placement), watch)
    }

    fn open_anywhere(
        folder: &Path,
        options: &LoadOptions,
        placement: Option<&Placement>,
        watch: &mut Watch,
    ) -> Result<Self> {
        let name = folder.display().to_string();
        of_whole_files(|| {
            let adapter = named_adapter(options, watch)?.map(Rc::new);
            let files = (Rc::new(ModelFiles::open(folder)?), adapter);
            Self::from_files(&name, files, options, placement, watch)
        })
    }

    pub(super) fn from_files(
        name: &str,
        files: (Rc<ModelFiles>, Option<Rc<ModelFiles>>),
        options: &LoadOptions,
        placement: Option<&Placement>,
        watch: &mut Watch,
    ) -> Result<Self> {
        let gguf = files.0.gguf_name().map(str::to_owned);
        let model = Self::read(name, files, options, placement, watch);
        model.map_err(|error| match &gguf {
            Some(gguf) => error.in_gguf(gguf),
            None => error,
        })
    }

    fn read(
        name: &str,
        (files, adapter): (Rc<ModelFiles>, Option<Rc<ModelFiles>>),
        options: &LoadOptions,
        placement: Option<&Placement>,
        watch: &mut Watch,
    ) -> Result<Self> {
        let wanted = Wanted::of(options.dtype.as_deref())?;
        let config_file = ConfigFile::parse(&files.config)?;
        let family = families::find(&config_file)?;
        let config = (family.config)(&config_file)?;
        // An adapter that adds tokens has a tokenizer that knows them.
        let own = adapter.as_ref().map(|adapter| &adapter.tokenizer);
        let text = own.filter(|own| !own.is_empty()).unwrap_or(&files.tokenizer);
        let tokenizer = Tokenizer::read(text, &config.model_type)?;
        let chat = ChatTemplate::read(text)?;
        let said = files.generation_config.as_deref();
        let is_both = config.encoder.is_some();
        let generation = GenerationConfig::parse(said, &files.config, config.vocab_size, is_both)?;
        let what = format!("loading {name}");
        let mut stored = dequantized(stored_weights(&files)?, &config_file, family)?;
        let renamed = take_prefix_off(&mut stored, family);
        let n_guessing = config_file.count_or("num_nextn_predict_layers", 0)?;
        leave_out_guessing_layers(&mut stored, config.n_layers, n_guessing);
        let stored = side_by_side(stored, &config, family)?;
        let (placement, wanted) = match placement {
            Some(placement) => (placement.clone(), wanted.on(placement.main.device, &stored)),
            None => placed(options.device.as_deref(), &stored, family, &config, wanted, &what)?,
        };
        let (body, (sum, notices), tunable, held) = guard(|| {
            let mut weights = Weights::load(stored, family, &placement, wanted, watch)?;
            let body = body(config.clone(), &mut weights)?;
            let taken = weights.taken();
            let finished = weights.finish()?;
            let held = held(name, taken.values());
            let tunable = adapter
                .as_ref()
                .map(|adapter| Tunable::read(adapter, family, config, taken));
            Ok((body, finished, tunable.transpose()?, held))
        })?;
        files.ensure_unchanged()?;
        let model = Self {
            name: name.to_owned(),
            body,
            sum,
            tokenizer: Rc::new(tokenizer),
            generation: Rc::new(generation),
            chat: chat.map(Rc::new),
            files,
            adapter,
            asked: options.clone(),
            held: Rc::new(Entry::new(held)),
            notices: renamed.into_iter().chain(notices).collect(),
            tunable: None,
        };
        match tunable {
            Some(tunable) => model.tuned(tunable),
            None => Ok(model),
        }
    }
}

/// A model's tensors by how it reads.
pub(super) fn body(mut config: Config, weights: &mut Weights) -> Result<Body> {
    Ok(match (config.encoder.take(), &config.task) {
        (Some(encoder), _) => {
            config.encoder = Some(encoder.clone());
            Body::EncoderDecoder(Box::new(EncoderDecoder::load(config, *encoder, weights)?))
        }
        (None, Task::NextToken) => Body::Decoder(Box::new(Decoder::load(config, weights)?)),
        (None, _) => Body::Encoder(Box::new(Encoder::load(config, weights)?)),
    })
}

/// What weights take, by device.
fn held<'a>(name: &str, weights: impl Iterator<Item = &'a Weight>) -> Held {
    let mut bytes = BTreeMap::new();
    for weight in weights {
        *bytes.entry(device::device_name(weight.device())).or_default() += weight.n_bytes();
    }
    Held {
        name: name.to_owned(),
        bytes,
    }
}

/// As what the option wants weights.
#[derive(Debug, Clone, Copy)]
enum Wanted {
    As(Kind),
    /// As the files have them, `true`: without making numbers of blocks before they are used.
    AsStored(bool),
}

impl Wanted {
    fn of(option: Option<&str>) -> Result<Self> {
        match option {
            None => Ok(Self::AsStored(false)),
            Some(device::STORED) => Ok(Self::AsStored(true)),
            Some(name) => device::kind(name).map(Self::As),
        }
    }

    /// The same for a model's weights on a device.
    fn on(self, device: Device, stored: &[StoredWeight]) -> WeightType {
        let of_files = |is_stored| WeightType {
            kind: Weights::kind(stored, device),
            is_stored,
        };
        match self {
            Self::As(kind) => WeightType {
                kind,
                is_stored: false,
            },
            Self::AsStored(false) => of_files(false),
            // Blocks are computed with in single precision, whatever stands beside them; so are halves on a processor, which
            // reads them in half the time and has no better arithmetic for them.
            Self::AsStored(true) => {
                let wide = WeightType {
                    kind: Kind::Float,
                    is_stored: true,
                };
                let on_processor = device == Device::Cpu;
                let is_narrow =
                    |weight: &StoredWeight| (weight.is_encoded() || on_processor) && weight.stays(wide);
                match stored.iter().any(is_narrow) {
                    true => wide,
                    false => of_files(true),
                }
            }
        }
    }
}

/// Where a model goes by the option, and as which type it is kept.
fn placed(
    option: Option<&str>,
    stored: &[StoredWeight],
    family: &Family,
    config: &Config,
    wanted: Wanted,
    what: &str,
) -> Result<(Placement, WeightType)> {
    let rooms = match option {
        Some(device::AUTO) => device::rooms()?,
        _ => vec![],
    };
    let has_gpu = rooms.iter().any(|room| room.device != Device::Cpu);
    let main = match option {
        Some(device::AUTO) if has_gpu => Device::Cuda(0),
        Some(device::AUTO) => Device::Cpu,
        option => device::device(option)?,
    };
    let wanted = wanted.on(main, stored);
    let sizes = Weights::sizes(stored, family, wanted);
    if has_gpu {
        let parts = Parts::new(config, &sizes, wanted.kind);
        return Ok((placement::spread(&parts, &rooms, what)?, wanted));
    }
    device::ensure_free(main, sizes.iter().map(|(_, bytes)| bytes).sum(), what)?;
    Ok((Placement::whole(main), wanted))
}

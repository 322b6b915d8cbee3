//! Where a dictionary's files are, and from them to tensors where they belong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};
use tch::{Device, Kind, Tensor};

use super::formats::{Raw, raw};
use super::set::CrossLayer;
use super::{ActivationRule, Dictionary, Preparation, Spot, hooks};
use crate::config::NormConfig;
use crate::device::ensure_free;
use crate::error::{Error, Result, refuse};
use crate::files::{
    DICTIONARIES, DICTIONARY_SETTINGS, WeightFile, WeightFormat, expanded, json, names_in, read_small,
};
use crate::guard::guard;
use crate::host::bring;
use crate::hub;
use crate::model::Model;
use crate::run;
use crate::site::{Place, Site};
use crate::weights::{StoredWeight, by_name, pytorch_settings};
use ecco_interpreter::{Progress, Watch};

/// What the files do not say, or say otherwise.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DictionaryOptions {
    /// The place that is read.
    pub site: Option<Place>,
    /// The place that is written, where it is another one.
    pub writes: Option<Place>,
    pub layer: Option<usize>,
    /// Features that are active at a position, of a top-k dictionary.
    pub k: Option<usize>,
    /// Branch, tag or commit of a repository on the hub.
    pub revision: Option<String>,
}

/// What the files have.
pub(super) struct Source<'a> {
    pub weights: BTreeMap<String, StoredWeight<'a>>,
    pub file: &'a WeightFile,
    pub settings: Map<String, Value>,
    /// The name of the file that they are in.
    pub settings_name: String,
    pub norm: NormConfig,
    pub options: &'a DictionaryOptions,
    /// As what its numbers are computed with.
    pub kind: Kind,
}

/// Reads a folder or file, or what a repository on the hub has, `owner/name/folder`, for a model.
///
/// # Errors
/// Files that are none of the published formats, damaged or of another width; where a dictionary reads, if nothing says that.
pub fn open(name: &str, model: &Model, options: &DictionaryOptions, watch: &mut Watch) -> Result<Dictionary> {
    let path = found(name, options.revision.as_deref(), watch)?;
    if let Some(found) = CrossLayer::of(&path) {
        let layer = options.layer.ok_or_else(|| found.no_layer())?;
        return found.open(layer, model, options, watch);
    }
    let (weights, settings) = located(&path, options)?;
    let file = WeightFile::open(&weights)?;
    let weights = by_name(&file)?;
    let (mut settings, settings_name) = read_settings(settings)?;
    if file.format == WeightFormat::Pytorch {
        for (key, value) in pytorch_settings(&file)? {
            settings.entry(key).or_insert(value);
        }
    }
    let source = Source {
        weights,
        file: &file,
        settings,
        settings_name,
        norm: model.config().norm,
        options,
        kind: kind(model),
    };
    let dictionary = source.dictionary(model, watch, raw)?;
    file.ensure_unchanged()?;
    check(&dictionary, model)?;
    Ok(dictionary)
}

/// As what a dictionary of a model computes.
pub(super) fn kind(model: &Model) -> Kind {
    match model.stack().kind() {
        Kind::Double => Kind::Double,
        _ => Kind::Float,
    }
}

fn report(watch: &mut Watch, file: &WeightFile, done: u64) -> Result<()> {
    let progress = Progress {
        label: format!("reading {}", file.name).into(),
        done,
        total: Some(2),
        unit: "steps",
    };
    match watch(&progress).is_break() {
        true => Err(Error::Interrupted),
        false => Ok(()),
    }
}

/// A path that is there, else one in the cache of the hub.
pub(crate) fn found(name: &str, revision: Option<&str>, watch: &mut Watch) -> Result<PathBuf> {
    fetched(name, revision, watch, hub::fetch_dictionary)
}

/// What fetches a part of a repository.
type Fetch = fn(
    &hub::HubSettings,
    &str,
    &[&str],
    &hub::HubOptions,
    &mut Watch,
) -> std::result::Result<PathBuf, hub::HubError>;

fn fetched(name: &str, revision: Option<&str>, watch: &mut Watch, fetch: Fetch) -> Result<PathBuf> {
    let path = expanded(name);
    let parts: Vec<&str> = name.split('/').collect();
    if path.exists() || name.starts_with(['/', '.', '~', '\\']) || parts.len() < 2 {
        return Ok(path);
    }
    let options = hub::HubOptions {
        revision: revision.map(str::to_owned),
    };
    let id = parts[..2].join("/");
    let settings = hub::HubSettings::from_env();
    let folder = fetch(&settings, &id, &parts[2..], &options, watch)?;
    Ok(folder.join(parts[2..].join("/")))
}

/// The same of a folder with a dictionary for each layer.
pub(super) fn found_set(name: &str, revision: Option<&str>, watch: &mut Watch) -> Result<PathBuf> {
    fetched(name, revision, watch, hub::fetch_dictionaries)
}

/// The file of weights that is meant, and its settings where it has some.
fn located(path: &Path, options: &DictionaryOptions) -> Result<(PathBuf, Option<PathBuf>)> {
    if path.is_file() {
        let folder = path.parent().unwrap_or(path);
        let settings = DICTIONARY_SETTINGS.iter().map(|name| folder.join(name));
        return Ok((path.to_owned(), settings.into_iter().find(|path| path.is_file())));
    }
    if !path.is_dir() {
        let value = format!("{:?}", path.display().to_string());
        let reason =
            "there is no such folder or file, and a repository on the hub is named owner/name/folder";
        return Err(refuse("path", value, reason));
    }
    for (weights, settings) in DICTIONARIES {
        let weights = path.join(weights);
        if weights.is_file() {
            let settings = Some(path.join(settings)).filter(|path| path.is_file());
            return Ok((weights, settings));
        }
    }
    if let Some(layer) = options.layer {
        for name in [
            format!("layer_{layer}.safetensors"),
            format!("layer{layer}.sae.pt"),
        ] {
            if path.join(&name).is_file() {
                return located(&path.join(name), options);
            }
        }
    }
    Err(not_there(path))
}

/// A path within a sentence.
fn shown(path: &Path) -> String {
    let text: String = path.display().to_string().chars().take(200).collect();
    format!("{text:?}")
}

/// The error for a folder without a dictionary.
pub(super) fn not_there(path: &Path) -> Error {
    let value = shown(path);
    let names = names_in(path);
    let is_layer = |name: &&String| {
        name.starts_with("layer") && [".safetensors", ".pt"].iter().any(|end| name.ends_with(end))
    };
    let layers: Vec<&str> = names
        .iter()
        .filter(is_layer)
        .map(String::as_str)
        .take(4)
        .collect();
    if !layers.is_empty() {
        let reason = format!("it has a dictionary a layer ({} …): say which", layers.join(", "));
        return refuse("layer", "not given", reason);
    }
    let known: Vec<&str> = DICTIONARIES.iter().map(|(weights, _)| *weights).collect();
    let has: Vec<&str> = names.iter().map(String::as_str).take(8).collect();
    let reason = format!(
        "a dictionary's folder has {} or layer_N.safetensors; this one has {}",
        known.join(", "),
        if has.is_empty() {
            "nothing".to_owned()
        } else {
            has.join(", ")
        }
    );
    refuse("path", value, reason)
}

pub(super) fn read_settings(path: Option<PathBuf>) -> Result<(Map<String, Value>, String)> {
    let Some(path) = path else {
        return Ok((Map::new(), String::new()));
    };
    let name = path
        .file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned();
    let damaged = |reason: String| Error::Damaged {
        file: name.clone(),
        reason,
    };
    let bytes = read_small(path.parent().unwrap_or(&path), &name)?;
    if name.ends_with(".yaml") {
        let text = std::str::from_utf8(&bytes).map_err(|error| damaged(error.to_string()))?;
        return Ok((plain_yaml(text), name));
    }
    json::check_settings(&name, &bytes)?;
    match serde_json::from_slice(&bytes) {
        Ok(Value::Object(map)) => Ok((map, name)),
        Ok(_) => Err(damaged("not a JSON object".into())),
        Err(error) => Err(damaged(error.to_string())),
    }
}

/// The texts of a YAML document's own keys: `model_kind: transcoder_set`.
fn plain_yaml(text: &str) -> Map<String, Value> {
    let lines = text.lines().filter(|line| !line.starts_with([' ', '-', '#']));
    let pairs = lines.filter_map(|line| line.split_once(':'));
    let plain = |text: &str| text.trim().trim_matches(['"', '\'']).to_owned();
    pairs
        .map(|(key, value)| (plain(key), Value::String(plain(value))))
        .collect()
}

impl Source<'_> {
    /// What `raw` makes of it, where the model's layer is.
    pub(super) fn dictionary(
        &self,
        model: &Model,
        watch: &mut Watch,
        raw: impl FnOnce(&Self) -> Result<Raw>,
    ) -> Result<Dictionary> {
        report(watch, self.file, 0)?;
        let needed = self.weights.values().map(|weight| weight.n_bytes_as(self.kind));
        let needed = needed.fold(0_u64, u64::saturating_add);
        let what = format!("loading the dictionary in {}", self.file.name);
        guard(|| {
            ensure_free(Device::Cpu, needed, &what)?;
            let raw = raw(self)?;
            report(watch, self.file, 1)?;
            let (reads, writes, preparation) = self.spots(&raw, model)?;
            let places = model.stack().places();
            let device = places
                .get(reads.layer)
                .map_or(model.stack().device(), |place| place.1);
            if device != Device::Cpu {
                ensure_free(device, needed, &what)?;
            }
            let dictionary = self.placed(raw, (reads, writes, preparation), (self.kind, device))?;
            report(watch, self.file, 2)?;
            Ok(dictionary)
        })
    }

    /// The file of weights is not what it should be.
    pub(super) fn damaged(&self, reason: String) -> Error {
        Error::Damaged {
            file: self.file.name.clone(),
            reason,
        }
    }

    /// A setting is not one that is read.
    pub(super) fn setting(&self, key: &str, reason: &str) -> Error {
        let value = self.settings.get(key).map_or("missing".into(), Value::to_string);
        let value: String = value.chars().take(100).collect();
        let file = match self.settings_name.is_empty() {
            true => self.file.name.clone(),
            false => self.settings_name.clone(),
        };
        Error::Damaged {
            file,
            reason: format!("{key} is {value}: {reason}"),
        }
    }

    /// What it reads and writes, and how, by the options and else by what the files say.
    fn spots(&self, raw: &Raw, model: &Model) -> Result<(Spot, Spot, Preparation)> {
        let options = self.options;
        let layer = options.layer.or(raw.layer).ok_or_else(|| {
            refuse(
                "layer",
                "not given",
                "the files do not say at which layer the dictionary reads: name it",
            )
        })?;
        let n_layers = model.config().n_layers;
        if layer >= n_layers {
            let reason = format!("the model has layers 0 to {}", n_layers - 1);
            return Err(refuse("layer", layer, reason));
        }
        let site = options.site.or(raw.reads.map(Place::of)).ok_or_else(|| {
            refuse(
                "site",
                "not given",
                "the files do not say where the dictionary reads: name it, as \"residual_after\"",
            )
        })?;
        let writes = options.writes.or(raw.writes.map(Place::of));
        let is_input = site.site == Site::MlpInput && !site.encoder;
        let writes = writes.unwrap_or(match is_input && raw.before_gain {
            true => Place::of(Site::MlpOutput),
            false => site,
        });
        let (site, preparation) = match is_input && raw.before_gain {
            true => (Place::of(Site::ResidualMid), hooks::before_gain(self.norm)),
            false => (site, raw.preparation),
        };
        let spot = |place: Place| Spot { place, layer };
        if site != writes && raw.preparation != Preparation::Plain {
            let reason = "a dictionary that norms what it reads writes at the same place";
            return Err(refuse("writes", writes.name(), reason));
        }
        Ok((spot(site), spot(writes), preparation))
    }

    /// The tensors where they belong, no longer views of the file.
    fn placed(
        &self,
        raw: Raw,
        (reads, writes, preparation): (Spot, Spot, Preparation),
        place: (Kind, Device),
    ) -> Result<Dictionary> {
        let [n_inputs, n_features] = self.sizes(&raw.encoder, "encoder")?;
        let [rows, n_outputs] = self.sizes(&raw.decoder, "decoder")?;
        if rows != n_features || n_features == 0 {
            let reason = format!("its encoder has {n_features} features, and its decoder {rows}");
            return Err(self.damaged(reason));
        }
        if let ActivationRule::TopK(k) = raw.rule
            && !(1..=n_features).contains(&(k as i64))
        {
            return Err(refuse(
                "k",
                k,
                format!("the dictionary has {n_features} features"),
            ));
        }
        let expect = |tensor: &Tensor, what: &str, size: &[i64]| match tensor.size() == size {
            true => Ok(()),
            false => Err(self.damaged(format!(
                "its {what} has shape {:?}, expected {size:?}",
                tensor.size()
            ))),
        };
        for later in &raw.later {
            expect(later, "decoder of a later layer", &[n_features, n_outputs])?;
        }
        expect(&raw.bias, "encoder's bias", &[n_features])?;
        expect(&raw.output_bias, "decoder's bias", &[n_outputs])?;
        for level in &raw.levels {
            expect(level, "thresholds or gains", &[n_features])?;
        }
        if let Some(skip) = &raw.skip {
            expect(skip, "skip connection", &[n_inputs, n_outputs])?;
        }
        if let Some(bias) = &raw.input_bias {
            expect(bias, "input's bias", &[n_inputs])?;
        }
        let own = |x: &Tensor| {
            let placed = bring(x, place).contiguous();
            match placed.data_ptr() == x.data_ptr() {
                true => placed.copy(),
                false => placed,
            }
        };
        Ok(Dictionary {
            format: raw.format,
            reads,
            writes,
            preparation,
            rule: raw.rule,
            encoder: own(&raw.encoder),
            bias: own(&raw.bias),
            input_bias: raw.input_bias.as_ref().map(own),
            decoder: own(&raw.decoder),
            output_bias: own(&raw.output_bias),
            skip: raw.skip.as_ref().map(own),
            levels: raw.levels.iter().map(own).collect(),
            later: raw.later.iter().map(own).collect(),
            earlier: vec![],
        })
    }

    fn sizes(&self, matrix: &Tensor, what: &str) -> Result<[i64; 2]> {
        matrix.size().try_into().map_err(|size: Vec<i64>| {
            self.damaged(format!("its {what} has shape {size:?}, expected a matrix"))
        })
    }
}

/// Whether a model has the places that a dictionary reads and writes, as wide as it is.
///
/// # Errors
/// Where it has not: the dictionary is of another one.
pub fn check(dictionary: &Dictionary, model: &Model) -> Result<()> {
    let sizes = run::probe(model)?;
    let place = dictionary.writes.place;
    let writes = dictionary.layers().map(|layer| Spot { place, layer });
    let writes = writes.map(|spot| (spot, dictionary.n_outputs(), "writes"));
    let reads = (dictionary.reads, dictionary.n_inputs(), "site");
    for (spot, width, option) in std::iter::once(reads).chain(writes) {
        let size = sizes.size(spot.place, spot.layer).ok_or_else(|| Error::NoSite {
            site: spot.place.name(),
            layer: Some(spot.layer),
        })?;
        if spot.place.axes().contains(&"key") {
            let reason = "it is between two positions, not at one";
            return Err(refuse(option, spot.place.name(), reason));
        }
        let has: usize = match size[..] {
            [n_heads, _, head_dim] => n_heads * head_dim,
            _ => size[size.len() - 1],
        };
        if has != width {
            let reason = format!(
                "it has {has} numbers at a position, and the dictionary {width}: it is of another model or site"
            );
            return Err(refuse(option, spot.place.name(), reason));
        }
    }
    Ok(())
}

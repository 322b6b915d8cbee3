//! Folders that have a transcoder for each layer of a model: one a layer, or cross-layer ones.

use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::Dictionary;
use super::reading::{DictionaryOptions, Source, check, found_set, kind, open, read_settings};
use crate::error::{Error, Result, refuse};
use crate::files::{WeightFile, names_in};
use crate::model::Model;
use crate::weights::by_name;
use ecco_interpreter::Watch;

/// What the settings of such a folder are in.
const SETTINGS: &str = "config.yaml";

/// The transcoders of a folder, or of what a repository on the hub has, in the order of their layers: those of some layers,
/// or of all that the model has.
///
/// # Errors
/// As [`open`]; for a layer without files.
pub fn open_set(
    name: &str,
    model: &Model,
    (options, layers): (&DictionaryOptions, Option<&[usize]>),
    watch: &mut Watch,
) -> Result<Vec<Rc<Dictionary>>> {
    let path = found_set(name, options.revision.as_deref(), watch)?;
    let n_layers = model.config().n_layers;
    if let Some(layer) = layers.iter().copied().flatten().find(|layer| **layer >= n_layers) {
        let reason = format!("the model has layers 0 to {}", n_layers - 1);
        return Err(refuse("layers", layer, reason));
    }
    let mut wanted: Vec<usize> = layers.map_or_else(|| (0..n_layers).collect(), <[usize]>::to_vec);
    wanted.sort_unstable();
    wanted.dedup();
    let Some(last) = wanted.last().copied() else {
        return Err(refuse("layers", "[]", "name one at least"));
    };
    if let Some(found) = CrossLayer::of(&path) {
        if wanted.len() != last + 1 {
            let reason = "features of a cross-layer transcoder write in all later layers, so that a layer needs all that come \
                          before it: name layers from 0 on";
            return Err(refuse("layers", format!("{wanted:?}"), reason));
        }
        let last = Rc::new(found.open(last, model, options, watch)?);
        return Ok(last.earlier().iter().cloned().chain([Rc::clone(&last)]).collect());
    }
    let file = |layer: &usize| path.join(format!("layer_{layer}.safetensors"));
    let missing: Vec<String> = wanted
        .iter()
        .filter(|layer| !file(layer).is_file())
        .map(usize::to_string)
        .collect();
    if missing.len() == wanted.len() && layers.is_none() {
        let reason = format!(
            "a folder with a transcoder for each layer has layer_N.safetensors, or W_enc_N.safetensors and W_dec_N.safetensors; \
             this one has {}",
            listed(&path)
        );
        return Err(refuse("path", format!("{:?}", path.display()), reason));
    }
    if !missing.is_empty() {
        let (what, has) = (missing.join(", "), listed(&path));
        let reason = format!(
            "layer_N.safetensors is missing for N = {what} (there is {has}): name the layers that there are"
        );
        return Err(refuse("layers", format!("{wanted:?}"), reason));
    }
    let one = |layer: usize| {
        let options = DictionaryOptions {
            layer: Some(layer),
            ..options.clone()
        };
        let path = path.display().to_string();
        Ok(Rc::new(open(&path, model, &options, watch)?))
    };
    wanted.into_iter().map(one).collect()
}

/// A folder's first names, for people.
fn listed(path: &Path) -> String {
    let names: Vec<String> = names_in(path).into_iter().take(8).collect();
    match names.is_empty() {
        true => "nothing".into(),
        false => names.join(", "),
    }
}

/// A folder with the files of a cross-layer transcoder.
pub(super) struct CrossLayer {
    folder: PathBuf,
    /// From 0 to the highest that a file is named after.
    n_layers: usize,
}

/// What the files of a layer are called before its number.
const PARTS: [&str; 2] = ["W_enc_", "W_dec_"];

/// The layer that a file is of.
fn layer(name: &str) -> Option<usize> {
    let number = PARTS.iter().find_map(|part| name.strip_prefix(part))?;
    number.strip_suffix(".safetensors")?.parse().ok()
}

impl CrossLayer {
    /// The folder, or that of a file of one.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let name = path.file_name().and_then(|name| name.to_str());
        let folder = match name.and_then(layer) {
            Some(_) if path.is_file() => path.parent()?,
            _ => path,
        };
        let last = names_in(folder).iter().filter_map(|name| layer(name)).max()?;
        Some(Self {
            folder: folder.to_owned(),
            n_layers: last + 1,
        })
    }

    /// The error where no layer is named.
    pub(super) fn no_layer(&self) -> Error {
        let reason = format!(
            "it is a cross-layer transcoder with layers 0 to {}: say which",
            self.n_layers - 1
        );
        refuse("layer", "not given", reason)
    }

    /// A layer with those below it.
    pub(super) fn open(
        &self,
        layer: usize,
        model: &Model,
        options: &DictionaryOptions,
        watch: &mut Watch,
    ) -> Result<Dictionary> {
        let (has, needs) = (self.n_layers, model.config().n_layers);
        if has != needs {
            let reason = format!(
                "it is a cross-layer transcoder of {has} layers, and the model has {needs}: it is of another model, or files are \
                 missing"
            );
            return Err(refuse("path", format!("{:?}", self.folder.display()), reason));
        }
        if layer >= needs {
            let reason = format!("the model has layers 0 to {}", needs - 1);
            return Err(refuse("layer", layer, reason));
        }
        let mut earlier = Vec::new();
        for below in 0..layer {
            let mut one = self.one(below, model, options, watch)?;
            one.earlier.clone_from(&earlier);
            earlier.push(Rc::new(one));
        }
        let mut last = self.one(layer, model, options, watch)?;
        last.earlier = earlier;
        Ok(last)
    }

    /// A layer that knows none below it.
    fn one(
        &self,
        layer: usize,
        model: &Model,
        options: &DictionaryOptions,
        watch: &mut Watch,
    ) -> Result<Dictionary> {
        let options = DictionaryOptions {
            layer: None,
            ..options.clone()
        };
        let open = |part: &str| {
            let name = format!("{part}{layer}.safetensors");
            match self.folder.join(&name) {
                path if path.is_file() => WeightFile::open(&path),
                _ => Err(Error::Damaged {
                    file: name,
                    reason: "it is missing, and the layers that come behind need it".into(),
                }),
            }
        };
        let (encoder, decoder) = (open(PARTS[0])?, open(PARTS[1])?);
        let settings = Some(self.folder.join(SETTINGS)).filter(|path| path.is_file());
        let (settings, settings_name) = read_settings(settings)?;
        let mut weights = by_name(&encoder)?;
        let of_decoder = by_name(&decoder)?;
        let name = format!("W_dec_{layer}");
        if !of_decoder.contains_key(&name) {
            return Err(Error::Damaged {
                file: decoder.name.clone(),
                reason: format!("it has no {name}"),
            });
        }
        weights.extend(of_decoder);
        let source = Source {
            weights,
            file: &encoder,
            settings,
            settings_name,
            norm: model.config().norm,
            options: &options,
            kind: kind(model),
        };
        let found = source.dictionary(model, watch, |source| source.cross_layer(layer))?;
        let n_written = found.layers().len();
        if found.layers().end != self.n_layers {
            let reason = format!(
                "{name} writes in {n_written} layers from layer {layer} on, and there are {}",
                self.n_layers - layer
            );
            return Err(Error::Damaged {
                file: decoder.name.clone(),
                reason,
            });
        }
        encoder.ensure_unchanged()?;
        decoder.ensure_unchanged()?;
        if !found.is_transcoder() {
            let reason = "a cross-layer transcoder reads elsewhere than it writes";
            return Err(refuse("site", found.reads.place.name(), reason));
        }
        check(&found, model)?;
        Ok(found)
    }
}

//! Where a fitted lens is, and from its file to maps for a model.
//!
//! - the Jacobian lens: a file of `torch.save` with a dictionary `J` from a layer's number to its matrix
//! - the tuned lens: `params.pt` with `0.weight`, `0.bias` …, where W is what is added to the identity
//! - our own: a safetensors file with `depths`, `matrices` and, of a tuned lens, `biases`; of a relevance lens a number `relevance`
//! - the demo model's, inside the program

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ecco_interpreter::{Progress, Watch};
use tch::{Device, Kind, Tensor};

use super::{FittedLens, LensMethod, Translator};
use crate::device::ensure_free;
use crate::dictionary::reading::found;
use crate::error::{Error, Result, refuse};
use crate::files::{WeightFile, WeightFormat, names_in};
use crate::guard::guard;
use crate::host;
use crate::model::Model;
use crate::weights::{StoredWeight, by_name, pytorch_settings};

/// Its file in a folder.
const PARAMS: &str = "params.pt";
const JACOBIAN: &str = "jacobian_lens.pt";

/// That of the demo model: see `demo/lens.py`.
const DEMO: &[u8] = include_bytes!("../../../demo/lens.safetensors");

/// Reads `"demo"`, a file, a folder with one, or a file of a repository on the hub, `owner/name/path`, for a model.
///
/// # Errors
/// Files of none of the formats, damaged, or of a model of another width or with fewer layers.
pub fn open(name: &str, revision: Option<&str>, model: &Model, watch: &mut Watch) -> Result<FittedLens> {
    let file = match (name, model.name()) {
        ("demo", "demo") => WeightFile::inside("the demo model's lens", DEMO),
        _ => WeightFile::open(&located(&found(name, revision, watch)?)?)?,
    };
    let progress = Progress {
        label: format!("reading {}", file.name).into(),
        done: 0,
        total: Some(1),
        unit: "files",
    };
    if watch(&progress).is_break() {
        return Err(Error::Interrupted);
    }
    let weights = by_name(&file)?;
    let n_texts = match file.format {
        WeightFormat::Pytorch => pytorch_settings(&file)?.get("n_prompts").and_then(|n| n.as_u64()),
        _ => None,
    };
    let source = Source {
        weights,
        file: &file,
        model,
        place: (FittedLens::kind(model), model.stack().device()),
    };
    let bytes = source
        .weights
        .values()
        .map(|weight| weight.n_bytes_as(source.place.0));
    let bytes = bytes.fold(0_u64, u64::saturating_add);
    let lens = guard(|| {
        let what = format!("loading the lens {name}");
        ensure_free(Device::Cpu, bytes, &what)?;
        ensure_free(source.place.1, bytes, &what)?;
        source.lens(n_texts)
    })?;
    file.ensure_unchanged()?;
    Ok(lens)
}

fn located(path: &Path) -> Result<PathBuf> {
    let shown = || {
        let text: String = path.display().to_string().chars().take(200).collect();
        format!("{text:?}")
    };
    if path.is_file() {
        return Ok(path.to_owned());
    }
    if !path.is_dir() {
        let reason =
            "there is no such folder or file, and a file of a repository on the hub is named owner/name/path";
        return Err(refuse("path", shown(), reason));
    }
    let names = names_in(path);
    let is_lens = |name: &&String| name.as_str() == PARAMS || name.ends_with(JACOBIAN);
    let found: Vec<&String> = names.iter().filter(is_lens).collect();
    match found.as_slice() {
        [one] => Ok(path.join(one)),
        [] => {
            let reason = format!("the folder has neither {PARAMS} nor a file that ends with {JACOBIAN}");
            Err(refuse("path", shown(), reason))
        }
        several => {
            let reason = format!("the folder has {} lenses: name the file", several.len());
            Err(refuse("path", shown(), reason))
        }
    }
}

struct Source<'a> {
    weights: BTreeMap<String, StoredWeight<'a>>,
    file: &'a WeightFile,
    model: &'a Model,
    place: (Kind, Device),
}

impl Source<'_> {
    fn lens(&self, n_texts: Option<u64>) -> Result<FittedLens> {
        let (method, mut translators) = match self.weights.contains_key("matrices") {
            true => self.own()?,
            false => self.published()?,
        };
        if translators.is_empty() {
            let names: Vec<&str> = self.weights.keys().map(String::as_str).take(8).collect();
            let reason = format!(
                "with tensors {} it is no lens that is read: a Jacobian lens, a tuned lens, or what lens.save wrote",
                names.join(", ")
            );
            return Err(self.refused(reason));
        }
        translators.sort_by_key(|translator| translator.depth);
        Ok(FittedLens {
            method,
            n_texts,
            translators,
        })
    }

    fn published(&self) -> Result<(LensMethod, Vec<Translator>)> {
        let numbered = |ending: &'static str| {
            let number = move |name: &str| name.strip_suffix(ending)?.parse::<usize>().ok();
            self.weights
                .iter()
                .filter_map(move |(name, weight)| Some((number(name)?, weight)))
        };
        let of_jacobian = numbered("").map(|(layer, weight)| {
            Ok(Translator {
                depth: self.depth(layer.saturating_add(1))?,
                matrix: self.tensor(weight, &self.square())?,
                bias: None,
            })
        });
        let found: Vec<Translator> = of_jacobian.collect::<Result<_>>()?;
        if !found.is_empty() {
            return Ok((LensMethod::Jacobian, found));
        }
        let of_tuned = numbered(".weight").map(|(depth, weight)| {
            let matrix = self.tensor(weight, &self.square())?;
            let bias = self.weights.get(&format!("{depth}.bias"));
            let bias = bias.map(|bias| self.tensor(bias, &self.square()[..1]));
            Ok(Translator {
                depth: self.depth(depth)?,
                matrix: &matrix + Tensor::eye(matrix.size()[0], self.place),
                bias: bias.transpose()?,
            })
        });
        Ok((LensMethod::Tuned, of_tuned.collect::<Result<_>>()?))
    }

    fn own(&self) -> Result<(LensMethod, Vec<Translator>)> {
        let missing = || self.refused("it has matrices and no depths".into());
        let depths = self.weights.get("depths").ok_or_else(missing)?;
        let n = depths.shape.iter().product::<usize>().min(self.n_layers() + 1);
        let [rows, columns] = self.square();
        let depths = host::numbers(&self.tensor(depths, &[n as i64])?);
        let matrices = self.tensor(&self.weights["matrices"], &[n as i64, rows, columns])?;
        let biases = self.weights.get("biases");
        let biases = biases
            .map(|biases| self.tensor(biases, &[n as i64, rows]))
            .transpose()?;
        let each = depths.iter().enumerate().map(|(at, depth)| {
            Ok(Translator {
                depth: self.depth(*depth as usize)?,
                matrix: matrices.get(at as i64),
                bias: biases.as_ref().map(|biases| biases.get(at as i64)),
            })
        });
        let method = match biases {
            Some(_) => LensMethod::Tuned,
            None if self.weights.contains_key("relevance") => LensMethod::Relevance,
            None => LensMethod::Jacobian,
        };
        Ok((method, each.collect::<Result<_>>()?))
    }

    fn n_layers(&self) -> usize {
        self.model.config().n_layers
    }

    fn square(&self) -> [i64; 2] {
        [self.model.config().hidden_size as i64; 2]
    }

    /// The file is whole, and not one for this.
    fn refused(&self, reason: String) -> Error {
        refuse("path", format!("{:?}", self.file.name), reason)
    }

    fn depth(&self, depth: usize) -> Result<usize> {
        match depth < self.n_layers() {
            true => Ok(depth),
            false => Err(self.refused(format!(
                "it reads the stream after {depth} layers, and {} has {}, the last of which is read as it is",
                self.model.name(),
                self.n_layers()
            ))),
        }
    }

    fn tensor(&self, weight: &StoredWeight, shape: &[i64]) -> Result<Tensor> {
        let has: Vec<i64> = weight.shape.iter().map(|&n| n as i64).collect();
        if has != shape {
            return Err(self.refused(format!(
                "{} has shape {has:?}, expected {shape:?} for {}",
                weight.name,
                self.model.name()
            )));
        }
        // No view of the file, which may change.
        Ok(weight.tensor(self.place)?.copy())
    }
}

//! Weights by canonical name, straight from the mapped file.

mod finite;

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;
use std::rc::Rc;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use finite::check_finite;

use crate::error::{Error, Result, refuse};
use crate::families::{Family, WeightName};
use crate::files::{INDEX, ModelFiles, WeightFile};
use crate::host;
use crate::layers::bring;
use crate::placement::Placement;
use ecco_interpreter::{Progress, Watch};

/// All weights of a model on their device. Taking one checks its shape.
pub struct Weights {
    /// By canonical name.
    tensors: BTreeMap<String, StoredTensor>,
    /// What was taken: layers may repeat the weights of others.
    taken: BTreeMap<String, Tensor>,
    /// The first of those that are.
    missing: Vec<String>,
    n_missing: usize,
    /// Of all weights that were taken.
    n_parameters: u64,
    /// What all of them are from.
    source: String,
    family: &'static Family,
}

/// A weight as it was found.
struct StoredTensor {
    file: Rc<str>,
    /// Its name there.
    name: String,
    tensor: Tensor,
}

fn stored_kind(stored: Dtype) -> Option<Kind> {
    Some(match stored {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        _ => return None,
    })
}

fn parse(file: &WeightFile) -> Result<SafeTensors<'_>> {
    SafeTensors::deserialize(file.bytes.as_slice()).map_err(|error| Error::Damaged {
        file: file.name.clone(),
        reason: format!("not a whole safetensors file ({error})"),
    })
}

impl Weights {
    /// The type in which a model's weights are kept: the one that most of its bytes are stored in. Some files have
    /// their norms or biases in another.
    pub fn kind(files: &ModelFiles, device: Device) -> Result<Kind> {
        let mut bytes = [Kind::Float, Kind::BFloat16, Kind::Half, Kind::Double].map(|kind| (kind, 0));
        for file in &files.weights {
            for (_, view) in parse(file)?.iter() {
                let of_kind = bytes
                    .iter_mut()
                    .find(|(kind, _)| Some(*kind) == stored_kind(view.dtype()));
                if let Some((_, sum)) = of_kind {
                    *sum += view.data().len();
                }
            }
        }
        let most = bytes.iter().map(|(_, sum)| *sum).max();
        let kind = bytes.iter().find(|(_, sum)| Some(*sum) == most);
        Ok(match kind.map_or(Kind::Float, |(kind, _)| *kind) {
            // Half floats have no fast arithmetic on most CPUs; the values are the same in f32.
            Kind::Half if device == Device::Cpu => Kind::Float,
            kind => kind,
        })
    }

    /// Bytes that each weight takes as `kind`, by canonical name.
    pub fn sizes(files: &ModelFiles, family: &Family, kind: Kind) -> Result<Vec<(String, u64)>> {
        let mut sizes = Vec::new();
        for file in &files.weights {
            for (name, view) in parse(file)?.iter() {
                let n_numbers = view.shape().iter().product::<usize>() as u64;
                if let WeightName::Canonical(name) = family.weight_name(name) {
                    sizes.push((name, n_numbers * kind.elt_size_in_bytes() as u64));
                }
            }
        }
        Ok(sizes)
    }

    /// Puts every weight of `files` where it belongs, as `kind`. A weight that is there already, as a mapped file is
    /// on the CPU, is not copied: `files` must outlive the tensors. What is copied leaves no second copy on the host:
    /// the pages it was read from are given back.
    pub fn load(
        files: &ModelFiles,
        family: &'static Family,
        placement: &Placement,
        kind: Kind,
        watch: &mut Watch,
    ) -> Result<Self> {
        let mut weights = Self {
            tensors: BTreeMap::new(),
            taken: BTreeMap::new(),
            missing: Vec::new(),
            n_missing: 0,
            n_parameters: 0,
            source: match files.weights.as_slice() {
                [file] => file.name.clone(),
                _ => INDEX.into(),
            },
            family,
        };
        let (mut done, total) = (0, files.weight_bytes());
        let mut unknown: Vec<(Rc<str>, String)> = Vec::new();
        let mut seen: HashMap<String, Rc<str>> = HashMap::new();
        for file in &files.weights {
            let of_file: Rc<str> = file.name.as_str().into();
            for (name, view) in parse(file)?.iter() {
                if let Some(first) = seen.insert(name.to_owned(), Rc::clone(&of_file)) {
                    return Err(Error::Damaged {
                        file: file.name.clone(),
                        reason: format!("has {name}, which {first} has, too"),
                    });
                }
                done += view.data().len() as u64;
                let progress = Progress {
                    label: "loading weights".into(),
                    done,
                    total: Some(total),
                    unit: "bytes",
                };
                if watch(&progress) == ControlFlow::Break(()) {
                    return Err(Error::Interrupted);
                }
                match family.weight_name(name) {
                    WeightName::Ignored => {}
                    WeightName::Unknown => unknown.push((Rc::clone(&of_file), name.to_owned())),
                    WeightName::Canonical(canonical) => {
                        let spot = placement.of(&canonical);
                        let to = (spot.kind.unwrap_or(kind), spot.device);
                        let tensor = place(file, name, &view, to)?;
                        let stored = StoredTensor {
                            file: Rc::clone(&of_file),
                            name: name.to_owned(),
                            tensor,
                        };
                        weights.tensors.insert(canonical, stored);
                    }
                }
            }
        }
        match unexpected(family, unknown) {
            Some(error) => Err(error),
            None => Ok(weights),
        }
    }

    /// A weight of the given shape. One that is missing is remembered for [`Weights::finish`].
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        if let Some(tensor) = self.taken.get(name) {
            return Ok(tensor.shallow_clone());
        }
        let Some(StoredTensor {
            file,
            name: in_file,
            tensor,
        }) = self.tensors.remove(name)
        else {
            self.miss(self.family.name_in_file(name));
            return Ok(Tensor::new());
        };
        let found: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        if found == shape {
            self.n_parameters += tensor.numel() as u64;
            self.taken.insert(name.to_owned(), tensor.shallow_clone());
            return Ok(tensor);
        }
        Err(Error::WeightShape {
            file: file.to_string(),
            name: in_file,
            found,
            expected: shape.to_vec(),
        })
    }

    /// The weight of a linear layer as `[in, out]`, a view where the family stores `[out, in]`.
    pub fn take_linear(&mut self, name: &str, inputs: usize, outputs: usize) -> Result<Tensor> {
        if self.family.linear_in_out {
            return self.take(name, &[inputs, outputs]);
        }
        let weight = self.take(name, &[outputs, inputs])?;
        Ok(if weight.defined() { weight.tr() } else { weight })
    }

    /// Whether a weight is there.
    pub fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name) || self.taken.contains_key(name)
    }

    /// Whether nothing of a layer is there, which is then remembered as missing: a config with an absurd
    /// number of layers ends at the first that the file does not have.
    pub fn lacks_layer(&mut self, prefix: &str) -> bool {
        let starts = |name: Option<&String>| name.is_some_and(|name| name.starts_with(prefix));
        let lacks = !starts(
            self.tensors
                .range(prefix.to_owned()..)
                .next()
                .map(|(name, _)| name),
        ) && !starts(self.taken.range(prefix.to_owned()..).next().map(|(name, _)| name));
        if lacks {
            self.miss(format!("everything of {}", prefix.trim_end_matches('.')));
        }
        lacks
    }

    fn miss(&mut self, name: String) {
        self.n_missing += 1;
        if self.missing.len() < NAMED {
            self.missing.push(name);
        }
    }

    /// Drops a weight that repeats another.
    pub fn discard(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// Checks that everything asked for was there, and everything there was asked for; the number of parameters.
    pub fn finish(self) -> Result<u64> {
        if !self.missing.is_empty() {
            return Err(Error::WeightsMissing {
                names: shorten(&self.missing, self.n_missing),
                file: self.source,
            });
        }
        // Files of encoders often have the heads of several tasks.
        let left = self
            .tensors
            .into_iter()
            .filter(|(name, _)| !name.starts_with("task."))
            .map(|(_, stored)| (stored.file, stored.name));
        match unexpected(self.family, left.collect()) {
            Some(error) => Err(error),
            None => Ok(self.n_parameters),
        }
    }
}

/// The error about names that a family does not have; the file is the first one's.
fn unexpected(family: &Family, names: Vec<(Rc<str>, String)>) -> Option<Error> {
    let (file, _) = names.first()?;
    Some(Error::WeightsUnexpected {
        file: file.to_string(),
        model_type: family.model_type.to_owned(),
        names: shorten(
            &names
                .iter()
                .map(|(_, name)| name.clone())
                .take(NAMED)
                .collect::<Vec<_>>(),
            names.len(),
        ),
    })
}

/// Names that an error says.
const NAMED: usize = 4;

/// The first few of `n` names and how many more there are.
fn shorten(names: &[String], n: usize) -> String {
    let first = names
        .iter()
        .map(|name| name.chars().take(80).collect::<String>())
        .collect::<Vec<_>>();
    match n.saturating_sub(NAMED) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn place(file: &WeightFile, name: &str, view: &TensorView, to: (Kind, Device)) -> Result<Tensor> {
    let stored = stored_kind(view.dtype()).ok_or_else(|| Error::Damaged {
        file: file.name.clone(),
        reason: format!(
            "{name} is stored as {:?}; expected F32, F16, BF16 or F64",
            view.dtype()
        ),
    })?;
    let size: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
    let mut strides = vec![1; size.len()];
    for axis in (1..size.len()).rev() {
        strides[axis - 1] = strides[axis] * size[axis];
    }
    let pointer = view.data().as_ptr();
    // SAFETY: safetensors has checked that shape and type fill `data`; the model keeps its files alive.
    let mapped = unsafe { Tensor::from_blob(pointer, &size, &strides, stored, Device::Cpu) };
    let is_aligned = pointer.align_offset(stored.elt_size_in_bytes()) == 0;
    let tensor = if is_aligned {
        mapped
    } else {
        realigned(view, &size, stored)
    };
    check_finite(&file.name, name, view.data(), stored)?;
    let tensor = bring(&tensor, to);
    if to.0 == Kind::Half && stored != Kind::Half && host::number(&tensor.isfinite().all()) == 0.0 {
        return Err(refuse(
            "dtype",
            "float16",
            format!(
                "{}: {name} has numbers beyond its range; bfloat16 has float32's",
                file.name
            ),
        ));
    }
    let is_copy = to.1 != Device::Cpu || !std::ptr::eq(tensor.data_ptr().cast(), pointer);
    if is_copy {
        file.bytes.give_back(view.data());
    }
    Ok(tensor)
}

/// A copy of a tensor that the file's header has pushed off its alignment.
fn realigned(view: &TensorView, size: &[i64], kind: Kind) -> Tensor {
    Tensor::from_data_size(view.data(), size, kind)
}

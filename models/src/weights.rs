//! Weights by canonical name, straight from the mapped file.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use crate::error::{Error, Result};
use crate::families::{Family, WeightName};
use crate::files::{ModelFiles, WeightFile};
use crate::progress::{Progress, Watch};

/// All weights of a model on their device. Taking one checks its shape.
pub struct Weights {
    /// By canonical name: the name in the file, and the tensor.
    tensors: BTreeMap<String, (String, Tensor)>,
    /// What was taken: layers may repeat the weights of others.
    taken: BTreeMap<String, Tensor>,
    missing: Vec<String>,
    /// Of all weights that were taken.
    n_parameters: u64,
    file: String,
    family: &'static Family,
}

/// The number type that a weight is kept in.
fn kept_kind(stored: Dtype, device: Device, wanted: Option<Kind>) -> Option<Kind> {
    let stored = match stored {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        _ => return None,
    };
    // Half floats have no fast arithmetic on most CPUs; the values are the same in f32.
    Some(wanted.unwrap_or(match (stored, device) {
        (Kind::Half, Device::Cpu) => Kind::Float,
        _ => stored,
    }))
}

fn parse(file: &WeightFile) -> Result<SafeTensors<'_>> {
    SafeTensors::deserialize(file.bytes.as_slice()).map_err(|error| Error::Damaged {
        file: file.name.clone(),
        reason: format!("not a whole safetensors file ({error})"),
    })
}

impl Weights {
    /// Memory that all weights take on `device`, in bytes.
    pub fn bytes_needed(files: &ModelFiles, device: Device, kind: Option<Kind>) -> Result<u64> {
        let mut needed = 0;
        for file in &files.weights {
            for (_, view) in parse(file)?.iter() {
                let kept = kept_kind(view.dtype(), device, kind);
                let size = kept.map_or(1, |kind| kind.elt_size_in_bytes() as u64);
                needed += view.shape().iter().product::<usize>() as u64 * size;
            }
        }
        Ok(needed)
    }

    /// Puts every weight of `files` on `device`. A weight that is there already, as a mapped file is on
    /// the CPU, is not copied: `files` must outlive the tensors.
    pub fn load(
        files: &ModelFiles,
        family: &'static Family,
        device: Device,
        kind: Option<Kind>,
        watch: &mut Watch,
    ) -> Result<Self> {
        let mut weights = Self {
            tensors: BTreeMap::new(),
            taken: BTreeMap::new(),
            missing: Vec::new(),
            n_parameters: 0,
            file: files
                .weights
                .first()
                .map_or_else(String::new, |file| file.name.clone()),
            family,
        };
        let (mut done, total) = (0, files.weight_bytes());
        let mut unknown = Vec::new();
        for file in &files.weights {
            for (name, view) in parse(file)?.iter() {
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
                    WeightName::Unknown => unknown.push(name.to_owned()),
                    WeightName::Canonical(canonical) => {
                        let tensor = place(&file.name, name, &view, device, kind)?;
                        weights.tensors.insert(canonical, (name.to_owned(), tensor));
                    }
                }
            }
        }
        if unknown.is_empty() {
            return Ok(weights);
        }
        Err(unexpected(weights.file, family, &unknown))
    }

    /// A weight of the given shape. One that is missing is remembered for [`Weights::finish`].
    pub fn take(&mut self, name: &str, shape: &[usize]) -> Result<Tensor> {
        if let Some(tensor) = self.taken.get(name) {
            return Ok(tensor.shallow_clone());
        }
        let Some((in_file, tensor)) = self.tensors.remove(name) else {
            self.missing.push(self.family.name_in_file(name));
            return Ok(Tensor::new());
        };
        let found: Vec<usize> = tensor.size().iter().map(|&size| size as usize).collect();
        if found == shape {
            self.n_parameters += tensor.numel() as u64;
            self.taken.insert(name.to_owned(), tensor.shallow_clone());
            return Ok(tensor);
        }
        Err(Error::WeightShape {
            file: self.file.clone(),
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
            self.missing
                .push(format!("everything of {}", prefix.trim_end_matches('.')));
        }
        lacks
    }

    /// Drops a weight that repeats another.
    pub fn discard(&mut self, name: &str) {
        self.tensors.remove(name);
    }

    /// Checks that everything asked for was there, and everything there was asked for; the number of parameters.
    pub fn finish(self) -> Result<u64> {
        if !self.missing.is_empty() {
            return Err(Error::WeightsMissing {
                names: shorten(&self.missing),
                file: self.file,
            });
        }
        // Files of encoders often have the heads of several tasks.
        let left = self
            .tensors
            .into_iter()
            .filter(|(name, _)| !name.starts_with("task."))
            .map(|(_, (in_file, _))| in_file)
            .collect::<Vec<_>>();
        if left.is_empty() {
            return Ok(self.n_parameters);
        }
        Err(unexpected(self.file, self.family, &left))
    }
}

fn unexpected(file: String, family: &Family, names: &[String]) -> Error {
    Error::WeightsUnexpected {
        file,
        model_type: family.model_type.to_owned(),
        names: shorten(names),
    }
}

/// The first few names and how many more there are.
fn shorten(names: &[String]) -> String {
    let first = names
        .iter()
        .take(4)
        .map(|name| name.chars().take(80).collect::<String>())
        .collect::<Vec<_>>();
    match names.len().saturating_sub(4) {
        0 => first.join(", "),
        more => format!("{} and {more} more", first.join(", ")),
    }
}

fn place(file: &str, name: &str, view: &TensorView, device: Device, kind: Option<Kind>) -> Result<Tensor> {
    let kinds = kept_kind(view.dtype(), Device::Cuda(0), None).zip(kept_kind(view.dtype(), device, kind));
    let (stored, kind) = kinds.ok_or_else(|| Error::Damaged {
        file: file.to_owned(),
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
    let tensor = tensor.to_device(device).to_kind(kind);
    check_finite(file, name, &tensor)?;
    Ok(tensor)
}

/// A copy of a tensor that the file's header has pushed off its alignment.
fn realigned(view: &TensorView, size: &[i64], kind: Kind) -> Tensor {
    Tensor::from_data_size(view.data(), size, kind)
}

/// Numbers that are looked at together: a sum in another type first copies what it sums.
const CHUNK: i64 = 1 << 22;

/// One sum finds that there is something; only then is it looked for.
fn check_finite(file: &str, name: &str, tensor: &Tensor) -> Result<()> {
    let kind = match tensor.kind() {
        Kind::Double => Kind::Double,
        _ => Kind::Float,
    };
    let numbers = tensor.flatten(0, -1);
    let total = numbers.numel() as i64;
    for start in (0..total).step_by(CHUNK as usize) {
        let chunk = numbers.narrow(0, start, CHUNK.min(total - start));
        if chunk.sum(kind).double_value(&[]).is_finite() {
            continue;
        }
        let bad = chunk.isfinite().logical_not();
        if bad.any().int64_value(&[]) == 0 {
            continue;
        }
        let index = bad.to_kind(Kind::Uint8).argmax(0, false).int64_value(&[]);
        return Err(Error::WeightNotFinite {
            file: file.to_owned(),
            name: name.to_owned(),
            what: chunk.double_value(&[index]),
            index: (start + index) as usize,
        });
    }
    Ok(())
}

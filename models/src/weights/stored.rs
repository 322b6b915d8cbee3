//! Weights as a model's files have them, whatever the format, and how each becomes a tensor.
//!
//! [`stored_weights`] lists them. What becomes numbers only when it is read (blocks of integers with their scales) is
//! an [`Encoded`] weight; a pass over the list may make one of several stored ones.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};

use safetensors::{Dtype, SafeTensors};
use tch::{Device, Kind, Tensor};

use super::finite::check_finite;
use super::{WeightType, npz, pytorch};
use crate::error::{Error, Result, refuse};
use crate::files::{ModelFiles, WeightFile, WeightFormat};
use crate::gguf::{self, GgufWeight, blocks};
use crate::host::{self, bring};
use crate::weight::{Bytes, Rows, StoredMatrix, Weight};

/// A weight as the files have it: where, its name there, its shape, and numbers or what becomes numbers.
pub(crate) struct StoredWeight<'a> {
    pub file: &'a WeightFile,
    pub name: String,
    pub shape: Vec<usize>,
    pub data: StoredData<'a>,
}

pub(crate) enum StoredData<'a> {
    /// Little-endian numbers as they lie in the file, from the first to the last one that belongs to the weight. On the
    /// CPU a weight that needs no other type stays a view of them. `strides`, in numbers, where they are not row by
    /// row; whoever fills this in has checked that they stay within `bytes`.
    Numbers {
        dtype: Dtype,
        bytes: &'a [u8],
        strides: Option<Vec<usize>>,
    },
    /// What becomes numbers when it is read.
    Encoded(Box<dyn Encoded<'a> + 'a>),
}

/// A weight that has to be computed from what is stored.
pub(crate) trait Encoded<'a> {
    /// The bytes that it is computed from and the files that have them: they are given back afterwards.
    fn sources(&self) -> Vec<(&'a WeightFile, &'a [u8])>;

    /// The type that it is meant to become where none is asked for.
    fn kind(&self) -> Kind;

    /// Its numbers on the CPU, row by row, as f32 or as its kind; the shape is the [`StoredWeight`]'s.
    ///
    /// # Errors
    /// Where what is stored cannot be a weight; the error names file and weight.
    fn decode(&self) -> Result<Tensor>;

    /// Its rows, for what is decoded when it is used, and whether the weight has them as columns; `None` where it has to
    /// be decoded as a whole.
    fn rows(&self) -> Option<(Rows, bool)> {
        None
    }
}

impl StoredWeight<'_> {
    /// The type that it has or is meant to become; none for integers and others that no model computes with.
    pub(crate) fn kind(&self) -> Option<Kind> {
        match &self.data {
            StoredData::Numbers { dtype, .. } => kind_of(*dtype),
            StoredData::Encoded(encoded) => Some(encoded.kind()),
        }
    }

    /// Bytes that it takes in the files.
    pub(crate) fn n_bytes(&self) -> u64 {
        match &self.data {
            StoredData::Numbers { bytes, .. } => bytes.len() as u64,
            StoredData::Encoded(encoded) => {
                let sources = encoded.sources();
                sources.iter().map(|(_, bytes)| bytes.len() as u64).sum()
            }
        }
    }

    /// Bytes that it takes as numbers of a type; as many as there are where the shape is absurd.
    pub(crate) fn n_bytes_as(&self, kind: Kind) -> u64 {
        let sizes = self.shape.iter().map(|&size| size as u64);
        sizes.fold(kind.elt_size_in_bytes() as u64, u64::saturating_mul)
    }

    pub(crate) fn is_encoded(&self) -> bool {
        matches!(self.data, StoredData::Encoded(_))
    }

    /// Whether it is kept as it is stored.
    pub(crate) fn stays(&self, wanted: WeightType) -> bool {
        wanted.is_stored && self.stored_rows(wanted.kind).is_some()
    }

    /// Its rows, where they can become numbers one by one and take more room as such.
    fn stored_rows(&self, kind: Kind) -> Option<(Rows, bool)> {
        match &self.data {
            StoredData::Encoded(encoded) => encoded.rows(),
            StoredData::Numbers {
                dtype,
                bytes,
                strides: None,
            } if kind == Kind::Float => {
                let read = match dtype {
                    Dtype::F16 => blocks::f16,
                    Dtype::BF16 => blocks::bf16,
                    _ => return None,
                };
                let (n_rows, n_columns) = match self.shape[..] {
                    [n_rows, n_columns] if n_rows > 0 && n_columns > 0 => (n_rows, n_columns),
                    _ => return None,
                };
                let shared = self.file.share(bytes)?;
                let bf16: Option<Box<Bytes>> = match dtype {
                    Dtype::BF16 => Some(Box::new(shared.clone())),
                    _ => None,
                };
                let rows = Rows {
                    bf16,
                    size: [n_rows, n_columns],
                    n_bytes: bytes.len() as u64,
                    read: Box::new(move |row, numbers| {
                        read(&shared[2 * row * n_columns..2 * (row + 1) * n_columns], numbers);
                    }),
                };
                Some((rows, false))
            }
            StoredData::Numbers { .. } => None,
        }
    }

    /// Its name in the file, and the weight as what is wanted.
    pub(crate) fn weight(self, wanted: WeightType, device: Device) -> Result<(String, Weight)> {
        let place = (wanted.kind, device);
        let rows = match wanted.is_stored {
            true => self.stored_rows(wanted.kind),
            false => None,
        };
        let Some((rows, turned)) = rows else {
            let tensor = self.tensor(place)?;
            return Ok((self.name, tensor.into()));
        };
        rows.parts(0..rows.size[0], |first, numbers| {
            // SAFETY: so many bytes are those of the numbers, which outlive them.
            let bytes = unsafe { std::slice::from_raw_parts(numbers.as_ptr().cast(), 4 * numbers.len()) };
            let file = &self.file.name;
            check_finite(file, &self.name, bytes, Kind::Float).map_err(|error| match error {
                Error::WeightNotFinite {
                    file,
                    name,
                    what,
                    index,
                } => Error::WeightNotFinite {
                    file,
                    name,
                    what,
                    index: index + first * rows.size[1],
                },
                other => other,
            })
        })?;
        self.give_back();
        Ok((self.name, Weight::Stored(StoredMatrix::new(rows, turned, place))))
    }

    /// Gives back the pages that it was read from.
    fn give_back(&self) {
        match &self.data {
            StoredData::Numbers { bytes, .. } => self.file.bytes.give_back(bytes),
            StoredData::Encoded(encoded) => {
                for (file, bytes) in encoded.sources() {
                    file.bytes.give_back(bytes);
                }
            }
        }
    }

    /// The weight with a type and on a device.
    pub(crate) fn tensor(&self, to: (Kind, Device)) -> Result<Tensor> {
        match &self.data {
            StoredData::Numbers {
                dtype,
                bytes,
                strides,
            } => {
                let stored = kind_of(*dtype).ok_or_else(|| self.no_number(*dtype))?;
                let tensor = self.rows(bytes, stored, strides.as_deref());
                check_finite(&self.file.name, &self.name, contents(&tensor), stored)?;
                let placed = self.placed(&tensor, to)?;
                if !std::ptr::eq(placed.data_ptr().cast(), bytes.as_ptr()) {
                    self.give_back();
                }
                Ok(placed)
            }
            StoredData::Encoded(encoded) => {
                let tensor = encoded.decode()?;
                check_finite(&self.file.name, &self.name, contents(&tensor), tensor.kind())?;
                self.give_back();
                self.placed(&tensor, to)
            }
        }
    }

    /// The numbers row by row: a view of the file where they lie so.
    fn rows(&self, bytes: &[u8], kind: Kind, strides: Option<&[usize]>) -> Tensor {
        let size: Vec<i64> = self.shape.iter().map(|&size| size as i64).collect();
        let by_row = row_strides(&self.shape);
        let is_by_row = strides.is_none_or(|strides| {
            let axes = self.shape.iter().zip(strides).zip(&by_row);
            axes.into_iter()
                .all(|((&size, found), row)| size < 2 || found == row)
        });
        let strides: Vec<i64> = strides.unwrap_or(&by_row).iter().map(|&n| n as i64).collect();
        // A file's header may have pushed its numbers off their alignment.
        let is_aligned = bytes.as_ptr().align_offset(kind.elt_size_in_bytes()) == 0;
        let numbers = match is_aligned {
            true => Cow::Borrowed(bytes),
            false => Cow::Owned(bytes.to_vec()),
        };
        // SAFETY: the numbers fill shape and strides, as whoever listed the weight has checked; the model keeps its
        // files alive, and what was moved is copied below before it goes.
        let view = unsafe { Tensor::from_blob(numbers.as_ptr(), &size, &strides, kind, Device::Cpu) };
        match is_aligned && is_by_row {
            true => view,
            // Row by row as another format would have it: products then round as they do there.
            false => {
                let mut rows = Tensor::empty(&size, (kind, Device::Cpu));
                rows.copy_(&view);
                rows
            }
        }
    }

    fn placed(&self, tensor: &Tensor, to: (Kind, Device)) -> Result<Tensor> {
        let placed = bring(tensor, to);
        let narrowed = to.0 == Kind::Half && tensor.kind() != Kind::Half;
        match narrowed && host::number(&placed.isfinite().all()) == 0.0 {
            false => Ok(placed),
            true => Err(refuse(
                "dtype",
                "float16",
                format!(
                    "{}: {} has numbers beyond its range; bfloat16 has float32's",
                    self.file.name, self.name
                ),
            )),
        }
    }

    fn no_number(&self, dtype: Dtype) -> Error {
        Error::NotNumbers {
            file: self.file.name.clone(),
            name: self.name.clone(),
            dtype: format!("{dtype:?}"),
        }
    }
}

/// The type of tensors for numbers that models compute with.
pub(crate) fn kind_of(stored: Dtype) -> Option<Kind> {
    Some(match stored {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        _ => return None,
    })
}

/// The strides of a shape whose numbers lie row by row.
pub(crate) fn row_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1_usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

/// The bytes of a tensor on the CPU that lies row by row.
fn contents(tensor: &Tensor) -> &[u8] {
    let n_bytes = tensor.numel() * tensor.kind().elt_size_in_bytes();
    match n_bytes {
        0 => &[],
        // SAFETY: the tensor owns or views as many bytes, and outlives the slice.
        _ => unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast(), n_bytes) },
    }
}

/// Every weight of a model's files, whatever their format.
///
/// # Errors
/// Where a file is not of its format, or two of them have a weight of one name.
pub(crate) fn stored_weights(files: &ModelFiles) -> Result<Vec<StoredWeight<'_>>> {
    let mut stored = Vec::new();
    for file in &files.weights {
        stored.extend(of_file(file)?);
    }
    stored.extend(of_gguf(&files.weights)?);
    let mut seen: HashMap<&str, &WeightFile> = HashMap::new();
    for weight in &stored {
        if let Some(first) = seen.insert(&weight.name, weight.file) {
            return Err(Error::Damaged {
                file: weight.file.name.clone(),
                reason: format!("has {}, which {} has, too", weight.name, first.name),
            });
        }
    }
    Ok(stored)
}

/// Those of one file; none of a GGUF file, the first of which says what all of them are.
fn of_file(file: &WeightFile) -> Result<Vec<StoredWeight<'_>>> {
    match file.format {
        WeightFormat::Safetensors => of_safetensors(file),
        WeightFormat::Pytorch => pytorch::weights(file),
        WeightFormat::Npz => of_npz(file),
        WeightFormat::Gguf => Ok(vec![]),
    }
}

/// Those of one file by their names.
pub(crate) fn by_name(file: &WeightFile) -> Result<BTreeMap<String, StoredWeight<'_>>> {
    Ok(of_file(file)?
        .into_iter()
        .map(|weight| (weight.name.clone(), weight))
        .collect())
}

fn of_gguf(files: &[WeightFile]) -> Result<Vec<StoredWeight<'_>>> {
    let files: Vec<&WeightFile> = files
        .iter()
        .filter(|file| file.format == WeightFormat::Gguf)
        .collect();
    if files.is_empty() {
        return Ok(vec![]);
    }
    let named: Vec<gguf::NamedBytes> = files
        .iter()
        .map(|file| (file.name.as_str(), file.bytes.as_slice()))
        .collect();
    let weights = gguf::weights(&named)?.into_iter().map(|weight| {
        let file = files[weight.file];
        StoredWeight {
            file,
            name: weight.name.clone(),
            shape: weight.shape.clone(),
            data: match weight.plain_dtype() {
                Some(dtype) => StoredData::Numbers {
                    dtype,
                    bytes: weight.bytes,
                    strides: None,
                },
                None => StoredData::Encoded(Box::new(OfGguf { file, weight })),
            },
        }
    });
    Ok(weights.collect())
}

/// Blocks of a GGUF file.
struct OfGguf<'a> {
    file: &'a WeightFile,
    weight: GgufWeight<'a>,
}

impl<'a> Encoded<'a> for OfGguf<'a> {
    fn sources(&self) -> Vec<(&'a WeightFile, &'a [u8])> {
        vec![(self.file, self.weight.bytes)]
    }

    fn kind(&self) -> Kind {
        self.weight.kind()
    }

    fn decode(&self) -> Result<Tensor> {
        Ok(self.weight.decode())
    }

    fn rows(&self) -> Option<(Rows, bool)> {
        self.weight.rows(self.file.share(self.weight.bytes)?)
    }
}

fn of_npz(file: &WeightFile) -> Result<Vec<StoredWeight<'_>>> {
    let arrays = npz::arrays(file.bytes.as_slice()).map_err(|reason| Error::Damaged {
        file: file.name.clone(),
        reason: format!("not a whole archive of numpy's: {reason}"),
    })?;
    let weights = arrays.into_iter().map(|(name, array)| {
        let by_column = array.by_column.then(|| {
            let turned: Vec<usize> = array.shape.iter().rev().copied().collect();
            row_strides(&turned).into_iter().rev().collect()
        });
        StoredWeight {
            file,
            name: name.to_owned(),
            shape: array.shape,
            data: StoredData::Numbers {
                dtype: array.dtype,
                bytes: array.bytes,
                strides: by_column,
            },
        }
    });
    Ok(weights.collect())
}

fn of_safetensors(file: &WeightFile) -> Result<Vec<StoredWeight<'_>>> {
    let tensors = SafeTensors::deserialize(file.bytes.as_slice()).map_err(|error| Error::Damaged {
        file: file.name.clone(),
        reason: format!("not a whole safetensors file ({error})"),
    })?;
    let weights = tensors.iter().map(|(name, view)| StoredWeight {
        file,
        name: name.to_owned(),
        shape: view.shape().to_vec(),
        data: StoredData::Numbers {
            dtype: view.dtype(),
            bytes: view.data(),
            strides: None,
        },
    });
    let mut weights: Vec<_> = weights.collect();
    // The library has them in an order of chance: of several faults the same one is told each time.
    weights.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(weights)
}

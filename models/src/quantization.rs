//! Weights that files have as small integers or floats with scales.
//!
//! `quantization_config` in config.json names the method. A [`Scheme`] says which stored tensors are one weight, and
//! reads them; [`dequantized`] is a pass over a model's stored weights that puts one in the place of the several.
//! It becomes numbers when it is read, and is a weight like any other from then on.
//!
//! - [`part`]: the stored tensors of one module
//! - [`bitsandbytes`], [`gptq`], [`awq`], [`fp8`], [`compressed_tensors`], [`mxfp4`]: a method each

mod awq;
mod bitsandbytes;
mod compressed_tensors;
mod fp8;
mod gptq;
mod mxfp4;
mod part;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use tch::{Kind, Tensor};

use crate::config::ConfigFile;
use crate::device;
use crate::error::{Error, Result};
use crate::families::{Family, WeightName};
use crate::files::WeightFile;
use crate::weights::{Encoded, StoredData, StoredWeight, kind_of};

use part::{Matrix, Module, Part};

/// Several stored tensors that are one weight. All their names begin with the module's.
struct Scheme {
    /// What the name of the tensor ends with that shows there is such a weight.
    marker: &'static str,
    /// What those of the others end with, where they are there.
    others: &'static [&'static str],
    /// What the weight's ends with.
    weight: &'static str,
    /// Whether its axes are `[in, out]`, not PyTorch's `[out, in]`; `None` where they are as the model has them.
    in_out: Option<bool>,
    read: for<'a> fn(Module<'a>, &ConfigFile) -> Result<Matrix<'a>>,
}

/// What `quant_method` names.
struct Method {
    name: &'static str,
    schemes: &'static [Scheme],
}

const METHODS: &[Method] = &[
    Method {
        name: "bitsandbytes",
        schemes: &[bitsandbytes::INT8, bitsandbytes::NF4, bitsandbytes::FP4],
    },
    Method {
        name: "gptq",
        schemes: &[gptq::SCHEME],
    },
    Method {
        name: "awq",
        schemes: &[awq::SCHEME],
    },
    Method {
        name: "fp8",
        schemes: &[fp8::INVERSE, fp8::SCALED],
    },
    Method {
        name: "fbgemm_fp8",
        schemes: &[fp8::SCALED],
    },
    Method {
        name: "compressed-tensors",
        schemes: &[compressed_tensors::PACKED, compressed_tensors::PLAIN],
    },
    Method {
        name: "mxfp4",
        schemes: &[mxfp4::SCHEME],
    },
];

/// Scales for activations, which are not quantized here.
const OF_ACTIVATIONS: [&str; 8] = [
    ".input_scale",
    ".input_scale_ub",
    ".input_zero_point",
    ".output_scale",
    ".activation_scale",
    ".q_scale",
    ".k_scale",
    ".v_scale",
];

/// Markers that no weight's name ends with unless it is quantized.
const TELLING: [&str; 5] = [
    ".qweight",
    ".weight_packed",
    ".SCB",
    ".weight.quant_state.bitsandbytes__nf4",
    ".weight.quant_state.bitsandbytes__fp4",
];

/// A weight that several stored tensors are.
struct QuantizedWeight<'a> {
    sources: Vec<(&'a WeightFile, &'a [u8])>,
    kind: Kind,
    matrix: Matrix<'a>,
    /// The matrix has the two last axes in the other order.
    transposed: bool,
}

impl<'a> Encoded<'a> for QuantizedWeight<'a> {
    fn sources(&self) -> Vec<(&'a WeightFile, &'a [u8])> {
        self.sources.clone()
    }

    fn kind(&self) -> Kind {
        self.kind
    }

    fn decode(&self) -> Result<Tensor> {
        let numbers = (self.matrix.numbers)()?;
        let shape: Vec<i64> = self.matrix.shape.iter().map(|&size| size as i64).collect();
        let tensor = Tensor::from_slice(&numbers).view(shape.as_slice());
        Ok(match self.transposed {
            true => tensor.transpose(-2, -1).contiguous(),
            false => tensor,
        })
    }
}

/// The same weights, those that are quantized each as one that becomes numbers. What the files have as numbers stays.
///
/// # Errors
/// [`Error::UnknownQuantization`] for a method that is not read here; where a part of a weight is missing or does not
/// fit the others.
pub(crate) fn dequantized<'a>(
    stored: Vec<StoredWeight<'a>>,
    config: &ConfigFile,
    family: &Family,
) -> Result<Vec<StoredWeight<'a>>> {
    let Some(settings) = settings(config)? else {
        return unsettled(stored);
    };
    let method = method(&settings, config.architecture()?)?;
    let kind = kind(config);
    let is_weight =
        |weight: &StoredWeight| !OF_ACTIVATIONS.iter().any(|ending| weight.name.ends_with(ending));
    let mut rest: BTreeMap<String, StoredWeight> = stored
        .into_iter()
        .filter(is_weight)
        .map(|weight| (weight.name.clone(), weight))
        .collect();
    let mut joined = Vec::new();
    for scheme in method.schemes {
        let modules: Vec<String> = rest
            .keys()
            .filter_map(|name| name.strip_suffix(scheme.marker).map(str::to_owned))
            .collect();
        for name in modules {
            if let Some(module) = module(name, scheme, &mut rest)? {
                joined.push(scheme.join(module, &settings, kind, family)?);
            }
        }
    }
    match rest.values().find_map(|weight| no_scale(weight, method, family)) {
        Some(error) => Err(error),
        None => {
            joined.extend(rest.into_values());
            Ok(joined)
        }
    }
}

/// The error for a weight whose stored integers or small floats have nothing that makes numbers of them.
fn no_scale(weight: &StoredWeight, method: &Method, family: &Family) -> Option<Error> {
    let StoredData::Numbers { dtype, .. } = weight.data else {
        return None;
    };
    let is_weight = matches!(family.weight_name(&weight.name), WeightName::Canonical(_));
    let module = weight.name.strip_suffix(".weight").unwrap_or(&weight.name);
    let scales = method
        .schemes
        .iter()
        .map(|scheme| format!("{module}{}", scheme.marker));
    (is_weight && kind_of(dtype).is_none()).then(|| Error::NoScale {
        file: weight.file.name.clone(),
        name: weight.name.clone(),
        dtype: format!("{dtype:?}"),
        method: method.name,
        scales: scales.collect::<Vec<_>>().join(" or "),
    })
}

/// What config.json says about quantization, where it does.
fn settings(config: &ConfigFile) -> Result<Option<ConfigFile>> {
    match config.section("quantization_config")? {
        Some(settings) => Ok(Some(settings)),
        None => config.section("compression_config"),
    }
}

fn method(settings: &ConfigFile, class: &str) -> Result<&'static Method> {
    // The oldest files of bitsandbytes do not name it.
    let unnamed = match settings.has("load_in_8bit") || settings.has("load_in_4bit") {
        true => "bitsandbytes",
        false => "missing",
    };
    let name = settings.text_or("quant_method", unnamed)?;
    let found = METHODS.iter().find(|method| method.name == name);
    found.ok_or_else(|| Error::UnknownQuantization {
        method: name.chars().take(80).collect(),
        class: class.to_owned(),
        supported: METHODS
            .iter()
            .map(|method| method.name)
            .collect::<Vec<_>>()
            .join(", "),
    })
}

/// The type that the model was quantized from.
fn kind(config: &ConfigFile) -> Kind {
    let named = ["dtype", "torch_dtype"]
        .iter()
        .find_map(|key| config.text(key).ok())
        .and_then(|name| device::kind(name).ok());
    named.unwrap_or(Kind::Float)
}

/// The weights of a model whose config.json says nothing about quantization.
fn unsettled(stored: Vec<StoredWeight>) -> Result<Vec<StoredWeight>> {
    let is_packed = |weight: &&StoredWeight| TELLING.iter().any(|ending| weight.name.ends_with(ending));
    match stored.iter().find(is_packed) {
        Some(weight) => Err(Error::Unquantized {
            file: weight.file.name.clone(),
            name: weight.name.clone(),
        }),
        None => Ok(stored),
    }
}

/// The tensors of a module, taken from the others.
fn module<'a>(
    name: String,
    scheme: &Scheme,
    rest: &mut BTreeMap<String, StoredWeight<'a>>,
) -> Result<Option<Module<'a>>> {
    let Some(marker) = rest.remove(&format!("{name}{}", scheme.marker)) else {
        return Ok(None);
    };
    let file = marker.file;
    let mut parts = vec![(scheme.marker, Part::of(marker)?)];
    for &ending in scheme.others {
        if let Some(weight) = rest.remove(&format!("{name}{ending}")) {
            parts.push((ending, Part::of(weight)?));
        }
    }
    Ok(Some(Module { name, file, parts }))
}

impl Scheme {
    fn join<'a>(
        &self,
        module: Module<'a>,
        settings: &ConfigFile,
        kind: Kind,
        family: &Family,
    ) -> Result<StoredWeight<'a>> {
        let name = format!("{}{}", module.name, self.weight);
        let (file, sources) = (module.file, module.sources());
        let matrix = (self.read)(module, settings)?;
        // Embeddings and heads are `[vocabulary, hidden]` in all families.
        let is_layers = match family.weight_name(&name) {
            WeightName::Canonical(canonical) => canonical.contains("layers."),
            _ => true,
        };
        let wanted = family.linear_in_out && is_layers;
        let transposed = self.in_out.is_some_and(|in_out| in_out != wanted);
        let mut shape = matrix.shape.clone();
        if transposed {
            let last = shape.len() - 1;
            shape.swap(last - 1, last);
        }
        let encoded = QuantizedWeight {
            sources,
            kind,
            matrix,
            transposed,
        };
        Ok(StoredWeight {
            file,
            name,
            shape,
            data: StoredData::Encoded(Box::new(encoded)),
        })
    }
}

//! Single weights, against what the libraries that made the formats read in the same bytes: see
//! tests/reference/make_quantized.py.

#![allow(clippy::disallowed_methods)] // Tests read tensors as is shortest.

use std::collections::HashMap;

use safetensors::SafeTensors;
use tch::{Device, Kind, Tensor};

use super::dequantized;
use crate::config::ConfigFile;
use crate::error::{Error, Result};
use crate::families;
use crate::files::WeightFile;
use crate::weights::{StoredData, StoredWeight};

const CASES: &[u8] = include_bytes!("../../../tests/fixtures/quantized/cases.safetensors");

/// A weight's stored tensors: names, shapes, types and bytes.
type Stored = Vec<(String, Vec<usize>, safetensors::Dtype, Vec<u8>)>;

/// The tensors of a case, what is expected, and its `quantization_config`.
fn case(name: &str) -> (Stored, Tensor, String) {
    let file = SafeTensors::deserialize(CASES).unwrap();
    let (_, header) = SafeTensors::read_metadata(CASES).unwrap();
    let settings = header.metadata().as_ref().unwrap()[name].clone();
    let prefix = format!("{name}/");
    let mut stored = Vec::new();
    let mut expected = None;
    for (key, view) in file.tensors() {
        let Some(part) = key.strip_prefix(&prefix) else {
            continue;
        };
        if part == "expected" {
            let shape: Vec<i64> = view.shape().iter().map(|&size| size as i64).collect();
            let kind = crate::weights::kind_of(view.dtype()).unwrap();
            expected = Some(Tensor::from_data_size(view.data(), &shape, kind));
        } else {
            stored.push((
                part.to_owned(),
                view.shape().to_vec(),
                view.dtype(),
                view.data().to_vec(),
            ));
        }
    }
    (stored, expected.unwrap(), settings)
}

fn names() -> Vec<String> {
    let (_, header) = SafeTensors::read_metadata(CASES).unwrap();
    let mut names: Vec<String> = header.metadata().as_ref().unwrap().keys().cloned().collect();
    names.sort();
    names
}

/// What the pass makes of stored tensors: names, shapes and numbers.
fn read(stored: &Stored, settings: &str, family: &str) -> Result<Vec<(String, Vec<usize>, Tensor)>> {
    let text = format!(r#"{{"model_type": "{family}", "quantization_config": {settings}}}"#);
    let config = ConfigFile::parse(text.as_bytes()).unwrap();
    let family = families::find(&config).unwrap();
    let file = WeightFile::inside("model.safetensors", &[]);
    let list = stored.iter().map(|(name, shape, dtype, bytes)| StoredWeight {
        file: &file,
        name: name.clone(),
        shape: shape.clone(),
        data: StoredData::Numbers {
            dtype: *dtype,
            bytes,
            strides: None,
        },
    });
    let weights = dequantized(list.collect(), &config, family)?;
    let each = weights.iter().map(|weight| {
        let tensor = weight.tensor((Kind::Float, Device::Cpu))?;
        Ok((weight.name.clone(), weight.shape.clone(), tensor))
    });
    each.collect()
}

#[test]
fn every_method_reads_what_its_library_reads() {
    assert_eq!(names().len(), 29);
    for name in names() {
        let (stored, expected, settings) = case(&name);
        let weights = read(&stored, &settings, "llama").unwrap_or_else(|error| panic!("{name}: {error}"));
        let [(found_name, shape, found)] = &weights[..] else {
            panic!("{name}: several weights")
        };
        let weight = if name == "mxfp4" { "m" } else { "m.weight" };
        assert_eq!(found_name, weight, "{name}");
        // GPTQ and AWQ have [in, out], llama's linear layers [out, in].
        let expected = match name.starts_with("gptq") || name.starts_with("awq") {
            true => expected.tr(),
            false => expected,
        };
        let size: Vec<i64> = shape.iter().map(|&size| size as i64).collect();
        assert_eq!(size, expected.size(), "{name}");
        assert!(found.abs().max().double_value(&[]) > 0.01, "{name}");
        // Computed in f32; the library rounds to the type of the scales.
        assert!(found.to_kind(expected.kind()).equal(&expected), "{name}");
    }
}

#[test]
fn small_floats_are_libtorchs() {
    let same = |ours: &[f32], bytes: &[u8], kind: Kind| {
        let theirs = Tensor::from_data_size(bytes, &[ours.len() as i64], kind).to_kind(Kind::Float);
        let theirs = Vec::<f32>::try_from(&theirs).unwrap();
        for (ours, theirs) in ours.iter().zip(theirs) {
            let is_same = ours.to_bits() == theirs.to_bits() || ours.is_nan() && theirs.is_nan();
            assert!(is_same, "{kind:?}: {ours} for {theirs}");
        }
    };
    let halves: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let ours: Vec<f32> = (0..=u16::MAX).map(super::part::half).collect();
    same(&ours, &halves, Kind::Half);
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    let each = |decode: fn(u8) -> f32| bytes.iter().map(|byte| decode(*byte)).collect::<Vec<f32>>();
    same(&each(super::fp8::e4m3), &bytes, Kind::Float8e4m3fn);
    same(&each(super::fp8::e5m2), &bytes, Kind::Float8e5m2);
}

#[test]
fn linear_layers_are_turned_as_the_family_has_them() {
    // GPT-2's are [in, out]: GPTQ's too, those of bitsandbytes are not.
    for (case_name, turned) in [("gptq-4", false), ("bnb-int8", true)] {
        let (stored, expected, settings) = case(case_name);
        let weights = read(&stored, &settings, "gpt2").unwrap();
        let expected = if turned { expected.tr() } else { expected };
        assert_eq!(weights[0].2.size(), expected.size());
        assert!(
            weights[0].2.to_kind(expected.kind()).equal(&expected),
            "{case_name}"
        );
    }
}

#[test]
fn what_is_not_converted_stays() {
    let (mut stored, _, settings) = case("gptq-4");
    let bytes = [1f32, -2.0].iter().flat_map(|x| x.to_le_bytes()).collect();
    stored.push((
        "lm_head.weight".into(),
        vec![1, 2],
        safetensors::Dtype::F32,
        bytes,
    ));
    stored.push((
        "m.input_scale".into(),
        vec![1],
        safetensors::Dtype::F32,
        vec![0; 4],
    ));
    let weights: HashMap<String, Tensor> = read(&stored, &settings, "llama")
        .unwrap()
        .into_iter()
        .map(|(name, _, tensor)| (name, tensor))
        .collect();
    assert_eq!(weights.len(), 2);
    assert_eq!(weights["lm_head.weight"].double_value(&[0, 1]), -2.0);
}

/// The message about a case that was changed.
fn refusal(name: &str, change: impl Fn(&mut Stored, &mut String)) -> String {
    let (mut stored, _, mut settings) = case(name);
    change(&mut stored, &mut settings);
    let error = read(&stored, &settings, "llama").err();
    error
        .unwrap_or_else(|| panic!("{name} was read though it is damaged"))
        .to_string()
}

#[test]
fn every_part_is_missed() {
    for name in names() {
        let (stored, ..) = case(&name);
        for (part, ..) in &stored {
            // These may be absent.
            if [
                "m.g_idx",
                "m.weight_format",
                "m.weight_zero_point",
                "m.weight_g_idx",
            ]
            .contains(&part.as_str())
            {
                continue;
            }
            let without = |stored: &mut Stored| stored.retain(|(name, ..)| name != part);
            let (mut damaged, _, settings) = case(&name);
            without(&mut damaged);
            match read(&damaged, &settings, "llama") {
                Err(Error::Damaged { file, reason }) => {
                    assert_eq!(file, "model.safetensors");
                    let named = [part.as_str(), "is stored as", "there is no m.weight"];
                    assert!(named.iter().any(|text| reason.contains(text)), "{name}: {reason}");
                }
                Err(Error::NotNumbers { file, .. }) => assert_eq!(file, "model.safetensors"),
                // Without its marker the rest are weights that no family has.
                Ok(weights) => assert!(
                    weights.iter().all(|(name, ..)| name != "m.weight"),
                    "{name} without {part}"
                ),
                Err(error) => panic!("{name} without {part}: {error}"),
            }
        }
    }
}

#[test]
fn parts_that_do_not_fit_are_named_with_their_value() {
    let shape = |part: &'static str, shape: &'static [usize]| {
        move |stored: &mut Stored, _: &mut String| {
            let (_, found, dtype, bytes) = stored.iter_mut().find(|(name, ..)| name == part).unwrap();
            *found = shape.to_vec();
            *bytes = vec![0; shape.iter().product::<usize>() * dtype.bitsize() / 8];
        }
    };
    let says = |from: &'static str, to: &'static str| {
        move |_: &mut Stored, settings: &mut String| {
            assert!(settings.contains(from), "{settings}");
            *settings = settings.replace(from, to);
        }
    };
    let damaged = |reason: &str| format!("model.safetensors: {reason}");
    assert_eq!(
        refusal("gptq-4", shape("m.scales", &[3, 31])),
        damaged("m.scales has shape [3, 31]; expected [3, 32]")
    );
    assert_eq!(
        refusal("gptq-4", says(r#""bits": 4"#, r#""bits": 5"#)),
        "config.json: bits is 5: expected 2, 3, 4 or 8"
    );
    assert_eq!(
        refusal("gptq-4-act-order", |stored, _| {
            let order = stored.iter_mut().find(|(name, ..)| name == "m.g_idx").unwrap();
            order.3[..4].copy_from_slice(&(-1i32).to_le_bytes());
        }),
        damaged("m.g_idx holds -1; expected 0 to 2")
    );
    assert_eq!(
        refusal("gptq-4-v2", says("gptq_v2", "marlin")),
        "config.json: checkpoint_format is \"marlin\": expected gptq or gptq_v2"
    );
    assert_eq!(
        refusal("awq", says("gemm", "gemv")),
        "config.json: version is \"gemv\": expected gemm, the one layout of AWQ that is read here"
    );
    assert_eq!(
        refusal("awq", shape("m.scales", &[5, 48])),
        damaged("m.qzeros has shape [4, 6]; expected [5, 6]")
    );
    assert_eq!(
        refusal("fp8-blocks", shape("m.weight_scale_inv", &[7, 2])),
        damaged("m.weight_scale_inv has shape [7, 2], which does not divide a weight of shape [48, 64]")
    );
    assert_eq!(
        refusal("compressed-4", says("pack-quantized", "marlin-24")),
        "config.json: format is \"marlin-24\": expected one of pack-quantized, int-quantized, float-quantized, \
         naive-quantized, mixed-precision, dense"
    );
    assert_eq!(
        refusal("compressed-4", says(r#""num_bits": 4"#, r#""num_bits": 5"#)),
        damaged("m.weight_packed has 8 words for 64 numbers, which config_groups' num_bits [5] do not fill")
    );
    assert_eq!(
        refusal("bnb-nf4", shape("m.weight", &[479, 1])),
        damaged("m.weight has 479 bytes, but its quant_state says shape [24, 40]")
    );
    assert_eq!(
        refusal("bnb-int8", |stored, _| {
            let scale = stored.iter_mut().find(|(name, ..)| name == "m.SCB").unwrap();
            scale.3[4..8].copy_from_slice(&f32::NAN.to_le_bytes());
        }),
        damaged("m.weight holds NaN at flat index 40")
    );
}

#[test]
fn methods_and_files_that_are_not_read() {
    assert_eq!(
        refusal("gptq-4", |_, settings| *settings =
            settings.replace("\"gptq\"", "\"hqq\"")),
        "the weights are quantized by \"hqq\", which is not read here; read are: bitsandbytes, gptq, awq, fp8, \
         fbgemm_fp8, compressed-tensors, mxfp4"
    );
    assert_eq!(
        refusal("gptq-4", |_, settings| *settings = "null".into()),
        "model.safetensors: m.qweight is a part of a quantized weight, but config.json has no quantization_config"
    );
}

#[test]
fn bytes_of_any_content_give_numbers_or_an_error() {
    // Whatever the parts hold: nothing is read beyond them, nothing overflows.
    for name in names() {
        let (stored, _, settings) = case(&name);
        for fill in [0x00, 0x7F, 0x80, 0xFF] {
            for damaged in 0..stored.len() {
                let mut stored = stored.clone();
                stored[damaged].3.fill(fill);
                let _ = read(&stored, &settings, "llama");
                stored[damaged].1.push(1);
                let _ = read(&stored, &settings, "llama");
            }
        }
    }
}

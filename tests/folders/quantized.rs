//! Damaged folders whose weights are of few bits: each is an error that names the file and the value, and takes no
//! memory.

use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;

use ecco_models::{Error, Model};
use ecco_tests::fixtures;
use serde_json::{Value, json};

use crate::folder::{Folder, Stored, Walk, fault};
use crate::{MOST, is_clear, keys, one_at_a_time, open, try_out, walk_values};

/// A folder, and the layer in it that is damaged.
const FOLDERS: [(&str, &str); 7] = [
    ("awq", "model.layers.0.mlp.up_proj"),
    ("bnb-int8", "model.layers.0.mlp.up_proj"),
    ("bnb-nf4-gpt2", "transformer.h.0.mlp.c_fc"),
    ("compressed", "model.layers.0.mlp.up_proj"),
    ("fp8", "model.layers.0.mlp.up_proj"),
    ("gptq", "model.layers.0.mlp.up_proj"),
    ("gptq-gpt2", "transformer.h.0.mlp.c_fc"),
];

fn copy(name: &str) -> Folder {
    let folder = Folder::of(&format!("quantized/{name}"));
    let tokenizer = std::fs::read(fixtures().join("gpt2-tiny/tokenizer.json")).expect("the fixture");
    folder.write("tokenizer.json", tokenizer);
    folder
}

/// The tensors that a layer's weight is stored as.
fn parts(folder: &Folder, layer: &str) -> Vec<String> {
    let of_layer = |name: &String| name.starts_with(layer) && !name.ends_with(".bias");
    folder.tensors().into_keys().filter(of_layer).collect()
}

/// A type of as many bytes that none of these parts has.
fn other_type(dtype: &str) -> &'static str {
    match dtype {
        "I32" => "F32",
        "F32" => "I32",
        "F16" => "I16",
        "I64" => "F64",
        "U8" => "BOOL",
        _ => "U8",
    }
}

/// Damages a part; gives what the error must contain beside the layer's name.
type Damage = fn(&mut BTreeMap<String, Stored>, &str) -> &'static str;

const DAMAGES: [(&str, Damage); 4] = [
    ("it is missing", |tensors, part| {
        tensors.remove(part);
        ""
    }),
    ("it has a row more", |tensors, part| {
        let stored = tensors.get_mut(part).expect("the part");
        let n_rows = stored.shape.first().copied().unwrap_or(1);
        let row = stored.bytes.len() / n_rows;
        stored.shape.splice(..stored.shape.len().min(1), [n_rows + 1]);
        stored.bytes.resize(stored.bytes.len() + row, 0);
        ""
    }),
    ("it is of another type", |tensors, part| {
        let stored = tensors.get_mut(part).expect("the part");
        stored.dtype = other_type(&stored.dtype).into();
        "is stored as"
    }),
    ("it claims to be empty", |tensors, part| {
        let stored = tensors.get_mut(part).expect("the part");
        stored.shape.splice(..stored.shape.len().min(1), [0]);
        stored.bytes.clear();
        ""
    }),
];

/// What may be damaged so and means the same: the order of groups may be absent, and of bytes the type does not count.
fn may_load(damage: &str, part: &str) -> bool {
    let is_any = |ends: &[&str]| ends.iter().any(|end| part.ends_with(end));
    match damage {
        "it is missing" => is_any(&[".g_idx", ".weight_format", ".weight_zero_point"]),
        "it is of another type" => is_any(&[".weight_format"]) || part.ends_with("c_fc.weight"),
        _ => is_any(&[".weight_format"]),
    }
}

#[test]
fn every_part_of_every_method() {
    let _alone = one_at_a_time();
    let (mut failed, mut n) = (Vec::new(), 0);
    for (name, layer) in FOLDERS {
        open(&copy(name)).unwrap_or_else(|error| panic!("{name}, undamaged: {error}"));
        for part in parts(&copy(name), layer) {
            for (damage, change) in DAMAGES {
                let folder = copy(name);
                let mut expected = "";
                folder.edit(|tensors| expected = change(tensors, &part));
                let load = AssertUnwindSafe(|| open(&folder).map(drop));
                let fault = fault(&["model.safetensors", layer, expected], MOST, load);
                let fault = fault.filter(|fault| fault != "loaded" || !may_load(damage, &part));
                failed.extend(fault.map(|what| format!("{name}, {part}: {damage}: {what}")));
                n += 1;
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {n}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(n > 100, "{n}");
}

/// Whatever its bytes are: numbers, or an error that names them.
#[test]
fn parts_of_noise_are_refused_or_work() {
    let _alone = one_at_a_time();
    let mut walk = Walk::default();
    for (name, layer) in FOLDERS {
        open(&copy(name)).expect("undamaged");
        for part in parts(&copy(name), layer) {
            for byte in [0x00, 0x7F, 0x80, 0xFF] {
                let folder = copy(name);
                folder.edit(|tensors| tensors.get_mut(&part).expect("the part").bytes.fill(byte));
                let what = || format!("{name}, {part} of {byte:#x}");
                walk.step(what, MOST, is_clear, || {
                    open(&folder).and_then(|model| try_out(&model))
                });
            }
        }
    }
    walk.assert(100, 5);
}

#[test]
fn files_that_end_early() {
    let _alone = one_at_a_time();
    for (name, _) in FOLDERS {
        for share in [0, 1, 3, 7] {
            let folder = copy(name);
            let bytes = folder.read("model.safetensors");
            folder.write("model.safetensors", &bytes[..bytes.len() * share / 8]);
            let load = AssertUnwindSafe(|| open(&folder).map(drop));
            let fault = fault(&["model.safetensors"], MOST, load);
            assert_eq!(fault, None, "{name}, {share} of 8 parts");
        }
    }
}

/// A folder, a key of its method's settings, what is put there, and what the error must contain.
type Setting = (&'static str, &'static str, fn() -> Value, &'static str);

const SETTINGS: &[Setting] = &[
    (
        "awq",
        "/bits",
        || json!(1_u64 << 40),
        "config.json: bits is 1099511627776: expected a whole number",
    ),
    ("awq", "/bits", || json!(3), "config.json: bits is 3: expected 4"),
    (
        "awq",
        "/version",
        || json!("gemv"),
        "config.json: version is \"gemv\": expected gemm",
    ),
    (
        "awq",
        "/quant_method",
        || json!("hqq"),
        "quantized by \"hqq\", which is not read here",
    ),
    ("gptq", "/bits", || json!(0), "config.json: bits is 0"),
    (
        "gptq",
        "/bits",
        || json!(5),
        "config.json: bits is 5: expected 2, 3, 4 or 8",
    ),
    (
        "gptq",
        "/bits",
        || json!(8),
        "layers.0.mlp.down_proj.qzeros has shape [4, 4]; expected [4, 8]",
    ),
    ("gptq", "/bits", || json!("four"), "config.json: bits is \"four\""),
    (
        "fp8",
        "/weight_block_size",
        || json!([0, 32]),
        "config.json: weight_block_size is [0,32]",
    ),
    (
        "fp8",
        "/weight_block_size",
        || json!("all"),
        "config.json: weight_block_size is \"all\"",
    ),
    (
        "compressed",
        "/format",
        || json!("marlin-24"),
        "config.json: format is \"marlin-24\"",
    ),
    (
        "compressed",
        "/config_groups/group_0/weights/num_bits",
        || json!(9),
        "num_bits is 9: expected 1 to 8",
    ),
    (
        "compressed",
        "/config_groups/group_0/weights/num_bits",
        || json!(5),
        "which config_groups' num_bits [5] do not fill",
    ),
    (
        "bnb-int8",
        "/quant_method",
        || json!(7),
        "config.json: quant_method is 7",
    ),
];

#[test]
fn settings_that_do_not_fit() {
    let _alone = one_at_a_time();
    let mut failed = Vec::new();
    for (name, key, value, expected) in SETTINGS {
        let folder = copy(name);
        let mut config = folder.config();
        let place = config.pointer_mut(&format!("/quantization_config{key}"));
        *place.expect("the key") = value();
        folder.write_config(&config);
        let load = AssertUnwindSafe(|| open(&folder).map(drop));
        failed.extend(fault(&[expected], MOST, load).map(|what| format!("{name}, {key}: {what}")));
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn absurd_settings_are_refused_or_work() {
    let _alone = one_at_a_time();
    let mut walk = Walk::default();
    for (name, _) in FOLDERS {
        let folder = copy(name);
        let config = folder.config();
        open(&folder).expect("undamaged");
        let of_method = |key: &String| key.starts_with("/quantization_config");
        for key in keys(&config).into_iter().filter(of_method) {
            walk_values(&mut walk, &folder, &config, &key, name);
        }
    }
    walk.assert(400, 8);
}

/// A layer of Llama that is stored as gpt-oss's experts are, which is refused in the end.
fn with_mxfp4(change: impl FnOnce(&mut Stored, &mut Stored)) -> Result<Model, Error> {
    let folder = Folder::copy("llama");
    let mut config = folder.config();
    config["quantization_config"] = json!({"quant_method": "mxfp4"});
    folder.write_config(&config);
    let stored = |shape: &[usize]| Stored {
        dtype: "U8".into(),
        shape: shape.to_vec(),
        bytes: vec![120; shape.iter().product()],
    };
    let (mut blocks, mut scales) = (stored(&[2, 8, 1, 16]), stored(&[2, 8, 1]));
    change(&mut blocks, &mut scales);
    folder.edit(|tensors| {
        let name = "model.layers.0.mlp.up_proj.weight";
        tensors.remove(name);
        tensors.extend([(format!("{name}_blocks"), blocks)]);
        if !scales.bytes.is_empty() {
            tensors.extend([(format!("{name}_scales"), scales)]);
        }
    });
    open(&folder)
}

#[test]
fn parts_of_mxfp4() {
    let _alone = one_at_a_time();
    type Case = (fn(&mut Stored, &mut Stored), &'static str);
    let cases: [Case; 6] = [
        (|_, _| {}, "up_proj.weight has shape [2, 32, 8]"),
        (
            |_, scales| scales.bytes.clear(),
            "up_proj.weight is quantized, but there is no model.layers.0.mlp.up_proj.weight_scales beside it",
        ),
        (
            |blocks, _| blocks.shape = vec![2, 8, 2, 8],
            "up_proj.weight_blocks has shape [2, 8, 2, 8]; expected expert, out, block and 16",
        ),
        (
            |_, scales| scales.shape = vec![16],
            "up_proj.weight_scales has shape [16]; expected [2, 8, 1]",
        ),
        (
            |blocks, _| blocks.dtype = "I8".into(),
            "up_proj.weight_blocks is stored as I8; expected U8",
        ),
        (|_, scales| scales.bytes[3] = 255, "up_proj.weight holds "),
    ];
    for (change, expected) in cases {
        let load = AssertUnwindSafe(|| with_mxfp4(change).map(drop));
        assert_eq!(fault(&["model.safetensors", expected], MOST, load), None);
    }
}

//! What can be wrong with a folder, and what the error then has to say.

use serde_json::{Value, json};

use crate::folder::Folder;

/// Damages a folder; gives what the error must contain.
type Damage = fn(&mut Folder) -> Vec<String>;

fn strings(parts: &[&str]) -> Vec<String> {
    parts.iter().map(|part| (*part).to_owned()).collect()
}

pub(crate) const DAMAGES: &[(&str, Damage)] = &[
    ("an unknown model type", |folder| {
        set(folder, "model_type", json!("lamma"));
        strings(&["unknown model_type \"lamma\"", "supported: openai-gpt, gpt2, "])
    }),
    ("no model type", |folder| {
        set(folder, "model_type", Value::Null);
        strings(&["config.json: model_type is null"])
    }),
    ("a config that is no JSON", |folder| {
        folder.write("config.json", "{\"model_type\": ");
        strings(&["config.json", "EOF"])
    }),
    ("a config that is a list", |folder| {
        folder.write("config.json", "[1]");
        strings(&["config.json: not a JSON object"])
    }),
    ("no config", |folder| {
        folder.remove("config.json");
        strings(&["has no config.json"])
    }),
    ("a missing weight", |folder| {
        let name = folder.a_matrix();
        folder.edit(|tensors| drop(tensors.remove(&name)));
        strings(&["model.safetensors lacks weights: ", tail(&name)])
    }),
    ("missing layers", |folder| {
        folder.edit(|tensors| tensors.retain(|name, _| !name.contains(".0.") && !name.contains(".conv.")));
        strings(&["model.safetensors lacks weights: everything of ", "layers.0"])
    }),
    ("an extra weight", |folder| {
        folder.edit(|tensors| {
            let any = tensors.values().next().expect("a tensor").clone();
            tensors.insert("surprise.weight".into(), any);
        });
        strings(&[
            "model.safetensors has weights that a ",
            " model does not: surprise.weight",
        ])
    }),
    ("a weight of a layer that is not there", |folder| {
        let name = folder.a_matrix();
        let beyond = match name.contains(".0.") {
            true => name.replacen(".0.", ".77.", 1),
            false => name.replacen(".1.", ".77.", 1),
        };
        folder.edit(|tensors| {
            let copy = tensors[&name].clone();
            tensors.insert(beyond.clone(), copy);
        });
        strings(&["model.safetensors has weights that a ", &beyond])
    }),
    ("a weight of another shape", |folder| {
        let name = folder.a_matrix();
        let mut expected = Vec::new();
        folder.edit(|tensors| {
            let stored = tensors.get_mut(&name).expect("the matrix");
            expected.push(format!("asks for {:?}", stored.shape));
            stored.shape.reverse();
            expected.push(format!("model.safetensors: {name} has shape {:?}", stored.shape));
        });
        expected
    }),
    ("a weight of one axis", |folder| {
        let name = folder.a_matrix();
        folder.edit(|tensors| {
            let stored = tensors.get_mut(&name).expect("the matrix");
            stored.shape = vec![stored.shape.iter().product()];
        });
        strings(&[&format!("model.safetensors: {name} has shape [")])
    }),
    ("NaN", |folder| not_finite(folder, f32::NAN, "NaN")),
    ("infinity", |folder| not_finite(folder, f32::INFINITY, "inf")),
    ("minus infinity", |folder| {
        not_finite(folder, f32::NEG_INFINITY, "-inf")
    }),
    ("whole numbers for weights", |folder| {
        let name = folder.a_matrix();
        folder.edit(|tensors| tensors.get_mut(&name).expect("the matrix").dtype = "I32".into());
        strings(&[&format!("model.safetensors: {name} is stored as I32")])
    }),
    ("a truncated file", |folder| {
        let bytes = folder.read("model.safetensors");
        folder.write("model.safetensors", &bytes[..bytes.len() * 2 / 3]);
        strings(&["model.safetensors: not a whole safetensors file"])
    }),
    ("a file that ends one byte early", |folder| {
        let bytes = folder.read("model.safetensors");
        folder.write("model.safetensors", &bytes[..bytes.len() - 1]);
        strings(&["model.safetensors: not a whole safetensors file"])
    }),
    ("a file that ends in its header", |folder| {
        let bytes = folder.read("model.safetensors");
        folder.write("model.safetensors", &bytes[..40]);
        strings(&["model.safetensors: not a whole safetensors file"])
    }),
    ("an empty file", |folder| {
        folder.write("model.safetensors", "");
        strings(&["model.safetensors"])
    }),
    ("an absurd header length", |folder| header_length(folder, 1 << 40)),
    ("the largest header length", |folder| {
        header_length(folder, u64::MAX)
    }),
    ("a header length just beyond the file", |folder| {
        let length = folder.read("model.safetensors").len() as u64;
        header_length(folder, length - 7)
    }),
    ("a header of noise", |folder| {
        let mut bytes = folder.read("model.safetensors");
        bytes[8..40].fill(0xFF);
        folder.write("model.safetensors", bytes);
        strings(&["model.safetensors: not a whole safetensors file"])
    }),
    ("a tensor that claims more than there is", |folder| {
        let name = folder.a_matrix();
        folder.edit(|tensors| tensors.get_mut(&name).expect("the matrix").shape = vec![1 << 40, 1 << 40]);
        strings(&["model.safetensors: not a whole safetensors file"])
    }),
    ("a truncated shard", |folder| {
        folder.shard();
        let bytes = folder.read("b.safetensors");
        folder.write("b.safetensors", &bytes[..bytes.len() / 2]);
        strings(&["b.safetensors: not a whole safetensors file"])
    }),
    ("a missing shard", |folder| {
        folder.shard();
        folder.remove("b.safetensors");
        strings(&["cannot read ", "b.safetensors: "])
    }),
    ("NaN in the second shard", |folder| {
        let [_, mut second] = folder.shard();
        let (name, stored) = second.iter_mut().next().expect("a tensor");
        stored.bytes[..4].copy_from_slice(&f32::NAN.to_le_bytes());
        let expected = format!("b.safetensors: {name} holds NaN at flat index 0");
        folder.write_tensors("b.safetensors", &second);
        vec![expected]
    }),
    ("a wrong shape in the second shard", |folder| {
        let [_, mut second] = folder.shard();
        let (name, stored) = second.iter_mut().next().expect("a tensor");
        stored.shape.push(1);
        let expected = format!("b.safetensors: {name} has shape {:?}", stored.shape);
        folder.write_tensors("b.safetensors", &second);
        vec![expected]
    }),
    ("one weight in two shards", |folder| {
        let [mut first, second] = folder.shard();
        let (name, stored) = second.iter().next().expect("a tensor");
        first.insert(name.clone(), stored.clone());
        folder.write_tensors("a.safetensors", &first);
        vec![format!("b.safetensors: has {name}, which a.safetensors has, too")]
    }),
    ("an index that leads out of the folder", |folder| {
        index(folder, "../b.safetensors")
    }),
    ("an index with an absolute path", |folder| {
        index(folder, "/etc/b.safetensors")
    }),
    ("an index that names no safetensors file", |folder| {
        index(folder, "/dev/zero")
    }),
    ("an index that names a hidden folder", |folder| {
        index(folder, "..")
    }),
    ("an index with a number for a file", |folder| {
        folder.shard();
        folder.write_index(json!({"x": 1}));
        strings(&["model.safetensors.index.json: names "])
    }),
    ("an index without a map", |folder| {
        folder.shard();
        folder.write("model.safetensors.index.json", "{}");
        strings(&["model.safetensors.index.json: no weight_map"])
    }),
    ("an index that is no JSON", |folder| {
        folder.shard();
        folder.write("model.safetensors.index.json", "weights");
        strings(&["model.safetensors.index.json: expected value"])
    }),
    ("an index that leaves a shard out", |folder| {
        let [first, _] = folder.shard();
        let names = first
            .keys()
            .map(|name| (name.clone(), Value::from("a.safetensors")));
        folder.write_index(names.collect::<serde_json::Map<_, _>>().into());
        strings(&["a.safetensors lacks weights: "])
    }),
    ("more layers than there are", |folder| {
        let key = n_layers(folder);
        set(folder, key, json!(16_000_000));
        strings(&["config.json"])
    }),
    ("a vocabulary larger than the embedding", |folder| {
        let key = vocabulary(folder);
        set(folder, key, json!(16_000_000));
        // TransformerLens keeps the head's matrix the other way around, and that is looked at first.
        let shapes = match key {
            "d_vocab" => [" has shape [12, 384]", "config.json asks for [12, 16000000]"],
            _ => [" has shape [384, ", "config.json asks for [16000000, "],
        };
        strings(&["model.safetensors: ", shapes[0], shapes[1]])
    }),
    ("an absurd vocabulary", |folder| {
        let key = vocabulary(folder);
        set(folder, key, json!(1_u64 << 50));
        vec![format!("config.json: {key} is 1125899906842624")]
    }),
    ("a vocabulary of nothing", |folder| {
        let key = vocabulary(folder);
        set(folder, key, json!(0));
        vec![format!("config.json: {key} is 0")]
    }),
    ("a tokenizer that is none", |folder| {
        folder.write("tokenizer.json", "{}");
        strings(&["tokenizer.json"])
    }),
    ("no tokenizer", |folder| {
        folder.remove("tokenizer.json");
        strings(&["has no tokenizer.json"])
    }),
    ("a generation_config that is no JSON", |folder| {
        folder.write("generation_config.json", "do_sample");
        strings(&["generation_config.json: expected value"])
    }),
    ("a folder for weights", |folder| {
        folder.remove("model.safetensors");
        std::fs::create_dir(folder.path().join("model.safetensors")).expect("a folder");
        strings(&["model.safetensors: a folder, a pipe or a device, not a file"])
    }),
    ("no weights", |folder| {
        folder.remove("model.safetensors");
        strings(&["has no model.safetensors"])
    }),
    ("a page in the place of a PyTorch file", |folder| {
        folder.remove("model.safetensors");
        folder.write("pytorch_model.bin", "<!DOCTYPE html><p>Not found</p>");
        strings(&["pytorch_model.bin: not a PyTorch file: it begins with \"<!DOCTYP\""])
    }),
    ("a PyTorch file that is none", |folder| {
        folder.remove("model.safetensors");
        folder.write("pytorch_model.bin", "PK");
        strings(&["pytorch_model.bin: not a whole PyTorch file: it ends before its directory of entries"])
    }),
];

/// Writes a value into the config; of a model that also sees, a key of its own or one of the part that reads texts.
pub(crate) fn set(folder: &Folder, key: &str, value: Value) {
    let mut config = folder.config();
    part_with(key, &mut config)[key] = value;
    folder.write_config(&config);
}

fn part_with<'a>(key: &str, config: &'a mut Value) -> &'a mut Value {
    let sections = ["text_config", "decoder"];
    let section = sections.into_iter().find(|section| config[*section].is_object());
    match section {
        Some(section) if config.get(key).is_none() => &mut config[section],
        _ => config,
    }
}

/// The key that says how many tokens there are.
fn vocabulary(folder: &Folder) -> &'static str {
    match folder.config().get("d_vocab") {
        Some(_) => "d_vocab",
        None => "vocab_size",
    }
}

/// The key that says how many layers there are, or what each is.
fn n_layers(folder: &Folder) -> &'static str {
    let mut config = folder.config();
    let names = [
        "num_hidden_layers",
        "n_layer",
        "num_layers",
        "n_layers",
        "encoder_layers",
        "layers_block_type",
    ];
    let mut says = |name: &&str| {
        let value = &part_with(name, &mut config)[*name];
        value.is_u64() || value.is_array()
    };
    let found = names.into_iter().find(|name| says(name));
    found.expect("a number of layers, or a list")
}

/// The end of a name, which is the same with and without a prefix.
fn tail(name: &str) -> &str {
    let start = [".0.", ".1."].iter().find_map(|layer| name.find(layer));
    &name[start.expect("a layer")..]
}

fn not_finite(folder: &Folder, value: f32, said: &str) -> Vec<String> {
    let name = folder.a_matrix();
    let mut last = 0;
    folder.edit(|tensors| {
        let bytes = &mut tensors.get_mut(&name).expect("the matrix").bytes;
        last = bytes.len() / 4 - 1;
        bytes[4 * last..].copy_from_slice(&value.to_le_bytes());
    });
    vec![format!(
        "model.safetensors: {name} holds {said} at flat index {last}"
    )]
}

fn header_length(folder: &Folder, length: u64) -> Vec<String> {
    let mut bytes = folder.read("model.safetensors");
    bytes[..8].copy_from_slice(&length.to_le_bytes());
    folder.write("model.safetensors", bytes);
    strings(&["model.safetensors: not a whole safetensors file"])
}

fn index(folder: &Folder, file: &str) -> Vec<String> {
    folder.shard();
    folder.write_index(json!({"x": file}));
    vec![format!(
        "model.safetensors.index.json: names {file:?}, which is not a safetensors file in this folder"
    )]
}

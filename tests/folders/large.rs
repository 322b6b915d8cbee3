//! What a model of some size takes: the file, and little beside it.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use ecco_interpreter::unwatched;
use ecco_models::run::{Input, run};
use ecco_models::{LoadOptions, Model};
use ecco_tests::fixtures;
use serde_json::json;

use crate::folder::{Folder, Stored, memory, reset_peak};
use crate::one_at_a_time;

const HIDDEN: usize = 512;
const INNER: usize = 1408;
const N_LAYERS: usize = 10;
/// Of the tokenizer that all tiny models share.
const VOCABULARY: usize = 384;
/// Beside a model's files: libtorch's buffers, and what a pass over a few tokens needs.
const BASE: u64 = 6 << 20;

/// bfloat16 noise of Llama's shape in two shards; bytes of the files.
fn write_model() -> (Folder, u64) {
    let folder = Folder::copy("llama");
    let mut config = folder.config();
    for (key, value) in [
        ("hidden_size", HIDDEN),
        ("intermediate_size", INNER),
        ("num_hidden_layers", N_LAYERS),
        ("num_attention_heads", 8),
        ("num_key_value_heads", 8),
        ("head_dim", HIDDEN / 8),
    ] {
        config[key] = json!(value);
    }
    folder.write_config(&config);
    let mut state = 1_u32;
    let mut tensors = BTreeMap::new();
    let mut add = |name: String, shape: &[usize]| {
        let n: usize = shape.iter().product();
        let mut bytes = Vec::with_capacity(2 * n);
        for _ in 0..n {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            // About 0.02, of either sign: bfloat16 is the upper half of float32.
            let number = (state as f32 / u32::MAX as f32 - 0.5) * 0.07;
            bytes.extend(&number.to_le_bytes()[2..]);
        }
        let stored = Stored {
            dtype: "BF16".into(),
            shape: shape.to_vec(),
            bytes,
        };
        tensors.insert(name, stored);
    };
    add("model.embed_tokens.weight".into(), &[VOCABULARY, HIDDEN]);
    add("model.norm.weight".into(), &[HIDDEN]);
    add("lm_head.weight".into(), &[VOCABULARY, HIDDEN]);
    for layer in 0..N_LAYERS {
        let mut part =
            |name: &str, shape: &[usize]| add(format!("model.layers.{layer}.{name}.weight"), shape);
        for name in ["q", "k", "v", "o"] {
            part(&format!("self_attn.{name}_proj"), &[HIDDEN, HIDDEN]);
        }
        part("mlp.gate_proj", &[INNER, HIDDEN]);
        part("mlp.up_proj", &[INNER, HIDDEN]);
        part("mlp.down_proj", &[HIDDEN, INNER]);
        part("input_layernorm", &[HIDDEN]);
        part("post_attention_layernorm", &[HIDDEN]);
    }
    folder.write_tensors("model.safetensors", &tensors);
    drop(tensors);
    folder.shard();
    let size = |file| {
        std::fs::metadata(folder.path().join(file))
            .expect("a shard")
            .len()
    };
    let size = size("a.safetensors") + size("b.safetensors");
    (folder, size)
}

/// Says the bytes that loading and one pass over a text take at their most, and the model's type.
#[test]
#[ignore = "run in a process of its own by the other test"]
fn in_a_process_of_its_own() {
    let [folder, dtype] = ["ECCO_FOLDER", "ECCO_DTYPE"].map(|name| std::env::var(name).expect("set"));
    let options = |dtype: &str| LoadOptions {
        device: Some("cpu".into()),
        dtype: Some(dtype.to_owned()).filter(|dtype| dtype != "kept"),
        ..LoadOptions::default()
    };
    let pass = |folder: &Path, dtype: &str| {
        let model = Model::open(folder, &options(dtype), &mut unwatched).expect("it loads");
        let input = Input::new(&model, "She said that it was there.", None).expect("a text");
        run(&model, vec![input], 3, &mut unwatched).expect("it runs");
        model.dtype()
    };
    // Once for what libtorch sets up, and for what measures how to multiply.
    for dtype in ["bfloat16", "float32"] {
        pass(Folder::copy("llama").path(), dtype);
    }
    ecco_models::product::chosen();
    reset_peak();
    let before = memory("VmRSS");
    let dtype = pass(Path::new(&folder), &dtype);
    println!("took {} as {dtype}", memory("VmHWM") - before);
}

/// In a fresh process, as a heap that was larger before would hide what is taken of it.
fn measured(model: &Path, dtype: &str) -> (u64, String) {
    let program = std::env::current_exe().expect("this program");
    let output = Command::new(program)
        .args([
            "--exact",
            "large::in_a_process_of_its_own",
            "--ignored",
            "--nocapture",
        ])
        .env("ECCO_FOLDER", model)
        .env("ECCO_DTYPE", dtype)
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    let words: Vec<&str> = text
        .split_whitespace()
        .skip_while(|word| *word != "took")
        .collect();
    match words[..] {
        [_, bytes, _, dtype, ..] => (bytes.parse().expect("a number"), dtype.to_owned()),
        _ => panic!("{text}{}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn a_model_takes_its_files_size_and_a_tenth_at_most() {
    let _alone = one_at_a_time();
    let (folder, size) = write_model();
    assert!(size > 60_000_000, "{size}");
    let (kept, dtype) = measured(folder.path(), "kept");
    assert_eq!(dtype, "bfloat16");
    // Some of the heap that was resident before, and free, is used again.
    assert!(kept + BASE >= size, "{kept} for files of {size}");
    assert!(kept <= size + size / 10 + BASE, "{kept} for files of {size}");
    // As another type it is a copy; of the pages that it was made of none stay, though some are there for a moment on a
    // busy machine. The tenth is of what it becomes.
    let (converted, dtype) = measured(folder.path(), "float32");
    assert_eq!(dtype, "float32");
    assert!(converted + BASE >= 2 * size, "{converted} for twice {size}");
    assert!(
        converted <= 2 * size + 2 * size / 10 + 2 * BASE,
        "{converted} for twice {size}"
    );
}

/// Of the model in blocks.
const WIDE: usize = 1024;
const WIDE_INNER: usize = 2816;
const N_WIDE_LAYERS: usize = 8;

/// Noise of Llama's shape in blocks of four bits, with the vocabulary of the small model; bytes of the file.
fn write_blocks(path: &Path) -> u64 {
    let small = std::fs::read(fixtures().join("gguf/llama.gguf")).expect("the fixture");
    let place = |text: &str| {
        let mut places = small.windows(text.len());
        places
            .position(|bytes| bytes == text.as_bytes())
            .expect("it is there")
    };
    // The values of its header end where the first tensor's name, behind its length, begins.
    let values_end = place("token_embd.weight") - 8;
    let mut file = small[..values_end].to_vec();
    let settings = [
        ("embedding_length", WIDE),
        ("feed_forward_length", WIDE_INNER),
        ("block_count", N_WIDE_LAYERS),
        ("attention.head_count", 16),
        ("attention.head_count_kv", 16),
        ("rope.dimension_count", WIDE / 16),
    ];
    for (key, value) in settings {
        let key = format!("llama.{key}");
        let at = place(&format!("{}\0\0\0\0\0\0\0{key}", char::from(key.len() as u8))) + 8 + key.len() + 4;
        file[at..at + 4].copy_from_slice(&(value as u32).to_le_bytes());
    }
    let mut tensors = vec![
        ("token_embd.weight".to_owned(), vec![WIDE, VOCABULARY]),
        ("output_norm.weight".to_owned(), vec![WIDE]),
        ("output.weight".to_owned(), vec![WIDE, VOCABULARY]),
    ];
    for layer in 0..N_WIDE_LAYERS {
        let mut part = |name: &str, shape: &[usize]| {
            tensors.push((format!("blk.{layer}.{name}.weight"), shape.to_vec()));
        };
        for name in ["attn_q", "attn_k", "attn_v", "attn_output"] {
            part(name, &[WIDE, WIDE]);
        }
        part("ffn_gate", &[WIDE, WIDE_INNER]);
        part("ffn_up", &[WIDE, WIDE_INNER]);
        part("ffn_down", &[WIDE_INNER, WIDE]);
        part("attn_norm", &[WIDE]);
        part("ffn_norm", &[WIDE]);
    }
    file[8..16].copy_from_slice(&(tensors.len() as u64).to_le_bytes());
    let mut offset = 0;
    for (name, shape) in &tensors {
        let n: usize = shape.iter().product();
        // Q4_0, and F32.
        let (kind, n_bytes): (u32, usize) = if shape.len() == 2 {
            (2, n / 32 * 18)
        } else {
            (0, 4 * n)
        };
        file.extend((name.len() as u64).to_le_bytes());
        file.extend(name.as_bytes());
        file.extend((shape.len() as u32).to_le_bytes());
        file.extend(shape.iter().flat_map(|&size| (size as u64).to_le_bytes()));
        file.extend(kind.to_le_bytes());
        file.extend((offset as u64).to_le_bytes());
        offset += n_bytes.next_multiple_of(32);
    }
    file.resize(file.len().next_multiple_of(32), 0);
    let mut state = 1_u32;
    for (_, shape) in &tensors {
        let n: usize = shape.iter().product();
        if shape.len() == 1 {
            file.extend(1_f32.to_le_bytes().repeat(n));
            continue;
        }
        for _ in 0..n / 32 {
            // About 0.008, a half float.
            file.extend([0x00, 0x20]);
            for _ in 0..4 {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                file.extend(state.to_le_bytes());
            }
        }
        file.resize(file.len().next_multiple_of(32), 0);
    }
    std::fs::write(path, &file).expect("written");
    file.len() as u64
}

#[test]
fn blocks_that_stay_take_their_files_size_and_one_matrix() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("llama");
    let path = folder.path().join("blocks.gguf");
    let size = write_blocks(&path);
    assert!(size > 55_000_000, "{size}");
    let largest = (4 * WIDE * WIDE_INNER) as u64;
    let (kept, dtype) = measured(&path, "stored");
    assert_eq!(dtype, "float32");
    println!("a file of {size} took {kept}");
    // The buffer, and what a product makes of it.
    assert!(
        kept <= size + size / 10 + 2 * largest + BASE,
        "{kept} for a file of {size}"
    );
    let (numbers, _) = measured(&path, "float32");
    println!("as numbers {numbers}");
    assert!(numbers >= 7 * size, "{numbers} for a file of {size}");
}

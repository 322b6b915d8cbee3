//! Damaged model folders, of every family: each is an error that names the file and the value, and takes no memory.

mod adapters;
mod damages;
mod folder;
mod gguf;
mod hooked;
mod large;
mod layout;
mod names;
mod pytorch;
mod quantized;
mod shared;
mod strangers;

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use ecco_interpreter::unwatched;
use ecco_models::model::Body;
use ecco_models::run::{Input, run};
use ecco_models::{Error, GenerateOptions, Model, generate, load};
use ecco_tests::fixtures;
use serde_json::{Value, json};

use damages::DAMAGES;
use folder::{Folder, Walk, fault};

/// Bytes that a refused folder may take at its most, beside what is resident: its files are under 200 kB. A weight of
/// the largest size that a config may say has gigabytes.
const MOST: u64 = 24 << 20;

/// Memory is that of the whole process: one test at a time.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One case for each `model_type`.
fn families() -> Vec<String> {
    let folder = std::fs::read_dir(fixtures().join("families")).expect("the fixtures are there");
    let folders = folder.map(|entry| entry.expect("readable").path());
    let mut names: Vec<(String, String)> = folders
        .filter(|path| path.is_dir())
        .map(|path| {
            let config = std::fs::read(path.join("config.json")).expect("a config");
            let config: Value = serde_json::from_slice(&config).expect("JSON");
            // TransformerLens' has none.
            let model_type = config["model_type"]
                .as_str()
                .unwrap_or("transformer_lens")
                .to_owned();
            let name = path.file_name().expect("a name").to_string_lossy().into_owned();
            (model_type, name)
        })
        .collect();
    names.sort();
    names.dedup_by(|a, b| a.0 == b.0);
    assert!(names.len() >= 38, "only {} families", names.len());
    names.into_iter().map(|(_, name)| name).collect()
}

fn open(folder: &Folder) -> Result<Model, Error> {
    load(
        &folder.path().display().to_string(),
        &Default::default(),
        &mut unwatched,
    )
}

#[test]
fn every_damage_of_every_family_is_told() {
    let _alone = one_at_a_time();
    let mut failed = Vec::new();
    let (mut n, mut by_kind) = (0, std::collections::BTreeMap::new());
    for family in families() {
        open(&Folder::copy(&family)).unwrap_or_else(|error| panic!("{family}, undamaged: {error}"));
        for (name, damage) in DAMAGES {
            let mut folder = Folder::copy(&family);
            let expected = damage(&mut folder);
            let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
            n += 1;
            match fault(&expected, MOST, || open(&folder).map(drop)) {
                Some(what) => failed.push(format!("{family}, {name}: {what}")),
                None => *by_kind.entry(*name).or_insert(0) += 1,
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {n}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert_eq!(by_kind.len(), DAMAGES.len());
    assert!(n > 16 * 20, "{n} damaged folders");
}

/// What no size, factor or flag should be.
fn absurd() -> Vec<Value> {
    let large = [
        json!(1_u64 << 24),
        json!((1_u64 << 24) - 1),
        json!(1_u64 << 60),
        json!(1e308),
    ];
    let odd = [
        json!(0),
        json!(-1),
        json!(1.5),
        json!("big"),
        json!([]),
        json!([[]]),
        json!({}),
        json!(true),
        json!(null),
    ];
    large.into_iter().chain(odd).collect()
}

/// Where a config has its values, those in maps of it too.
fn keys(config: &Value) -> Vec<String> {
    let mut keys = Vec::new();
    for (key, value) in config.as_object().into_iter().flatten() {
        keys.push(format!("/{key}"));
        keys.extend(
            self::keys(value)
                .into_iter()
                .map(|inner| format!("/{key}{inner}")),
        );
    }
    keys
}

/// Every value of every config replaced by every absurd one: it is refused with the file's name, or means nothing, or
/// the model works with it.
#[test]
fn absurd_configs_are_refused_or_work() {
    let _alone = one_at_a_time();
    let mut walk = Walk::default();
    for family in families() {
        let folder = Folder::copy(&family);
        let config = folder.config();
        open(&folder).expect("undamaged");
        for key in keys(&config) {
            walk_values(&mut walk, &folder, &config, &key, &family);
        }
    }
    walk.assert(10_000, 4);
}

/// Puts every absurd value in the place of one in config.json, and tries the model out.
fn walk_values(walk: &mut Walk, folder: &Folder, config: &Value, key: &str, name: &str) {
    for value in absurd() {
        let mut changed = config.clone();
        *changed.pointer_mut(key).expect("the key") = value.clone();
        folder.write_config(&changed);
        let what = || format!("{name}, {key}: {value}");
        walk.step(what, MOST, is_clear, || {
            open(folder).and_then(|model| try_out(&model))
        });
    }
}

/// Names a file or an option; not what libtorch says of shapes.
fn is_clear(error: &Error) -> bool {
    let names_a_file = [".json", ".safetensors"]
        .iter()
        .any(|file| error.to_string().contains(file));
    let is_about_memory = matches!(error, Error::OutOfMemory { .. });
    let names_a_kind = matches!(
        error,
        Error::UnknownFamily { .. } | Error::UnknownQuantization { .. }
    );
    // Numbers that are no damage by themselves and overflow together.
    let is_of_no_numbers = matches!(error, Error::NoNumbers { .. });
    let is_too_long = matches!(error, Error::TooLong { .. });
    names_a_file || is_about_memory || names_a_kind || is_of_no_numbers || is_too_long
}

fn try_out(model: &Model) -> Result<(), Error> {
    let target = matches!(model.body(), Body::EncoderDecoder(_)).then_some("it");
    let input = Input::new(model, "She said", target)?;
    run(model, vec![input], 2, &mut unwatched)?;
    let options = GenerateOptions {
        generate: Some(2),
        ..Default::default()
    };
    match model.body() {
        Body::Encoder(_) => Ok(()),
        _ => generate(model, "She", &options, &mut |_| ControlFlow::Continue(())).map(drop),
    }
}

/// Some files have their norms or biases in another type than the rest.
#[test]
fn a_file_of_several_types_is_of_the_one_that_most_of_it_has() {
    let _alone = one_at_a_time();
    let whole = open(&Folder::copy("llama")).expect("it loads");
    let folder = Folder::copy("llama");
    folder.edit(|tensors| {
        for (_, stored) in tensors.iter_mut().filter(|(name, _)| name.contains("norm")) {
            // bfloat16 is the upper half of float32.
            let upper = stored.bytes.chunks_exact(4).flat_map(|word| [word[2], word[3]]);
            stored.bytes = upper.collect();
            stored.dtype = "BF16".into();
        }
    });
    let mixed = open(&folder).expect("it loads");
    assert_eq!(mixed.dtype(), "float32");
    let logits = |model: &Model| {
        let ids = model.tokenizer().encode("She said").expect("a text");
        model.logits(&ids).expect("it runs")
    };
    let gap = (logits(&mixed) - logits(&whole)).mapv(f32::abs);
    let largest = gap.iter().copied().fold(0.0, f32::max);
    assert!(largest > 0.0 && largest < 0.1, "{largest}");
}

#[test]
fn numbers_beyond_a_wanted_types_range_are_told() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("llama");
    let name = folder.a_matrix();
    folder.edit(|tensors| {
        let bytes = &mut tensors.get_mut(&name).expect("the matrix").bytes;
        bytes[..4].copy_from_slice(&1e6_f32.to_le_bytes());
    });
    let as_type = |dtype: &str| {
        let options = ecco_models::LoadOptions {
            dtype: Some(dtype.into()),
            ..Default::default()
        };
        Model::open(folder.path(), &options, &mut unwatched)
    };
    let error = as_type("float16").err().expect("it does not fit").to_string();
    let reason = format!("model.safetensors: {name} has numbers beyond its range; bfloat16 has float32's");
    assert_eq!(error, format!("dtype is float16: {reason}"));
    assert_eq!(as_type("bfloat16").expect("it fits").dtype(), "bfloat16");
}

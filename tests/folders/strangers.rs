//! What strangers may do to a model's files, while they are read and before: an error, soon, and the process goes on.

use std::ffi::CString;
use std::fs::{self, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ecco_interpreter::{Diagnostic, Interrupt, Kind, unwatched};
use ecco_models::run::{Input, run};
use ecco_models::{ChatOptions, Error, GenerateOptions, Model, generate, load};
use ecco_tests::fixtures;
use serde_json::{Value, json};

use crate::folder::{Folder, memory, reset_peak};
use crate::{one_at_a_time, open};

/// The demo model, which nothing of this can touch, still works.
fn assert_alive() {
    let demo = load("demo", &Default::default(), &mut unwatched).expect("the demo loads");
    let ids = demo.tokenizer().encode("She said").expect("a text");
    let logits = demo.logits(&ids).expect("it runs");
    assert!(logits.iter().all(|logit| logit.is_finite()));
}

fn options(generate: usize) -> GenerateOptions {
    GenerateOptions {
        generate: Some(generate),
        ..Default::default()
    }
}

/// Does something to a file.
type Change = fn(&Path);

/// A model of each format in a folder of its own, and the file with its weights.
fn of_each_format() -> Vec<(Folder, PathBuf, PathBuf)> {
    let of = |file: &str, open: Option<&str>| {
        let folder = Folder::copy("llama");
        let (weights, whole) = (folder.path().join(file), folder.path().to_owned());
        (folder, open.map_or(whole, |_| weights.clone()), weights)
    };
    let safetensors = of("model.safetensors", None);
    let gguf = of("llama.gguf", Some("llama.gguf"));
    fs::copy(fixtures().join("gguf/llama.gguf"), &gguf.2).expect("a copy");
    let pytorch = of("pytorch_model.bin", None);
    pytorch.0.remove("model.safetensors");
    fs::copy(fixtures().join("pytorch/llama.bin"), &pytorch.2).expect("a copy");
    vec![safetensors, gguf, pytorch]
}

fn truncate(file: &Path) {
    let file = OpenOptions::new().write(true).open(file).expect("it is there");
    file.set_len(0).expect("it can be cut");
}

/// As `cp` onto it does: the file that is there gets other bytes, the length stays.
fn write_in_place(path: &Path) {
    let mut file = OpenOptions::new().write(true).open(path).expect("it is there");
    file.seek(SeekFrom::Start(4096)).expect("it is that long");
    std::thread::sleep(Duration::from_millis(20));
    file.write_all(&[0; 64]).expect("written");
}

fn assert_told(what: &str, result: Result<(), Error>, file: &Path) {
    let error = result.expect_err(what);
    let text = error.to_string();
    let name = file.file_name().expect("a name").to_string_lossy();
    assert!(
        text.contains(&*name) && text.contains("was written to"),
        "{what}: {text}"
    );
    assert_eq!(error.kind(), Kind::Os, "{what}");
}

#[test]
fn weights_that_are_cut_or_written_to_while_they_are_used_are_an_error() {
    let _alone = one_at_a_time();
    let changes: [(&str, Change); 2] = [("cut", truncate), ("written", write_in_place)];
    for (change, apply) in changes {
        for (folder, path, file) in of_each_format() {
            let of = |what: &str| format!("{} {change}, {what}", file.display());
            let whole = fs::read(&file).expect("it is there");
            let loaded = || Model::open(&path, &Default::default(), &mut unwatched);
            let model = loaded().expect("it loads");
            let generated = generate(&model, "She said", &options(8), &mut |_| {
                apply(&file);
                ControlFlow::Continue(())
            });
            assert_told(&of("generate"), generated.map(drop), &file);
            // And from then on.
            let ids = model.tokenizer().encode("She").expect("a text");
            assert_told(&of("then"), model.logits(&ids).map(drop), &file);
            drop(model);

            fs::write(&file, &whole).expect("written");
            let model = loaded().expect("it loads again");
            let input = Input::new(&model, "She said that", None).expect("a text");
            let ran = run(&model, vec![input], 2, &mut |_| {
                apply(&file);
                ControlFlow::Continue(())
            });
            assert_told(&of("run"), ran.map(drop), &file);
            drop(model);

            fs::write(&file, &whole).expect("written");
            let result = Model::open(&path, &Default::default(), &mut |_| {
                apply(&file);
                ControlFlow::Continue(())
            });
            assert_told(&of("load"), result.map(drop), &file);
            assert_alive();
            drop(folder);
        }
    }
}

fn pipe(path: &Path) {
    let path = CString::new(path.as_os_str().as_bytes()).expect("no zero in it");
    let made = std::process::Command::new("mkfifo")
        .arg(std::ffi::OsStr::from_bytes(path.as_bytes()))
        .status();
    assert!(made.expect("mkfifo is there").success());
}

#[test]
fn what_is_no_file_of_a_sane_size_is_refused_at_once() {
    let _alone = one_at_a_time();
    let files = [
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "chat_template.jinja",
        "model.safetensors",
    ];
    let replaced: [(&str, Change); 5] = [
        ("a pipe", pipe),
        ("a device", |path| symlink("/dev/zero", path).expect("a link")),
        ("the kernel's log", |path| {
            symlink("/proc/kmsg", path).expect("a link")
        }),
        ("a file of /proc", |path| {
            symlink("/proc/self/status", path).expect("a link")
        }),
        ("a folder", |path| fs::create_dir(path).expect("a folder")),
    ];
    for file in files {
        for (what, replace) in replaced {
            let folder = Folder::copy("llama");
            let path = folder.path().join(file);
            let _ = fs::remove_file(&path);
            replace(&path);
            let (start, before) = (Instant::now(), memory("VmRSS"));
            reset_peak();
            let error = open(&folder)
                .err()
                .unwrap_or_else(|| panic!("{file}, {what}: loaded"));
            assert!(error.to_string().contains(file), "{file}, {what}: {error}");
            assert!(start.elapsed() < Duration::from_secs(1), "{file}, {what}");
            assert!(memory("VmHWM") < before + (16 << 20), "{file}, {what}");
        }
    }
    for (file, bytes) in [("config.json", 200_u64 << 20), ("tokenizer.json", 300 << 20)] {
        let folder = Folder::copy("llama");
        let long = OpenOptions::new().write(true).open(folder.path().join(file));
        long.and_then(|long| long.set_len(bytes)).expect("a long file");
        let error = open(&folder).err().expect("too large").to_string();
        assert!(error.contains(file) && error.contains("sane size"), "{error}");
    }
}

#[test]
fn few_bytes_that_would_be_very_much_are_refused() {
    let _alone = one_at_a_time();
    let zeros = "0,".repeat(1 << 20);
    for file in ["config.json", "generation_config.json", "tokenizer_config.json"] {
        let folder = Folder::copy("llama");
        folder.write(file, format!("{{\"x\": [{zeros}0]}}"));
        let before = memory("VmRSS");
        reset_peak();
        let error = open(&folder).err().expect("too many").to_string();
        assert!(error.starts_with(file) && error.contains("values"), "{error}");
        assert!(memory("VmHWM") < before + (16 << 20), "{file}");
    }
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for file in [
        "config.json",
        "generation_config.json",
        "tokenizer_config.json",
        "tokenizer.json",
    ] {
        let folder = Folder::copy("llama");
        folder.write(file, format!("{{\"x\": {deep}}}"));
        let error = open(&folder).err().expect("too deep").to_string();
        assert!(error.contains(file), "{error}");
    }
}

/// What of a tokenizer's steps can end a library, or take all memory.
fn bad_steps() -> Vec<(&'static str, &'static str, Value)> {
    let replace = |pattern: &str, content: &str| json!({"type": "Replace", "pattern": {"String": pattern}, "content": content});
    let nested = |list: &str, step: Value| {
        let sequence = |inner, _| json!({"type": "Sequence", list: [inner]});
        (0..100).fold(step, sequence)
    };
    let ten: Vec<Value> = (0..10).map(|_| replace("e", &"e".repeat(1000))).collect();
    vec![
        (
            "no map of characters",
            "normalizer",
            json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"}),
        ),
        ("an empty pattern", "normalizer", replace("", "x")),
        ("an empty pattern at the end", "decoder", replace("", "x")),
        (
            "ten that multiply",
            "normalizer",
            json!({"type": "Sequence", "normalizers": ten.clone()}),
        ),
        (
            "ten that multiply at the end",
            "decoder",
            json!({"type": "Sequence", "decoders": ten}),
        ),
        (
            "a long start",
            "normalizer",
            json!({"type": "Prepend", "prepend": "x".repeat(1 << 20)}),
        ),
        (
            "nested normalizers",
            "normalizer",
            nested("normalizers", replace("e", "f")),
        ),
        (
            "nested decoders",
            "decoder",
            nested("decoders", replace("e", "f")),
        ),
        (
            "nested words",
            "pre_tokenizer",
            nested("pretokenizers", json!({"type": "ByteLevel"})),
        ),
        (
            "a pattern that cannot be read",
            "pre_tokenizer",
            json!({
                "type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false,
            }),
        ),
        ("an unknown step", "normalizer", json!({"type": "Nonsense"})),
    ]
}

#[test]
fn a_tokenizer_that_the_library_cannot_take_is_an_error_that_names_its_file() {
    let _alone = one_at_a_time();
    for (what, step, value) in bad_steps() {
        let folder = Folder::copy("llama");
        let mut tokenizer: Value = serde_json::from_slice(&folder.read("tokenizer.json")).expect("JSON");
        tokenizer[step] = value;
        folder.write("tokenizer.json", tokenizer.to_string());
        let (start, before) = (Instant::now(), memory("VmRSS"));
        reset_peak();
        let result = std::panic::catch_unwind(|| {
            let model = open(&folder)?;
            let ids = model
                .tokenizer()
                .encode("She said that it was there, here, and elsewhere")?;
            model.tokenizer().tokens(&ids);
            Ok::<_, Error>(())
        });
        assert!(
            start.elapsed() < Duration::from_secs(5),
            "{what}: {:?}",
            start.elapsed()
        );
        assert!(memory("VmHWM") < before + (64 << 20), "{what}");
        match result.unwrap_or_else(|_| panic!("{what}: a panic")) {
            // Nested steps that change nothing may be taken.
            Ok(()) => assert!(what.starts_with("nested"), "{what}: taken"),
            Err(error) => {
                assert!(
                    error.to_string().starts_with("tokenizer.json: "),
                    "{what}: {error}"
                );
                assert_eq!(error.kind(), Kind::Value, "{what}");
            }
        }
    }
}

#[test]
fn a_template_that_the_library_cannot_take_is_an_error_that_names_its_file() {
    let _alone = one_at_a_time();
    let itself = "{% set n = namespace() %}{% set n.x = n %}{{ n }}";
    for source in ["{# never ends", "{% if %}", itself] {
        for beside in [true, false] {
            let folder = Folder::copy("llama");
            let file = match beside {
                true => "chat_template.jinja",
                false => "tokenizer_config.json",
            };
            match beside {
                true => folder.write(file, source),
                false => folder.write(file, json!({"chat_template": source}).to_string()),
            }
            let model = open(&folder).expect("it loads");
            let messages = json!([{"role": "user", "content": "Hi"}]);
            let error = model
                .chat(&messages, &ChatOptions::default())
                .expect_err("no template");
            assert!(error.to_string().contains(file), "{source}: {error}");
            assert_eq!(error.kind(), Kind::Value, "{source}");
        }
    }
}

/// 20 MB, as reading a book or a log by mistake.
#[test]
fn a_long_text_is_refused_or_interrupted_and_takes_nothing_for_good() {
    let _alone = one_at_a_time();
    let text = "ab c1 ".repeat(3_500_000);
    let counted = ecco_tests::model("gpt2-tiny", "float32");
    let (start, before) = (Instant::now(), memory("VmRSS"));
    reset_peak();
    let error = Input::new(&counted, text.as_str(), None)
        .expect_err("too long")
        .to_string();
    assert!(error.contains("tokens"), "{error}");
    let error = generate(&counted, text.as_str(), &options(1), &mut |_| {
        ControlFlow::Continue(())
    });
    assert!(error.is_err());
    let error = ecco_models::Generation::of_text(&counted, Some("a".into()), &text);
    assert!(error.is_err());
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert!(memory("VmHWM") < before + (64 << 20), "refused before it is read");

    // Where positions are not counted a text may have any length.
    let model = ecco_tests::model("families/llama", "float32");
    let interrupt = Interrupt::default();
    let _scope = interrupt.enter();
    let request = interrupt.clone();
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        request.request();
    });
    let start = Instant::now();
    let error = model.tokenizer().encode(&text).expect_err("interrupted");
    assert!(
        matches!(error, Error::Interrupted | Error::OutOfMemory { .. }),
        "{error}"
    );
    assert!(
        start.elapsed() < Duration::from_millis(1500),
        "{:?}",
        start.elapsed()
    );
    assert!(memory("VmHWM") < before + (128 << 20));
    interrupt.clear();
    // One of some length is what it would be in parts.
    let text = "ab c1 ".repeat(10_000);
    let ids = model.tokenizer().encode_bare(&text).expect("a text");
    let short = model
        .tokenizer()
        .encode_bare(&"ab c1 ".repeat(1_000))
        .expect("a text");
    assert_eq!(ids[..short.len() - 2], short[..short.len() - 2]);
    assert!(ids.len() > 9 * short.len());
}

/// The file of a model that no machine has the memory for; of holes, so that a disk has.
#[test]
fn a_file_larger_than_memory_is_refused_by_what_it_needs() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("llama");
    let mut config = folder.config();
    (config["vocab_size"], config["hidden_size"]) = (json!(1 << 24), json!(1 << 14));
    folder.write_config(&config);
    let n_bytes = 4_u64 << (24 + 14);
    let header = json!({"model.embed_tokens.weight": {
        "dtype": "F32", "shape": [1 << 24, 1 << 14], "data_offsets": [0, n_bytes],
    }});
    let mut header = header.to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    folder.write(
        "model.safetensors",
        [&(header.len() as u64).to_le_bytes()[..], &header].concat(),
    );
    let file = OpenOptions::new()
        .write(true)
        .open(folder.path().join("model.safetensors"));
    file.and_then(|file| file.set_len(8 + header.len() as u64 + n_bytes))
        .expect("a file of holes");
    let error = open(&folder).err().expect("too large");
    assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
    assert!(error.to_string().contains("needs 1099.5 GB"), "{error}");
}

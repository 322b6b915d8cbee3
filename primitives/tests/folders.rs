//! Model folders that are not as they should be.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use ecco_primitives::register;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Notebook, on_session_thread, plain};
use serde_json::{Value, json};

/// A copy of a tiny model, to be damaged.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        Self::of("gpt2-tiny", name)
    }

    fn of(model: &str, name: &str) -> Self {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../tests/fixtures")
            .join(model);
        let to = std::env::temp_dir().join(format!("ecco-{}-{name}", std::process::id()));
        fs::create_dir_all(&to).expect("a folder");
        for entry in fs::read_dir(from).expect("the fixture") {
            let entry = entry.expect("an entry");
            fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
        }
        Self(to)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    fn load(&self) -> String {
        format!(
            "let tiny = ecco::from_pretrained({:?}, #{{verbose: false}});",
            self.0.display().to_string()
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed from the temporary folder is no failure of the test.
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn error_of(damage: impl FnOnce(&Folder) + Send + 'static, name: &'static str) -> (String, String) {
    on_session_thread(move || {
        let folder = Folder::new(name);
        damage(&folder);
        let mut notebook = Notebook::new();
        let error = notebook.error(&folder.load());
        assert_eq!(notebook.text("1 + 1"), "2");
        (error.name.clone(), plain(&error))
    })
}

#[test]
fn a_good_folder_loads_and_generates() {
    on_session_thread(|| {
        let folder = Folder::new("good");
        let mut notebook = Notebook::new();
        notebook.text(&folder.load());
        assert_eq!(
            notebook.text("tiny.generate(\"a b\", #{generate: 3}).tokens.len() > 3"),
            "true"
        );
        assert_eq!(notebook.text("tiny.config.model_type"), "\"gpt2\"");
    });
}

#[test]
fn a_truncated_weight_file() {
    let (name, text) = error_of(
        |folder| {
            let file = folder.file("model.safetensors");
            let bytes = fs::read(&file).expect("the weights");
            fs::write(&file, &bytes[..bytes.len() / 2]).expect("half of them");
        },
        "truncated",
    );
    assert_eq!(name, "ValueError");
    assert!(
        text.contains("model.safetensors") && text.contains("hint:"),
        "{text}"
    );
}

#[test]
fn a_pickle_that_asks_to_be_run_is_refused() {
    let (name, text) = error_of(
        |folder| {
            let asks = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/pytorch/namespace.pt");
            fs::remove_file(folder.file("model.safetensors")).expect("removed");
            fs::copy(asks, folder.file("pytorch_model.bin")).expect("copied");
        },
        "pickle",
    );
    assert_eq!(name, "ValueError");
    assert!(
        text.contains("pytorch_model.bin asks for argparse.Namespace to be run, which is not done")
            && text.contains("hint: if you trust whoever made it"),
        "{text}"
    );
}

#[test]
fn safetensors_are_read_under_pytorchs_name() {
    on_session_thread(|| {
        let folder = Folder::new("renamed");
        fs::rename(folder.file("model.safetensors"), folder.file("pytorch_model.bin")).expect("renamed");
        assert_eq!(
            Notebook::new().text(&format!("{} tiny.dtype", folder.load())),
            "\"float32\""
        );
    });
}

#[test]
fn what_is_to_know_of_a_models_files_is_said_when_it_is_loaded() {
    on_session_thread(|| {
        let folder = Folder::of("gpt2-untied", "ties");
        edit(&folder.file("config.json"), "tie_word_embeddings", json!(true));
        let ran = Notebook::new().run(&folder.load());
        assert!(ran.result.is_ok());
        let said = format!("{:?}", ran.events);
        let notice = "notice: config.json ties lm_head.weight to wte.weight, but ";
        assert!(said.contains(notice), "{said}");
    });
}

#[test]
fn a_missing_file_is_named() {
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let (name, text) = error_of(
            move |folder| fs::remove_file(folder.file(file)).expect("removed"),
            "missing",
        );
        assert_eq!(name, "FileNotFoundError", "{file}: {text}");
        assert!(text.contains(file), "{text}");
        assert!(text.contains("│ ") && text.contains("^^^"), "{text}");
    }
}

#[test]
fn weights_that_are_no_file_are_refused_and_not_waited_for() {
    let (name, text) = error_of(
        |folder| {
            let file = folder.file("model.safetensors");
            fs::remove_file(&file).expect("removed");
            let made = Command::new("mkfifo").arg(&file).status();
            assert!(made.expect("mkfifo runs").success());
        },
        "pipe",
    );
    assert_eq!(name, "ValueError");
    assert!(text.contains("model.safetensors: a folder, a pipe"), "{text}");
}

#[test]
fn an_index_without_files_says_so() {
    let (_, text) = error_of(
        |folder| {
            fs::remove_file(folder.file("model.safetensors")).expect("removed");
            let index = folder.file("model.safetensors.index.json");
            fs::write(index, "{\"weight_map\": {}}").expect("an index");
        },
        "index",
    );
    assert!(
        text.contains("model.safetensors.index.json: weight_map names no file"),
        "{text}"
    );
}

#[test]
fn a_negative_epsilon_is_refused() {
    let (_, text) = error_of(
        |folder| edit(&folder.file("config.json"), "layer_norm_epsilon", json!(-1)),
        "epsilon",
    );
    assert!(text.contains("config.json: layer_norm_epsilon is -1"), "{text}");
}

#[test]
fn a_models_own_defaults_never_refuse_a_generation() {
    on_session_thread(|| {
        let folder = Folder::new("defaults");
        let file = folder.file("generation_config.json");
        edit(&file, "temperature", json!(0.0));
        edit(&file, "max_length", json!(2000));
        let mut notebook = Notebook::new();
        notebook.text(&folder.load());
        assert_eq!(
            notebook.text("tiny.generate(\"a b\").token_ids.len() <= 64"),
            "true"
        );
    });
}

#[test]
fn tokens_are_drawn_only_where_a_cell_asks_for_it() {
    on_session_thread(|| {
        let folder = Folder::new("sampling");
        edit(&folder.file("generation_config.json"), "do_sample", json!(true));
        let mut notebook = Notebook::new();
        notebook.text(&folder.load());
        // A seed is drawn where tokens are.
        let by_default = "tiny.generate(\"a b\", #{generate: 2}).seed == ()";
        assert_eq!(notebook.text(by_default), "true");
        let asked = "tiny.generate(\"a b\", #{generate: 2, do_sample: true}).seed != ()";
        assert_eq!(notebook.text(asked), "true");
    });
}

/// Sets one value of a JSON file.
fn edit(file: &Path, key: &str, value: Value) {
    let text = fs::read_to_string(file).expect("the file");
    let mut map: Value = serde_json::from_str(&text).expect("JSON");
    map[key] = value;
    fs::write(file, map.to_string()).expect("written");
}

//! `lm.weight` gives what the files have.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use common::{Notebook, on_session_thread};
use ecco_primitives::register;

const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures");

#[test]
fn every_weight_is_the_files() {
    on_session_thread(|| {
        for folder in ["gpt2-tiny", "gpt2-tiny-bf16"] {
            let mut notebook = Notebook::in_folder(format!("{FIXTURES}/{folder}"));
            let code = format!(
                "let lm = ecco::from_pretrained(\"{FIXTURES}/{folder}\", #{{verbose: false}});\n\
                 let file = ecco::read(\"model.safetensors\");\n\
                 let names = lm.weights().map(|w| w.name);\n\
                 [names.len() == file.len(), names.all(|name| lm.weight(name) == file[name]), \
                  lm.weights().all(|w| w.shape == file[w.name].shape)]"
            );
            assert_eq!(notebook.text(&code), "[true, true, true]", "{folder}");
        }
    });
}

//! Adapters in a notebook: on, off, at a share of the way, compared, and refused.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use std::path::{Path, PathBuf};

use common::{Notebook, on_session_thread, plain};
use ecco_primitives::register;

fn fixtures() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures");
    folder.canonicalize().expect("the fixtures")
}

/// A copy of an adapter, to be damaged.
struct Copy(PathBuf);

impl Copy {
    fn new(adapter: &str, name: &str) -> Self {
        let to = std::env::temp_dir().join(format!("ecco-adapter-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&to).expect("a folder");
        for file in ["adapter_config.json", "adapter_model.safetensors"] {
            let from = fixtures().join("adapters").join(adapter).join(file);
            std::fs::copy(from, to.join(file)).expect("a copy");
        }
        Self(to)
    }

    fn replace(&self, from: &str, to: &str) {
        let path = self.0.join("adapter_config.json");
        let text = std::fs::read_to_string(&path).expect("the settings");
        assert!(text.contains(from), "{text}");
        std::fs::write(path, text.replace(from, to)).expect("written");
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // What cannot be removed from the temporary folder is no failure of the test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// `ecco::from_pretrained` of the model that all these are for, with a folder as its adapter.
fn load(adapter: &Path) -> String {
    let base = fixtures().join("families/llama");
    format!(
        "ecco::from_pretrained({:?}, #{{adapter: {:?}, dtype: \"float32\", verbose: false}})",
        base.display().to_string(),
        adapter.display().to_string()
    )
}

#[test]
fn on_off_and_between() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let adapter = fixtures().join("adapters/llama");
        notebook.run(&format!("let lm = {};", load(&adapter)));
        let logits = |lm: &str| format!("{lm}.score(\"She said that it was there.\").perplexity");
        let base = fixtures().join("families/llama");
        notebook.run(&format!(
            "let plain = ecco::from_pretrained({:?}, #{{dtype: \"float32\", verbose: false}});",
            base.display().to_string()
        ));
        let mut said = |lm: &str| notebook.text(&logits(lm));
        let (tuned, off) = (said("lm"), said("lm.adapter(#{scale: 0.0})"));
        assert_eq!(off, said("plain"));
        assert_ne!(off, tuned);
        assert_eq!(tuned, said("lm.adapter()"));
        let half = said("lm.adapter(#{scale: 0.5})");
        assert!(half != off && half != tuned);
        // Of a handle with a share, and after it.
        assert_eq!(tuned, said("lm.adapter(#{scale: 0.5}).adapter(#{scale: 1.0})"));
        assert_eq!(tuned, said("lm"));
        assert!(
            notebook
                .text("lm.adapter(#{scale: 0.5}).to_string()")
                .contains("with its adapter × 0.5")
        );
        assert!(notebook.text("lm").contains("adapters/llama\" × 1"));
    });
}

#[test]
fn side_by_side_without_and_with_it() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let adapter = fixtures().join("adapters/llama");
        notebook.run(&format!("let lm = {};", load(&adapter)));
        let compared = notebook.text("lm.compare(\"She said\", #{generate: 3})");
        assert!(
            compared.contains("without adapter") && compared.contains("with adapter"),
            "{compared}"
        );
        let error = notebook.error("lm.adapter(#{scale: 0.0}).compare(\"She said\", #{generate: 3})");
        assert!(plain(&error).contains("there is nothing to compare"));
    });
}

#[test]
fn an_adapter_brings_its_model() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let adapter = fixtures().join("adapters/llama-tokens");
        notebook.run(&format!(
            "let lm = ecco::from_pretrained({:?}, #{{dtype: \"float32\", verbose: false}});",
            adapter.display().to_string()
        ));
        assert_eq!(notebook.text("lm.config.vocab_size"), "387");
        assert_eq!(
            notebook.text("lm.adapter(#{scale: 0.0}).run(\"a <new1>\").tokens.len()"),
            "3"
        );
    });
}

#[test]
fn what_is_no_adapter_says_so() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let mut refusal = |cell: &str| plain(&notebook.error(cell));
        let none = refusal("ecco::from_pretrained(\"demo\", #{verbose: false}).adapter(#{scale: 0.5})");
        assert!(none.contains("demo was loaded without an adapter"), "{none}");
        assert!(
            none.contains("ecco::from_pretrained(\"demo\", #{adapter: \"folder or hub id\"})"),
            "{none}"
        );
        let missing = refusal(&load(Path::new("/no/such/folder")));
        assert!(
            missing.contains("adapter is \"/no/such/folder\": expected a folder with adapter_config.json")
        );

        let copy = Copy::new("llama", "kinds");
        copy.replace("\"LORA\"", "\"IA3\"");
        let kind = refusal(&load(&copy.0));
        assert!(
            kind.contains("adapter_config.json: peft_type is \"IA3\": expected LORA"),
            "{kind}"
        );

        let copy = Copy::new("llama", "base");
        copy.replace("../../families/llama", "/no/such/base");
        let base = refusal(&format!(
            "ecco::from_pretrained({:?})",
            copy.0.display().to_string()
        ));
        assert!(
            base.contains("is for a model that is not here: \"/no/such/base\""),
            "{base}"
        );
        assert!(base.contains("#{adapter: \""), "{base}");

        let copy = Copy::new("llama", "rank");
        copy.replace("\"r\": 4", "\"r\": 5");
        let rank = refusal(&load(&copy.0));
        assert!(
            rank.contains("says rank 5 of model.layers.0.self_attn.k_proj, whose weights have rank 4"),
            "{rank}"
        );

        let copy = Copy::new("llama", "start");
        copy.replace(
            "\"init_lora_weights\": true",
            "\"init_lora_weights\": \"pissa_niter_4\"",
        );
        let start = refusal(&load(&copy.0));
        assert!(
            start.contains("init_lora_weights is \"pissa_niter_4\": training began by changing the model")
        );

        let stranger = refusal(&load(&fixtures().join("adapters/gpt_neox")));
        assert!(stranger.contains("changes gpt_neox.layers."), "{stranger}");
        assert!(
            stranger.contains(", which a llama model does not have"),
            "{stranger}"
        );
        assert!(
            stranger.contains("an adapter fits the model that it was trained on alone"),
            "{stranger}"
        );
        let shape = Copy::new("llama", "cut");
        let file = shape.0.join("adapter_model.safetensors");
        let bytes = std::fs::read(&file).expect("the weights");
        std::fs::write(&file, &bytes[..bytes.len() - 8]).expect("written");
        let cut = refusal(&load(&shape.0));
        assert!(
            cut.contains("adapter_model.safetensors: not a whole safetensors file"),
            "{cut}"
        );
        std::fs::remove_file(&file).expect("removed");
        let gone = refusal(&load(&shape.0));
        assert!(gone.contains("has no adapter_model.safetensors"), "{gone}");
    });
}

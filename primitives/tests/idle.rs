//! Models that nobody uses for a while give their memory back, and are the same when they are used again.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use common::{Notebook, on_session_thread};
use ecco_interpreter::Interpreter;
use ecco_primitives::register;

const IDLE: Duration = Duration::from_secs(1);

/// A copy of a tiny model, for a test of its own.
fn folder(name: &str) -> PathBuf {
    let from = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/fixtures/gpt2-tiny");
    let to = std::env::temp_dir().join(format!("ecco-idle-{}-{name}", std::process::id()));
    fs::create_dir_all(&to).expect("a folder");
    for entry in fs::read_dir(from).expect("the fixture") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
    to
}

fn loaded(folder: &Path) -> Notebook {
    let mut notebook = Notebook::new();
    notebook.text(&format!(
        "let lm = ecco::from_pretrained({:?}, #{{idle: 1, verbose: false}}); \
         let output = lm.generate(\"The keys\", #{{generate: 3}}); let logits = lm.run(\"The keys\").logits;",
        folder.display().to_string()
    ));
    notebook
}

/// What the kernel does between cells for so long.
fn rest(notebook: &mut Notebook, time: Duration) -> Option<Duration> {
    let first = notebook.session.rest();
    std::thread::sleep(time);
    first.and_then(|_| notebook.session.rest())
}

#[test]
fn a_model_that_nobody_uses_is_set_aside_and_comes_back_the_same() {
    on_session_thread(|| {
        let folder = folder("same");
        let mut notebook = loaded(&folder);
        notebook.text(
            "let saliency = output.saliency(); saliency.scores; let lens = output.lens(); lens.ranks; \
             let factors = output.run_nmf(#{n_components: 2}); factors.components; let run = lm.run(\"The keys\"); \
             let site = run.at(\"residual_after\"); let vector = lm.steering_vector([\"good\"], [\"bad\"]); \
             let added = lm.intervene(#{add: [#{vector: vector}]}).generate(\"The keys\", #{generate: 2}); added.saliency().scores;",
        );
        let memory = notebook.text("lm.memory");
        assert!(notebook.session.rest().is_some_and(|left| left <= IDLE));
        assert_eq!(notebook.text("lm.memory"), memory);

        assert_eq!(rest(&mut notebook, IDLE), None);
        assert_eq!(notebook.text("[lm.memory, lm.is_loaded]"), "[0, true]");
        assert!(notebook.text("lm.to_string()").contains("set aside"));
        assert!(notebook.text("ecco::models()").contains("set aside"));
        // Nothing that was computed keeps its tensors.
        assert!(!holders(&mut notebook).contains("same"));
        // Its files are gone, and another model stands in their place: it is the one that was loaded.
        fs::remove_dir_all(&folder).expect("it is ours");

        assert_eq!(
            notebook.text("lm.run(\"The keys\").logits.equals(logits).min() == 1.0"),
            "true"
        );
        assert_eq!(notebook.text("lm.memory"), memory);
        assert!(holders(&mut notebook).contains("same"));
        // A result that was made before goes on with it.
        assert_eq!(notebook.text("output.saliency().scores.shape[0]"), "3");
    });
}

fn holders(notebook: &mut Notebook) -> String {
    notebook
        .text("ecco::devices().filter(|about| about.device == \"cpu\")[0].holders.map(|held| held.models)")
}

#[test]
fn a_model_that_is_used_stays_and_one_without_the_option_too() {
    on_session_thread(|| {
        let mut notebook = loaded(&folder("used"));
        for _ in 0..3 {
            assert!(rest(&mut notebook, IDLE * 2 / 3).is_some());
            notebook.text("lm.run(\"The keys\").logits");
        }
        assert_ne!(notebook.text("lm.memory"), "0");

        let mut notebook = Notebook::new();
        notebook.text("let lm = ecco::from_pretrained(\"demo\", #{verbose: false});");
        assert_eq!(rest(&mut notebook, IDLE), None);
        assert_ne!(notebook.text("lm.memory"), "0");
    });
}

#[test]
fn views_follow_and_unloading_is_for_good() {
    on_session_thread(|| {
        let mut notebook = loaded(&folder("views"));
        notebook.text("let without = lm.intervene(#{ablate: [#{layer: 0, head: 0}]});");
        notebook.text("let before = without.run(\"The keys\").logits;");
        rest(&mut notebook, IDLE);
        assert_eq!(
            notebook.text("without.run(\"The keys\").logits.equals(before).min() == 1.0"),
            "true"
        );
        rest(&mut notebook, IDLE);
        assert_eq!(notebook.text("lm.unload(); lm.is_loaded"), "false");
        assert!(
            notebook
                .error("lm.run(\"The keys\")")
                .value
                .contains("was unloaded")
        );
    });
}

#[test]
fn a_file_that_was_written_over_meanwhile_is_told_and_the_session_goes_on() {
    on_session_thread(|| {
        let folder = folder("over");
        let mut notebook = loaded(&folder);
        rest(&mut notebook, IDLE);
        let file = folder.join("model.safetensors");
        let mut bytes = fs::read(&file).expect("its weights");
        bytes.reverse();
        std::thread::sleep(Duration::from_millis(20));
        fs::write(&file, bytes).expect("it is ours");
        let error = notebook.error("lm.run(\"The keys\")");
        assert!(error.value.contains("model.safetensors"), "{}", error.value);
        assert_eq!(notebook.text("1 + 1"), "2");
        fs::remove_dir_all(&folder).expect("it is ours");
    });
}

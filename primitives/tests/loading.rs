//! Results that were saved, loaded again: they show as they did, have their numbers, and can be used; what is no result is
//! refused.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{Notebook, on_session_thread};
use ecco_interpreter::{DATA, MimeBundle};
use ecco_primitives::register;
use serde_json::{Value, json};

const MADE: &str = r#"
let lm = ecco::from_pretrained("demo", #{verbose: false});
let output = lm.generate("The countries are:\n1.", #{generate: 4, do_sample: false});
let score = lm.score("The capital of France is", " Paris.");
let run = lm.run("The capital of France is");
let saliency = output.saliency();
let words = output.saliency(#{method: "ig", by: "word", of: "log_probability"});
let named = lm.attribute("The capital of France is", #{target: " Paris", contrast: " Rome"});
let results = lm.attribute(["The countries are:", "1. Austria"]);
let factors = output.run_nmf(#{n_components: 2});
let pca = output.run_pca(#{n_components: 2});
let vector = lm.steering_vector(["It was good", "I love it"], ["It was bad", "I hate it"]);
let probes = lm.probe(["good day", "bad day", "good food", "bad food"], ["g", "b", "g", "b"], #{layers: [1, 2], folds: 2});
let map = ecco::project([output, run], #{labels: ["given", "read"], clusters: 2});
let faithfulness = saliency.faithfulness(#{n_random: 2});
let grid = ecco::similarity(output, output);
let heads = lm.head_scores(#{n: 6, texts: 1});
let vocabulary = lm.vocabulary_of(#{layer: 0, neuron: [1, 3]});
let neuron = lm.corpus(["The countries are", "1. Austria"], #{layers: [1], top: 2}).neuron(1, 3);
let edges = lm.edges("The capital of France is", "The capital of Italy is", #{target: " Paris"});
let circuit = edges.circuit(40);
let graph = output.circuit(#{position: output.n_input_tokens, max_nodes: 12, measure: 2});
let curve = edges.curve(#{sizes: [10, 40], random: 1});
let lens = output.lens();
let lens_raw = output.lens(#{raw: true, topk: 2});
let predictions = output.layer_predictions();
let rankings = output.rankings();
let watched = output.rankings_watch(#{watch: [" Austria", " Belgium"]});
let top_k = output.top_k(#{k: 3});
let neurons = output.top_neurons();
let activity = output.neuron(0, 3);
let sites = output.site_attribution("head_outputs");
let comparison = output.compare_methods(["gradient", "ig"]);
let candidates = output.candidates(output.n_input_tokens);
let attention = output.attention(#{layer: 1});
let heads_of_run = run.attention();
let written = output.logit_attribution();
let of_heads = output.logit_attribution(#{by: "head"});
let patched = lm.patch_map("The capital of France is", "The capital of Italy is", #{target: " Paris"});
let patched_pairs = lm.patch_map(["The capital of France is"], ["The capital of Italy is"], #{target: " Paris"});
let estimated = lm.attribution_patching("The capital of France is", "The capital of Italy is", #{target: " Paris"});
let pair = lm.compare("The countries are:", #{intervene: #{ablate: [#{layer: 1, site: "mlp_output"}]}, generate: 4});
let difference = ecco::diff(lm, lm.intervene(#{ablate: [#{layer: 1, head: 0}]}), ["The countries are:"]);
"#;

/// All that are shown again.
const SHOWN: &str = "output score run saliency words named results factors pca vector probes map faithfulness grid heads \
                     vocabulary neuron edges circuit graph curve lens lens_raw predictions rankings watched top_k neurons activity \
                     sites comparison candidates attention heads_of_run written of_heads patched patched_pairs estimated pair \
                     difference";

fn notebook(folder: &Path) -> Notebook {
    let mut notebook = Notebook::in_folder(folder.to_owned());
    notebook.run(MADE).result.expect("the demo model runs");
    notebook
}

fn bundle(notebook: &mut Notebook, code: &str) -> MimeBundle {
    let result = notebook.run(code).result;
    result
        .unwrap_or_else(|error| panic!("{code}: {}", error.value))
        .expect("a value")
}

/// Without the id by which a page asks the kernel, and the call that made it.
fn page(bundle: &MimeBundle) -> String {
    let page = bundle.data["text/html"].as_str().expect("a page").to_owned();
    let without = |page: String, name: &str| match page.split_once(&format!(" {name}=\"")) {
        Some((before, rest)) => format!("{before}{}", rest.split_once('"').expect("a value").1),
        None => page,
    };
    ["data-live", "data-text", "data-call"]
        .into_iter()
        .fold(page, without)
}

#[test]
fn what_is_loaded_shows_as_it_did() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = notebook(folder.path());
        for name in SHOWN.split_whitespace() {
            let before = bundle(&mut notebook, name);
            notebook
                .run(&format!("{name}.save(\"{name}.json\")"))
                .result
                .expect(name);
            let after = bundle(&mut notebook, &format!("ecco::load(\"{name}.json\")"));
            assert_eq!(after.text(), before.text(), "{name}");
            assert!(after.data[DATA] == before.data[DATA], "{name}: another document");
            assert_eq!(
                after.data.get("image/svg+xml"),
                before.data.get("image/svg+xml"),
                "{name}"
            );
            assert!(page(&after) == page(&before), "{name}: another page");
        }
    });
}

#[test]
fn what_is_loaded_has_its_numbers_and_can_be_used() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = notebook(folder.path());
        for name in "output score saliency words named factors pca vector probes run".split_whitespace() {
            notebook
                .run(&format!("{name}.save(\"{name}.json\")"))
                .result
                .expect(name);
            if !["run", "output"].contains(&name) {
                notebook
                    .run(&format!("{name}.save(\"{name}.safetensors\")"))
                    .result
                    .expect(name);
            }
        }
        for same in [
            "ecco::load(\"saliency.json\").scores == saliency.scores",
            "ecco::load(\"saliency.json\").contributions == saliency.contributions",
            "ecco::load(\"saliency.safetensors\").scores == saliency.scores",
            "ecco::load(\"saliency.json\").scores.axes == saliency.scores.axes",
            "ecco::load(\"words.json\").scores == words.scores",
            "ecco::load(\"named.json\").kind == \"saliency\"",
            "ecco::load(\"factors.json\").components == factors.components",
            "ecco::load(\"factors.safetensors\").neurons == factors.neurons",
            "ecco::load(\"pca.json\").explained_variance_ratio.len() == 2",
            "(ecco::load(\"score.json\").log_probabilities - ecco::load(\"score.safetensors\").log_probabilities).abs().max() < 1e-6",
            "ecco::load(\"score.json\").log_probabilities.len() == score.log_probabilities.len()",
            "ecco::load(\"vector.json\").vector == vector.vector",
            "ecco::load(\"vector.safetensors\", lm).norm == vector.norm",
            "lm.intervene(#{add: [#{vector: ecco::load(\"vector.json\"), factor: 3.0}]}).score(\"It was\", \" good\").perplexity \
             == lm.intervene(#{add: [#{vector: vector, factor: 3.0}]}).score(\"It was\", \" good\").perplexity",
            "ecco::load(\"probes.safetensors\").directions[1][0] == probes.direction(2)",
            "ecco::load(\"probes.safetensors\").kind == \"probes\"",
            "ecco::load(\"output.json\").as_prompt.token_ids == output.token_ids",
            "ecco::load(\"output.json\", lm).saliency().scores == saliency.scores",
            "ecco::load(\"output.json\", lm).finish == output.finish",
            "ecco::load(\"score.json\", lm).log_probabilities == score.log_probabilities",
            "ecco::load(\"run.json\", lm).logits == run.logits",
            "ecco::load(\"saliency.json\", lm).to_array() == ecco::load(\"saliency.safetensors\").to_array()",
        ] {
            assert_eq!(notebook.text(same), "true", "{same}");
        }
        // Tensors that are of no result.
        notebook
            .run("output.activations.save(\"activations.safetensors\")")
            .result
            .expect("saved");
        let same = "ecco::load(\"activations.safetensors\").tensor == output.activations";
        assert_eq!(notebook.text(same), "true");
    });
}

fn refusal(notebook: &mut Notebook, folder: &Path, document: &Value, code: &str) -> String {
    std::fs::write(folder.join("x.json"), document.to_string()).expect("written");
    match notebook.run(code).result {
        Ok(_) => "loaded".to_owned(),
        Err(error) => format!("{}: {}", error.name, error.value),
    }
}

#[test]
fn what_is_of_another_model_is_refused() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = notebook(folder.path());
        for name in ["output", "vector"] {
            notebook
                .run(&format!("{name}.save(\"{name}.json\")"))
                .result
                .expect(name);
        }
        let read = |name: &str| -> Value {
            let text = std::fs::read_to_string(folder.path().join(name)).expect(name);
            serde_json::from_str(&text).expect(name)
        };
        let (output, vector) = (read("output.json"), read("vector.json"));
        let load = "ecco::load(\"x.json\", lm)";
        let mut ask = |document: &Value, code: &str| refusal(&mut notebook, folder.path(), document, code);

        let mut other = output.clone();
        other["model"] = "models/another".into();
        assert_eq!(
            ask(&other, load),
            "ValueError: cannot load \"x.json\": it is of the model \"models/another\", not of \"demo\""
        );
        assert_eq!(ask(&other, "ecco::load(\"x.json\")"), "loaded");
        other["model"] = "elsewhere/demo".into();
        assert_eq!(ask(&other, load), "loaded");
        other["tokens"][1]["text"] = " Xx".into();
        assert!(
            ask(&other, load).contains("token 1 is \" Xx\""),
            "{}",
            ask(&other, load)
        );
        other["tokens"][1]["id"] = 4_000_000.into();
        assert!(ask(&other, load).contains("4000000"), "{}", ask(&other, load));
        let mut other = vector.clone();
        other["vector"] = json!([0.5, 1.0]);
        assert!(
            ask(&other, load).contains("it has 2 numbers at layer"),
            "{}",
            ask(&other, load)
        );
        other["site"] = "nowhere".into();
        assert!(ask(&other, "ecco::load(\"x.json\")").contains("its site is missing, or none"));
    });
}

/// Every field of every document in turn gone, of another type, or absurd: the session lives, and nothing takes long.
#[test]
fn damaged_documents_are_refused_or_shown() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = notebook(folder.path());
        let (mut n_loaded, mut n_refused) = (0, 0);
        for name in SHOWN.split_whitespace() {
            notebook
                .run(&format!("{name}.save(\"{name}.json\")"))
                .result
                .expect(name);
            let text = std::fs::read_to_string(folder.path().join(format!("{name}.json"))).expect(name);
            let document: Value = serde_json::from_str(&text).expect(name);
            for damaged in damages(&document) {
                let start = Instant::now();
                let said = refusal(&mut notebook, folder.path(), &damaged, "ecco::load(\"x.json\")");
                assert!(
                    start.elapsed() < Duration::from_secs(5),
                    "{name}: {:?}",
                    start.elapsed()
                );
                match said.as_str() {
                    "loaded" => n_loaded += 1,
                    said => {
                        let is_clear = said.starts_with("ValueError: cannot load \"x.json\": ");
                        assert!(is_clear, "{name}: {said}\n{}", &damaged.to_string()[..300]);
                        n_refused += 1;
                    }
                }
            }
        }
        assert!(
            n_loaded > 50 && n_refused > 200,
            "{n_loaded} loaded, {n_refused} refused"
        );
        assert_eq!(notebook.text("1 + 1"), "2");
    });
}

fn damages(document: &Value) -> Vec<Value> {
    let absurd = [
        Value::Null,
        json!([]),
        json!([[]]),
        json!(4_294_967_295_u64),
        json!(18_446_744_073_709_551_615_u64),
        json!(-1),
        json!("</script><b>"),
        json!({"a": [null]}),
    ];
    let mut all = Vec::new();
    for (name, field) in document.as_object().expect("fields") {
        let mut less = document.clone();
        less.as_object_mut().expect("fields").remove(name);
        all.push(less);
        for value in &absurd {
            let mut other = document.clone();
            other[name] = value.clone();
            all.push(other);
        }
        if let Some(items) = field.as_array().filter(|items| !items.is_empty()) {
            for value in &absurd {
                let mut other = document.clone();
                other[name][0] = value.clone();
                all.push(other);
            }
            let mut short = document.clone();
            short[name] = items[..items.len() - 1].into();
            all.push(short);
            for (inner, _) in items[0].as_object().into_iter().flatten() {
                let mut other = document.clone();
                other[name][0][inner] = json!(4_294_967_295_u64);
                all.push(other);
            }
        }
    }
    all
}

#[test]
fn what_is_no_document_is_refused() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = Notebook::in_folder(folder.path().to_owned());
        let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
        for (name, content) in [
            ("cut.json", &b"{\"type\": \"saliency\", \"version\": 1, \"tok"[..]),
            ("empty.json", b""),
            ("deep.json", deep.as_bytes()),
            ("other.json", b"[1, 2]"),
            ("old.json", b"{\"type\": \"saliency\", \"version\": 99}"),
            ("bytes.json", b"\xff\xff\xff"),
            ("cut.safetensors", b"\x10\0\0\0\0\0\0\0{\"a\":"),
            ("huge.safetensors", b"\xff\xff\xff\xff\xff\xff\xff\x7f{}"),
        ] {
            std::fs::write(folder.path().join(name), content).expect("written");
            let error = notebook
                .run(&format!("ecco::load(\"{name}\")"))
                .result
                .expect_err(name);
            assert!(
                error.value.contains(&format!("cannot load \"{name}\"")),
                "{name}: {}",
                error.value
            );
        }
        for (path, said) in [
            ("../x.json", "outside of the notebook's folder"),
            ("none.json", "cannot read"),
            ("x.pkl", "does not say how it was saved"),
        ] {
            let error = notebook
                .run(&format!("ecco::load(\"{path}\")"))
                .result
                .expect_err(path);
            assert!(error.value.contains(said), "{path}: {}", error.value);
        }
    });
}

//! Results in files: every ending, and what is refused.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use common::{Notebook, on_session_thread};
use ecco_primitives::register;
use serde_json::Value;

const MADE: &str = r#"
let lm = ecco::from_pretrained("demo", #{verbose: false});
let output = lm.generate("The countries are:\n1.", #{generate: 4});
let saliency = output.saliency();
let nmf = output.run_nmf(#{n_components: 2});
let pca = output.run_pca(#{n_components: 2});
let stability = nmf.stability(#{seeds: 2});
let neuron = output.neuron(0, 3);
let top = output.top_neurons();
let grid = ecco::similarity(output, output);
"#;

fn error_of(notebook: &mut Notebook, code: &str) -> String {
    let error = notebook.run(code).result.expect_err(code);
    error.value
}

#[test]
fn results_are_saved_by_the_paths_end() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = Notebook::in_folder(folder.path().to_owned());
        notebook.run(MADE).result.expect("the demo model runs");
        for result in ["saliency", "nmf"] {
            for ending in ["json", "safetensors", "npy", "csv", "html", "svg"] {
                let code = format!("{result}.save(\"{result}.{ending}\")");
                notebook
                    .run(&code)
                    .result
                    .unwrap_or_else(|error| panic!("{code}: {}", error.value));
            }
        }
        for result in ["pca", "stability", "neuron", "top", "grid"] {
            for ending in ["json", "safetensors", "npy", "csv", "html"] {
                let code = format!("{result}.save(\"{result}.{ending}\")");
                notebook
                    .run(&code)
                    .result
                    .unwrap_or_else(|error| panic!("{code}: {}", error.value));
            }
        }
        let read = |name: &str| std::fs::read_to_string(folder.path().join(name)).expect(name);

        let parsed: Value = serde_json::from_str(&read("saliency.json")).expect("valid");
        let tokens = parsed["tokens"].as_array().expect("tokens").len();
        assert_eq!(parsed["type"], "saliency");
        let rows = parsed["scores"].as_array().expect("rows");
        let lengths: Vec<usize> = rows
            .iter()
            .filter_map(|row| Some(row.as_array()?.len()))
            .collect();
        assert_eq!(lengths, [tokens - 4, tokens - 3, tokens - 2, tokens - 1]);
        let sum: f64 = parsed["scores"][0]
            .as_array()
            .expect("a row")
            .iter()
            .filter_map(Value::as_f64)
            .sum();
        assert!((sum - 1.0).abs() < 1e-5, "{sum}");
        assert_eq!(parsed["method"], "gradient × input");

        let bytes = std::fs::read(folder.path().join("nmf.safetensors")).expect("it was written");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
        let mut names = file.names();
        names.sort_unstable();
        assert_eq!(names, ["components", "neurons"]);

        let csv = read("saliency.csv");
        assert!(
            csv.starts_with("generated,generated_label,position,position_label,value\r\n0,"),
            "{csv}"
        );
        assert_eq!(csv.matches("\r\n").count(), 1 + 4 * (tokens - 1));
        assert!(
            read("nmf.html").contains("<ecco-factors") && read("nmf.html").starts_with("<!doctype html>")
        );
        assert!(read("saliency.svg").starts_with("<svg"));

        assert_eq!(
            error_of(&mut notebook, "saliency.save(\"saliency.png\")"),
            "\"saliency.png\" does not say how to save: expected .json, .safetensors, .npy, .csv, .html or .svg"
        );
        assert!(
            error_of(&mut notebook, "nmf.save(\"../nmf.json\")").contains("outside of the notebook's folder")
        );
    });
}

#[test]
fn a_fitted_lens_is_the_same_from_its_file() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = Notebook::in_folder(folder.path().to_owned());
        let path = folder.path().join("lens.safetensors");
        for (method, options) in [
            ("jacobian", "skip: 2"),
            ("relevance", "skip: 2"),
            ("tuned", "steps: 3, step_tokens: 8"),
        ] {
            let code = format!(
                "let lm = ecco::from_pretrained(\"demo\", #{{verbose: false}}); \
                 let fitted = lm.fit_lens(\"{method}\", [\"The countries of the European Union are\"], #{{{options}}}); \
                 fitted.save(\"lens.safetensors\"); let again = lm.load_lens(`{}`); \
                 let output = lm.generate(\"The countries\", #{{generate: 2}}); let difference = |of| (of.call(again) - of.call(fitted)).abs().max(); \
                 [again.method, difference.call(|lens| lens.matrices), difference.call(|lens| output.lens(#{{lens: lens}}).divergence)]",
                path.display()
            );
            let shown = notebook.run(&code).result.expect("a lens").expect("a value");
            assert_eq!(
                shown.text().unwrap_or_default(),
                format!("[\"{method}\", 0.0, 0.0]")
            );
        }
    });
}

#[test]
fn a_trained_dictionary_is_the_same_from_its_folder() {
    on_session_thread(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let mut notebook = Notebook::in_folder(folder.path().to_owned());
        let path = folder.path().join("trained");
        let code = format!(
            "let lm = ecco::from_pretrained(\"demo\", #{{verbose: false}}); \
             let texts = [\"The countries of the European Union are\", \"A list of colours: red, green, blue\"]; \
             let trained = lm.fit_dictionary(\"residual_after\", 1, texts, #{{features: 64, k: 4, steps: 20, batch: 8}}); \
             trained.save(\"trained\"); trained.save(\"trained/\"); let again = lm.dictionary(`{}`); \
             let of = |dictionary| dictionary.encode(\"The countries\").to_array(); \
             [again.format, again.reads, of.call(again) == of.call(trained), again.training, trained.training.len()]",
            path.display()
        );
        let shown = notebook
            .run(&code)
            .result
            .expect("a dictionary")
            .expect("a value");
        assert_eq!(
            shown.text().unwrap_or_default(),
            "[\"SAELens\", \"residual_after of layer 1\", true, (), 20]"
        );
        let mut names: Vec<String> = std::fs::read_dir(path)
            .expect("a folder")
            .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        assert_eq!(names, ["cfg.json", "sae_weights.safetensors"]);
        for (path, expected) in [
            ("../trained", "is outside of the notebook's folder"),
            ("/tmp/trained", "is outside of the notebook's folder"),
            ("nowhere/trained", "nowhere"),
            ("", "the folder's name is empty"),
        ] {
            let error = error_of(&mut notebook, &format!("trained.save(\"{path}\")"));
            assert!(error.contains(expected), "{path}: {error}");
        }
    });
}

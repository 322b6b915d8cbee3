//! Completion, inspection and completeness, as a front end asks.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use common::{Notebook, on_session_thread};
use ecco_interpreter::Interpreter;
use ecco_primitives::register;

/// Completes at the `|` in `code`.
fn complete(notebook: &mut Notebook, code: &str) -> Vec<(String, &'static str)> {
    let cursor = code.chars().position(|c| c == '|').expect("a cursor");
    let completions = notebook.session.complete(&code.replacen('|', "", 1), cursor);
    assert!(completions.range.end == cursor);
    completions
        .matches
        .into_iter()
        .map(|item| (item.text, item.kind))
        .collect()
}

fn names(notebook: &mut Notebook, code: &str) -> Vec<String> {
    complete(notebook, code)
        .into_iter()
        .map(|(name, _)| name)
        .collect()
}

fn prepared() -> Notebook {
    let mut notebook = Notebook::new();
    let code = "let lm = ecco::from_pretrained(\"demo\", #{verbose: false});
        let output = lm.generate(\"a\", #{generate: 2});
        let lines = [1, 2];
        /// Twice the number.
        fn double(number) { number * 2 }";
    notebook.run(code).result.expect("it runs");
    notebook
}

#[test]
fn completes_what_exists() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        assert_eq!(complete(n, "out|"), [("output".to_owned(), "variable")]);
        assert_eq!(complete(n, "1 + dou|"), [("double".to_owned(), "function")]);
        assert_eq!(
            complete(n, "ecco::from|"),
            [("from_pretrained".to_owned(), "function")]
        );
        assert_eq!(
            names(n, "ecco::|"),
            [
                "arange",
                "cca",
                "cka",
                "cluster",
                "concat",
                "corpus",
                "crossings",
                "devices",
                "diff",
                "einsum",
                "eye",
                "from_pretrained",
                "ica",
                "live",
                "load",
                "models",
                "nmf",
                "ones",
                "pca",
                "probe",
                "project",
                "pwcca",
                "rand",
                "randn",
                "read",
                "similarity",
                "stack",
                "svcca",
                "table",
                "tensor",
                "tour",
                "zeros"
            ]
        );
        assert!(complete(n, "whi|").contains(&("while".to_owned(), "keyword")));
        assert_eq!(names(n, "zzz|"), [""; 0]);
        assert_eq!(names(n, "\"lm.gen|"), [""; 0]);
        assert_eq!(names(n, "// out|"), [""; 0]);
    });
}

#[test]
fn completes_members_by_type() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        assert_eq!(complete(n, "output.sal|"), [("saliency".to_owned(), "method")]);
        assert_eq!(
            complete(n, "output.activ|"),
            [("activations".to_owned(), "property")]
        );
        assert!(names(n, "output.activations.|").contains(&"to_array".to_owned()));
        assert!(names(n, "output.activations[0].|").contains(&"mean".to_owned()));
        assert!(names(n, "lm.generate(\"x\", #{generate: 2}).|").contains(&"saliency".to_owned()));
        assert_eq!(names(n, "ecco::from_pretrained(\"demo\").gen|"), ["generate"]);
        assert!(names(n, "lines.pu|").contains(&"push".to_owned()));
        assert!(names(n, "\"text\".to_u|").contains(&"to_upper".to_owned()));
        assert!(!names(n, "lm.|").contains(&"saliency".to_owned()));
    });
}

#[test]
fn completes_options() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        assert_eq!(
            complete(n, "lm.generate(text, #{gen|"),
            [("generate".to_owned(), "option")]
        );
        assert_eq!(
            names(n, "lm.generate(text, #{generate: 2, top|})"),
            ["top_k", "top_p"]
        );
        let all = names(n, "output.saliency(#{|");
        for name in ["style", "method", "n_steps", "target", "contrast", "position"] {
            assert!(all.contains(&name.to_owned()), "{name} is not in {all:?}");
        }
        assert_eq!(
            names(n, "output.saliency(#{style: |"),
            ["\"minimal\"", "\"detailed\""]
        );
        assert_eq!(
            names(n, "ecco::from_pretrained(\"demo\", #{\n    act|"),
            ["activations", "activations_layer_nums"]
        );
    });
}

#[test]
fn cursors_count_code_points() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let completions = notebook.session.complete("\"日本\" + outp", 11);
        assert_eq!(completions.range, 7..11);
        assert_eq!(completions.matches[0].text, "output");
        for cursor in 0..40 {
            notebook.session.complete("`${f(#{a: \"b\"", cursor);
            notebook.session.inspect("x.y::z(#{}", cursor, 0);
        }
    });
}

fn inspect(notebook: &mut Notebook, code: &str) -> Option<String> {
    let cursor = code.chars().position(|c| c == '|').expect("a cursor");
    let bundle = notebook.session.inspect(&code.replacen('|', "", 1), cursor, 0)?;
    bundle.text().map(str::to_owned)
}

#[test]
fn inspects_functions_values_and_options() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        let generate = inspect(n, "lm.gener|ate(text)").expect("a method");
        assert!(
            generate.contains(
                "lm.generate(chat: Chat | text: string | texts: array[, options: map]) -> Generation | any"
            ),
            "{generate}"
        );
        assert!(generate.contains("temperature"), "{generate}");
        let load = inspect(n, "ecco::from_pretrained(\"demo\", |)").expect("the call around the cursor");
        assert!(load.contains("activations_layer_nums"), "{load}");
        let double = inspect(n, "doub|le(2)").expect("a function of a cell");
        assert!(
            double.contains("Twice the number.") && double.contains("In [1]"),
            "{double}"
        );
        let lines = inspect(n, "lines|").expect("a variable");
        assert!(lines.contains("array") && lines.contains("2 items"), "{lines}");
        let output = inspect(n, "outp|ut").expect("a variable");
        assert!(
            output.contains("Generation") && output.contains("saliency"),
            "{output}"
        );
        let option = inspect(n, "lm.generate(text, #{top|_k: 5})").expect("an option");
        assert!(option.contains("default: the model's, else 50"), "{option}");
        assert_eq!(inspect(n, "1 + |1"), None);
        assert_eq!(inspect(n, "unknown|"), None);
    });
}

#[test]
fn documentation_is_a_page_and_no_output() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        let value = n.page("help(lm)");
        assert!(
            value.contains(
                "lm.generate(chat: Chat | text: string | texts: array[, options: map]) -> Generation | any"
            ),
            "{value}"
        );
        assert!(
            value.contains("parameters") && value.contains("float32"),
            "{value}"
        );
        assert!(
            !value.contains("to_debug") && !value.contains("to_string"),
            "{value}"
        );
        assert!(n.page("help()").contains("ecco::from_pretrained"));
        let load = n.page("help(\"ecco::from_pretrained\")");
        assert_eq!(n.page("ecco::from_pretrained?"), load);
        assert_eq!(n.page("?from_pretrained // documentation"), load);
        assert!(n.page("lm?").starts_with("lm: Model\n"));
        assert!(n.page("lines?").contains("2 items"));
        assert!(n.page("output.activations?").contains("-> Tensor"));
        assert!(!n.page("double?").contains("number * 2"));
        assert!(n.page("double??").contains("fn double(number) { number * 2 }"));
        assert!(n.page("help(\"double\")").contains("Twice the number."));
        let error = n.error("ecco::modls?");
        assert_eq!(error.name, "NameError");
        assert!(common::plain(&error).contains("did you mean `ecco::models`?"));
        assert_eq!(n.text("let a = (); a ?? 5"), "5");
    });
}

#[test]
fn descriptions_of_values_have_their_size() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        let code = "let map = #{a: 1}; let text = \"日本\"; let tensor = output.activations;";
        n.run(code).result.expect("it runs");
        assert!(inspect(n, "map|").is_some_and(|text| text.contains("1 entries")));
        assert!(inspect(n, "text|").is_some_and(|text| text.contains("2 characters")));
        let tensor = inspect(n, "tensor|").expect("a variable");
        for part in ["Tensor", "shape", "layer", "float32", "bytes"] {
            assert!(tensor.contains(part), "no {part}: {tensor}");
        }
    });
}

/// A folder with a model, scripts and hidden files.
struct Files(std::path::PathBuf);

impl Files {
    fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("ecco-files-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("models/tiny")).expect("a folder");
        std::fs::create_dir_all(folder.join(".hidden")).expect("a folder");
        for file in [
            "models/tiny/config.json",
            "data.txt",
            "daten \"x\".txt",
            "helpers.rhai",
        ] {
            std::fs::write(folder.join(file), "fn twice(n) { n * 2 }").expect("a file");
        }
        Self(folder)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // What cannot be removed from the temporary folder is no failure of the test.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn completes_inside_texts() {
    on_session_thread(|| {
        let files = Files::new();
        let mut notebook = Notebook::in_folder(&files.0);
        let n = &mut notebook;
        let one = |name: &str, kind| vec![(name.to_owned(), kind)];
        assert_eq!(
            complete(n, "ecco::from_pretrained(\"dem|\")"),
            one("demo", "model")
        );
        assert_eq!(
            complete(n, "let lm = ecco::from_pretrained(\"models/t|"),
            [
                ("models/tiny".to_owned(), "model"),
                ("models/tiny/".to_owned(), "path")
            ]
        );
        assert_eq!(names(n, "ecco::from_pretrained(\"data|"), [""; 0]);
        assert_eq!(complete(n, "let s = \"日\" + \"da|"), one("data.txt", "path"));
        assert_eq!(complete(n, "`models/|"), one("tiny/", "path"));
        assert_eq!(complete(n, "\".h|"), one(".hidden/", "path"));
        assert!(!names(n, "\"|").contains(&".hidden/".to_owned()));
        assert_eq!(names(n, "\"missing/|"), [""; 0]);
        assert_eq!(complete(n, "import \"he|"), one("helpers", "module"));
        assert_eq!(names(n, "import \"../|"), [""; 0]);
        assert_eq!(names(n, "output.x(#{style: \"|"), names(n, "\"|"));
        assert_eq!(complete(n, "help(\"ecco::mod|"), one("ecco::models", "function"));
        n.run("import \"helpers\" as h;").result.expect("it runs");
        assert_eq!(complete(n, "1 + h::tw|"), one("twice", "function"));
    });
}

#[test]
fn completes_values_of_options_inside_texts() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        assert_eq!(
            complete(n, "output.saliency(#{style: \"de|"),
            [("detailed".to_owned(), "value")]
        );
        assert_eq!(
            names(n, "ecco::from_pretrained(\"demo\", #{verbose: false, dtype: \"|"),
            ["float32", "float16", "bfloat16", "stored"]
        );
        assert_eq!(
            names(n, "ecco::from_pretrained(\"demo\", #{device: \"cp|"),
            ["cpu"]
        );
        assert_eq!(
            names(n, "lm.generate(\"x\", #{attribution: [\"ig\", \"sal|"),
            ["saliency"]
        );
    });
}

#[test]
fn completes_what_the_cell_itself_defines() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        assert_eq!(
            complete(n, "fn f(model) { let local = 5; loc|"),
            [("local".to_owned(), "variable")]
        );
        assert_eq!(names(n, "fn f(model) { mod|"), ["model"]);
        assert_eq!(names(n, "fn f(model) { model.gen|"), ["generate"]);
        assert_eq!(
            names(n, "let mine = lm.generate(\"日本\"); mine.sal|"),
            ["saliency"]
        );
        let closure = "lines.map(|item| it";
        let completions = n.session.complete(closure, closure.chars().count());
        assert_eq!(completions.matches[0].text, "item");
        assert_eq!(
            complete(n, "tw| \nfn twofold(x) { }"),
            [("twofold".to_owned(), "function")]
        );
        assert_eq!(names(n, "lm.generate(\"x\").sal|"), ["saliency"]);
        assert_eq!(names(n, "let x = out| + 2; f(x)"), ["output"]);
        assert!(names(n, "ecco::models()[0].|").contains(&"generate".to_owned()));
        let long = format!("{}|", "lines.".repeat(20_000));
        assert_eq!(names(n, &long), [""; 0]);
    });
}

#[test]
fn nothing_that_is_asked_about_fails() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let code =
            "let s = `a ${lm.generate(\"日本\", #{top_k: [1, 'x']}).text} b`; fn f(a) { /* c */ a?.b[1..] }";
        let whole = code.chars().count();
        for end in 0..=whole {
            let part: String = code.chars().take(end).collect();
            let rest: String = code.chars().skip(end).collect();
            for cursor in [0, end / 2, end, end + 10] {
                for text in [&part, &rest] {
                    notebook.session.complete(text, cursor);
                    notebook.session.inspect(text, cursor, 1);
                }
            }
            notebook.session.is_complete(&part);
            notebook.session.is_complete(&rest);
        }
    });
}

//! Completion, inspection and completeness, as a front end asks.

#[allow(dead_code)]
mod common;

use common::{Notebook, on_session_thread};
use ecco_scripting::interpreter::{Completeness, Interpreter};

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
        assert_eq!(names(n, "ecco::|"), ["from_pretrained", "models"]);
        assert!(complete(n, "whi|").contains(&("while".to_owned(), "keyword")));
        assert_eq!(names(n, "zzz|"), [""; 0]);
        assert_eq!(names(n, "\"out|"), [""; 0]);
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
        assert_eq!(names(n, "output.saliency(#{|"), ["style", "method", "n_steps"]);
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
            generate.contains("lm.generate(text: string, options: map) -> Generation"),
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
fn help_describes_a_value() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let text = notebook.text("help(lm)");
        assert!(
            text.contains("lm.generate(text: string, options: map) -> Generation"),
            "{text}"
        );
        assert!(notebook.text("help()").contains("ecco::from_pretrained"));
    });
}

#[test]
fn tells_unfinished_from_wrong() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let complete = [
            "",
            "1 + 1",
            "let x = 5;",
            "fn f() { }",
            "// comment",
            "f(|a| a + 1)",
            "`a\nb`",
            "a || b",
        ];
        let incomplete = [
            "fn f() {",
            "1 +",
            "f(1,",
            "let x =",
            "/* open",
            "/* a /* b */",
            "`open\nstill",
            "let s = \"open",
            "let f = |a|",
            "x.map(|a|",
            "if x",
            "#{a: 1,",
            "let c = 'a",
            "`${1 + ",
        ];
        let invalid = [
            "let 5 = x",
            "1 +* 2",
            "fn f( {",
            "let x = ) {",
            "}",
            "\"one\nline\"",
            "let x = 5 let y",
        ];
        for code in complete {
            assert_eq!(
                notebook.session.is_complete(code),
                Completeness::Complete,
                "{code}"
            );
        }
        for code in incomplete {
            let judged = notebook.session.is_complete(code);
            assert!(
                matches!(judged, Completeness::Incomplete { .. }),
                "{code}: {judged:?}"
            );
        }
        for code in invalid {
            assert_eq!(
                notebook.session.is_complete(code),
                Completeness::Invalid,
                "{code}"
            );
        }
    });
}

#[test]
fn indents_inside_brackets() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let mut indent = |code: &str| match notebook.session.is_complete(code) {
            Completeness::Incomplete { indent } => indent,
            other => panic!("{code}: {other:?}"),
        };
        assert_eq!(indent("fn f() {"), "    ");
        assert_eq!(indent("fn f() {\n    let x = 1;"), "    ");
        assert_eq!(indent("fn f() {\n    if x {"), "        ");
        assert_eq!(indent("let s = `open"), "");
    });
}

//! What people who come from Python ask of models, and where they begin.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use common::{Notebook, on_session_thread, plain};
use ecco_interpreter::Interpreter;
use ecco_primitives::register;

const PAGE: &str = include_str!("../../docs/coming-from-python.md");

fn prepared() -> Notebook {
    let mut notebook = Notebook::new();
    let code = "let lm = ecco::from_pretrained(\"demo\", verbose: false);
        let output = lm.generate(\"1. Austria\\n2. Belgium\\n3.\", generate: 4);";
    notebook.run(code).result.expect("it runs");
    notebook
}

fn line_of_hint(error: &str) -> String {
    let hint = error.split_once("\nhint: ").map_or("", |(_, hint)| hint);
    hint.lines().skip(1).map(str::trim).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_question_of_the_page_is_answered_by_its_neighbour() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let rows = common::python::rows(PAGE, "## What you ask of models");
        assert!(rows.len() >= 10, "only {} rows", rows.len());
        for (python, here) in rows {
            let error = plain(&notebook.error(&python));
            let is_said = line_of_hint(&error) == here || error.contains("hint: `ecco` is a module");
            assert!(is_said, "{python} is to be {here}\n{error}");
            notebook.run(&here).result.expect("it runs");
        }
    });
}

#[test]
fn named_arguments_are_options_of_primitives() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        let expected = n.text("output.saliency(#{method: \"ig\", n_steps: 4}).method");
        for code in [
            "output.saliency(method: \"ig\", n_steps: 4)",
            "output.saliency(method=\"ig\", n_steps=4)",
        ] {
            assert_eq!(n.text(&format!("{code}.method")), expected, "{code}");
        }
        let error = plain(&n.error("output.saliency(n_steps: 4, methd = \"ig\")"));
        assert!(
            error.contains("column 29\n") && error.contains("                            ^^^^^"),
            "{error}"
        );
        assert!(error.contains("did you mean `method`?"), "{error}");
        let error = plain(&n.error("output.saliency(method = \"ig2\")"));
        assert!(
            error.contains("takes one of 15 names") && error.contains("did you mean `ig`? All are"),
            "{error}"
        );
        assert!(error.contains("\"integrated_gradients\" (\"ig\")"), "{error}");
    });
}

/// Completes at the `|` in `code`.
fn complete(notebook: &mut Notebook, code: &str) -> Vec<String> {
    let cursor = code.chars().position(|c| c == '|').expect("a cursor");
    let completions = notebook.session.complete(&code.replacen('|', "", 1), cursor);
    completions.matches.into_iter().map(|item| item.text).collect()
}

#[test]
fn options_are_offered_where_arguments_are_named() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        assert_eq!(complete(n, "output.saliency(me|"), ["method: "]);
        assert_eq!(
            complete(n, "output.saliency(style: \"minimal\", me|)"),
            ["method: "]
        );
        assert_eq!(
            complete(n, "output.saliency(style: |"),
            ["\"minimal\"", "\"detailed\""]
        );
        assert_eq!(
            complete(n, "output.saliency(style = |"),
            ["\"minimal\"", "\"detailed\""]
        );
        assert_eq!(complete(n, "output.saliency(style = \"de|"), ["detailed"]);
        assert_eq!(complete(n, "output.saliency(#{me|"), ["method"]);
        let first = complete(n, "lm.generate(|").swap_remove(0);
        assert!(!first.ends_with(": "), "the text is missing yet: {first}");
        assert!(complete(n, "lm.generate(\"a\", |")[0].ends_with(": "));
        let code = "output.saliency(method: \"ig\")";
        for cursor in 16..=22 {
            let found = n.session.inspect(code, cursor, 0).expect("an option");
            assert!(
                found
                    .text()
                    .is_some_and(|text| text.contains("an option of Generation.saliency")),
                "{cursor}"
            );
        }
    });
}

#[test]
fn members_come_question_by_question() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let members = complete(&mut notebook, "lm.|");
        let place = |name: &str| {
            members
                .iter()
                .position(|member| member == name)
                .expect("a member")
        };
        let listed = [
            "unload",
            "generate",
            "run",
            "attribute",
            "neuron",
            "intervene",
            "sites",
        ];
        assert!(
            listed.windows(2).all(|pair| place(pair[0]) < place(pair[1])),
            "{members:?}"
        );
        assert!(place("sites") < place("name"), "{members:?}");
    });
}

#[test]
fn examples_speak_of_the_variables_there_are() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let n = &mut notebook;
        n.run("let demo = ecco::from_pretrained(\"demo\", verbose: false); let mine = demo.generate(\"a\", generate: 2);")
            .result
            .expect("it runs");
        let found = n.session.inspect("mine.saliency()", 7, 0).expect("a method");
        let text = found.text().unwrap_or_default();
        assert!(
            text.contains("\nmine.saliency(") && text.contains("\ndemo.run("),
            "{text}"
        );
        n.run("let output = mine;").result.expect("it runs");
        let found = n.session.inspect("mine.saliency()", 7, 0).expect("a method");
        assert!(
            found
                .text()
                .is_some_and(|text| text.contains("\noutput.saliency("))
        );
    });
}

#[test]
fn the_tour_runs() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let tour = notebook.text("ecco::tour()");
        let cells: Vec<&str> = tour
            .split("```rhai\n")
            .skip(1)
            .filter_map(|block| Some(block.split_once("\n```")?.0))
            .collect();
        assert_eq!(cells.len(), 6);
        for cell in cells {
            notebook
                .run(cell)
                .result
                .unwrap_or_else(|error| panic!("{cell}\n{}", plain(&error)));
        }
    });
}

//! Completeness, as a front end asks.

#[allow(dead_code)]
mod common;

use common::{Notebook, on_session_thread};
use ecco_interpreter::{Completeness, Interpreter};

fn register(_: &mut ecco_scripting::Registry) {}

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
            "x?",
            "ecco::from_pretrained??",
            "?lm",
            "x = 5 // {",
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
            "`a ${b} c",
            "let x = 1 +",
            "if x { 1 } else",
            "if x { 1 } else if",
            "let a = [1, 2",
            "switch x { 1 =>",
            "try { x }",
            "lm.",
            "let s = #\"raw",
        ];
        let invalid = [
            "let 5 = x",
            "1 +* 2",
            "fn f( {",
            "let x = ) {",
            "}",
            "\"one\nline\"",
            "let x = 5 let y",
            "let 5 = `open",
            "f(1))",
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
        assert_eq!(indent("fn f() {\n\n"), "    ");
        assert_eq!(indent("fn f() {\n    if x {\n        y\n    }"), "    ");
        assert_eq!(indent("if x {\n    1\n} else {"), "    ");
        assert_eq!(indent("let m = #{\n    a: [1,"), "        ");
        assert_eq!(indent("    let x = 1 +"), "    ");
        assert_eq!(indent("f(1,\n  2"), "  ");
    });
}

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
            "let größe = 3;",
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

#[test]
fn names_of_any_alphabet_are_completed_and_inspected() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook
            .run("let größe = 3; fn höhe(x) { x }")
            .result
            .expect("names of Rhai");
        let mut texts = |code: &str| {
            let found = notebook.session.complete(code, code.chars().count());
            let texts: Vec<String> = found.matches.into_iter().map(|item| item.text).collect();
            (found.range, texts)
        };
        assert_eq!(texts("1 + grö"), (4..7, vec!["größe".to_owned()]));
        assert_eq!(texts("hö"), (0..2, vec!["höhe".to_owned()]));
        assert_eq!(texts("let 名前 = 1; 名"), (12..13, vec!["名前".to_owned()]));
        let page = notebook.session.inspect("1 + größe", 6, 0).expect("a variable");
        assert!(page.text().expect("a text").starts_with("größe: int"), "{page:?}");
        assert!(notebook.page("größe?").starts_with("größe: int"));
    });
}

/// What Python puts into a cell as a name is judged by a list there: it says what Rhai says.
#[test]
fn python_knows_the_words_that_rhai_reserves() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../python/ecco_kernel/rhai.py");
    let python = std::fs::read_to_string(path).expect("the names");
    let list = python.split("\"\"\"").nth(3).expect("the list of words");
    let reserved: Vec<String> = list.split_whitespace().map(str::to_owned).collect();
    // Words of this and other languages.
    let others = "ecco model text prompt self and or not del def class from with_ end begin then elif func function \
        import_ pass raise lambda global int float string bool array map len max min abs sort e pi go goto is_empty \
        exit struct enum trait impl mut ref where union dyn move unsafe extern crate pub type typeof instanceof delete \
        interface extends finally var_ throws yield_ Fn to_string display help input html keys values";
    on_session_thread(move || {
        let mut notebook = Notebook::new();
        let mut is_refused = |word: &str| notebook.run(&format!("let {word} = 1;")).result.is_err();
        for word in &reserved {
            assert!(is_refused(word), "{word} is on the list, and a name");
        }
        for word in others
            .split_whitespace()
            .filter(|word| !reserved.iter().any(|other| other == word))
        {
            assert!(!is_refused(word), "{word} is refused, and not on the list");
        }
    });
}

#[test]
fn nothing_in_errors_help_and_completions_turns_or_hides_a_text() {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["good.rhai", "bad\u{202e}iahr.rhai", "esc\u{1b}[2J.rhai"] {
        std::fs::write(folder.path().join(name), "fn f() {}").expect("a file");
    }
    on_session_thread(move || {
        let mut notebook = Notebook::in_folder(folder.path().to_owned());
        let is_clean = |text: &str| {
            let free = text.replace("\u{1b}[0m", "");
            let free = free.replace("\u{1b}[1m", "").replace("\u{1b}[2m", "");
            let free = free.replace("\u{1b}[34m", "").replace("\u{1b}[1;31m", "");
            !free.contains([
                '\u{202e}', '\u{2066}', '\u{2028}', '\u{1b}', '\u{fffe}', '\u{feff}',
            ])
        };
        for hidden in [
            '\u{202e}', '\u{2066}', '\u{2028}', '\u{1b}', '\u{fffe}', '\u{feff}',
        ] {
            for code in [
                format!("import \"a{hidden}b\" as h;"),
                format!("throw \"a{hidden}b\""),
                format!("#{{\"a{hidden}b\": 1}}.nothing_here()"),
                format!("/* {hidden} */ nothing_here"),
                format!("help(\"a{hidden}b\")"),
                format!("clear_output(\"a{hidden}b\")"),
            ] {
                let error = notebook.error(&code);
                assert!(is_clean(&error.value), "{code:?}: {:?}", error.value);
                let lines = error.traceback.join("\n");
                assert!(is_clean(&lines), "{code:?}: {lines:?}");
            }
            let code = format!("let v = [\"a{hidden}b\\n\"]; /// of {hidden}\nfn f() {{ /*{hidden}*/ 1 }}");
            notebook.run(&code).result.expect("it runs");
            for code in ["v?", "f?", "f??"] {
                let page = notebook.page(code);
                assert!(is_clean(&page), "{code}: {page:?}");
            }
        }
        // The caret stands under the name that is shown.
        let error = notebook.error("/*\u{202e}*/ nothing_here");
        let plain = common::plain(&error);
        let lines: Vec<&str> = plain.lines().collect();
        let at = |line: &str, what: char| line.chars().position(|c| c == what);
        assert_eq!(at(lines[2], 'n'), at(lines[3], '^'), "{plain}");
        let completions = notebook.session.complete("import \"", 8);
        let texts: Vec<&str> = completions
            .matches
            .iter()
            .map(|item| item.text.as_str())
            .collect();
        assert_eq!(texts, ["good"]);
    });
}

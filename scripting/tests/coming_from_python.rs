//! What people who come from Python write: `docs/coming-from-python.md` is true, and what is no table.

#[allow(dead_code)]
mod common;

use common::{Event, Notebook, on_session_thread, plain};
use ecco_interpreter::{Completeness, Interpreter};

fn register(_: &mut ecco_scripting::Registry) {}

const PAGE: &str = include_str!("../../docs/coming-from-python.md");

fn prepared() -> Notebook {
    let mut notebook = Notebook::new();
    let code =
        "let x = [3, 1, 2]; let c = true; let name = \"Ada\"; let m = #{a: 1}; let text = \"abc\"; let n = 2;
        fn f(a) { a } fn g(a, options) { [a, options] }";
    notebook.run(code).result.expect("it runs");
    notebook
}

/// The hint of a cell that fails, without the place where more is said.
fn hint(notebook: &mut Notebook, code: &str) -> String {
    let text = plain(&notebook.error(code));
    let hint = text.split_once("\nhint: ").map(|(_, hint)| hint.to_owned());
    hint.unwrap_or_else(|| panic!("{code}\nhas no hint:\n{text}"))
}

#[test]
fn every_line_of_the_page_is_answered_by_its_neighbour() {
    on_session_thread(|| {
        let rows = common::python::rows(PAGE, "## What is written otherwise");
        assert!(rows.len() > 35, "only {} rows", rows.len());
        for (python, here) in rows {
            let hint = hint(&mut prepared(), &python);
            let line = hint.lines().skip(1).map(str::trim).collect::<Vec<_>>().join("\n");
            assert_eq!(line, here, "{python}\n{hint}");
            let ran = prepared().run(&here);
            let thrown = here.contains("throw");
            assert!(ran.result.is_ok() || thrown, "{here}: {:?}", ran.result);
        }
    });
}

#[test]
fn named_arguments_are_options() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let n = &mut notebook;
        for code in [
            "g(1, a: 2, b: \"x\")",
            "g(1, a = 2, b = \"x\")",
            "g(1, a=2,\n  b: \"x\")",
        ] {
            assert_eq!(n.text(code), "[1, #{a: 2, b: \"x\"}]", "{code}");
        }
        assert_eq!(
            n.text("`${f(a: [f(b: 1), |v| v])}`"),
            n.text("`${f(#{a: [f(#{b: 1}), |v| v]})}`")
        );
        assert_eq!(
            n.session.evaluate("f(a: 1)").expect("it runs").text(),
            Some("#{a: 1}")
        );
        let error = plain(&n.error("g(1, a: 2) + f(bb: nope)"));
        assert!(
            error.contains("column 20\n") && error.contains("f(bb: nope)\n  │                    ^^^^"),
            "{error}"
        );
        for (code, complete) in [
            ("f(a: 1)", true),
            ("f(a = 1", false),
            ("f(a: ", false),
            ("f(a: 1,", false),
        ] {
            let judged = n.session.is_complete(code);
            assert_eq!(judged == Completeness::Complete, complete, "{code}: {judged:?}");
            assert_ne!(judged, Completeness::Invalid, "{code}");
        }
    });
}

#[test]
fn imported_scripts_have_named_arguments() {
    on_session_thread(|| {
        let folder = std::env::temp_dir().join(format!("ecco-named-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let script = "fn f(m) { m.a }\nfn one() { f(a = 1) }\nfn wrong() { f(a = 1) + nope }";
        std::fs::write(folder.join("script.rhai"), script).expect("written");
        let mut notebook = Notebook::in_folder(&folder);
        assert_eq!(notebook.text("import \"script\" as s; s::one()"), "1");
        let error = plain(&notebook.error("s::wrong()"));
        assert!(error.contains("script in wrong(), line 3, column 25"), "{error}");
        // What cannot be removed from the temporary folder is no failure of the test.
        let _ = std::fs::remove_dir_all(&folder);
    });
}

/// Every block of code of the documentation, and every cell of the transcripts.
fn scripts() -> Vec<String> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut scripts = Vec::new();
    for folder in ["scripting/tests/transcripts", "primitives/tests/transcripts"] {
        for file in std::fs::read_dir(root.join(folder)).expect("a folder") {
            let path = file.expect("a file").path();
            if path.extension().is_some_and(|extension| extension == "rhai") {
                let text = std::fs::read_to_string(path).expect("a transcript");
                scripts.extend(text.split("// ---\n").map(str::to_owned));
            }
        }
    }
    for page in ["docs/primitives.md", "docs/attribution.md", "README.md"] {
        let text = std::fs::read_to_string(root.join(page)).expect("a page");
        let blocks = text.split("```rhai\n").skip(1);
        scripts.extend(blocks.filter_map(|block| Some(block.split_once("\n```")?.0.to_owned())));
    }
    scripts
}

#[test]
fn no_script_that_rhai_takes_means_anything_else() {
    let mut engine = rhai::Engine::new();
    engine.set_max_expr_depths(512, 256);
    let mut n_taken = 0;
    for script in scripts() {
        if engine.compile(&script).is_ok() {
            n_taken += 1;
            assert_eq!(ecco_scripting::read_by_rhai(&engine, &script), script);
        }
    }
    assert!(n_taken > 500, "only {n_taken} scripts");
}

#[test]
fn notes_are_written_beside_the_value() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let ran = notebook.run("let a = 1;\n7//2");
        let note = "notice: line 2: `//` begins a comment; whole numbers are divided by `/`: `7 / 2`\n";
        assert_eq!(ran.events, [Event::Stderr(note.to_owned())]);
        assert_eq!(notebook.text("7//2"), "7");
        let ran = notebook.run("for i in 0..3 { let half = 1/2; }");
        assert_eq!(ran.events.len(), 1, "once for a place: {:?}", ran.events);
    });
}

#[test]
fn blocks_by_indent_are_shown_in_braces() {
    on_session_thread(|| {
        let code = "def twice(a, b: int = 2) -> int:\n    c = a + 1  # one more\n    if c > 2 and not b:\n        return c\n    \
                    elif c == 1:\n        pass\n    else:\n        print(f\"c is {c}\")\n    return a\n\ntwice(1, 2)";
        let expected = "  fn twice(a, b) {\n      let c = a + 1;  // one more\n      if c > 2 && !b {\n          return c;\n      \
                        } else if c == 1 {\n          // nothing\n      } else {\n          print(`c is ${c}`);\n      }\n      \
                        return a;\n  }";
        let mut notebook = prepared();
        let hint = hint(&mut notebook, code);
        assert!(hint.ends_with(expected), "{hint}");
        assert_eq!(notebook.text(&format!("{expected}\ntwice(1, 0)")), "1");
    });
}

#[test]
fn nothing_is_suggested_that_rhai_refuses() {
    on_session_thread(|| {
        let mut notebook = prepared();
        // Hints without a line: nothing could be written that holds for every program.
        for code in [
            "class A:\n    pass",
            "with f(1) as a:\n    pass",
            "import numpy as np",
            "from ecco import x",
            "%time x",
            "x[::2]",
            "!pip install x",
        ] {
            assert!(!hint(&mut notebook, code).contains('\n'), "{code}");
        }
        // A habit in a line that is wrong otherwise too.
        assert!(!hint(&mut notebook, "let y = x and ) 3").contains('\n'));
        assert!(
            hint(&mut notebook, "let y = 1\nlet z = 2")
                .starts_with("statements are separated by `;`\n  let y = 1;")
        );
        for code in ["let y = (1, 2", "let y = [1, 2 3]", "x.map(|v| v + )"] {
            let error = plain(&notebook.error(code));
            assert!(!error.contains("separated by `;`"), "{error}");
        }
    });
}

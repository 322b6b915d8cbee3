//! Streaming, interruption, memory, panics: what a transcript cannot show.

#[allow(dead_code)]
mod common;

fn register(_: &mut ecco_scripting::Registry) {}

use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{Event, Notebook, Recorder, interrupted, on_session_thread, plain};
use ecco_interpreter::Interpreter;

#[test]
fn scripts_sleeps_and_questions_are_interrupted() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        for code in [
            "display(1); loop { }",
            "display(1); try { loop { } } catch { } loop { }",
            "display(1); sleep(1000)",
            "display(1); sleep(1000.0)",
            "input(\"?\")",
            "fn f() { loop { } } display(1); f()",
        ] {
            let start = Instant::now();
            interrupted(&mut notebook, code);
            assert!(
                start.elapsed() < Duration::from_secs(1),
                "{code} took {:?}",
                start.elapsed()
            );
            assert_eq!(notebook.text("1 + 1"), "2");
        }
    });
}

#[test]
fn memory_is_bounded_and_the_session_lives() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        for code in [
            "let a = []; a.pad(1000000000000, 0)",
            "let s = \"x\"; s.pad(1000000000000, 'y')",
            "let s = \"x\"; s.pad(9000000000000000000, \"ab\")",
            "blob(1000000000000)",
            "let s = \"\"; s.pad(1000000, 'a'); let t = s; s.replace(\"a\", t)",
        ] {
            let error = notebook.error(code);
            assert_eq!(error.name, "MemoryError", "{code}: {}", plain(&error));
            assert_eq!(notebook.text("1 + 1"), "2");
        }
    });
}

#[test]
fn expressions_of_a_request_leave_nothing_behind() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook.run("let x = 20;").result.expect("it runs");
        let bundle = notebook.session.evaluate("x + 1").expect("an expression");
        assert_eq!(bundle.text(), Some("21"));
        let error = notebook.session.evaluate("nope").expect_err("unknown");
        assert_eq!(error.name, "NameError");
    });
}

#[test]
fn input_reaches_the_script() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let recorder = Rc::new(Recorder::default());
        recorder.answers.borrow_mut().push("Ada".to_owned());
        let ran = notebook.run_with("`hello ${password(\"who? \")}`", recorder);
        assert_eq!(ran.events, [Event::Input("who? ".to_owned(), true)]);
        assert_eq!(
            ran.result
                .ok()
                .flatten()
                .and_then(|b| b.text().map(str::to_owned))
                .as_deref(),
            Some("\"hello Ada\"")
        );
    });
}

#[test]
fn deep_code_and_deep_values_are_errors_not_crashes() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let nested = format!("{}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(notebook.error(&nested).name, "SyntaxError");
        let deep = "let a = 1; for i in 0..200 { a = [a]; } a";
        assert!(notebook.text(deep).contains("[…]"));
        assert_eq!(
            notebook.error("fn f(n) { 1 + f(n + 1) } f(0)").name,
            "RecursionError"
        );
        assert_eq!(notebook.text("1 + 1"), "2");
    });
}

/// Runs a cell and interrupts it from another thread; how long it then took to end.
fn time_to_stop(notebook: &mut Notebook, code: &str) -> Duration {
    let interrupt = notebook.interrupt.clone();
    let timer = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        interrupt.request();
        Instant::now()
    });
    let error = notebook.error(code);
    let ended = Instant::now();
    assert_eq!(error.name, "KeyboardInterrupt", "{code}\n{}", plain(&error));
    ended.saturating_duration_since(timer.join().expect("the timer"))
}

#[test]
fn interrupts_reach_every_loop() {
    let folder = std::env::temp_dir().join(format!("ecco-loops-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("endless.rhai"), "loop { }").expect("a file");
    let notebooks = folder.clone();
    on_session_thread(move || {
        let mut notebook = Notebook::in_folder(notebooks);
        for code in [
            "loop { }",
            "for i in 0..9000000000000000000 { let y = i; }",
            "let x = 0; while true { x += 1; }",
            "let f = |n| n; loop { f.call(1); }",
            "fn f(n) { if n > 0 { f(n - 1) } } loop { f(50); }",
            "let a = []; a.pad(1000000, 1); loop { a.map(|x| x + 1); }",
            "let a = []; a.pad(1000, 1); loop { a.sort(|x, y| x - y); }",
            "let a = []; let r = 1; for i in 0..300000 { r = (r * 75) % 65537; a.push(r); } loop { a.order(); }",
            "let a = []; loop { a.clear(); a.pad(100000000, 1); }",
            "let s = \"\"; loop { s = \"\"; s.pad(300000000, \"ab\"); }",
            "let a = []; a.pad(30000000, 1); loop { a.contains(2); }",
            "import \"endless\" as e;",
            "eval(\"loop { }\")",
            "try { loop { } } catch { 1 }",
            "sleep(100)",
            "let a = []; a.pad(1000000, \"text\"); loop { a.to_string(); }",
        ] {
            let took = time_to_stop(&mut notebook, code);
            eprintln!("{took:?} {code}");
            assert!(took < Duration::from_millis(500), "{code} took {took:?}");
            assert_eq!(notebook.text("1 + 1"), "2");
        }
    });
    // What cannot be removed from the temporary folder is no failure of the test.
    let _ = std::fs::remove_dir_all(folder);
}

#[test]
fn values_nested_in_values_do_not_bring_the_session_down() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let n = &mut notebook;
        let chain = "let f = |x| x; loop { let g = f; f = |x| g.call(x); }";
        assert_eq!(n.error(chain).name, "MemoryError");
        assert!(n.run("debug(f); let copy = f;").result.is_ok());
        assert_eq!(n.text("f = (); copy = (); 1"), "1");
        n.text("let a = []; for i in 0..5000 { a = [take(a)]; } let m = #{}; for i in 0..5000 { m = #{m: take(m)}; }");
        for code in ["a == a", "m == m", "m.to_json()", "#{a: a}.to_json()", "a != a"] {
            assert_eq!(n.error(code).name, "ValueError", "{code}");
        }
        for code in [
            "print(a)",
            "debug(m)",
            "`${a}`;",
            "a.contains(a)",
            "switch a { 1 => 2, _ => 3 }",
            "a",
        ] {
            let _ = n.run(code);
        }
        // An array that a closure in it holds.
        n.text(
            "let own = [0, 0]; let h = || own; own[0] = h; own[1] = h; let o = #{}; let k = || o; o.k = k;",
        );
        for code in [
            "own",
            "print(own)",
            "own == own",
            "let twin = own; twin == own",
            "debug(o)",
            "o.to_json()",
            "h",
            "own.contains(h)",
        ] {
            let _ = n.run(code);
        }
        assert_eq!(n.text("[1, [2, #{a: 3}]] == [1, [2, #{a: 3}]]"), "true");
        assert_eq!(n.text("[1, [2]] == [1, [\"2\"]]"), "false");
        assert_eq!(n.text("#{a: [1]} != #{a: [1]}"), "false");
        assert_eq!(
            n.text("let json = #{a: [1, \"b\", 2.5, (), true, 'c', #{}]}.to_json(); `${json}` == `{\"a\":[1,\"b\",2.5,null,true,\"c\",{}]}`"),
            "true"
        );
    });
}

#[test]
fn deep_code_is_an_error_not_a_crash() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let n = 20_000;
        for code in [
            format!("1{}", " + 1".repeat(n)),
            format!("x{}", ".y".repeat(n)),
            format!("{}{}", "{".repeat(n), "}".repeat(n)),
            format!("{}1{}", "[".repeat(n), "]".repeat(n)),
            format!("{}1{}", "#{a:".repeat(n), "}".repeat(n)),
            format!("{}true", "!".repeat(n)),
            format!("let x = 1; {} {{ }}", "if x == 2 { } else".repeat(n)),
            format!("{}1", "|x| ".repeat(n)),
            format!("{}1{}", "`${".repeat(n), "}`".repeat(n)),
            format!("parse_json(`{}1{}`)", "[".repeat(n), "]".repeat(n)),
            format!("f{}", "(1)".repeat(n)),
            format!("{}1", "x = ".repeat(n)),
            format!("let x = 1; x{}", "[0]".repeat(n)),
        ] {
            let start: String = code.chars().take(30).collect();
            let result = notebook.run(&code).result;
            eprintln!("{start}: {:?}", result.err().map(|error| error.name));
            notebook.session.is_complete(&code);
            notebook.session.complete(&code, code.chars().count());
            notebook.session.inspect(&code, code.chars().count() / 2, 1);
            assert_eq!(notebook.text("1 + 1"), "2", "{start}");
        }
    });
}

#[test]
fn a_changed_script_is_read_again() {
    let folder = std::env::temp_dir().join(format!("ecco-changed-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let script = folder.join("tool.rhai");
    let notebooks = folder.clone();
    on_session_thread(move || {
        let mut notebook = Notebook::in_folder(notebooks);
        std::fs::write(&script, "fn version() { 1 }").expect("written");
        assert_eq!(notebook.text("import \"tool\" as t; t::version()"), "1");
        std::fs::write(&script, "fn version() { 2 }").expect("written");
        assert_eq!(notebook.text("t::version()"), "1");
        assert_eq!(notebook.text("import \"tool\" as t; t::version()"), "2");
        assert_eq!(notebook.text("t::version()"), "2");
    });
    // What cannot be removed from the temporary folder is no failure of the test.
    let _ = std::fs::remove_dir_all(folder);
}

//! Streaming, interruption, memory, panics: what a transcript cannot show.

#[allow(dead_code)]
mod common;

use std::rc::Rc;
use std::time::{Duration, Instant};

use common::{Event, Notebook, Recorder, on_session_thread, plain};
use ecco_interpreter::Interrupt;
use ecco_interpreter::MimeBundle;
use ecco_interpreter::{Interpreter, Output};

const README_PROMPT: &str =
    r#""The countries of the European Union are:\n1. Austria\n2. Belgium\n3. Bulgaria\n4.""#;

#[test]
fn tokens_stream_and_the_output_is_shown_once() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook
            .run("let lm = ecco::from_pretrained(\"demo\");")
            .result
            .expect("the demo loads");
        let ran = notebook.run(&format!("lm.generate({README_PROMPT}, #{{generate: 20}})"));
        let Some(Event::Display(first, Some(id))) = ran.events.first() else {
            panic!("no display: {:?}", ran.events);
        };
        assert!(
            first.text().is_some_and(|text| text.ends_with('▌')),
            "the first display is finished"
        );
        let Some(Event::Update(last, last_id)) = ran.events.last() else {
            panic!("no update: {:?}", ran.events);
        };
        assert_eq!(id, last_id);
        assert!(
            last.text()
                .is_some_and(|text| text.contains('│') && !text.ends_with('▌'))
        );
        assert!(last.data.contains_key("text/html"));
        assert_eq!(ran.result, Ok(None), "the output is shown twice");
        let again = notebook.run("lm.last_output").result.expect("it is reachable");
        assert_eq!(again.as_ref().and_then(MimeBundle::text), last.text());
    });
}

#[test]
fn the_example_shows_its_widgets() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let load = "let lm = ecco::from_pretrained(\"demo\", #{activations: true});";
        notebook.run(load).result.expect("the demo loads");
        notebook
            .run(&format!(
                "let output = lm.generate({README_PROMPT}, #{{generate: 20, do_sample: true}});"
            ))
            .result
            .expect("it generates");
        for code in [
            "output",
            "output.saliency()",
            "output.saliency(#{style: \"detailed\"})",
            "let nmf_1 = output.run_nmf(#{n_components: 10}); nmf_1.explore()",
        ] {
            let bundle = notebook.run(code).result.expect(code).expect("a value");
            let media_types: Vec<&String> = bundle.data.keys().collect();
            for kind in ["plain", "html", "json"] {
                assert!(
                    media_types.iter().any(|name| name.ends_with(kind)),
                    "{code}: {media_types:?}"
                );
            }
        }
        let text = notebook.text("output.activations");
        assert!(text.starts_with("tensor (layer "), "{text}");
    });
}

/// Requests an interrupt when the first display arrives.
struct Interrupting {
    recorder: Recorder,
    interrupt: Interrupt,
    after: usize,
}

impl Output for Interrupting {
    fn stdout(&self, text: &str) {
        self.recorder.stdout(text);
    }
    fn stderr(&self, text: &str) {
        self.recorder.stderr(text);
    }
    fn display(&self, bundle: MimeBundle, id: Option<&str>) {
        self.recorder.display(bundle, id);
        self.count();
    }
    fn update(&self, bundle: MimeBundle, id: &str) {
        self.recorder.update(bundle, id);
        self.count();
    }
    fn page(&self, bundle: MimeBundle) {
        self.recorder.page(bundle);
    }
    fn clear(&self, wait: bool) {
        self.recorder.clear(wait);
    }
    fn input(&self, _: &str, _: bool) -> Result<String, String> {
        self.interrupt.request();
        Err("interrupted".to_owned())
    }
}

impl Interrupting {
    fn count(&self) {
        if self.recorder.events.borrow().len() == self.after {
            self.interrupt.request();
        }
    }
}

fn interrupted(notebook: &mut Notebook, code: &str) -> (Vec<Event>, String) {
    let output = Rc::new(Interrupting {
        recorder: Recorder::default(),
        interrupt: notebook.interrupt.clone(),
        after: 1,
    });
    let cell = ecco_interpreter::Cell {
        code: code.to_owned(),
        execution_count: 1,
        silent: false,
        allow_stdin: true,
    };
    let error = notebook
        .session
        .execute(&cell, Rc::clone(&output) as Rc<dyn Output>)
        .expect_err(code);
    assert_eq!(error.name, "KeyboardInterrupt", "{}", plain(&error));
    assert!(
        !notebook.interrupt.is_requested(),
        "the interrupt hits the next cell too"
    );
    let events = output.recorder.events.borrow().clone();
    (events, plain(&error))
}

#[test]
fn an_interrupted_generation_keeps_its_tokens() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook
            .run("let lm = ecco::from_pretrained(\"demo\");")
            .result
            .expect("the demo loads");
        let code = format!("let output = lm.generate({README_PROMPT}, #{{generate: 60}});");
        let (events, traceback) = interrupted(&mut notebook, &code);
        assert!(traceback.contains("lm.last_output"), "{traceback}");
        assert!(matches!(events.last(), Some(Event::Update(bundle, _))
            if bundle.text().is_some_and(|text| !text.ends_with('▌'))));
        assert_eq!(notebook.text("lm.last_output.finish"), "\"interrupted\"");
        let made = notebook.text("let made = lm.last_output; made.tokens.len() - made.n_input_tokens < 60");
        assert_eq!(made, "true");
        assert_eq!(notebook.text("made.activations.shape.len()"), "3");
    });
}

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

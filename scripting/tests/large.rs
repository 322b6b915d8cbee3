//! Large values: refused before memory is taken for them, and no function on them keeps an interrupt waiting. Alone in
//! its process, whose memory it limits as a container does.

#[allow(dead_code)]
mod common;

use std::time::{Duration, Instant};

use common::{Notebook, on_session_thread};
use ecco_interpreter::Interpreter;
use ecco_scripting::Registry;

/// What a small machine has: a session's stack, which is address space, counts too.
const MEMORY: u64 = 4 << 30;

fn register(registry: &mut Registry) {
    // As libtorch takes memory: the counting allocator does not see it.
    registry.engine.register_fn("take_elsewhere", |bytes: i64| {
        // SAFETY: a new mapping, of which nothing is known and that stays until the process ends.
        let taken = unsafe {
            libc::mmap(
                std::ptr::null_mut(),
                bytes as usize,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                -1,
                0,
            )
        };
        assert_ne!(taken, libc::MAP_FAILED, "the system has no memory left");
    });
}

fn limit_memory() {
    let limit = libc::rlimit {
        rlim_cur: MEMORY,
        rlim_max: libc::RLIM_INFINITY,
    };
    // SAFETY: reads the structure it is given.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_AS, &raw const limit) }, 0);
}

#[test]
fn a_cell_with_large_values_ends_with_an_error_and_in_time() {
    every_function_listens();
    limit_memory();
    too_large_is_refused();
    copies_are_refused();
    what_others_take_counts();
}

/// Interrupted after a moment, each ends within a second, and the value is what it was.
fn every_function_listens() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let make = "let s = \"\"; s.pad(100000000, \"ab c1,\"); let b = blob(100000000, 65); \
                    let j = \"\"; j.pad(60000000, \"[1,2.5,null],\"); j = \"[\" + j + \"0]\"; let parts = [];";
        notebook.run(make).result.expect("it fits");
        for code in [
            "s.replace(\"b\", \"xy\")",
            "s.split()",
            "s.split(\",\")",
            "s.split(',')",
            "s.split_rev(\",\")",
            "s.to_chars()",
            "let n = 0; for c in s { n += 1; }",
            "b.to_array()",
            "b.to_debug()",
            "`${b}`",
            "`${[b]}`",
            "parse_json(j)",
            "let t = \"\"; t.pad(2000000000, \"ab\")",
            "let a = []; a.pad(100000000, 1)",
        ] {
            let interrupt = notebook.interrupt.clone();
            let (asked, answered) = std::sync::mpsc::channel();
            let timer = std::thread::spawn(move || {
                std::thread::sleep(Duration::from_millis(60));
                interrupt.request();
                asked.send(Instant::now()).expect("somebody waits");
            });
            let ended = notebook.run(&format!("{code};")).result;
            let at = Instant::now();
            timer.join().expect("it slept");
            notebook.interrupt.clear();
            let waited = at.saturating_duration_since(answered.recv().expect("a time"));
            assert!(waited < Duration::from_secs(1), "{code}: {waited:?}");
            if let Err(error) = ended {
                let known = ["KeyboardInterrupt", "MemoryError"].contains(&error.name.as_str());
                assert!(known, "{code}: {} {}", error.name, error.value);
            }
        }
        assert_eq!(
            notebook.text("[s.bytes, b.len, j.bytes > 60000000]"),
            "[100000002, 100000000, true]"
        );
    });
}

/// Rhai copies a value where a script reads it, and asks nobody.
fn copies_are_refused() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook
            .run("let b = blob(700000000); let m = #{ inner: [b] };")
            .result
            .expect("it fits");
        for code in [
            "let c = b; let d = b; let e = b;",
            "let c = m; let d = m; [m, m]",
            "let d = b; let e = b",
        ] {
            assert_eq!(notebook.error(code).name, "MemoryError", "{code}");
        }
        // What needs no copy goes on, and is the way out.
        assert_eq!(notebook.text("b.len"), "700000000");
        assert_eq!(
            notebook.text("b = (); m = (); let c = (); let d = (); let e = (); 1"),
            "1"
        );
        assert_eq!(
            notebook.text("let b = blob(700000000); let c = b; c.len"),
            "700000000"
        );
    });
}

fn too_large_is_refused() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook
            .run("let b = blob(500000000); let s = b.as_string();")
            .result
            .expect("it fits");
        for (code, kind) in [
            ("b.to_debug()", "MemoryError"),
            ("b.to_string()", "MemoryError"),
            ("`${b}`", "MemoryError"),
            ("fn shown(x) { `${x}` } shown(b)", "MemoryError"),
            ("shown(b)", "MemoryError"),
            ("\"text \" + b", "MemoryError"),
            ("`${[b]}`;", "MemoryError"),
            ("print(b)", "MemoryError"),
            ("b.to_array()", "MemoryError"),
            ("blob(500000000, 255).as_string()", "MemoryError"),
            ("s.to_debug()", "MemoryError"),
            ("s.to_chars()", "MemoryError"),
            ("s.split(\"\\x00\")", "MemoryError"),
            ("s.replace(\"\\x00\", \"abcdef\")", "MemoryError"),
            ("html(s)", "ValueError"),
            ("svg(s)", "ValueError"),
            ("display(1, s)", "ValueError"),
            ("help(s)", "ValueError"),
            ("input(s)", "ValueError"),
            ("import s as m;", "ValueError"),
            ("parse_json(s)", "ValueError"),
            ("let t = s + s; t = t + t; t + t", "MemoryError"),
            ("let t = s; loop { t += t; }", "MemoryError"),
            ("let t = b; loop { t += t; }", "MemoryError"),
            ("b + b + b + b", "MemoryError"),
            ("let a = []; a.pad(1000000, 1); loop { a += a; }", "MemoryError"),
            ("`${s}${s}${s}${s}${s}`", "MemoryError"),
        ] {
            let error = notebook.error(code);
            assert_eq!(error.name, kind, "{code}: {}", error.value);
            assert!(error.value.len() < 1000, "{code}: {} bytes", error.value.len());
        }
        let asked = notebook.session.evaluate("`${b}`").expect_err("it is too large");
        assert_eq!(asked.name, "MemoryError");
        assert_eq!(
            notebook.text("let n = 0; for c in s { n += 1; if n == 5 { break; } } n"),
            "5"
        );
        assert!(notebook.text("s").len() < 1_000_000);
    });
}

/// What is not counted because another library holds it is seen by what is free.
fn what_others_take_counts() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let error = notebook.error("loop { take_elsewhere(16000000); sleep(0.02); }");
        assert_eq!(error.name, "MemoryError", "{}", error.value);
        assert!(error.value.contains("are free"), "{}", error.value);
        // There is something left to go on with.
        assert_eq!(notebook.text("let a = []; a.pad(1000, 1); a.len"), "1000");
    });
}

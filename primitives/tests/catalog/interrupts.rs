//! Every primitive with large inputs, interrupted: each listens within a second, and the session goes on. With
//! `ECCO_WALK_ALL` numbers among the options are made large too, one by one.

use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use ecco_interpreter::{CellError, Interrupt};
use ecco_scripting::assist::catalog::{Entry, Param};
use ecco_scripting::options::{OptionKind, OptionSpec};

use crate::calls;
use crate::common::{Notebook, on_session_thread};
use crate::{alone, models};

/// From the call to the interrupt.
const PATIENCE: Duration = Duration::from_millis(80);
/// From the interrupt to the answer: in time, or, where the machine does something else meanwhile, in time that the
/// session's thread was given.
const PROMISE: Duration = Duration::from_secs(1);
const AT_MOST: Duration = Duration::from_secs(8);

/// Values that take long, for the types that all can make.
const LARGE: &str = r#"
let kept = 42;
let huge = ""; huge.pad(20000000, "ab c1,");
let json_text = ""; json_text.pad(8000000, "[1,2.5,null],"); json_text = "[" + json_text + "0]";
let bytes = blob(20000000, 65);
let numbers = []; numbers.pad(300000, 1);
for i in 0..300000 { numbers[i] = (i * 7919) % 300007; }
let big_map = #{}; for i in 0..100000 { big_map["k" + i] = i; }
let texts = [text, text, text, text];
let changed = "x" + text.sub_string(1);
let all = [run, output];
"#;

#[test]
fn every_primitive_can_be_interrupted() {
    let _alone = alone();
    let every_other = |first| move || on_session_thread(move || walk(first));
    let parts = [0, 1].map(|first| std::thread::spawn(every_other(first)));
    let n_calls: usize = parts.map(|part| part.join().expect("a walk")).iter().sum();
    assert!(n_calls > 200, "{n_calls} calls");
}

/// Interrupts the calls of every second primitive, from the given one on; how many those were.
fn walk(first: usize) -> usize {
    let folder = models::large();
    let mut notebook = Notebook::in_folder(folder.path());
    let text = "ab cd ef gh ".repeat(60);
    let missing = calls::define(&mut notebook, folder.path(), &text);
    assert!(missing.is_empty(), "{missing:?}");
    notebook.run(LARGE).result.expect("it fits");
    let mut late = Vec::new();
    let mut n_calls = 0;
    let entries = calls::entries(notebook.session.catalog());
    for entry in entries.iter().skip(first).step_by(2) {
        for code in large_calls(entry, folder.path()) {
            n_calls += 1;
            let (ended, wall, thread) = interrupted(&mut notebook, &code);
            if wall >= PROMISE && (thread >= PROMISE || wall >= AT_MOST) {
                println!("late: {code}: {wall:.1?}, {thread:.1?} of its own");
                late.push(code.clone());
            }
            if let Err(error) = &ended {
                let text = format!("{} {}", error.name, error.value);
                assert!(
                    !text.contains("InternalError") && !text.contains("unexpectedly"),
                    "{code}: {text}"
                );
            }
            assert_eq!(notebook.text("kept"), "42", "{code}");
        }
    }
    assert!(late.is_empty(), "{}", late.join("\n"));
    let alive = notebook.text("lm.generate(\"ab\", #{generate: 2}).tokens.len() > 2");
    assert_eq!(alive, "true");
    n_calls
}

/// Runs a cell that is interrupted after a moment; how long the answer took then, and how much of that the session's
/// thread had.
fn interrupted(notebook: &mut Notebook, code: &str) -> (Result<(), CellError>, Duration, Duration) {
    let clock = own_clock();
    let interrupt: Interrupt = notebook.interrupt.clone();
    let (done, is_done) = channel::<()>();
    let timer = std::thread::spawn(move || match is_done.recv_timeout(PATIENCE) {
        Err(RecvTimeoutError::Timeout) => {
            interrupt.request();
            Some((Instant::now(), time_of(clock)))
        }
        _ => None,
    });
    // What is shown is computed then.
    let ended = notebook.run(code).result.map(|_| ());
    let at = (Instant::now(), time_of(clock));
    let _ = done.send(());
    let asked = timer.join().expect("it waits");
    notebook.interrupt.clear();
    match asked {
        Some((wall, thread)) => (
            ended,
            at.0.saturating_duration_since(wall),
            at.1.saturating_sub(thread),
        ),
        None => (ended, Duration::ZERO, Duration::ZERO),
    }
}

/// The clock of what this thread was given.
fn own_clock() -> libc::clockid_t {
    let mut clock = 0;
    // SAFETY: writes to what it is given; a thread knows itself.
    let status = unsafe { libc::pthread_getcpuclockid(libc::pthread_self(), &raw mut clock) };
    assert_eq!(status, 0);
    clock
}

fn time_of(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: writes to what it is given; the thread of the clock waits for who asks.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// The call by itself, and with each word that an option takes, and each number large.
fn large_calls(entry: &Entry, folder: &Path) -> Vec<String> {
    // It ends what all others need.
    if entry.name == "unload" {
        return vec![];
    }
    let before: Vec<String> = calls::before_options(entry)
        .iter()
        .enumerate()
        .map(|(at, param)| large(entry, at, param, folder))
        .collect();
    let with = |map: String| {
        let arguments: Vec<String> = before.iter().cloned().chain([map]).collect();
        calls::written(entry, &arguments)
    };
    match entry.options {
        None => vec![calls::written(entry, &before)],
        Some(options) => options.iter().flat_map(option_values).map(with).collect(),
    }
}

fn option_values(option: &OptionSpec) -> Vec<String> {
    let name = option.name;
    let all = std::env::var_os("ECCO_WALK_ALL").is_some();
    let values: Vec<String> = match option.kind {
        OptionKind::Bool | OptionKind::Int(_) | OptionKind::CountOr(_) if !all => vec![],
        OptionKind::Bool => vec!["true".into()],
        OptionKind::Int(_) if name.contains("position") || name == "layer" || name == "head" => {
            vec!["3".into()]
        }
        OptionKind::Int(_) => vec!["1000".into()],
        OptionKind::CountOr(_) => vec!["100".into(), "\"auto\"".into()],
        kind => kind.names().iter().map(|word| format!("\"{word}\"")).collect(),
    };
    match name {
        "device" | "revision" => vec![],
        _ => values
            .into_iter()
            .map(|value| format!("#{{{name}: {value}}}"))
            .collect(),
    }
}

fn large(entry: &Entry, at: usize, param: &Param, folder: &Path) -> String {
    if at == 0
        && let Some(variable) = entry.receiver().and_then(calls::variable_of)
    {
        return variable.to_owned();
    }
    match (param.of.as_str(), param.name.as_str()) {
        ("string", "corrupted") => "changed".into(),
        ("string", "continuation") => "\" ab cd ef\"".into(),
        ("string", "text" | "prompt" | "clean") => "text".into(),
        ("string", "path") => "\"walk.csv\"".into(),
        ("string", "name_or_folder") => format!("\"{}\"", folder.display()),
        ("string", "site") => "\"mlp_inner\"".into(),
        ("string", "json") => "json_text".into(),
        ("string", "find" | "delimiter" | "padding" | "separator" | "replacement" | "id") => "\"c1\"".into(),
        ("string", _) => "huge".into(),
        ("int", "len") => "100000000".into(),
        ("int", "n" | "value" | "segments") => "100000".into(),
        ("int", "factor") => "0".into(),
        ("int", _) => "3".into(),
        ("float", _) => "100.0".into(),
        ("float | int", _) => "100".into(),
        ("bool", _) => "true".into(),
        ("char", _) => "'c'".into(),
        ("array", "outputs") => "all".into(),
        ("array", "messages") => "[#{role: \"user\", content: text}]".into(),
        ("array", "methods") => "[\"lime\", \"kernel_shap\", \"ig\"]".into(),
        ("array", "parts") => "[0]".into(),
        ("array", "array") => "numbers".into(),
        ("array", _) => "texts".into(),
        ("map", "map") => "big_map".into(),
        ("map", _) => "#{}".into(),
        ("blob", _) => "bytes".into(),
        ("closure", "comparer") => "|a, b| a - b".into(),
        ("closure", _) => "|x| true".into(),
        ("any", "value" | "what") => "huge".into(),
        ("any", "item") => "1".into(),
        ("any", _) => "run".into(),
        (of, _) if of.contains("range") => "0..100000000".into(),
        (of, _) => calls::variable_of(of).unwrap_or("()").to_owned(),
    }
}

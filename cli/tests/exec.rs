//! `ecco-kernel exec`: a script without Jupyter.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ecco-kernel");

/// The script in a folder of its own, which is the current one.
struct Script {
    folder: tempfile::TempDir,
}

impl Script {
    fn new(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("script.rhai"), text).unwrap();
        Self { folder }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(["exec", "script.rhai"])
            .current_dir(self.folder.path())
            .stdin(Stdio::null());
        command
    }

    fn run(&self) -> Output {
        self.command().output().unwrap()
    }
}

fn run(text: &str) -> (String, String, Option<i32>) {
    ended(&Script::new(text).run())
}

fn ended(output: &Output) -> (String, String, Option<i32>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr), output.status.code())
}

#[test]
fn cells_print_what_a_notebook_would_show() {
    let (stdout, stderr, status) = run(concat!(
        "let a = 20;\nfn twice(x) { 2 * x }\nprint(`a is ${a}`);\ntwice(a) + 2\n",
        "// %% the second\ndisplay(html(\"<b>bold</b>\"));\neprint(\"careful\");\na;\n",
        "// %%\n[1, 2]\n// %%\n\n// %%\nlet b = 1\n",
    ));
    assert_eq!(stdout, "a is 20\n42\n<b>bold</b>\n[1, 2]\n");
    assert_eq!((stderr.as_str(), status), ("careful\n", Some(0)));
}

#[test]
fn an_error_names_the_scripts_line_and_nothing_runs_after_it() {
    let (stdout, stderr, status) =
        run("print(1);\n// %%\nfn half(x) {\n    x / zero\n}\n// %%\nhalf(1)\n// %%\nprint(2)");
    assert_eq!(stdout, "1\n");
    assert_eq!(status, Some(1));
    let expected = "NameError: there is no variable `zero`\n\
                    script.rhai in half(), line 4, column 9\n\
                    4 │     x / zero\n  │         ^^^^\n\
                    called from script.rhai, line 7\n\
                    7 │ half(1)\n  │ ^^^^\n";
    assert!(stderr.starts_with(expected), "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "colours where nobody sees them");
    let (_, stderr, status) = run("let x = ;");
    assert!(
        stderr.starts_with("SyntaxError") && stderr.contains("^"),
        "{stderr}"
    );
    assert_eq!(status, Some(1));
}

#[test]
fn standard_input_is_a_script_too() {
    let mut child = Command::new(PROGRAM)
        .args(["exec", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let script = b"#!/usr/bin/env -S ecco-kernel exec\n6 * 7\n// %%\nnone";
    child.stdin.take().unwrap().write_all(script).unwrap();
    let (stdout, stderr, status) = ended(&child.wait_with_output().unwrap());
    assert_eq!((stdout.as_str(), status), ("42\n", Some(1)));
    assert!(stderr.contains("standard input, line 4, column 1"), "{stderr}");
}

#[test]
fn a_script_that_cannot_be_read_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let damaged = folder.path().join("damaged.rhai");
    std::fs::write(&damaged, b"let a = \xff;").unwrap();
    for (path, reason) in [
        (folder.path().join("none.rhai"), "No such file"),
        (damaged, "UTF-8"),
    ] {
        let output = Command::new(PROGRAM).arg("exec").arg(&path).output().unwrap();
        let (stdout, stderr, status) = ended(&output);
        assert_eq!((stdout.as_str(), status), ("", Some(1)));
        assert!(
            stderr.contains(&path.display().to_string()) && stderr.contains(reason),
            "{stderr}"
        );
    }
}

#[test]
fn imports_and_files_are_in_the_current_folder() {
    let script = Script::new("import \"helpers\" as h;\nh::thrice(2)\n// %%\nlet m = #{a: [1, 2]};\nm.a");
    std::fs::write(
        script.folder.path().join("helpers.rhai"),
        "fn thrice(x) { 3 * x }",
    )
    .unwrap();
    assert_eq!(ended(&script.run()).0, "6\n[1, 2]\n");
}

#[test]
fn a_model_says_its_tokens_once() {
    let script = Script::new(concat!(
        "let lm = ecco::from_pretrained(\"demo\");\n",
        "// %%\nlm.generate(\"1. Austria\\n2.\", #{generate: 6})\n",
        "// %%\nlet run = lm.run(\"It was\");\nrun.logits.save(\"logits.npy\");\nrun.logits.shape\n",
    ));
    let (stdout, stderr, status) = ended(&script.run());
    assert_eq!((stderr.as_str(), status), ("", Some(0)));
    assert_eq!(stdout.matches("1. Austria").count(), 1, "{stdout}");
    assert!(script.folder.path().join("logits.npy").exists());
}

#[test]
fn what_is_replaced_is_printed_once_and_in_order() {
    let (stdout, _, _) = run(concat!(
        "display(\"first\", \"a\"); display(\"second\", \"a\"); print(\"between\"); display(\"third\", \"a\");\n",
        "// %%\ndisplay(\"gone\", \"b\"); clear_output(); print(\"end\")",
    ));
    let bare = stdout.replace('"', "");
    assert_eq!(bare, "second\nbetween\nthird\nend\n");
}

fn begun(script: &Script) -> Child {
    let child = script
        .command()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap();
    // Until it says that it runs.
    let mut byte = [0];
    child.stdout.as_mut().unwrap().read_exact(&mut byte).unwrap();
    child
}

fn interrupt(child: &Child) {
    // SAFETY: a signal to a child that has not been waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGINT) }, 0);
}

fn ends_within(mut child: Child, time: Duration) -> (String, String, Option<i32>) {
    let start = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < time, "it goes on");
        std::thread::sleep(Duration::from_millis(10));
    }
    ended(&child.wait_with_output().unwrap())
}

#[test]
fn ctrl_c_ends_it_with_130() {
    let script = Script::new("print(1)\n// %%\nloop {}\n// %%\nprint(2)");
    let child = begun(&script);
    std::thread::sleep(Duration::from_millis(100));
    interrupt(&child);
    let (stdout, stderr, status) = ends_within(child, Duration::from_secs(5));
    assert_eq!((stdout.as_str(), status), ("\n", Some(130)));
    assert!(
        stderr.starts_with("KeyboardInterrupt") && stderr.contains("line 3"),
        "{stderr}"
    );
}

#[test]
fn what_was_generated_until_ctrl_c_is_printed_and_no_cell_runs_after_it() {
    let script = Script::new(concat!(
        "print(1);\n// %%\nlet lm = ecco::from_pretrained(\"demo\");\n",
        "loop { lm.generate(\"1. Austria\", #{generate: 100}); }\n// %%\nprint(\"no more\")",
    ));
    let child = begun(&script);
    std::thread::sleep(Duration::from_millis(1500));
    interrupt(&child);
    let (stdout, stderr, status) = ends_within(child, Duration::from_secs(10));
    assert_eq!(status, Some(130), "{stderr}");
    assert!(!stdout.contains("no more"), "{stdout}");
}

#[test]
fn a_reader_that_leaves_ends_it_quietly() {
    let script = Script::new("let n = 0; loop { print(n); n += 1; }");
    let mut child = begun(&script);
    drop(child.stdout.take());
    let (_, stderr, status) = ends_within(child, Duration::from_secs(10));
    assert_eq!((stderr.as_str(), status), ("", Some(0)));
}

#[test]
fn output_that_cannot_be_written_is_an_error() {
    let full = File::create("/dev/full").unwrap();
    let output = Script::new("print(1)").command().stdout(full).output().unwrap();
    let (_, stderr, status) = ended(&output);
    assert!(stderr.contains("could not write the output"), "{stderr}");
    assert_eq!(status, Some(1));
}

#[test]
fn without_a_terminal_a_question_is_an_error() {
    let script = Script::new("input(\"name? \")");
    let mut command = script.command();
    // A session of its own has no terminal.
    let output = in_session(&mut command, None).output().unwrap();
    let (_, stderr, status) = ended(&output);
    assert!(stderr.contains("there is no terminal to ask on"), "{stderr}");
    assert_eq!(status, Some(1));
}

/// In a session of its own, with this terminal if any.
fn in_session(command: &mut Command, terminal: Option<i32>) -> &mut Command {
    // SAFETY: both are system calls that may be made between fork and exec.
    unsafe {
        command.pre_exec(move || {
            let led = libc::setsid() >= 0;
            let taken = terminal.is_none_or(|fd| libc::ioctl(fd, libc::TIOCSCTTY, 0) == 0);
            match led && taken {
                true => Ok(()),
                false => Err(std::io::Error::last_os_error()),
            }
        })
    }
}

/// Both ends of a terminal: what a person has, and what programs have.
fn terminal() -> (File, File) {
    let (mut person, mut program) = (0, 0);
    let none = std::ptr::null_mut();
    // SAFETY: opens two descriptors that are ours; the other arguments may be null.
    unsafe {
        assert_eq!(
            libc::openpty(&mut person, &mut program, none, none.cast(), none.cast()),
            0
        );
        (File::from_raw_fd(person), File::from_raw_fd(program))
    }
}

/// Reads from a person's end until `text` has come.
fn until(person: &mut File, text: &str) -> String {
    let (mut seen, mut bytes) = (String::new(), [0; 1024]);
    while !seen.contains(text) {
        let n = person.read(&mut bytes).unwrap();
        seen.push_str(&String::from_utf8_lossy(&bytes[..n]));
    }
    seen
}

fn on_terminal(script: &Script, program: &File) -> Child {
    let mut command = script.command();
    command
        .stderr(program.try_clone().unwrap())
        .stdout(Stdio::piped());
    in_session(&mut command, Some(program.as_raw_fd()))
        .spawn()
        .unwrap()
}

#[test]
fn questions_are_asked_on_the_terminal_and_passwords_not_shown() {
    let (mut person, program) = terminal();
    let script = Script::new("let a = input(\"name? \"); let b = password(\"secret? \"); `${a}, ${b}`");
    let child = on_terminal(&script, &program);
    until(&mut person, "name? ");
    person.write_all(b"Ada\n").unwrap();
    assert!(until(&mut person, "secret? ").contains("Ada"));
    std::thread::sleep(Duration::from_millis(200));
    person.write_all(b"hush\n").unwrap();
    let (stdout, _, status) = ended(&child.wait_with_output().unwrap());
    assert_eq!((stdout.trim().trim_matches('"'), status), ("Ada, hush", Some(0)));
    drop(program);
    let mut rest = Vec::new();
    // Reading a terminal that nobody has any more is an error on Linux.
    let _ = person.read_to_end(&mut rest);
    let rest = String::from_utf8_lossy(&rest);
    assert!(!rest.contains("hush"), "{rest}");
}

#[test]
fn ctrl_c_at_a_question_ends_it() {
    let (mut person, program) = terminal();
    let script = Script::new("password(\"secret? \")");
    let child = on_terminal(&script, &program);
    until(&mut person, "secret? ");
    // As typed: the terminal makes a signal of it.
    person.write_all(b"\x03").unwrap();
    assert_eq!(ends_within(child, Duration::from_secs(5)).2, Some(130));
}

#[test]
fn a_terminal_sees_what_is_under_way_and_no_trace_of_it_stays() {
    let (mut person, program) = terminal();
    let script = Script::new("display(\"half way\", \"a\"); sleep(0.2); display(\"done\", \"a\");");
    let child = on_terminal(&script, &program);
    let (stdout, _, status) = ended(&child.wait_with_output().unwrap());
    assert_eq!((stdout.replace('"', "").as_str(), status), ("done\n", Some(0)));
    drop(program);
    let mut seen = Vec::new();
    let _ = person.read_to_end(&mut seen);
    let seen = String::from_utf8_lossy(&seen);
    assert!(seen.contains("half way"), "{seen:?}");
    assert!(seen.ends_with("\r\u{1b}[K"), "{seen:?}");
}

#[test]
fn help_says_what_it_is() {
    let output = Command::new(PROGRAM).args(["exec", "--help"]).output().unwrap();
    assert!(ended(&output).0.contains("// %% begins a cell"));
}

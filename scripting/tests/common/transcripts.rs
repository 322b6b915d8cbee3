//! Runs notebooks and compares what each cell does with its comments.
//!
//! Cells are separated by `// ---`. Lines that start with these are what is expected, in order:
//! `//> ` a line of stdout, `//? ` of stderr, `//* ` of a display (its plain text), `//= ` of the result,
//! `//! ` of the traceback, `//p ` of a page. With BLESS=1 in the environment, the files are rewritten with what happened.

use std::path::Path;

use super::{Event, Notebook, Ran, plain};

const MARKS: [&str; 6] = ["//>", "//?", "//*", "//=", "//!", "//p"];

fn transcript(ran: &Ran) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |mark: &str, text: &str| {
        let text = text.strip_suffix('\n').unwrap_or(text);
        lines.extend(
            text.split('\n')
                .map(|line| format!("{mark} {line}").trim_end().to_owned()),
        );
    };
    for event in &ran.events {
        match event {
            Event::Stdout(text) => add("//>", text),
            Event::Stderr(text) => add("//?", text),
            Event::Display(bundle, None) => add("//*", bundle.text().unwrap_or("(no text)")),
            Event::Display(bundle, Some(_)) => add("//*", &format!("new: {}", bundle.text().unwrap_or(""))),
            Event::Update(bundle, _) => add("//*", &format!("replaced: {}", bundle.text().unwrap_or(""))),
            Event::Page(bundle) => add("//p", bundle.text().unwrap_or("(no text)")),
            Event::Clear(wait) => add("//*", &format!("clear, wait {wait}")),
            Event::Input(prompt, password) => add("//*", &format!("input {prompt:?}, password {password}")),
        }
    }
    match &ran.result {
        Ok(Some(bundle)) => add("//=", bundle.text().unwrap_or("(no text)")),
        Ok(None) => {}
        Err(error) => add("//!", &plain(error)),
    }
    lines
}

/// A line without what differs from machine to machine, and from run to run.
fn elsewhere(line: &str) -> String {
    let room = || {
        let (before, rest) = line.split_once("scripts may take ")?;
        let (_, after) = rest.split_once(" GB more")?;
        Some(format!("{before}scripts may take … GB more{after}"))
    };
    let loaded = || {
        let (model, _) = line.strip_suffix(" s")?.rsplit_once(" · ")?;
        model.contains(" parameters · ").then(|| format!("{model} · … s"))
    };
    room().or_else(loaded).unwrap_or_else(|| line.to_owned())
}

pub(crate) fn run_file(path: &Path) {
    let text = std::fs::read_to_string(path).expect("the transcript can be read");
    let mut notebook = Notebook::in_folder(path.parent().expect("a folder").join("imports"));
    let mut blessed = Vec::new();
    let mut differences = Vec::new();
    for (number, cell) in text.split("// ---\n").enumerate() {
        let (expected, code): (Vec<&str>, Vec<&str>) = cell
            .lines()
            .partition(|line| MARKS.iter().any(|mark| line.starts_with(mark)));
        let code = code.join("\n");
        let code = code.trim_end();
        let actual: Vec<String> = transcript(&notebook.run(code))
            .iter()
            .map(|line| elsewhere(line))
            .collect();
        if actual != expected {
            let (number, expected, actual) = (number + 1, expected.join("\n"), actual.join("\n"));
            differences.push(format!(
                "cell {number}:\n{code}\nexpected\n{expected}\ngot\n{actual}\n"
            ));
        }
        let lines = if actual.is_empty() {
            String::new()
        } else {
            actual.join("\n") + "\n"
        };
        blessed.push(format!("{code}\n{lines}"));
    }
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(path, blessed.join("// ---\n")).expect("the transcript can be written");
        return;
    }
    assert!(
        differences.is_empty(),
        "{}\n{}",
        path.display(),
        differences.join("\n")
    );
}

/// A test for each file of `tests/transcripts`.
#[macro_export]
macro_rules! transcripts {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
                let path = folder.join(concat!(stringify!($name), ".rhai"));
                common::on_session_thread(move || common::transcripts::run_file(&path));
            }
        )*

        #[test]
        fn every_file_is_run() {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
            let files = std::fs::read_dir(folder).expect("the folder can be read");
            let paths = files.map(|file| file.expect("an entry").path());
            let names = paths.filter(|path| path.extension().is_some_and(|extension| extension == "rhai"));
            let mut found: Vec<String> =
                names.map(|path| path.file_stem().expect("a name").to_string_lossy().into_owned()).collect();
            found.sort();
            assert_eq!(found, [$(stringify!($name)),*]);
        }
    };
}

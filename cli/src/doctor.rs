//! `ecco-kernel doctor`: what the kernel needs, what of it is there, what is wrong, and the command that mends it.
//!
//! - `libtorch`: the library, what multiplies, devices and memory; `jupyter`: Jupyter, and what it knows of this kernel; `hub`: the
//!   cache, and whether the hub answers

mod hub;
mod jupyter;
mod libtorch;

use serde_json::{Map, Value, json};

use crate::table;

/// A part of the report: a title, lines for people, and the same for programs.
struct Section {
    title: &'static str,
    lines: Vec<[String; 2]>,
    data: Value,
}

/// What is wrong, or worth knowing, and what mends it: a command where one does.
struct Finding {
    about: &'static str,
    what: String,
    mend: String,
}

/// Findings, of which some make the status that the program ends with.
#[derive(Default)]
struct Findings {
    problems: Vec<Finding>,
    notes: Vec<Finding>,
}

impl Findings {
    fn problem(&mut self, about: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        let (what, mend) = (what.into(), mend.into());
        self.problems.push(Finding { about, what, mend });
    }

    fn note(&mut self, about: &'static str, what: impl Into<String>, mend: impl Into<String>) {
        let (what, mend) = (what.into(), mend.into());
        self.notes.push(Finding { about, what, mend });
    }
}

/// Looks at everything and prints the report; returns 1 where something is wrong, else 0.
///
/// # Errors
/// Where the program cannot find itself.
pub(crate) fn doctor(as_json: bool) -> anyhow::Result<i32> {
    let program = std::env::current_exe()?;
    let mut findings = Findings::default();
    // What waits for others does so while libtorch is opened.
    let (answer, jupyter) = (std::thread::spawn(hub::ask), std::thread::spawn(jupyter::look));
    let mut sections = vec![Section {
        title: "program",
        lines: vec![
            line("version", env!("CARGO_PKG_VERSION")),
            line("path", program.display().to_string()),
        ],
        data: json!({"version": env!("CARGO_PKG_VERSION"), "path": program}),
    }];
    sections.extend(libtorch::sections(&mut findings));
    let jupyter = jupyter.join().unwrap_or_default();
    sections.extend(jupyter::sections(&jupyter, &program, &mut findings));
    let answer = answer.join().unwrap_or(hub::Answer::NotAsked);
    sections.push(hub::section(answer, &mut findings));
    let text = match as_json {
        true => format!("{:#}\n", document(&sections, &findings)),
        false => page(&sections, &findings),
    };
    table::print(&text)?;
    Ok(i32::from(!findings.problems.is_empty()))
}

fn line(name: impl Into<String>, text: impl Into<String>) -> [String; 2] {
    [name.into(), text.into()]
}

fn document(sections: &[Section], findings: &Findings) -> Value {
    let mut document: Map<String, Value> = sections
        .iter()
        .map(|section| (section.title.replace(' ', "_"), section.data.clone()))
        .collect();
    for (name, findings) in [("problems", &findings.problems), ("notes", &findings.notes)] {
        let findings = findings
            .iter()
            .map(|found| json!({"about": found.about, "what": found.what, "mend": found.mend}));
        document.insert(name.to_owned(), findings.collect());
    }
    document.into()
}

fn page(sections: &[Section], findings: &Findings) -> String {
    let names = sections.iter().flat_map(|section| &section.lines);
    let width = names.map(|[name, _]| name.chars().count()).max().unwrap_or(0);
    let mut page = String::new();
    for section in sections {
        page += &format!("{}\n", section.title);
        for [name, text] in &section.lines {
            page += &format!("  {name:width$}  {text}\n");
        }
        page.push('\n');
    }
    for found in &findings.notes {
        page += &told("note", found);
    }
    for found in &findings.problems {
        page += &told("wrong", found);
    }
    match findings.problems.len() {
        0 => page += "Nothing is wrong.\n",
        1 => page += "One thing is wrong.\n",
        n => page += &format!("{n} things are wrong.\n"),
    }
    page
}

fn told(degree: &str, found: &Finding) -> String {
    format!("{degree}: {}: {}\n  {}\n\n", found.about, found.what, found.mend)
}

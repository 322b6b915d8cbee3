//! Notebooks without Jupyter: their cells run as one session, and what they show is kept.
//!
//! - `parameters`: a cell with values of the command line; `recorder`: what a cell shows, as notebooks keep it
//! - `page`: the notebook as HTML; `markdown`: as Markdown

mod markdown;
mod page;
mod parameters;
mod recorder;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::ValueEnum;
use ecco_interpreter::{Cell, CellError, Interrupt};
use serde_json::{Map, Value, json};

use super::{console, report, signals};
pub(crate) use parameters::Parameters;
use recorder::Recorder;

/// What an executed notebook is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Form {
    /// A page that works without a network
    Html,
    /// The notebook with its outputs
    Ipynb,
    /// Markdown, outputs as text
    Md,
}

/// A notebook of format 4, as its file has it.
pub(super) struct Notebook {
    /// All but its cells.
    document: Value,
    cells: Vec<Value>,
}

/// What is made of it.
pub(super) struct Target {
    form: Form,
    /// `-` is standard output.
    path: PathBuf,
}

impl Target {
    /// # Errors
    /// A notebook that would be written over itself.
    pub(super) fn new(form: Form, path: Option<PathBuf>, notebook: &Path) -> anyhow::Result<Self> {
        let path = match (path, form) {
            (Some(path), _) => path,
            (None, Form::Html) => notebook.with_extension("html"),
            (None, Form::Md) => notebook.with_extension("md"),
            (None, Form::Ipynb) => {
                bail!("name the file for the notebook with its outputs: --output executed.ipynb")
            }
        };
        Ok(Self { form, path })
    }
}

/// What a page of a notebook is called.
pub(super) fn title(notebook: &Path) -> String {
    let name = notebook.file_stem().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

impl Notebook {
    /// # Errors
    /// What is no notebook, one of another language, and formats before the fourth.
    pub(super) fn read(text: &str) -> anyhow::Result<Self> {
        let mut document: Value = serde_json::from_str(text).context("it is no notebook")?;
        let format = document.get("nbformat").and_then(Value::as_u64);
        if format != Some(4) {
            let found = format.map_or("no format".to_owned(), |format| format!("format {format}"));
            bail!("a notebook of format 4 is expected, and it has {found}");
        }
        let Some(Value::Array(cells)) = document.get_mut("cells").map(Value::take) else {
            bail!("the notebook has no list of cells");
        };
        if let Some(at) = cells.iter().position(|cell| !cell.is_object()) {
            bail!("cell {} of the notebook is no cell", at + 1);
        }
        let language = document.pointer("/metadata/language_info/name");
        let language = language.or_else(|| document.pointer("/metadata/kernelspec/language"));
        match language.and_then(Value::as_str) {
            None => {}
            Some(language) if language.eq_ignore_ascii_case("rhai") => {}
            Some(language) => bail!("its cells are {language}, and this kernel runs Rhai"),
        }
        Ok(Self { document, cells })
    }

    /// With a cell behind that of the parameters, which sets those of the command line.
    pub(super) fn with(mut self, parameters: &Parameters) -> anyhow::Result<Self> {
        if let Some(code) = parameters.code()? {
            let minor = self.document.get("nbformat_minor").and_then(Value::as_u64);
            parameters::insert(&mut self.cells, &code, minor.unwrap_or(0) >= 5);
        }
        Ok(self)
    }

    /// The code of its cells, for those that only want what they print.
    pub(super) fn codes(&self) -> Vec<String> {
        let codes = self.cells.iter().filter(|cell| is_run(cell)).map(source);
        codes.filter(|code| !code.trim().is_empty()).collect()
    }

    /// Runs all cells in order and keeps what they show; ends with the first that fails, where it is not expected to.
    fn run(&mut self, interrupt: Interrupt) -> Result<(), CellError> {
        let mut session = ecco_primitives::session(interrupt);
        let all = self.cells.iter().filter(|cell| is_run(cell)).count();
        let mut recorder = Recorder::default();
        let mut number = 0;
        for at in 0..self.cells.len() {
            let cell = &self.cells[at];
            if !is_run(cell) {
                continue;
            }
            let (code, may_fail) = (source(cell), has_tag(cell, "raises-exception"));
            number += 1;
            let began = Instant::now();
            let run = Cell {
                code,
                execution_count: number,
                silent: false,
                allow_stdin: false,
            };
            let output = Rc::new(recorder.of_cell(number));
            let label = format!("In [{number}]");
            let result = session.execute_as(label, &run, output.clone());
            let error = match result {
                Ok(value) => {
                    output.result(value);
                    None
                }
                Err(error) => {
                    output.error(&error);
                    Some(error)
                }
            };
            recorder.end_of_cell(&output);
            let first = run
                .code
                .lines()
                .find(|line| !line.trim().is_empty())
                .unwrap_or("");
            let seconds = began.elapsed().as_secs_f64();
            console::complain(&format!("  cell {number}/{all}  {seconds:5.1} s  {first:.80}"));
            self.cells[at]["execution_count"] = number.into();
            // A display of an earlier cell may have been replaced.
            self.keep_outputs(&recorder);
            if let Some(error) = error.filter(|error| !may_fail || error.name == "KeyboardInterrupt") {
                return Err(error);
            }
        }
        Ok(())
    }

    fn keep_outputs(&mut self, recorder: &Recorder) {
        for cell in &mut self.cells {
            let number = cell.get("execution_count").and_then(Value::as_u64);
            if let Some(outputs) = number.and_then(|number| recorder.outputs(number as u32)) {
                cell["outputs"] = outputs;
            }
        }
    }

    /// Without what an earlier run has left, and with the name of what runs it now.
    fn cleared(&mut self) {
        for cell in self.cells.iter_mut().filter(|cell| is_code(cell)) {
            cell["outputs"] = json!([]);
            cell["execution_count"] = Value::Null;
        }
        if !self.document.get("metadata").is_some_and(Value::is_object) {
            self.document["metadata"] = Value::Object(Map::new());
        }
        let info = json!({"name": "rhai", "file_extension": ".rhai", "mimetype": "text/x-rhai"});
        let metadata = &mut self.document["metadata"];
        if metadata.get("language_info").is_none() {
            metadata["language_info"] = info;
        }
    }

    fn written(mut self, form: Form, title: &str) -> String {
        match form {
            Form::Html => page::page(&self.cells, title),
            Form::Md => markdown::markdown(&self.cells),
            // As nbformat writes it.
            Form::Ipynb => {
                self.document["cells"] = self.cells.into();
                let mut text = Vec::new();
                let indent = serde_json::ser::PrettyFormatter::with_indent(b" ");
                let mut serializer = serde_json::Serializer::with_formatter(&mut text, indent);
                // JSON is written to memory.
                let _ = serde::Serialize::serialize(&self.document, &mut serializer);
                String::from_utf8_lossy(&text).into_owned() + "\n"
            }
        }
    }
}

/// Runs a notebook and writes what came of it, up to a cell that fails: 0, or 1 then, or 130 after Ctrl-C.
///
/// # Errors
/// What cannot be written.
pub(super) fn run(
    (mut notebook, target, title, interrupt): (Notebook, Target, String, Interrupt),
) -> anyhow::Result<i32> {
    notebook.cleared();
    let ended = notebook.run(interrupt);
    write(&notebook.written(target.form, &title), &target.path)?;
    if let Err(error) = &ended {
        report(error);
    }
    Ok(match ended {
        _ if signals::was_interrupted() => super::INTERRUPTED,
        Ok(()) => 0,
        Err(_) => 1,
    })
}

fn write(text: &str, path: &Path) -> anyhow::Result<()> {
    if path == "-" {
        return std::io::stdout()
            .write_all(text.as_bytes())
            .context("could not write the output");
    }
    std::fs::write(path, text).with_context(|| format!("could not write {}", path.display()))
}

fn is_code(cell: &Value) -> bool {
    cell.get("cell_type").and_then(Value::as_str) == Some("code")
}

/// Code that is there and not to be passed over, as nbclient has it.
fn is_run(cell: &Value) -> bool {
    is_code(cell) && !source(cell).trim().is_empty() && !has_tag(cell, "skip-execution")
}

fn has_tag(cell: &Value, tag: &str) -> bool {
    let tags = cell.pointer("/metadata/tags").and_then(Value::as_array);
    tags.is_some_and(|tags| tags.iter().any(|known| known == tag))
}

/// A cell's text, which files have as one string or as its lines.
fn source(cell: &Value) -> String {
    joined(cell.get("source").unwrap_or(&Value::Null))
}

fn joined(text: &Value) -> String {
    match text {
        Value::String(text) => text.clone(),
        Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
        _ => String::new(),
    }
}

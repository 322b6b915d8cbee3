//! `ecco-kernel exec`: a script or a notebook as one session, without Jupyter.
//!
//! - `cells`: a script's cells; `notebook`: a notebook's, with what they show; `console`: where they write; `terminal`: whom they ask; `signals`: Ctrl-C

mod cells;
mod console;
mod notebook;
pub(crate) mod signals;
mod terminal;

use std::io::{IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, Mutex};

use anyhow::{Context, bail};
use ecco_interpreter::{Cell, CellError, Interrupt};
use ecco_protocol::stack_sizes;
use ecco_scripting::STACK_BYTES;

pub(crate) use cells::cells;
use console::Console;
pub(crate) use notebook::{Form, Parameters};
use notebook::{Notebook, Target};

/// What shells say of a program that Ctrl-C ended: 128 and the signal's number.
pub(crate) const INTERRUPTED: i32 = 130;

/// Runs the script, or standard input for `-`, and returns the status that the process should end with: 0, 1 after
/// an error in it, 130 after Ctrl-C. A notebook may be written as something.
///
/// # Errors
/// When the script cannot be read or its output not be written.
pub(crate) fn exec(
    script: &Path,
    to: Option<Form>,
    output: Option<PathBuf>,
    parameters: &Parameters,
) -> anyhow::Result<i32> {
    let (label, text) = read(script)?;
    let is_notebook = script.extension().is_some_and(|ending| ending == "ipynb");
    if !is_notebook && (to.is_some() || !parameters.is_empty()) {
        bail!("--to and parameters are for notebooks, whose names end in .ipynb: {label} is a script");
    }
    let notebook = || {
        let notebook = Notebook::read(&text).and_then(|notebook| notebook.with(parameters));
        notebook.with_context(|| format!("could not take {label}"))
    };
    wait_quietly();
    let interrupt = Interrupt::default();
    signals::listen(interrupt.clone());
    let cells = match (is_notebook, to) {
        (true, Some(form)) => {
            let target = Target::new(form, output, script)?;
            let given = (notebook()?, target, notebook::title(script), interrupt);
            return on_a_deep_stack(given, notebook::run);
        }
        (true, None) => notebook()?.codes(),
        (false, _) => cells(&text),
    };
    on_a_deep_stack((label, cells, interrupt), |(label, cells, interrupt)| {
        run(&label, cells, interrupt)
    })
}

/// Works on a thread with the stack that sessions need.
///
/// # Errors
/// What the work gives; no memory for a thread.
pub(crate) fn on_a_deep_stack<T: Send + 'static>(
    given: T,
    work: fn(T) -> anyhow::Result<i32>,
) -> anyhow::Result<i32> {
    let given = Arc::new(Mutex::new(Some(given)));
    // Of a smaller stack deep values end earlier.
    let start = |bytes: usize| {
        let given = Arc::clone(&given);
        std::thread::Builder::new()
            .name("script".to_owned())
            .stack_size(bytes)
            .spawn(move || {
                let given = given.lock().ok().and_then(|mut given| given.take());
                given.map_or(Ok(1), work)
            })
    };
    let mut threads = stack_sizes(STACK_BYTES)?.into_iter().map(start);
    let thread = threads.find_map(Result::ok);
    let thread =
        thread.context("there is no memory for a thread that runs the script: is it `ulimit -v`?")?;
    match thread.join() {
        Ok(ending) => ending,
        // The hook has told of it on stderr.
        Err(_) => Ok(1),
    }
}

/// As the kernelspec asks of libtorch: threads that wait for work leave the processor to others.
pub(crate) fn wait_quietly() {
    if std::env::var_os("OMP_WAIT_POLICY").is_none() {
        // SAFETY: no other thread has been started yet that could read the environment.
        unsafe { std::env::set_var("OMP_WAIT_POLICY", "PASSIVE") };
    }
}

/// What errors call the script, and its text.
fn read(script: &Path) -> anyhow::Result<(String, String)> {
    if script == "-" {
        let mut text = String::new();
        std::io::stdin()
            .read_to_string(&mut text)
            .context("could not read the script from standard input")?;
        return Ok(("standard input".to_owned(), text));
    }
    let text = std::fs::read_to_string(script)
        .with_context(|| format!("could not read the script {}", script.display()))?;
    Ok((script.display().to_string(), text))
}

fn run(label: &str, cells: Vec<String>, interrupt: Interrupt) -> anyhow::Result<i32> {
    let console = Rc::new(Console::new(interrupt.clone()));
    let mut session = ecco_primitives::session(interrupt);
    for (number, code) in (1..).zip(cells) {
        let cell = Cell {
            code,
            execution_count: number,
            silent: false,
            allow_stdin: true,
        };
        let result = session.execute_as(label.to_owned(), &cell, console.clone());
        let failed = match result {
            Ok(value) => {
                console.result(value);
                None
            }
            Err(error) => Some(error),
        };
        console.end_of_cell();
        if console.check()?.is_break() {
            return Ok(0);
        }
        if let Some(error) = &failed {
            report(error);
        }
        if signals::was_interrupted() {
            return Ok(INTERRUPTED);
        }
        if failed.is_some() {
            return Ok(1);
        }
    }
    Ok(0)
}

/// Message, source line, caret and hint, in colours where somebody sees them.
fn report(error: &CellError) {
    let lines = error.traceback.join("\n");
    let in_colours = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    console::complain(&if in_colours { lines } else { plain(&lines) });
}

/// A text without the sequences that colour it.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

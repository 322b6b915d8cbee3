//! `ecco-kernel exec`: a script as one session, without Jupyter.
//!
//! - `cells`: a script's cells; `console`: where they write; `terminal`: whom they ask; `signals`: Ctrl-C

mod cells;
mod console;
mod signals;
mod terminal;

use std::io::{IsTerminal, Read};
use std::path::Path;
use std::rc::Rc;

use anyhow::Context;
use ecco_interpreter::{Cell, CellError, Interrupt};
use ecco_protocol::stack_sizes;
use ecco_scripting::STACK_BYTES;

use console::Console;

/// What shells say of a program that Ctrl-C ended: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// Runs the script, or standard input for `-`, and returns the status that the process should end with: 0, 1 after
/// an error in it, 130 after Ctrl-C.
///
/// # Errors
/// When the script cannot be read or its output not be written.
pub(crate) fn exec(script: &Path) -> anyhow::Result<i32> {
    let (label, text) = read(script)?;
    let cells = cells::cells(&text);
    wait_quietly();
    let interrupt = Interrupt::default();
    signals::listen(interrupt.clone());
    // Of a smaller stack deep values end earlier.
    let start = |bytes: usize| {
        let (label, cells, interrupt) = (label.clone(), cells.clone(), interrupt.clone());
        std::thread::Builder::new()
            .name("script".to_owned())
            .stack_size(bytes)
            .spawn(move || run(&label, cells, interrupt))
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
fn wait_quietly() {
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
fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\u{1b}') {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

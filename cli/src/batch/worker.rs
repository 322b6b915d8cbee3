//! A worker: runs the script's cells once, and then its last one for each part that it is given.

use std::fs::File;
use std::io::{BufRead, Write};
use std::rc::Rc;
use std::sync::mpsc::{Receiver, channel};

use anyhow::{Context, bail};
use ecco_interpreter::{Cell, CellError, Interrupt};
use ecco_models::generation::sampling::draw_seeds_from;
use ecco_models::libtorch;
use ecco_scripting::Session;
use ecco_scripting::session::Repeated;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use super::hexadecimal;
use super::message::{Done, Files, FromWorker, Job, Outcome, Part, Ready, Row, RowResult};
use super::quiet::Quiet;
use super::script::{Each, Script};
use crate::exec;

/// What is asked of the models that the cells have loaded.
const MODELS: &str = "let models = []; \
    for lm in ecco::models() { models.push(#{name: lm.name, digest: lm.digest, device: lm.device, dtype: lm.dtype}); } \
    models";

/// Runs until there are no more parts: 0, or 1 where the script is wrong.
///
/// # Errors
/// What is said on standard input or output cannot be read or written.
pub(crate) fn work() -> anyhow::Result<i32> {
    // Ctrl-C is said to all processes of a terminal: who gives the parts decides what it means.
    // SAFETY: installs no handler.
    unsafe { libc::signal(libc::SIGINT, libc::SIG_IGN) };
    exec::on_a_deep_stack(lines(), run)
}

/// The lines of standard input, read beside the work: where it ends, nobody waits for what is being done.
fn lines() -> Receiver<String> {
    let (send, receive) = channel();
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines() {
            if line.is_err() || line.is_ok_and(|line| send.send(line).is_err()) {
                break;
            }
        }
        crate::leave(0)
    });
    receive
}

fn run(lines: Receiver<String>) -> anyhow::Result<i32> {
    let job = lines.recv().context("there was no job")?;
    let job: Job = serde_json::from_str(&job).context("the job cannot be read")?;
    let output = Rc::new(Quiet::default());
    let mut session = ecco_primitives::session(Interrupt::default());
    let script = match Script::read(&job.script) {
        Ok(script) => script,
        Err(error) => {
            say(&FromWorker::Failed(error.to_string()))?;
            return Ok(1);
        }
    };
    session.begin_noting_files();
    for (number, code) in (1..).zip(script.before) {
        let cell = Cell {
            code,
            execution_count: number,
            silent: true,
            allow_stdin: false,
        };
        if let Err(error) = session.execute_as(job.label.clone(), &cell, output.clone()) {
            say(&FromWorker::Failed(exec::plain(&error.traceback.join("\n"))))?;
            return Ok(1);
        }
    }
    let mut files = read_files(&session)?;
    files.append(&mut new_imports(&session, &Files::new()));
    let models = session.repeated("models".to_owned(), MODELS, "_");
    let models = session.answer_to(&models, "null", output.clone());
    let models = models.map_err(|error| anyhow::anyhow!("{}", error.value))?;
    say(&FromWorker::Ready(Ready {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        libtorch: libtorch::opened()
            .and_then(|libtorch| libtorch.version)
            .unwrap_or_default(),
        processor: super::processor::name(),
        models: serde_json::from_str(&models)?,
        slots: 2,
        files: files.clone(),
    }))?;
    let variable = script.each.variable();
    let mut worker = Worker {
        cell: session.repeated(job.label.clone(), &script.code, variable),
        session,
        each: script.each,
        seed: job.seed,
        output,
        files,
    };
    for line in lines {
        let part: Part = serde_json::from_str(&line).context("a part cannot be read")?;
        say(&FromWorker::Done(worker.part(&part)?))?;
    }
    Ok(0)
}

fn say(message: &FromWorker) -> anyhow::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout
        .write_all(&line)
        .and_then(|()| stdout.flush())
        .context("the results cannot be written")
}

struct Worker {
    session: Session,
    cell: Repeated,
    each: Each,
    seed: u64,
    output: Rc<Quiet>,
    /// Those that were told.
    files: Files,
}

impl Worker {
    fn part(&mut self, part: &Part) -> anyhow::Result<Done> {
        let outcomes = match self.each {
            Each::Batch => self.together(&part.rows)?,
            Each::Row => part
                .rows
                .iter()
                .map(|row| self.alone(row))
                .collect::<anyhow::Result<_>>()?,
        };
        let results = part.rows.iter().zip(outcomes);
        let files = new_imports(&self.session, &self.files);
        self.files.extend(files.clone());
        Ok(Done {
            part: part.part,
            results: results
                .map(|(row, result)| RowResult { row: row.row, result })
                .collect(),
            files,
        })
    }

    fn alone(&mut self, row: &Row) -> anyhow::Result<Outcome> {
        self.draw_from(row);
        outcome(
            self.session
                .answer_to(&self.cell, row.value.get(), self.output.clone()),
        )
    }

    /// All rows at once; where that is an error, each by itself, so that it is one of those that it is about.
    fn together(&mut self, rows: &[Row]) -> anyhow::Result<Vec<Outcome>> {
        let Some(first) = rows.first() else {
            return Ok(Vec::new());
        };
        self.draw_from(first);
        let values: Vec<&RawValue> = rows.iter().map(|row| &*row.value).collect();
        let values = (&*serde_json::to_string(&values)?, rows.len());
        match self.session.answers_to(&self.cell, values, self.output.clone()) {
            Ok(answers) => answers.into_iter().map(|answer| outcome(Ok(answer))).collect(),
            Err(error) if rows.len() == 1 => Ok(vec![outcome(Err(error))?]),
            Err(_) => {
                let each = rows
                    .iter()
                    .map(|row| Ok(self.together(std::slice::from_ref(row))?.remove(0)));
                each.collect()
            }
        }
    }

    /// What is drawn for a row does not depend on the rows before it.
    fn draw_from(&self, row: &Row) {
        draw_seeds_from(self.seed.wrapping_add(row.row));
    }
}

/// The data that cells have read, as it is now.
fn read_files(session: &Session) -> anyhow::Result<Files> {
    let digest = |path: String| {
        let mut sha = Sha256::new();
        let copied = File::open(&path).and_then(|mut file| std::io::copy(&mut file, &mut sha));
        copied.with_context(|| format!("{path} cannot be read once more"))?;
        Ok((path, hexadecimal(&sha.finalize())))
    };
    session.end_noting_files().into_iter().map(digest).collect()
}

fn new_imports(session: &Session, known: &Files) -> Files {
    let mut new = Files::new();
    session.each_import(|name, code| {
        if !known.contains_key(name) {
            new.insert(name.to_owned(), hexadecimal(&Sha256::digest(code)));
        }
    });
    new
}

fn outcome(answer: Result<String, CellError>) -> anyhow::Result<Outcome> {
    Ok(match answer {
        Ok(answer) => Outcome::Value(RawValue::from_string(answer)?),
        Err(error) if error.name == "KeyboardInterrupt" => bail!("interrupted"),
        Err(error) => Outcome::Error(format!("{}: {}", error.name, error.value)),
    })
}

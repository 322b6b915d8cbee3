//! `ecco-kernel batch`: one script for many texts, whose results survive whatever happens on the way.
//!
//! - `script`: cells that run once, and one for each row; `input`: rows, one after another
//! - `worker`: a process with the models, `workers`: all of them; `message`: what is said to it, `quiet`: where its script
//!   writes, `processor`: what it computes on
//! - `parts`: what is given out, done and in order again; `folder`, `manifest`: what is kept; `progress`: what is shown
//!
//! Rows are computed together in parts that the input alone decides, so that a result does not depend on who computes it and
//! when. Parts are written in their order.

mod folder;
mod input;
mod manifest;
mod message;
mod parts;
mod processor;
mod progress;
mod quiet;
mod script;
mod worker;
mod workers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use ecco_interpreter::Interrupt;
use sha2::{Digest, Sha256};

use crate::exec::{self, signals};
use folder::Folder;
use input::Input;
use manifest::{Manifest, Options, ScriptFile};
use message::{FromWorker, Job};
use parts::Parts;
use progress::Progress;
use script::Script;
use workers::{Heard, How, Workers};

pub(crate) use worker::work;

pub(crate) const ABOUT: &str = "\
Run a script over many texts. Its cells run once, its last one for every row of the input: it begins with a line \
`// %% each row`, and has the row in the variable `row`, or with `// %% each batch`, has some rows in the list `rows`, and \
ends with a value for each.

Results go to a folder: results.jsonl with a line for each row, in order; passed_over.jsonl with the rows that have none and \
why; manifest.json with what they are of. The same command goes on where it was ended, however that was; with another \
script, model or input it is refused.

Ends with 0 when every row has a result, with 3 when some were passed over, with 1 after an error, with 130 after Ctrl-C.";

/// Rows of which one should have a result, or the script is wrong.
const TRIAL: u64 = 100;
/// Some rows were passed over.
const SOME_PASSED_OVER: i32 = 3;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// results.parquet
    Parquet,
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// The script
    #[arg(value_name = "SCRIPT")]
    script: PathBuf,
    /// The texts: .jsonl (a JSON value a line), .txt (a text a line), .parquet; - is JSON lines on standard input
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// The folder for the results
    #[arg(long, value_name = "FOLDER")]
    output: PathBuf,
    /// What results.jsonl is made into in the end
    #[arg(long, value_enum)]
    to: Option<Form>,
    /// Rows that are computed together, at most
    #[arg(long, value_name = "ROWS", default_value_t = 32, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    batch: u32,
    /// Processes side by side, each with the models
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    workers: u32,
    /// Threads of each; by default the cores are shared out
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    threads: Option<u32>,
    /// What is drawn without a seed follows from it and from the row
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    seed: u64,
    /// Go on where not one of the first rows has a result
    #[arg(long)]
    keep_going: bool,
    /// A command that passes what is to be done on to workers elsewhere
    #[arg(long, value_name = "COMMAND")]
    through: Option<String>,
}

/// Does what is not done yet, and returns the status that the process should end with.
///
/// # Errors
/// A script, an input or a folder that cannot be taken; workers that cannot be had; a disk that is full.
pub(crate) fn batch(arguments: &Arguments) -> anyhow::Result<i32> {
    let path = &arguments.script;
    let script = std::fs::read_to_string(path)
        .with_context(|| format!("could not read the script {}", path.display()))?;
    Script::read(&script)?;
    let mut input = Input::open(&arguments.input)?;
    let options = Options {
        batch: arguments.batch as usize,
        seed: arguments.seed,
        matmul: std::env::var("ECCO_MATMUL").unwrap_or_else(|_| matmul().to_owned()),
    };
    let of_script = ScriptFile {
        path: path.clone(),
        sha256: hexadecimal(&Sha256::digest(&script)),
    };
    let now = Manifest::new(of_script, input.fingerprint.clone(), options);
    let (handle, before) = Folder::open(&arguments.output)?;
    let manifest = match before {
        // What has no result yet is no work that could be lost.
        Some(before) if before.rows.results > 0 => {
            before.ensure_same(&now)?;
            before
        }
        Some(before) if before.ensure_same(&now).is_ok() => before,
        _ => now,
    };
    if manifest.is_finished {
        finish(arguments)?;
        eprintln!("all is done: {}", progress::summary(&manifest, &arguments.output));
        return Ok(status(&manifest));
    }
    input.skip_to(manifest.position)?;
    exec::wait_quietly();
    signals::listen(Interrupt::default());
    let job = Job {
        label: path.display().to_string(),
        script,
        seed: manifest.options.seed,
    };
    let how = How {
        job: workers::line(&job)?,
        through: arguments.through.clone(),
        threads: threads(arguments),
        matmul: manifest.options.matmul.clone(),
    };
    let n_workers = arguments.workers as usize;
    let folder = Folder::begin(&arguments.output, handle, manifest)?;
    run(input, folder, Workers::start(n_workers, how)?, arguments)
}

/// Until all is done, or Ctrl-C.
fn run(input: Input, mut folder: Folder, mut workers: Workers, arguments: &Arguments) -> anyhow::Result<i32> {
    let mut progress = Progress::new(&folder.manifest, input.length);
    let mut parts = Parts::new(input, folder.manifest.options.batch);
    loop {
        while workers.n_free() > 0 && !signals::was_interrupted() {
            let Some(part) = parts.next(workers.n_slots())? else {
                break;
            };
            workers.give(&part)?;
        }
        if parts.write_finished(&mut folder, &mut progress)? {
            folder.manifest.is_finished = true;
        }
        let rows = &folder.manifest.rows;
        if rows.results == 0 && rows.passed_over >= TRIAL && !arguments.keep_going {
            bail!(
                "not one of the first {} rows has a result: is it the script? --keep-going goes on nevertheless",
                rows.passed_over
            );
        }
        progress.show(&folder.manifest);
        if folder.manifest.is_finished || signals::was_interrupted() {
            break;
        }
        folder.commit_now_and_then()?;
        let heard = match workers.hear(Duration::from_millis(100)) {
            Ok(heard) => heard,
            Err(error) => {
                folder.commit()?;
                return Err(error);
            }
        };
        match heard {
            None => {}
            Some(Heard::Said(FromWorker::Ready(ready))) => folder.manifest.meet(&ready)?,
            Some(Heard::Said(FromWorker::Failed(why))) => bail!("the script has failed\n{why}"),
            Some(Heard::Said(FromWorker::Done(done))) => {
                folder.manifest.take_files(&done.files)?;
                parts.done(done);
            }
            Some(Heard::Said(FromWorker::Lost { part, why })) => parts.lost(part, &why),
            Some(Heard::Gone { had, how }) => {
                progress.complain(&format!("a worker {how}; its rows are computed again"));
                let why = format!("the worker that had the row {how}");
                for (at, part) in had.into_iter().enumerate() {
                    match at {
                        0 => parts.lost(part, &why),
                        _ => parts.give_back(part),
                    }
                }
            }
        }
    }
    folder.commit()?;
    progress.end();
    if folder.manifest.is_finished {
        finish(arguments)?;
    }
    eprintln!("{}", progress::summary(&folder.manifest, &arguments.output));
    if !folder.manifest.is_finished {
        eprintln!("interrupted: the same command goes on from here");
        return Ok(exec::INTERRUPTED);
    }
    Ok(status(&folder.manifest))
}

/// What is made of results that are whole.
fn finish(arguments: &Arguments) -> anyhow::Result<()> {
    match arguments.to {
        Some(Form::Parquet) => folder::make_table(&arguments.output),
        None => Ok(()),
    }
}

fn status(manifest: &Manifest) -> i32 {
    match manifest.rows.passed_over {
        0 => 0,
        _ => SOME_PASSED_OVER,
    }
}

fn threads(arguments: &Arguments) -> usize {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let share = (cores / arguments.workers as usize).max(1);
    arguments.threads.map_or(share, |threads| threads as usize)
}

/// What multiplies, without measuring it: MKL, which libtorch takes by itself, is made for Intel's processors, and leaves half of the
/// width of others unused.
fn matmul() -> &'static str {
    let known = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    match known.contains("GenuineIntel") {
        true => "libtorch",
        false => "onednn",
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

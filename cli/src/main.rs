//! The command line: `run` is what Jupyter calls, `install` tells Jupyter how, `exec` runs a script without it, `batch` one
//! for many texts, `doctor` says what is wrong, `models` what is in the hub's cache.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use ecco_protocol::{connection, history_file, serve};
use ecco_scripting::{CountingAllocator, STACK_BYTES};

use kernelspec::Place;

mod batch;
mod doctor;
mod exec;
mod kernelspec;
mod models;
mod table;

/// Scripts are bounded by what it counts.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator;

/// A Jupyter kernel that explains transformer language models.
#[derive(Parser)]
#[command(name = "ecco-kernel", version)]
struct CommandLine {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the kernel on a connection file; Jupyter does this
    Run {
        /// The connection file that Jupyter wrote
        #[arg(short = 'f', long = "connection-file", value_name = "FILE")]
        file: PathBuf,
    },
    /// Tell Jupyter about this kernel
    Install(Install),
    /// Run a script or a notebook as one session, without Jupyter
    #[command(long_about = EXEC)]
    Exec {
        /// The script, or a notebook; - is a script on standard input
        #[arg(value_name = "SCRIPT")]
        script: PathBuf,
        /// Of a notebook: what it is written as when it has run, in place of printing what it prints
        #[arg(long, value_enum)]
        to: Option<exec::Form>,
        /// Where to; by default beside the notebook, with another ending. - is standard output
        #[arg(long, short, value_name = "FILE", requires = "to")]
        output: Option<PathBuf>,
        #[command(flatten)]
        parameters: exec::Parameters,
    },
    /// Run a script over many texts
    #[command(long_about = batch::ABOUT)]
    Batch(batch::Arguments),
    /// Do the parts of a batch that standard input has; a batch does this
    #[command(hide = true)]
    BatchWorker,
    /// Say what the kernel needs, what of it is there, what is wrong, and what mends it
    #[command(long_about = DOCTOR)]
    Doctor {
        /// The report as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the models in the hub's cache, or delete one
    #[command(long_about = models::ABOUT)]
    Models(models::Arguments),
}

const DOCTOR: &str = "\
Say what the kernel needs and what of it is there: libtorch, devices, memory, Jupyter and its kernelspecs, the hub and \
its cache. Ends with 1 where something is wrong, and then names the command that mends it. Waits no longer than two \
seconds for the hub, and changes nothing.";

const EXEC: &str = "\
Run a script or a notebook as one session, without Jupyter: prints what its cells print, and each cell's result as text.

A line that begins with // %% begins a cell, as editors know it; a script without one is a cell. Models, imports and \
what is saved are looked for from the current folder, as in a notebook there. A notebook is known by its ending, .ipynb; with --to it is written as a page, as Markdown or as a \
notebook with its outputs, up to a cell that fails, and parameters are set as papermill sets them. Progress is shown on stderr when that is \
a terminal. Ends with 1 after an error, with 130 after Ctrl-C.";

#[derive(Args)]
struct Install {
    #[command(flatten)]
    place: InstallPlace,
    /// The name on command lines: jupyter console --kernel NAME
    #[arg(long, default_value = "ecco")]
    name: String,
    /// The name in the launcher
    #[arg(long, value_name = "TEXT", default_value = "Ecco")]
    display_name: String,
}

#[derive(Args)]
#[group(multiple = false)]
struct InstallPlace {
    /// For this user, in every environment (the default)
    #[arg(long)]
    user: bool,
    /// In the active environment ($VIRTUAL_ENV, $CONDA_PREFIX), or else the one this program is in, or
    /// else that of python3
    #[arg(long)]
    sys_prefix: bool,
    /// Below DIR, in share/jupyter/kernels
    #[arg(long, value_name = "DIR")]
    prefix: Option<PathBuf>,
}

impl From<InstallPlace> for Place {
    fn from(place: InstallPlace) -> Self {
        match place {
            InstallPlace {
                prefix: Some(prefix), ..
            } => Place::Prefix(prefix),
            InstallPlace { sys_prefix: true, .. } => Place::SysPrefix,
            InstallPlace { .. } => Place::User,
        }
    }
}

fn main() -> ExitCode {
    let ended = match CommandLine::parse().command {
        Command::Run { file } => run(&file),
        Command::Install(install) => self::install(install),
        Command::Exec {
            script,
            to,
            output,
            parameters,
        } => exec::exec(&script, to, output, &parameters).and_then(|ending| leave(ending)),
        Command::Batch(arguments) => batch::batch(&arguments).and_then(|ending| leave(ending)),
        Command::BatchWorker => batch::work().and_then(|ending| leave(ending)),
        Command::Doctor { json } => doctor::doctor(json).and_then(|ending| leave(ending)),
        Command::Models(arguments) => models::models(&arguments).and_then(|ending| leave(ending)),
    };
    let Err(error) = ended else {
        return ExitCode::SUCCESS;
    };
    eprintln!("ecco-kernel: {error:#}");
    ExitCode::FAILURE
}

fn run(file: &Path) -> anyhow::Result<()> {
    let connection = connection::read(file)?;
    serve(&connection, history_file(), STACK_BYTES, |interrupt| {
        Box::new(ecco_primitives::session(interrupt))
    })?;
    leave(0)
}

/// Ends the process without taking libtorch down first: everything is sent, destructors take most of a
/// second, and a cell that did not listen may still be using what they would take away.
fn leave(status: i32) -> ! {
    // SAFETY: takes any number, touches no memory of ours.
    unsafe { libc::_exit(status) }
}

fn install(
    Install {
        place,
        name,
        display_name,
    }: Install,
) -> anyhow::Result<()> {
    let folder = kernelspec::install(&place.into(), &name, &display_name)?;
    println!("{display_name} is installed in {}", folder.display());
    Ok(())
}

//! The command line: `run` is what Jupyter calls, `install` tells Jupyter how.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use ecco_kernel::kernelspec::{self, Place};
use ecco_kernel::{connection, serve};

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
}

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

fn main() -> anyhow::Result<()> {
    match CommandLine::parse().command {
        Command::Run { file } => {
            let connection = connection::read(&file)?;
            // PLACEHOLDER: replace by `ecco_scripting::Session::new(interrupt)`, drop `mod placeholder`.
            serve(&connection, |_interrupt| Box::new(placeholder::Echo)).context("the kernel stopped")
        }
        Command::Install(Install {
            place,
            name,
            display_name,
        }) => {
            let folder = kernelspec::install(&place.into(), &name, &display_name)?;
            println!("{display_name} is installed in {}", folder.display());
            Ok(())
        }
    }
}

/// PLACEHOLDER: stands where the Rhai session comes.
mod placeholder {
    use std::rc::Rc;

    use ecco_scripting::interpreter::{Cell, CellError, Completeness, Completions, Interpreter, Output};
    use ecco_widgets::MimeBundle;

    pub struct Echo;

    impl Interpreter for Echo {
        fn execute(&mut self, cell: &Cell, output: Rc<dyn Output>) -> Result<Option<MimeBundle>, CellError> {
            output.stdout(&cell.code);
            Ok(Some(MimeBundle::from_text(cell.code.as_str())))
        }
        fn evaluate(&mut self, expression: &str) -> Result<MimeBundle, CellError> {
            Ok(MimeBundle::from_text(expression))
        }
        fn complete(&mut self, _code: &str, cursor: usize) -> Completions {
            Completions {
                range: cursor..cursor,
                matches: Vec::new(),
            }
        }
        fn inspect(&mut self, _code: &str, _cursor: usize, _detail: u8) -> Option<MimeBundle> {
            None
        }
        fn is_complete(&mut self, _code: &str) -> Completeness {
            Completeness::Complete
        }
    }
}

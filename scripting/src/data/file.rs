//! A file's bytes, of a bounded size.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::errors::{ErrorKind, ScriptError};
use crate::result::folder::{Folder, Refusal, check_length};
use crate::tensor::work::Work;

/// Bytes of a file that is read whole.
pub(super) const LARGEST: u64 = 4 << 30;
/// Bytes that are read between two looks at the interrupt.
const PIECE: u64 = 8 << 20;

/// A file below the notebook's folder, and how many bytes it has.
///
/// # Errors
/// A path that leads elsewhere, what the system says.
pub(super) fn open(path: &str, work: &Work) -> Result<(File, u64), ScriptError> {
    check_length(path)?;
    let folder = work.state().folder.borrow().clone();
    let place = Folder::existing_in(&folder, Path::new(path)).map_err(|refusal| refused(refusal, path))?;
    let file = place.read().map_err(|error| unreadable(path, &error))?;
    let size = file.metadata().map_err(|error| unreadable(path, &error))?.len();
    work.state().note_file(path);
    Ok((file, size))
}

fn unreadable(path: &str, error: &io::Error) -> ScriptError {
    ScriptError::new(ErrorKind::Os, format!("cannot read \"{path}\": {error}"))
}

/// The bytes of a file below the notebook's folder; `growth` times as many have to fit into memory.
///
/// # Errors
/// A path that leads elsewhere, what the system says, a file that is too large, an interrupt.
pub(super) fn bytes(path: &str, growth: usize, work: &Work) -> Result<Vec<u8>, ScriptError> {
    let (mut file, size) = open(path, work)?;
    check_size(path, size)?;
    work.room(&[usize::try_from(size).unwrap_or(usize::MAX)], growth)?;
    let mut bytes = Vec::new();
    loop {
        let read = file
            .by_ref()
            .take(PIECE)
            .read_to_end(&mut bytes)
            .map_err(|error| unreadable(path, &error))?;
        work.check()?;
        // A file may grow while it is read.
        check_size(path, bytes.len() as u64)?;
        if read == 0 {
            return Ok(bytes);
        }
    }
}

fn check_size(path: &str, size: u64) -> Result<(), ScriptError> {
    if size <= LARGEST {
        return Ok(());
    }
    let message = format!(
        "\"{path}\" has {:.1} GB: at most {} GB are read",
        size as f64 / 1e9,
        LARGEST >> 30
    );
    Err(ScriptError::new(ErrorKind::Value, message).with_hint("make smaller files of it"))
}

fn refused(refusal: Refusal, path: &str) -> ScriptError {
    match refusal {
        Refusal::Outside => {
            let message = format!("\"{path}\" is outside of the notebook's folder");
            ScriptError::new(ErrorKind::Value, message)
                .with_hint("files are read in the notebook's folder or below: ecco::read(\"prompts.txt\")")
        }
        Refusal::Unreadable(_, error) => {
            let message = format!("cannot read \"{path}\": {error}");
            let kind = match error.kind() {
                io::ErrorKind::NotFound => ErrorKind::File,
                _ => ErrorKind::Os,
            };
            ScriptError::new(kind, message).with_hint("files are looked for in the notebook's folder")
        }
    }
}

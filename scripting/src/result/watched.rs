//! Writing that learns all along whether to stop.

use std::io::{self, BufWriter, Write};

use crate::errors::{ErrorKind, ScriptError};

/// Whether work may go on; asked often.
pub(crate) type Check<'a> = dyn Fn() -> Result<(), ScriptError> + 'a;

/// Bytes that are written between two questions.
const STRIDE: usize = 1 << 18;

/// Passes on what is written, and asks now and then. Its error is then an [`io::Error`] around the script's, which
/// [`failure`] takes out.
pub(crate) struct Watched<'a, W: Write> {
    out: BufWriter<W>,
    check: &'a Check<'a>,
    unasked: usize,
}

impl<'a, W: Write> Watched<'a, W> {
    pub(crate) fn new(out: W, check: &'a Check<'a>) -> Self {
        Self {
            out: BufWriter::new(out),
            check,
            unasked: 0,
        }
    }
}

impl<W: Write> Write for Watched<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.unasked += bytes.len();
        if self.unasked >= STRIDE {
            self.unasked = 0;
            (self.check)().map_err(io::Error::other)?;
        }
        self.out.write(&bytes[..bytes.len().min(STRIDE)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// What went wrong while something was written: what a [`Check`] said, or the system, said of `what`.
pub(crate) fn failure(error: io::Error, what: &str) -> ScriptError {
    match error.downcast::<ScriptError>() {
        Ok(error) => error,
        Err(error) => ScriptError::new(ErrorKind::Os, format!("{what}: {error}")),
    }
}

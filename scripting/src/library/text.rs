//! Small helpers that plain Rhai lacks.

use std::time::{Duration, Instant};

use rhai::plugin::*;
use rhai::{Array, FLOAT, INT};

use super::limits::{check_interrupt, checked_len};
use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::result::show;
use crate::session::state::state_of;

/// How long a sleep goes on without looking at the interrupt.
const NAP: Duration = Duration::from_millis(5);

#[export_module]
pub mod functions {
    use super::*;

    /// Prints two values with a space between them.
    #[rhai_fn(name = "print")]
    pub fn print_2(a: Dynamic, b: Dynamic) -> String {
        super::joined(&[a, b])
    }

    /// Prints three values with spaces between them.
    #[rhai_fn(name = "print")]
    pub fn print_3(a: Dynamic, b: Dynamic, c: Dynamic) -> String {
        super::joined(&[a, b, c])
    }

    /// Prints four values with spaces between them.
    #[rhai_fn(name = "print")]
    pub fn print_4(a: Dynamic, b: Dynamic, c: Dynamic, d: Dynamic) -> String {
        super::joined(&[a, b, c, d])
    }

    /// Joins the items of an array to a string.
    #[rhai_fn(name = "join", pure, return_raw)]
    pub fn join(ctx: NativeCallContext, array: &mut Array, separator: &str) -> RhaiResult<String> {
        super::joined_by(&ctx, array, separator)
    }

    /// A number as text with a fixed number of decimals.
    pub fn format(value: FLOAT, decimals: INT) -> String {
        let decimals = usize::try_from(decimals).unwrap_or(0).min(300);
        format!("{value:.decimals$}")
    }

    /// Waits for some seconds; an interrupt ends the wait.
    #[rhai_fn(name = "sleep", return_raw, volatile)]
    pub fn sleep(ctx: NativeCallContext, seconds: FLOAT) -> RhaiResult<()> {
        super::nap(&ctx, seconds)
    }

    /// Waits for some seconds; an interrupt ends the wait.
    #[rhai_fn(name = "sleep", return_raw, volatile)]
    pub fn sleep_int(ctx: NativeCallContext, seconds: INT) -> RhaiResult<()> {
        super::nap(&ctx, seconds as FLOAT)
    }
}

fn joined(values: &[Dynamic]) -> String {
    values.iter().map(show::printed).collect::<Vec<_>>().join(" ")
}

fn joined_by(context: &NativeCallContext, array: &Array, separator: &str) -> RhaiResult<String> {
    const STRIDE: usize = 1 << 12;
    let mut text = String::new();
    for (at, item) in array.iter().enumerate() {
        text.push_str(if at > 0 { separator } else { "" });
        text.push_str(&show::printed(item));
        if at % STRIDE == 0 {
            check_interrupt(context)?;
            // A string that grows takes as much again for a moment.
            checked_len(context, text.len() as INT, 2)?;
        }
    }
    Ok(text)
}

fn nap(context: &NativeCallContext, seconds: FLOAT) -> RhaiResult<()> {
    let length = Duration::try_from_secs_f64(seconds).map_err(|_| {
        let message = format!("cannot wait for {seconds} seconds");
        ScriptError::new(ErrorKind::Value, message).raise(context)
    })?;
    let state = state_of(context);
    let start = Instant::now();
    while let Some(left) = length.checked_sub(start.elapsed()) {
        state.check_interrupt().map_err(|error| error.raise(context))?;
        if left.is_zero() {
            break;
        }
        std::thread::sleep(left.min(NAP));
    }
    Ok(())
}

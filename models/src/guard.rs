//! libtorch's exceptions, which `tch` turns into panics, become errors here.
//!
//! The tensor code reads as mathematics because it uses the panicking calls; each public function of
//! this crate and of `ecco-explain` runs it under [`guard`], so no exception gets further than that.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Once;

use ecco_interpreter::is_interrupted;

use crate::error::{Error, Result};
use crate::files::watched;
use crate::{gpu, libtorch};

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
    /// How many maps of files were lost before the work that is guarded.
    static LOSSES: Cell<u64> = const { Cell::new(0) };
    /// Whether no panic is to write anything, of whatever library it is.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Runs tensor code without gradients; a libtorch exception becomes [`Error::Torch`] or
/// [`Error::OutOfMemory`]. A panic that is not libtorch's goes on. What was computed while a file of weights could not be
/// read is [`Error::FileLost`].
pub fn guard<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    libtorch::open()?;
    silence_panics();
    let outer = GUARDED.replace(true);
    if !outer {
        LOSSES.set(watched::losses());
    }
    let result = catch_unwind(AssertUnwindSafe(|| {
        let _no_grad = tch::no_grad_guard();
        work()
    }));
    let read = ensure_read();
    GUARDED.set(outer);
    read?;
    match result {
        Ok(result) => result,
        Err(panic) if panic.is::<Stopped>() => Err(Error::Interrupted),
        Err(panic) => match torch_message(&*panic) {
            Some(message) => {
                let error = torch_error(message);
                if matches!(error, Error::OutOfMemory { .. }) {
                    // What the work had made is gone by now.
                    gpu::give_back();
                    give_back();
                }
                Err(error)
            }
            None => resume_unwind(panic),
        },
    }
}

/// Gives memory that the process has freed back to the system: large pieces that come and go leave holes behind which the C
/// library keeps.
pub fn give_back() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: takes a number.
    unsafe {
        libc::malloc_trim(0);
    }
}

/// Ends work whose weights could not be read: for the midst of long work.
pub(crate) fn ensure_read() -> Result<()> {
    if !GUARDED.get() {
        return Ok(());
    }
    match watched::lost_since(LOSSES.get()) {
        Some(file) => Err(Error::FileLost { file }),
        None => Ok(()),
    }
}

/// What unwinds where work is asked to stop.
struct Stopped;

/// Ends guarded work in the midst of a layer, where one takes many steps and seconds, when the thread is interrupted:
/// [`guard`] makes [`Error::Interrupted`] of it.
pub(crate) fn heed_interrupt() {
    if GUARDED.get() && is_interrupted() {
        resume_unwind(Box::new(Stopped));
    }
}

/// Runs what catches the panics of a library, without a trace of them.
pub fn quietly<T>(work: impl FnOnce() -> T) -> T {
    silence_panics();
    let outer = QUIET.replace(true);
    let result = work();
    QUIET.set(outer);
    result
}

/// A caught exception must not also write a backtrace to the notebook's stderr.
pub(crate) fn silence_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let default = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if !(QUIET.get() || GUARDED.get() && torch_message(info.payload()).is_some()) {
                default(info);
            }
        }));
    });
}

/// The exception's own message, without libtorch's C++ backtrace, if the panic is one of `tch`'s.
pub(crate) fn torch_message(panic: &(dyn Any + Send)) -> Option<String> {
    let text = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())?;
    let message = text.split_once("Err` value: Torch(\"")?.1;
    let message = message
        .split("\\nException raised from")
        .next()
        .unwrap_or(message);
    Some(
        message
            .trim_end_matches("\")")
            .replace("\\n", "\n")
            .replace("\\\"", "\""),
    )
}

/// An allocation failure is told apart by the words libtorch has used for it since 1.0.
fn torch_error(message: String) -> Error {
    let out_of_memory = [
        "out of memory",
        "can't allocate memory",
        "not enough memory",
        "bad_alloc",
    ];
    if !out_of_memory.iter().any(|words| message.contains(words)) {
        return Error::Torch { message };
    }
    let needed = message
        .split_once("Tried to allocate ")
        .and_then(|(_, rest)| rest.split(". ").next())
        .or_else(|| {
            message
                .split_once("you tried to allocate ")
                .and_then(|(_, rest)| rest.split(". ").next())
        })
        .unwrap_or("more memory than there is");
    Error::OutOfMemory {
        what: "this step".into(),
        needed: needed.to_owned(),
        available: "less".into(),
        where_: if message.contains("CUDA") {
            "GPU memory"
        } else {
            "host memory"
        }
        .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Kind, Tensor};

    #[test]
    fn a_libtorch_exception_is_an_error_without_its_backtrace() {
        let cpu = (Kind::Float, tch::Device::Cpu);
        let error = guard(|| Ok(Tensor::zeros([2, 3], cpu).matmul(&Tensor::zeros([2, 3], cpu)))).unwrap_err();
        let message = error.to_string();
        assert!(
            message.contains("mat1 and mat2 shapes cannot be multiplied"),
            "{message}"
        );
        assert!(!message.contains("Exception raised"), "{message}");
    }

    #[test]
    fn an_impossible_allocation_names_the_amount() {
        let error = guard(|| Ok(Tensor::empty([1 << 50], (Kind::Float, tch::Device::Cpu)))).unwrap_err();
        assert!(matches!(error, Error::OutOfMemory { .. }), "{error}");
        assert!(error.to_string().contains("4503599627370496"), "{error}");
    }

    #[test]
    fn another_panic_goes_on() {
        assert!(catch_unwind(|| guard(|| -> Result<()> { panic!("mine") })).is_err());
    }
}

//! The Rhai engine with its limits and hooks, and what is registered with it.

use std::cell::{Cell, RefCell};
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rhai::{Dynamic, Engine, Position};

use crate::errors::{ErrorKind, ScriptError};
use crate::library;
use crate::registry::{Register, Registry};
use crate::session::memory;
use crate::session::resolver::{FolderResolver, Imports};
use crate::session::state::{State, StateHandle};

/// Depth of nested expressions, at top level and in functions. Rhai's 64 fails a sum of 70 terms.
const EXPRESSION_DEPTHS: (usize, usize) = (512, 256);
const CALL_LEVELS: usize = 256;
/// Stack that a level of calls may need, in bytes: each may be in the middle of the deepest expression.
const CALL_BYTES: usize = 4 << 20;

/// An engine whose scripts reach nothing but the primitives and, through imports, `folder`.
pub(super) fn build(
    state: &Rc<State>,
    folder: PathBuf,
    imported: Imports,
    register: Register,
    stack_bytes: usize,
) -> Engine {
    let mut engine = Engine::new();
    engine.set_max_expr_depths(EXPRESSION_DEPTHS.0, EXPRESSION_DEPTHS.1);
    engine.set_max_call_levels((stack_bytes / CALL_BYTES).clamp(8, CALL_LEVELS));
    engine.set_default_tag(Dynamic::from(StateHandle(Rc::clone(state))));
    let resolver = FolderResolver {
        folder,
        state: Rc::clone(state),
        imported,
        loading: RefCell::default(),
    };
    engine.set_module_resolver(resolver);
    hook_output(&mut engine, state);
    hook_progress(&mut engine, state);
    let mut registry = Registry::new(&mut engine);
    library::register(&mut registry);
    register(&mut registry);
    state.set_vocabulary(registry.finish());
    engine
}

fn hook_output(engine: &mut Engine, state: &Rc<State>) {
    let for_print = Rc::clone(state);
    engine.on_print(move |text| for_print.output().stdout(&format!("{text}\n")));
    let for_debug = Rc::clone(state);
    engine.on_debug(move |text, source, position| {
        let label = source.unwrap_or("?");
        for_debug
            .output()
            .stderr(&format!("{label}{}: {text}\n", line_of(position)));
    });
}

fn line_of(position: Position) -> String {
    position
        .line()
        .map_or(String::new(), |line| format!(", line {line}"))
}

/// Operations between two looks at the clock, and the time between two at the system's free memory.
const LOOK: u32 = 8;
const PACE: Duration = Duration::from_millis(20);

/// Runs before every operation of a script, so that it reads only a few numbers, and a file now and then.
fn hook_progress(engine: &mut Engine, state: &Rc<State>) {
    let state = Rc::clone(state);
    let (operations, looked) = (Cell::new(0_u32), Cell::new(Instant::now()));
    engine.on_progress(move |_| {
        if state.interrupt.is_requested() {
            return end(&state, ScriptError::interrupted());
        }
        if state.failure.borrow().is_some() {
            return Some(Dynamic::UNIT);
        }
        let held = memory::allocated_bytes();
        if held > state.memory_limit.get() {
            return end(&state, out_of_memory(held, state.memory_limit.get()));
        }
        if memory::containers() > state.container_limit.get() {
            return end(&state, too_many_containers(state.container_limit.get()));
        }
        operations.set(operations.get().wrapping_add(1));
        if !operations.get().is_multiple_of(LOOK) || looked.get().elapsed() < PACE {
            return None;
        }
        looked.set(Instant::now());
        // What libtorch holds is not counted above; here it is seen.
        match state.renew_memory_limit() {
            0 => end(&state, nothing_free()),
            _ => None,
        }
    });
}

/// With less in all values it does not matter how Rhai prints one.
const MUCH: usize = 16 << 20;

/// What ends a cell. Where that comes as Rhai is about to print a value in a string, it prints it by means of its own instead,
/// whatever memory and time that takes; then only unwinding ends the cell, and its error has no place.
fn end(state: &State, error: ScriptError) -> Option<Dynamic> {
    if state.interpolates.get() && memory::allocated_bytes() > MUCH {
        state.fail(error.raise_at(Position::new(1, 1)));
        resume_unwind(Box::new(()));
    }
    Some(Dynamic::from(error))
}

fn too_many_containers(most: usize) -> ScriptError {
    let message =
        format!("the session holds more than {most} arrays, maps and closures (two strings count as one)");
    ScriptError::new(ErrorKind::Memory, message)
        .with_hint("free some: `name = ();`; many numbers are better kept in few arrays or in a tensor")
}

fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

fn out_of_memory(held: usize, most: usize) -> ScriptError {
    let message = format!(
        "the session holds {:.1} GB, more than the {:.1} GB that scripts may take",
        gigabytes(held as u64),
        gigabytes(most as u64)
    );
    ScriptError::new(ErrorKind::Memory, message).with_hint("free large values: `name = ();`")
}

fn nothing_free() -> ScriptError {
    let free = gigabytes(ecco_interpreter::free_memory().unwrap_or(0));
    let total = gigabytes(ecco_interpreter::total_memory().unwrap_or(0));
    let message = format!(
        "of the {total:.1} GB of memory here only {free:.2} GB are free: a cell that goes on would be killed"
    );
    ScriptError::new(ErrorKind::Memory, message)
        .with_hint("free large values, runs and outputs, `name = ();`, and models that are not needed")
}

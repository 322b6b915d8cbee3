//! The Rhai engine with its limits and hooks, and what is registered with it.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

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

/// An engine whose scripts reach nothing but the primitives and, through imports, `folder`.
pub(super) fn build(state: &Rc<State>, folder: PathBuf, imported: Imports, register: Register) -> Engine {
    let mut engine = Engine::new();
    engine.set_max_expr_depths(EXPRESSION_DEPTHS.0, EXPRESSION_DEPTHS.1);
    engine.set_max_call_levels(CALL_LEVELS);
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

/// Runs before every operation of a script, so it only reads a few numbers.
fn hook_progress(engine: &mut Engine, state: &Rc<State>) {
    let state = Rc::clone(state);
    engine.on_progress(move |_| {
        if state.interrupt.is_requested() {
            return Some(Dynamic::from(ScriptError::interrupted()));
        }
        let held = memory::allocated_bytes();
        if held > state.memory_limit.get() {
            return Some(Dynamic::from(out_of_memory(held)));
        }
        (memory::containers() > state.container_limit.get()).then(|| Dynamic::from(too_many_containers()))
    });
}

fn too_many_containers() -> ScriptError {
    let most = memory::MOST_CONTAINERS;
    let message =
        format!("the session holds more than {most} arrays, maps and closures (two strings count as one)");
    ScriptError::new(ErrorKind::Memory, message)
        .with_hint("free some: `name = ();`; many numbers are better kept in few arrays or in a tensor")
}

fn out_of_memory(held: usize) -> ScriptError {
    let gigabytes = |bytes: usize| bytes as f64 / 1e9;
    let message = format!(
        "the session holds {:.1} GB, more than the {:.1} GB that scripts may take",
        gigabytes(held),
        gigabytes(memory::default_limit())
    );
    ScriptError::new(ErrorKind::Memory, message).with_hint("free large values: `name = ();`")
}

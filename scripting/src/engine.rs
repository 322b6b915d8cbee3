//! The Rhai engine with its limits, hooks and primitives.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;

use rhai::{Dynamic, Engine, Position};

use crate::errors::{ErrorKind, ScriptError};
use crate::memory;
use crate::primitives;
use crate::resolver::{FolderResolver, Imported};
use crate::state::{State, StateHandle};

/// Depth of nested expressions, at top level and in functions. Rhai's 64 fails a sum of 70 terms.
const EXPRESSION_DEPTHS: (usize, usize) = (512, 256);
const CALL_LEVELS: usize = 256;

/// An engine whose scripts reach nothing but the primitives and, through imports, `folder`.
pub fn build(state: &Rc<State>, folder: PathBuf, imported: Imported) -> Engine {
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
    primitives::register(&mut engine);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::language::catalog::{Catalog, EntryKind};
    use crate::primitives::is_common;
    use ecco_interpreter::Interrupt;

    /// Everything that is no method of a value, so that a new release of Rhai cannot add a way out unseen.
    const FREE_FUNCTIONS: &str = "E PI abs acos acosh as_string asin asinh atan atanh bits blob ceiling clear_output cos cosh debug \
         display elapsed eprint exit exp floor format fraction get_bit get_bits get_fn_metadata_list help html \
         hypot input int is_even is_finite is_infinite is_nan is_odd is_zero ln log markdown max min parse_json \
         password print range round sign sin sinh sleep sqrt svg tan tanh timestamp to_binary to_debug \
         to_degrees to_float to_hex to_int to_lower to_octal to_radians to_string to_upper \
         ecco::cca ecco::cka ecco::from_pretrained ecco::ica ecco::models ecco::nmf ecco::pca ecco::pwcca \
         ecco::similarity ecco::svcca";

    #[test]
    fn scripts_reach_nothing_but_these() {
        let state = Rc::new(State::new(Interrupt::default()));
        let engine = build(&state, PathBuf::from("."), Imported::default());
        let catalog = Catalog::of(&engine);
        let free = catalog
            .entries()
            .filter(|entry| entry.kind == EntryKind::Function);
        let mut names: Vec<String> = free.map(|entry| entry.full_name()).collect();
        names.dedup();
        assert_eq!(names.join(" "), FREE_FUNCTIONS);
        let is_place = |name: &str| {
            ["path", "file", "folder", "dir", "url", "host", "command"]
                .iter()
                .any(|word| name.contains(word))
        };
        let mut places: Vec<String> = catalog
            .entries()
            .filter(|entry| entry.params.iter().any(|param| is_place(&param.name)) || is_place(&entry.name))
            .map(|entry| match entry.receiver() {
                Some(of) if is_common(of, &entry.name) => format!("result.{}", entry.name),
                _ => entry.full_name(),
            })
            .collect();
        places.sort();
        places.dedup();
        assert_eq!(places, ["Tensor.save", "ecco::from_pretrained", "result.save"]);
    }
}

//! Functions of Rhai's library that walk a value by calling themselves, here with bounds.
//!
//! Rhai's own take some kilobytes of stack for each level, ask nobody whether to go on, and never end
//! with an array that holds itself (a closure that captured it makes that possible).

use rhai::plugin::*;
use rhai::{Array, FnPtr, INT, Map};

use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::library::json;
use crate::session::state::{State, printed, state_of};
use crate::session::{memory, room};
use crate::table::Table;
use crate::tensor::work::Work;

/// Levels of arrays and maps that are written as text, compared or made JSON.
pub(super) const DEEPEST: usize = 100;
/// Values after which the interrupt and the memory are looked at.
const STRIDE: usize = 1024;

#[export_module]
pub mod functions {
    use super::*;

    /// The array as text.
    #[rhai_fn(
        name = "print",
        name = "to_string",
        name = "debug",
        name = "to_debug",
        pure,
        return_raw
    )]
    pub fn array_text(ctx: NativeCallContext, array: &mut Array) -> RhaiResult<String> {
        let text = Walk::new(&ctx).text(|walk, text| walk.write_array(text, array, 0));
        printed(&ctx, text)
    }

    /// The map as text.
    #[rhai_fn(
        name = "print",
        name = "to_string",
        name = "debug",
        name = "to_debug",
        pure,
        return_raw
    )]
    pub fn map_text(ctx: NativeCallContext, map: &mut Map) -> RhaiResult<String> {
        let text = Walk::new(&ctx).text(|walk, text| walk.write_map(text, map, 0));
        printed(&ctx, text)
    }

    /// The function's name as text.
    #[rhai_fn(name = "debug", name = "to_debug", pure)]
    pub fn closure_text(closure: &mut FnPtr) -> String {
        closure.to_string()
    }

    /// The map as JSON, results and tensors in it as their documents (`docs/results.md`). A number that is not finite
    /// is `null`; what JSON has no form for, a closure or a timestamp, is an error.
    #[rhai_fn(name = "to_json", pure, return_raw)]
    pub fn to_json(ctx: NativeCallContext, map: &mut Map) -> RhaiResult<String> {
        Work::of(&ctx, |work| json::map_text(work, map))
    }

    /// The array as JSON, as a map is.
    #[rhai_fn(name = "to_json", pure, return_raw)]
    pub fn array_to_json(ctx: NativeCallContext, array: &mut Array) -> RhaiResult<String> {
        Work::of(&ctx, |work| json::array_text(work, array))
    }

    /// The value that a JSON text is: maps, arrays, strings, numbers, booleans, `()` for `null`.
    #[rhai_fn(return_raw)]
    pub fn parse_json(ctx: NativeCallContext, json: &str) -> RhaiResult<Dynamic> {
        Work::of(&ctx, |work| json::parse(&mut || work.value(), json))
    }

    #[rhai_fn(name = "==", pure, return_raw)]
    pub fn arrays_equal(ctx: NativeCallContext, a: &mut Array, b: Array) -> RhaiResult<bool> {
        Walk::new(&ctx).equal_arrays(a, &b, 0)
    }

    #[rhai_fn(name = "!=", pure, return_raw)]
    pub fn arrays_differ(ctx: NativeCallContext, a: &mut Array, b: Array) -> RhaiResult<bool> {
        Walk::new(&ctx).equal_arrays(a, &b, 0).map(|equal| !equal)
    }

    /// Whether an item of the array equals `value`.
    #[rhai_fn(name = "contains", pure, return_raw)]
    pub fn contains(ctx: NativeCallContext, array: &mut Array, value: Dynamic) -> RhaiResult<bool> {
        Walk::new(&ctx).find(array, &value).map(|at| at.is_some())
    }

    /// The index of the first item that equals `value`; -1 where there is none.
    #[rhai_fn(name = "index_of", pure, return_raw)]
    pub fn index_of(ctx: NativeCallContext, array: &mut Array, value: Dynamic) -> RhaiResult<INT> {
        let found = Walk::new(&ctx).find(array, &value)?;
        Ok(found.map_or(-1, |at| at as INT))
    }

    #[rhai_fn(name = "==", pure, return_raw)]
    pub fn maps_equal(ctx: NativeCallContext, a: &mut Map, b: Map) -> RhaiResult<bool> {
        Walk::new(&ctx).equal_maps(a, &b, 0)
    }

    #[rhai_fn(name = "!=", pure, return_raw)]
    pub fn maps_differ(ctx: NativeCallContext, a: &mut Map, b: Map) -> RhaiResult<bool> {
        Walk::new(&ctx).equal_maps(a, &b, 0).map(|equal| !equal)
    }

    #[rhai_fn(name = "==", pure, return_raw)]
    pub fn tables_equal(ctx: NativeCallContext, a: &mut Table, b: Table) -> RhaiResult<bool> {
        Walk::new(&ctx).equal_tables(a, &b)
    }

    #[rhai_fn(name = "!=", pure, return_raw)]
    pub fn tables_differ(ctx: NativeCallContext, a: &mut Table, b: Table) -> RhaiResult<bool> {
        Walk::new(&ctx).equal_tables(a, &b).map(|equal| !equal)
    }
}

/// One walk through a value, and the values it has seen.
pub(super) struct Walk<'a, 'b> {
    context: &'a NativeCallContext<'b>,
    state: std::rc::Rc<State>,
    seen: usize,
}

impl<'a, 'b> Walk<'a, 'b> {
    fn new(context: &'a NativeCallContext<'b>) -> Self {
        Self {
            context,
            state: state_of(context),
            seen: 0,
        }
    }

    /// Counts a value; now and then learns whether to stop.
    pub(super) fn step(&mut self) -> Result<(), ScriptError> {
        self.seen += 1;
        match self.seen.is_multiple_of(STRIDE) {
            true => self.check(),
            false => Ok(()),
        }
    }

    /// Whether to stop.
    pub(super) fn check(&self) -> Result<(), ScriptError> {
        self.state.check_interrupt()?;
        if memory::allocated_bytes() > self.state.memory_limit.get() {
            let message = "the value is too large for the memory that scripts may take";
            return Err(ScriptError::new(ErrorKind::Memory, message));
        }
        Ok(())
    }

    fn text(
        mut self,
        write: impl FnOnce(&mut Self, &mut String) -> Result<(), ScriptError>,
    ) -> RhaiResult<String> {
        let mut text = String::new();
        write(&mut self, &mut text).map_err(|error| error.raise(self.context))?;
        Ok(text)
    }

    fn write_array(&mut self, text: &mut String, array: &Array, depth: usize) -> Result<(), ScriptError> {
        text.push('[');
        for (at, item) in array.iter().enumerate() {
            text.push_str(if at > 0 { ", " } else { "" });
            self.write(text, item, depth + 1)?;
        }
        text.push(']');
        Ok(())
    }

    fn write_map(&mut self, text: &mut String, map: &Map, depth: usize) -> Result<(), ScriptError> {
        text.push_str("#{");
        for (at, (name, value)) in map.iter().enumerate() {
            text.push_str(if at > 0 { ", " } else { "" });
            text.push_str(&format!("{name:?}: "));
            self.write(text, value, depth + 1)?;
        }
        text.push('}');
        Ok(())
    }

    fn write(&mut self, text: &mut String, value: &Dynamic, depth: usize) -> Result<(), ScriptError> {
        self.step()?;
        if let Ok(array) = value.as_array_ref() {
            if depth < DEEPEST {
                return self.write_array(text, &array, depth);
            }
            text.push_str("[…]");
        } else if let Ok(map) = value.as_map_ref() {
            if depth < DEEPEST {
                return self.write_map(text, &map, depth);
            }
            text.push_str("#{…}");
        } else {
            // A copy of it, what is written of it, and that once more at the end of the text.
            room::check_room(&self.state, room::text_size(value).saturating_mul(8))?;
            let mut value = value.clone();
            let written = self
                .context
                .call_native_fn_raw("to_debug", true, &mut [&mut value]);
            match written.ok().and_then(|written| written.into_string().ok()) {
                Some(written) => text.push_str(&written),
                None => text.push_str(&format!("<{}>", crate::result::show::type_name(&value))),
            }
        }
        Ok(())
    }

    fn find(&mut self, array: &Array, value: &Dynamic) -> RhaiResult<Option<usize>> {
        for (at, item) in array.iter().enumerate() {
            if self.equal(item, value, 1)? {
                return Ok(Some(at));
            }
        }
        Ok(None)
    }

    fn equal_arrays(&mut self, a: &Array, b: &Array, depth: usize) -> RhaiResult<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (a, b) in a.iter().zip(b) {
            if !self.equal(a, b, depth + 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal_maps(&mut self, a: &Map, b: &Map, depth: usize) -> RhaiResult<bool> {
        if a.len() != b.len() {
            return Ok(false);
        }
        for (name, a) in a {
            match b.get(name) {
                Some(b) if self.equal(a, b, depth + 1)? => {}
                _ => return Ok(false),
            }
        }
        Ok(true)
    }

    /// The same names in the same order, and the same values.
    fn equal_tables(&mut self, a: &Table, b: &Table) -> RhaiResult<bool> {
        if (a.n_rows(), a.columns().len()) != (b.n_rows(), b.columns().len()) {
            return Ok(false);
        }
        for (a, b) in a.columns().iter().zip(b.columns()) {
            if a.name != b.name || !self.equal_arrays(&a.values, &b.values, 1)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn equal(&mut self, a: &Dynamic, b: &Dynamic, depth: usize) -> RhaiResult<bool> {
        self.step().map_err(|error| error.raise(self.context))?;
        if depth > DEEPEST {
            return Err(too_deep().raise(self.context));
        }
        if let (Ok(a), Ok(b)) = (a.as_array_ref(), b.as_array_ref()) {
            return self.equal_arrays(&a, &b, depth);
        }
        if let (Ok(a), Ok(b)) = (a.as_map_ref(), b.as_map_ref()) {
            return self.equal_maps(&a, &b, depth);
        }
        let (mut a, mut b) = (a.clone(), b.clone());
        let equal = self.context.call_native_fn_raw("==", true, &mut [&mut a, &mut b]);
        match equal {
            Ok(equal) => Ok(equal.as_bool().unwrap_or(false)),
            // Values of types that do not know each other are not equal.
            Err(error) if matches!(*error, EvalAltResult::ErrorFunctionNotFound(..)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn too_deep() -> ScriptError {
    let message = format!("the value is nested more than {DEEPEST} levels deep");
    ScriptError::new(ErrorKind::Value, message)
}

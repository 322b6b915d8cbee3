//! Functions of Rhai's library that walk a value by calling themselves, here with bounds.
//!
//! Rhai's own take some kilobytes of stack for each level, ask nobody whether to go on, and never end
//! with an array that holds itself (a closure that captured it makes that possible).

use rhai::plugin::*;
use rhai::{Array, FnPtr, INT, Map};
use serde_json::Value;

use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::session::memory;
use crate::session::state::{State, state_of};

/// Levels of arrays and maps that are written as text, compared or made JSON.
const DEEPEST: usize = 100;
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
        Walk::new(&ctx).text(|walk, text| walk.write_array(text, array, 0))
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
        Walk::new(&ctx).text(|walk, text| walk.write_map(text, map, 0))
    }

    /// The function's name as text.
    #[rhai_fn(name = "debug", name = "to_debug", pure)]
    pub fn closure_text(closure: &mut FnPtr) -> String {
        closure.to_string()
    }

    /// The map as JSON.
    #[rhai_fn(name = "to_json", pure, return_raw)]
    pub fn to_json(ctx: NativeCallContext, map: &mut Map) -> RhaiResult<String> {
        let json = Walk::new(&ctx).map_as_json(map, 0);
        Ok(json.map_err(|error| error.raise(&ctx))?.to_string())
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
}

/// One walk through a value, and the values it has seen.
struct Walk<'a, 'b> {
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
    fn step(&mut self) -> Result<(), ScriptError> {
        self.seen += 1;
        if !self.seen.is_multiple_of(STRIDE) {
            return Ok(());
        }
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

    fn map_as_json(&mut self, map: &Map, depth: usize) -> Result<Value, ScriptError> {
        let mut entries = serde_json::Map::new();
        for (name, value) in map {
            entries.insert(name.to_string(), self.as_json(value, depth + 1)?);
        }
        Ok(Value::Object(entries))
    }

    /// What JSON has no word for is its type's name, a function its own; so Rhai has it.
    fn as_json(&mut self, value: &Dynamic, depth: usize) -> Result<Value, ScriptError> {
        self.step()?;
        if depth > DEEPEST {
            return Err(too_deep());
        }
        if let Ok(array) = value.as_array_ref() {
            let items = array.iter().map(|item| self.as_json(item, depth + 1));
            return items.collect::<Result<Vec<_>, _>>().map(Value::Array);
        }
        if let Ok(map) = value.as_map_ref() {
            return self.map_as_json(&map, depth);
        }
        if let Ok(text) = value.as_immutable_string_ref() {
            return Ok(Value::from(text.as_str()));
        }
        if let Ok(blob) = value.as_blob_ref() {
            return Ok(Value::from(blob.as_slice()));
        }
        if let Some(closure) = value.read_lock::<FnPtr>() {
            return Ok(Value::from(closure.fn_name()));
        }
        let number = value.as_int().map(Value::from);
        let number = number.or_else(|_| value.as_float().map(Value::from));
        let plain = number.or_else(|_| value.as_bool().map(Value::from));
        let plain = plain.or_else(|_| value.as_char().map(|c| Value::from(c.to_string())));
        Ok(plain.unwrap_or_else(|_| match value.is_unit() {
            true => Value::Null,
            false => Value::from(crate::result::show::type_name(value)),
        }))
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

fn too_deep() -> ScriptError {
    let message = format!("the value is nested more than {DEEPEST} levels deep");
    ScriptError::new(ErrorKind::Value, message)
}

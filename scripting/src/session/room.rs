//! Whether values find room among what scripts may take, and how large they are.

use rhai::Dynamic;

use super::memory;
use super::state::State;
use crate::errors::{ErrorKind, ScriptError};

/// Up to so many bytes a look at the system's files is not worth it.
const SMALL: usize = 1 << 20;

/// Whether so many bytes fit into what scripts may still take.
pub(crate) fn check_room(state: &State, wanted: usize) -> Result<(), ScriptError> {
    let mut free = state.memory_limit.get().saturating_sub(memory::allocated_bytes());
    if wanted > SMALL {
        free = free.min(state.free_memory());
    }
    match wanted <= free {
        true => Ok(()),
        false => Err(no_room(wanted, free)),
    }
}

/// A value of so many bytes does not fit into those that are free.
pub(crate) fn no_room(wanted: usize, free: usize) -> ScriptError {
    let message = format!("this would take {:.1} GB", wanted as f64 / 1e9);
    ScriptError::new(ErrorKind::Memory, message)
        .with_hint(format!("scripts may take {:.1} GB more", free as f64 / 1e9))
}

/// What a copy of `value` takes besides its own place, roughly.
pub(crate) fn heap_size(value: &Dynamic) -> usize {
    nested_size(value, 4)
}

/// Deeper levels are not counted: an array may hold itself.
fn nested_size(value: &Dynamic, levels: usize) -> usize {
    let Some(levels) = levels.checked_sub(1) else {
        return 0;
    };
    if let Ok(array) = value.as_array_ref() {
        let sizes = array
            .iter()
            .map(|item| size_of::<Dynamic>() + nested_size(item, levels));
        return sizes.sum();
    }
    if let Ok(map) = value.as_map_ref() {
        return map.values().map(|item| 64 + nested_size(item, levels)).sum();
    }
    text_size(value)
}

/// The bytes of a string or blob.
pub(crate) fn text_size(value: &Dynamic) -> usize {
    let blob = value.as_blob_ref().map(|blob| blob.len());
    blob.or_else(|_| value.as_immutable_string_ref().map(|text| text.len()))
        .unwrap_or(0)
}

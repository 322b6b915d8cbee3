//! Functions of Rhai's library that could ask for any amount of memory in one call, with a check first.
//!
//! The budget is watched between operations, so one operation must not be able to pass it by far.

use rhai::plugin::*;
use rhai::{Array, Blob, INT};

use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::memory;
use crate::state::state_of;

#[export_module]
pub mod functions {
    use super::*;

    /// Lengthens the array to `len` items with copies of `item`.
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_array(ctx: NativeCallContext, array: &mut Array, len: INT, item: Dynamic) -> RhaiResult<()> {
        let len = super::checked_len(&ctx, len, size_of::<Dynamic>() + super::heap_size(&item))?;
        if len > array.len() {
            array.resize(len, item);
        }
        Ok(())
    }

    /// Lengthens the string to `len` characters.
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_string(
        ctx: NativeCallContext,
        string: &mut ImmutableString,
        len: INT,
        character: char,
    ) -> RhaiResult<()> {
        super::pad_with(&ctx, string, len, &character.to_string())
    }

    /// Lengthens the string to at least `len` characters with copies of `padding`.
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_string_with(
        ctx: NativeCallContext,
        string: &mut ImmutableString,
        len: INT,
        padding: &str,
    ) -> RhaiResult<()> {
        super::pad_with(&ctx, string, len, padding)
    }

    /// Lengthens the blob to `len` bytes.
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_blob(ctx: NativeCallContext, blob: &mut Blob, len: INT, value: INT) -> RhaiResult<()> {
        let len = super::checked_len(&ctx, len, 1)?;
        if len > blob.len() {
            blob.resize(len, (value & 0xff) as u8);
        }
        Ok(())
    }

    /// A blob of `len` zero bytes.
    #[rhai_fn(name = "blob", return_raw)]
    pub fn blob(ctx: NativeCallContext, len: INT) -> RhaiResult<Blob> {
        Ok(vec![0; super::checked_len(&ctx, len, 1)?])
    }

    /// A blob of `len` bytes, all of one value.
    #[rhai_fn(name = "blob", return_raw)]
    pub fn blob_of(ctx: NativeCallContext, len: INT, value: INT) -> RhaiResult<Blob> {
        Ok(vec![(value & 0xff) as u8; super::checked_len(&ctx, len, 1)?])
    }

    /// Replaces every occurrence of a text in the string by another.
    #[rhai_fn(name = "replace", return_raw)]
    pub fn replace(
        ctx: NativeCallContext,
        string: &mut ImmutableString,
        find: &str,
        replacement: &str,
    ) -> RhaiResult<()> {
        let found = string.matches(find).count();
        super::checked_len(&ctx, found as INT, replacement.len().max(1))?;
        *string = string.replace(find, replacement).into();
        Ok(())
    }
}

fn pad_with(
    context: &NativeCallContext,
    string: &mut ImmutableString,
    len: INT,
    padding: &str,
) -> RhaiResult<()> {
    let len = checked_len(context, len, 4)?;
    let missing = len.saturating_sub(string.chars().count());
    let step = padding.chars().count();
    if missing > 0 && step > 0 {
        let mut text = string.to_string();
        text.push_str(&padding.repeat(missing.div_ceil(step)));
        *string = text.into();
    }
    Ok(())
}

/// `len` as a size, if that many items of `item_bytes` fit into what scripts may still take.
fn checked_len(context: &NativeCallContext, len: INT, item_bytes: usize) -> RhaiResult<usize> {
    let len = usize::try_from(len).unwrap_or(0);
    let wanted = len.saturating_mul(item_bytes);
    let free = state_of(context)
        .memory_limit
        .get()
        .saturating_sub(memory::allocated_bytes());
    if wanted <= free {
        return Ok(len);
    }
    let message = format!("this would take {:.1} GB", wanted as f64 / 1e9);
    let hint = format!("scripts may take {:.1} GB more", free as f64 / 1e9);
    Err(ScriptError::new(ErrorKind::Memory, message)
        .with_hint(hint)
        .raise(context))
}

/// What a copy of `value` takes besides its own place, roughly; nested values count one level.
fn heap_size(value: &Dynamic) -> usize {
    if let Ok(array) = value.as_array_ref() {
        return array
            .iter()
            .map(|item| size_of::<Dynamic>() + heap_size(item))
            .sum();
    }
    if let Ok(map) = value.as_map_ref() {
        return map.values().map(|item| 64 + heap_size(item)).sum();
    }
    value.as_blob_ref().map_or(0, |blob| blob.len())
}

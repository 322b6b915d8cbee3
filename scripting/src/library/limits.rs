//! Functions of Rhai's library that could ask for any amount of memory in one call, with a check first.
//!
//! The budget is watched between operations, so one operation must not be able to pass it by far.

use rhai::plugin::*;
use rhai::{Array, Blob, INT};

use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::session::memory;
use crate::session::state::state_of;

#[export_module]
pub mod functions {
    use super::*;

    /// Lengthens the array to `len` items with copies of `item`.
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_array(ctx: NativeCallContext, array: &mut Array, len: INT, item: Dynamic) -> RhaiResult<()> {
        let len = super::checked_len(&ctx, len, size_of::<Dynamic>() + super::heap_size(&item))?;
        array.reserve(len.saturating_sub(array.len()));
        while array.len() < len {
            let piece = len.min(array.len() + super::PIECE);
            array.resize(piece, item.clone());
            super::check_interrupt(&ctx)?;
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
        super::fill_blob(&ctx, blob, len, value)
    }

    /// A blob of `len` zero bytes.
    #[rhai_fn(name = "blob", return_raw)]
    pub fn blob(ctx: NativeCallContext, len: INT) -> RhaiResult<Blob> {
        Ok(vec![0; super::checked_len(&ctx, len, 1)?])
    }

    /// A blob of `len` bytes, all of one value.
    #[rhai_fn(name = "blob", return_raw)]
    pub fn blob_of(ctx: NativeCallContext, len: INT, value: INT) -> RhaiResult<Blob> {
        let len = super::checked_len(&ctx, len, 1)?;
        let mut blob = Blob::new();
        super::fill_blob(&ctx, &mut blob, len, value).map(|()| blob)
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

    /// The words of the string: what stands between whitespace.
    #[rhai_fn(name = "split", return_raw)]
    pub fn split_words(ctx: NativeCallContext, string: &str) -> RhaiResult<Array> {
        super::collect(&ctx, || string.split_whitespace(), usize::MAX)
    }

    /// The parts of the string between the places where `delimiter` stands.
    #[rhai_fn(name = "split", return_raw)]
    pub fn split(ctx: NativeCallContext, string: &str, delimiter: &str) -> RhaiResult<Array> {
        super::collect(&ctx, || string.split(delimiter), usize::MAX)
    }

    /// The parts of the string between the places where `delimiter` stands.
    #[rhai_fn(name = "split", return_raw)]
    pub fn split_at_char(ctx: NativeCallContext, string: &str, delimiter: char) -> RhaiResult<Array> {
        super::collect(&ctx, || string.split(delimiter), usize::MAX)
    }

    /// At most `segments` parts of the string; the last has the rest.
    #[rhai_fn(name = "split", return_raw)]
    pub fn splitn(ctx: NativeCallContext, string: &str, delimiter: &str, segments: INT) -> RhaiResult<Array> {
        let most = usize::try_from(segments).unwrap_or(0).max(1);
        super::collect(&ctx, || string.splitn(most, delimiter), most)
    }

    /// The parts of the string between the places where `delimiter` stands, the last one first.
    #[rhai_fn(name = "split_rev", return_raw)]
    pub fn split_rev(ctx: NativeCallContext, string: &str, delimiter: &str) -> RhaiResult<Array> {
        super::collect(&ctx, || string.rsplit(delimiter), usize::MAX)
    }

    /// The parts of the string between the places where `delimiter` stands, the last one first.
    #[rhai_fn(name = "split_rev", return_raw)]
    pub fn split_rev_at_char(ctx: NativeCallContext, string: &str, delimiter: char) -> RhaiResult<Array> {
        super::collect(&ctx, || string.rsplit(delimiter), usize::MAX)
    }

    /// The characters of the string.
    #[rhai_fn(name = "to_chars", return_raw)]
    pub fn to_chars(ctx: NativeCallContext, string: &str) -> RhaiResult<Array> {
        super::checked_len(&ctx, string.len() as INT, size_of::<Dynamic>())?;
        Ok(string.chars().map(Dynamic::from).collect())
    }
}

/// Texts as an array, if that many can be held.
fn collect<'a, I: Iterator<Item = &'a str>>(
    context: &NativeCallContext,
    parts: impl Fn() -> I,
    most: usize,
) -> RhaiResult<Array> {
    // A text is two boxes at least: the one that is shared, and the value that refers to it.
    const TEXT_BYTES: usize = 2 * size_of::<Dynamic>() + size_of::<ImmutableString>();
    let state = state_of(context);
    let room = state.container_limit.get().saturating_sub(memory::containers());
    let (mut count, mut bytes) = (0_usize, 0_usize);
    for part in parts().take(most) {
        (count, bytes) = (count + 1, bytes + part.len() + TEXT_BYTES);
        if count / 2 > room {
            let message = format!("this would make more than {count} strings");
            let error = ScriptError::new(ErrorKind::Memory, message);
            return Err(error.with_hint("take a part of the string first").raise(context));
        }
    }
    checked_len(context, bytes as INT, 1)?;
    Ok(parts()
        .take(most)
        .map(|part| ImmutableString::from(part).into())
        .collect())
}

/// Items that are filled in between two looks at the interrupt.
const PIECE: usize = 1 << 20;

fn check_interrupt(context: &NativeCallContext) -> RhaiResult<()> {
    state_of(context)
        .check_interrupt()
        .map_err(|error| error.raise(context))
}

fn fill_blob(context: &NativeCallContext, blob: &mut Blob, len: usize, value: INT) -> RhaiResult<()> {
    blob.reserve(len.saturating_sub(blob.len()));
    while blob.len() < len {
        let piece = len.min(blob.len() + 16 * PIECE);
        blob.resize(piece, (value & 0xff) as u8);
        check_interrupt(context)?;
    }
    Ok(())
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
        let mut copies = missing.div_ceil(step);
        let piece = padding.repeat(copies.min(PIECE));
        text.reserve(copies.saturating_mul(padding.len()));
        while copies > 0 {
            let now = copies.min(PIECE);
            text.push_str(&piece[..now * padding.len()]);
            copies -= now;
            check_interrupt(context)?;
        }
        *string = text.into();
    }
    Ok(())
}

/// `len` as a size, if that many items of `item_bytes` fit into what scripts may still take.
pub(super) fn checked_len(context: &NativeCallContext, len: INT, item_bytes: usize) -> RhaiResult<usize> {
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

/// What a copy of `value` takes besides its own place, roughly.
fn heap_size(value: &Dynamic) -> usize {
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
    value.as_blob_ref().map_or(0, |blob| blob.len())
}

//! Functions of Rhai's library on strings: asked first for the memory they take, and interruptible.

use std::any::TypeId;

use rhai::plugin::*;
use rhai::{Array, INT};

use super::limits::{PIECE, check_interrupt, checked_len};
use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::session::memory;
use crate::session::state::{printed, state_of};

/// Parts of a string between two looks at the interrupt.
const STRIDE: usize = 1 << 14;

#[export_module]
pub mod functions {
    use super::*;

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

    /// The string as code would write it.
    #[rhai_fn(name = "debug", name = "to_debug", return_raw)]
    pub fn debug_string(ctx: NativeCallContext, string: &str) -> RhaiResult<String> {
        // Most characters stay one; the longest are written as `\u{10ffff}`.
        let text = checked_len(&ctx, string.len() as INT, 3).map(|_| format!("{string:?}"));
        printed(&ctx, text)
    }

    /// Replaces every occurrence of a text in the string by another.
    #[rhai_fn(name = "replace", return_raw)]
    pub fn replace(
        ctx: NativeCallContext,
        string: &mut ImmutableString,
        find: &str,
        replacement: &str,
    ) -> RhaiResult<()> {
        *string = super::replaced(&ctx, string, find, replacement)?.into();
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
        checked_len(&ctx, string.len() as INT, size_of::<Dynamic>())?;
        let mut chars = Array::new();
        for (at, c) in string.chars().enumerate() {
            if at.is_multiple_of(PIECE) {
                check_interrupt(&ctx)?;
            }
            chars.push(Dynamic::from(c));
        }
        Ok(chars)
    }
}

/// A string in `for` gives its characters one by one: Rhai's own makes a list of all of them first.
pub(super) fn register_iterator(module: &mut Module) {
    module.set_iter(TypeId::of::<ImmutableString>(), |string| {
        let string = string.cast::<ImmutableString>();
        let mut at = 0;
        Box::new(std::iter::from_fn(move || {
            let c = string[at..].chars().next()?;
            at += c.len_utf8();
            Some(Dynamic::from(c))
        }))
    });
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
        if count.is_multiple_of(STRIDE) {
            check_interrupt(context)?;
        }
        (count, bytes) = (count + 1, bytes + part.len() + TEXT_BYTES);
        if count / 2 > room {
            let message = format!("this would make more than {count} strings");
            let error = ScriptError::new(ErrorKind::Memory, message);
            return Err(error.with_hint("take a part of the string first").raise(context));
        }
    }
    checked_len(context, bytes as INT, 1)?;
    let mut texts = Array::with_capacity(count);
    for part in parts().take(most) {
        if texts.len().is_multiple_of(STRIDE) {
            check_interrupt(context)?;
        }
        texts.push(ImmutableString::from(part).into());
    }
    Ok(texts)
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

fn replaced(context: &NativeCallContext, string: &str, find: &str, replacement: &str) -> RhaiResult<String> {
    let mut found = 0;
    for _ in string.matches(find) {
        found += 1;
        if found % STRIDE == 0 {
            check_interrupt(context)?;
        }
    }
    let removed = found.saturating_mul(find.len());
    let added = found.saturating_mul(replacement.len());
    let bytes = (string.len() - removed).saturating_add(added);
    let mut text = String::with_capacity(checked_len(context, bytes as INT, 1)?);
    let mut last = 0;
    for (at, (start, found)) in string.match_indices(find).enumerate() {
        text.push_str(&string[last..start]);
        text.push_str(replacement);
        last = start + found.len();
        if at % STRIDE == 0 {
            check_interrupt(context)?;
        }
    }
    text.push_str(&string[last..]);
    Ok(text)
}

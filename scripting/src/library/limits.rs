//! Functions of Rhai's library that could ask for any amount of memory in one call, with a check first.
//!
//! The budget is watched between operations, so one operation must not be able to pass it by far.

use rhai::plugin::*;
use rhai::{Array, Blob, INT};

use crate::errors::RhaiResult;
use crate::session::room::{check_room, heap_size};
use crate::session::state::{printed, state_of};

#[export_module]
pub mod functions {
    use super::*;

    /// Lengthens the array to `len` items with copies of `item`.
    #[rhai_fn(name = "pad", return_raw)]
    pub fn pad_array(ctx: NativeCallContext, array: &mut Array, len: INT, item: Dynamic) -> RhaiResult<()> {
        let len = super::checked_len(&ctx, len, size_of::<Dynamic>() + heap_size(&item))?;
        array.reserve(len.saturating_sub(array.len()));
        while array.len() < len {
            let piece = len.min(array.len() + super::PIECE);
            array.resize(piece, item.clone());
            super::check_interrupt(&ctx)?;
        }
        Ok(())
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

    #[rhai_fn(name = "+", pure, return_raw)]
    pub fn arrays_together(ctx: NativeCallContext, a: &mut Array, b: Array) -> RhaiResult<Array> {
        super::checked_array(&ctx, [a, &b])?;
        let mut both = Array::with_capacity(a.len() + b.len());
        both.extend(a.iter().cloned());
        both.extend(b);
        Ok(both)
    }

    /// Adds another array's items at the end.
    #[rhai_fn(name = "+=", name = "append", return_raw)]
    pub fn append_array(ctx: NativeCallContext, array: &mut Array, more: Array) -> RhaiResult<()> {
        super::checked_array(&ctx, [array, &more])?;
        array.extend(more);
        Ok(())
    }

    #[rhai_fn(name = "+", pure, return_raw)]
    pub fn blobs_together(ctx: NativeCallContext, a: &mut Blob, b: Blob) -> RhaiResult<Blob> {
        super::checked_sum(&ctx, a.len(), b.len())?;
        Ok([a.as_slice(), b.as_slice()].concat())
    }

    /// Adds another blob's bytes at the end.
    #[rhai_fn(name = "+=", name = "append", return_raw)]
    pub fn append_blob(ctx: NativeCallContext, blob: &mut Blob, more: Blob) -> RhaiResult<()> {
        super::checked_sum(&ctx, blob.len(), more.len())?;
        blob.extend(more);
        Ok(())
    }

    /// The blob as a string of its bytes.
    #[rhai_fn(
        name = "print",
        name = "to_string",
        name = "debug",
        name = "to_debug",
        pure,
        return_raw
    )]
    pub fn blob_text(ctx: NativeCallContext, blob: &mut Blob) -> RhaiResult<String> {
        printed(&ctx, super::blob_text(&ctx, blob))
    }

    /// The blob's bytes as text in UTF-8; what is none becomes U+FFFD.
    #[rhai_fn(name = "as_string", pure, return_raw)]
    pub fn as_string(ctx: NativeCallContext, blob: &mut Blob) -> RhaiResult<String> {
        // A byte that is no text becomes three.
        let growth = if std::str::from_utf8(blob).is_ok() { 1 } else { 3 };
        super::checked_len(&ctx, blob.len() as INT, growth)?;
        Ok(String::from_utf8_lossy(blob).into_owned())
    }

    /// The blob's bytes as whole numbers.
    #[rhai_fn(name = "to_array", pure, return_raw)]
    pub fn to_array(ctx: NativeCallContext, blob: &mut Blob) -> RhaiResult<Array> {
        super::checked_len(&ctx, blob.len() as INT, size_of::<Dynamic>())?;
        let mut array = Array::with_capacity(blob.len());
        for piece in blob.chunks(super::PIECE) {
            array.extend(piece.iter().map(|&byte| Dynamic::from_int(INT::from(byte))));
            super::check_interrupt(&ctx)?;
        }
        Ok(array)
    }
}

/// Items that are filled in between two looks at the interrupt.
pub(super) const PIECE: usize = 1 << 20;

pub(super) fn check_interrupt(context: &NativeCallContext) -> RhaiResult<()> {
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

/// As Rhai has it: `[0102030405060708 09]`.
fn blob_text(context: &NativeCallContext, blob: &Blob) -> RhaiResult<String> {
    const WORD: usize = 8;
    checked_len(context, blob.len() as INT, 3)?;
    let mut text = String::with_capacity(3 * blob.len());
    text.push('[');
    for (at, word) in blob.chunks(WORD).enumerate() {
        if at > 0 {
            text.push(' ');
        }
        for byte in word {
            let digit = |half: u8| char::from(b"0123456789abcdef"[usize::from(half)]);
            text.extend([digit(byte >> 4), digit(byte & 15)]);
        }
        if at.is_multiple_of(PIECE / WORD) {
            check_interrupt(context)?;
        }
    }
    text.push(']');
    Ok(text)
}

/// Whether two values of so many bytes fit into one more.
pub(super) fn checked_sum(context: &NativeCallContext, a: usize, b: usize) -> RhaiResult<()> {
    checked_len(context, a.saturating_add(b) as INT, 1).map(|_| ())
}

/// Whether two arrays fit into one more.
fn checked_array(context: &NativeCallContext, both: [&Array; 2]) -> RhaiResult<()> {
    let items = both.map(Array::len).iter().sum::<usize>();
    checked_len(context, items as INT, size_of::<Dynamic>()).map(|_| ())
}

/// `len` as a size, if that many items of `item_bytes` fit into what scripts may still take.
pub(crate) fn checked_len(context: &NativeCallContext, len: INT, item_bytes: usize) -> RhaiResult<usize> {
    let len = usize::try_from(len).unwrap_or(0);
    let checked = check_room(&state_of(context), len.saturating_mul(item_bytes));
    checked.map(|()| len).map_err(|error| error.raise(context))
}

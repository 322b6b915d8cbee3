//! Ranges as lists of numbers.

use std::ops::{Range, RangeInclusive};

use rhai::plugin::*;
use rhai::{Array, FnPtr, INT};

use crate::errors::RhaiResult;

#[export_module]
pub mod functions {
    use super::*;

    /// The numbers of a range as an array.
    ///
    /// Example:
    /// ```rhai
    /// (0..3).to_array()
    /// ```
    #[rhai_fn(name = "to_array", return_raw, pure)]
    pub fn to_array(ctx: NativeCallContext, range: &mut Range<INT>) -> RhaiResult<Array> {
        super::numbers(&ctx, range.clone())
    }

    #[rhai_fn(name = "to_array", return_raw, pure)]
    pub fn to_array_inclusive(ctx: NativeCallContext, range: &mut RangeInclusive<INT>) -> RhaiResult<Array> {
        super::numbers(&ctx, *range.start()..range.end().saturating_add(1))
    }

    /// What a function makes of each number of a range, as an array.
    ///
    /// Example:
    /// ```rhai
    /// (0..3).map(|n| n * 2)
    /// ```
    #[rhai_fn(name = "map", return_raw, pure)]
    pub fn map(ctx: NativeCallContext, range: &mut Range<INT>, map: FnPtr) -> RhaiResult<Array> {
        super::mapped(&ctx, range.clone(), &map)
    }

    #[rhai_fn(name = "map", return_raw, pure)]
    pub fn map_inclusive(
        ctx: NativeCallContext,
        range: &mut RangeInclusive<INT>,
        map: FnPtr,
    ) -> RhaiResult<Array> {
        super::mapped(&ctx, *range.start()..range.end().saturating_add(1), &map)
    }

    /// The numbers of a range for which a function is true, as an array.
    ///
    /// Example:
    /// ```rhai
    /// (0..10).filter(|n| n % 2 == 0)
    /// ```
    #[rhai_fn(name = "filter", return_raw, pure)]
    pub fn filter(ctx: NativeCallContext, range: &mut Range<INT>, filter: FnPtr) -> RhaiResult<Array> {
        super::filtered(&ctx, range.clone(), &filter)
    }

    #[rhai_fn(name = "filter", return_raw, pure)]
    pub fn filter_inclusive(
        ctx: NativeCallContext,
        range: &mut RangeInclusive<INT>,
        filter: FnPtr,
    ) -> RhaiResult<Array> {
        super::filtered(&ctx, *range.start()..range.end().saturating_add(1), &filter)
    }
}

/// An empty array with room for the range, where there is that much memory.
fn room(context: &NativeCallContext, range: &Range<INT>) -> RhaiResult<Array> {
    let length = range.end.checked_sub(range.start).unwrap_or(INT::MAX).max(0);
    super::limits::checked_len(context, length, size_of::<Dynamic>())?;
    Ok(Array::new())
}

fn numbers(context: &NativeCallContext, range: Range<INT>) -> RhaiResult<Array> {
    let mut array = room(context, &range)?;
    array.extend(range.map(Dynamic::from));
    Ok(array)
}

fn mapped(context: &NativeCallContext, range: Range<INT>, map: &FnPtr) -> RhaiResult<Array> {
    let mut array = room(context, &range)?;
    for number in range {
        array.push(map.call_within_context::<Dynamic>(context, (number,))?);
    }
    Ok(array)
}

fn filtered(context: &NativeCallContext, range: Range<INT>, filter: &FnPtr) -> RhaiResult<Array> {
    let mut array = room(context, &range)?;
    for number in range {
        if filter.call_within_context::<bool>(context, (number,))? {
            array.push(number.into());
        }
    }
    Ok(array)
}

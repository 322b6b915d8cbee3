//! Sorting that can be interrupted, and that fails where the comparison fails: Rhai's own takes a
//! comparison that fails for one of the types.

use std::any::TypeId;
use std::cell::RefCell;
use std::cmp::Ordering;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use rhai::plugin::*;
use rhai::{Array, FLOAT, FnPtr, INT};

use crate::errors::{ErrorKind, RhaiResult, ScriptError};
use crate::result::show;
use crate::session::state::state_of;

/// Comparisons after which the interrupt is looked at.
const STRIDE: usize = 1 << 16;

#[export_module]
pub mod functions {
    use super::*;

    /// Sorts the array: numbers, strings, characters or booleans, all of one type.
    #[rhai_fn(name = "sort", return_raw)]
    pub fn sort(ctx: NativeCallContext, array: &mut Array) -> RhaiResult<()> {
        super::by_value(&ctx, array, false)
    }

    /// Sorts the array, the largest first.
    #[rhai_fn(name = "sort_desc", return_raw)]
    pub fn sort_desc(ctx: NativeCallContext, array: &mut Array) -> RhaiResult<()> {
        super::by_value(&ctx, array, true)
    }

    /// Sorts the array by a closure `|a, b|` that gives a number below, at or above 0, or whether `a` comes
    /// first.
    #[rhai_fn(name = "sort", return_raw)]
    pub fn sort_with(ctx: NativeCallContext, array: &mut Array, comparer: FnPtr) -> RhaiResult<()> {
        super::by_closure(&ctx, array, &comparer)
    }

    /// Sorts as `sort` does with a closure.
    #[rhai_fn(return_raw)]
    pub fn sort_by(ctx: NativeCallContext, array: &mut Array, comparer: FnPtr) -> RhaiResult<()> {
        super::by_closure(&ctx, array, &comparer)
    }

    /// A sorted copy of the array.
    #[rhai_fn(name = "order", return_raw, pure)]
    pub fn order(ctx: NativeCallContext, array: &mut Array) -> RhaiResult<Array> {
        let mut copy = array.clone();
        super::by_value(&ctx, &mut copy, false).map(|()| copy)
    }

    /// A sorted copy of the array, the largest first.
    #[rhai_fn(name = "order_desc", return_raw, pure)]
    pub fn order_desc(ctx: NativeCallContext, array: &mut Array) -> RhaiResult<Array> {
        let mut copy = array.clone();
        super::by_value(&ctx, &mut copy, true).map(|()| copy)
    }

    /// A copy of the array, sorted by a closure as `sort` takes it.
    #[rhai_fn(name = "order", return_raw, pure)]
    pub fn order_with(ctx: NativeCallContext, array: &mut Array, comparer: FnPtr) -> RhaiResult<Array> {
        let mut copy = array.clone();
        super::by_closure(&ctx, &mut copy, &comparer).map(|()| copy)
    }

    /// Orders as `order` does with a closure.
    #[rhai_fn(return_raw, pure)]
    pub fn order_by(ctx: NativeCallContext, array: &mut Array, comparer: FnPtr) -> RhaiResult<Array> {
        let mut copy = array.clone();
        super::by_closure(&ctx, &mut copy, &comparer).map(|()| copy)
    }
}

fn by_value(context: &NativeCallContext, array: &mut Array, descending: bool) -> RhaiResult<()> {
    let Some(first) = array.first() else {
        return Ok(());
    };
    let of = first.type_id();
    if let Some(other) = array.iter().find(|value| value.type_id() != of) {
        let (first, other) = (show::type_name(first), show::type_name(other));
        let message = format!("values of different types cannot be sorted: {first} and {other}");
        return Err(ScriptError::new(ErrorKind::Type, message)
            .with_hint("say how they compare: array.sort(|a, b| …)")
            .raise(context));
    }
    let compare = comparison(of).ok_or_else(|| {
        let message = format!("values of type {} have no order", show::type_name(first));
        ScriptError::new(ErrorKind::Type, message)
            .with_hint("say how they compare: array.sort(|a, b| …)")
            .raise(context)
    })?;
    interruptibly(context, array, |a, b| match descending {
        true => Ok(compare(b, a)),
        false => Ok(compare(a, b)),
    })
}

type Comparison = fn(&Dynamic, &Dynamic) -> Ordering;

fn comparison(of: TypeId) -> Option<Comparison> {
    let known: [(TypeId, Comparison); 5] = [
        (TypeId::of::<INT>(), |a, b| a.as_int().ok().cmp(&b.as_int().ok())),
        (TypeId::of::<FLOAT>(), |a, b| {
            let order = a.as_float().ok().partial_cmp(&b.as_float().ok());
            order.unwrap_or(Ordering::Equal)
        }),
        (TypeId::of::<bool>(), |a, b| {
            a.as_bool().ok().cmp(&b.as_bool().ok())
        }),
        (TypeId::of::<char>(), |a, b| {
            a.as_char().ok().cmp(&b.as_char().ok())
        }),
        (TypeId::of::<ImmutableString>(), |a, b| {
            match (a.as_immutable_string_ref(), b.as_immutable_string_ref()) {
                (Ok(a), Ok(b)) => a.as_str().cmp(b.as_str()),
                _ => Ordering::Equal,
            }
        }),
    ];
    known
        .iter()
        .find(|(other, _)| *other == of)
        .map(|(_, compare)| *compare)
}

fn by_closure(context: &NativeCallContext, array: &mut Array, comparer: &FnPtr) -> RhaiResult<()> {
    interruptibly(context, array, |a, b| {
        let answer = comparer.call_raw(context, None, [a.clone(), b.clone()])?;
        if let Ok(order) = answer.as_int() {
            return Ok(order.cmp(&0));
        }
        match answer.as_bool() {
            Ok(true) => Ok(Ordering::Less),
            Ok(false) => Ok(Ordering::Greater),
            Err(_) => show::expected("a whole number or a boolean from the comparison", &answer)
                .map_err(|error| error.raise(context)),
        }
    })
}

/// What unwinds out of a sort that is to stop; the reason lies beside it.
struct Stopped;

/// Sorts as [`sorted`] does, for a call.
fn interruptibly(
    context: &NativeCallContext,
    array: &mut Array,
    compare: impl FnMut(&Dynamic, &Dynamic) -> RhaiResult<Ordering>,
) -> RhaiResult<()> {
    let state = state_of(context);
    let check = || state.check_interrupt().map_err(|error| error.raise(context));
    match sorted(array, check, compare)? {
        true => Ok(()),
        false => {
            let error = ScriptError::new(ErrorKind::Value, "the comparison contradicts itself");
            Err(error
                .with_hint("of a and b, only one can come first")
                .raise(context))
        }
    }
}

/// Sorts until `compare`, or `check`, which is asked now and then, fails; then the order of the items is any. False where
/// the comparison contradicts itself.
pub(crate) fn sorted<T, E>(
    items: &mut [T],
    check: impl Fn() -> Result<(), E>,
    mut compare: impl FnMut(&T, &T) -> Result<Ordering, E>,
) -> Result<bool, E> {
    let reason = RefCell::new(None);
    let mut count = 0_usize;
    let mut checked = |a: &T, b: &T| {
        count += 1;
        if count.is_multiple_of(STRIDE) {
            check()?;
        }
        compare(a, b)
    };
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        items.sort_by(|a, b| {
            checked(a, b).unwrap_or_else(|error| {
                *reason.borrow_mut() = Some(error);
                // The standard library's sort has no other way out, and keeps all items.
                resume_unwind(Box::new(Stopped))
            })
        });
    }));
    match (outcome, reason.into_inner()) {
        (Ok(()), _) => Ok(true),
        (Err(_), Some(error)) => Err(error),
        (Err(_), None) => Ok(false),
    }
}

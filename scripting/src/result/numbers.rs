//! Numbers and arrays of them as text.

use std::fmt::Write;

use ndarray::{ArrayViewD, Axis};

use crate::tensor::numbers::Element;

/// Values at each end of the last axis that the printed form shows; fewer of each axis before it.
pub const EDGE: usize = 3;

/// Like numpy prints: the values at each end of every axis.
pub(crate) fn write_values<T: Element>(text: &mut String, view: ArrayViewD<T>, depth: usize) {
    if view.ndim() == 0 {
        let value = view.first().map_or(f64::NAN, |&value| value.into());
        // Writing to a string cannot fail.
        let _ = write!(text, "{}", short(value));
        return;
    }
    let len = view.shape()[0];
    let innermost = view.ndim() == 1;
    let edge = (EDGE + 1).saturating_sub(view.ndim()).max(1);
    let separator = if innermost {
        ", ".to_owned()
    } else {
        format!(",\n{}", " ".repeat(depth + 1))
    };
    text.push('[');
    for at in 0..len {
        let skipped = len > 2 * edge && (edge..len - edge).contains(&at);
        if skipped && at > edge {
            continue;
        }
        if at > 0 {
            text.push_str(&separator);
        }
        if skipped {
            text.push('…');
        } else {
            write_values(text, view.index_axis(Axis(0), at), depth + 1);
        }
    }
    text.push(']');
}

/// Four significant digits.
pub fn short(value: f64) -> String {
    let size = value.abs();
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    if !(1e-4..1e6).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 6) as usize;
    let text = format!("{value:.digits$}");
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

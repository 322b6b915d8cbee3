//! numpy's `.npy` and `.safetensors` as tensors.

use ndarray::{ArrayD, IxDyn, ShapeBuilder};
use rhai::Map;
use safetensors::{Dtype, SafeTensors};

use crate::errors::{ErrorKind, ScriptError};
use crate::tensor::axes::axis_name;
use crate::tensor::work::Work;
use crate::tensor::{Precision, Tensor};

/// numpy's limit of axes.
const MOST_AXES: usize = 64;
/// Bytes of a header; numpy's own have some hundreds.
const LONGEST_HEADER: usize = 1 << 16;

fn damaged(reason: impl Into<String>) -> ScriptError {
    ScriptError::new(ErrorKind::Value, reason)
}

/// How numbers lie in a file.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Layout {
    kind: Number,
    bytes: usize,
    is_big_endian: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Number {
    Float,
    /// 16 bits with the exponent of 32.
    Brain,
    Signed,
    Unsigned,
    Truth,
}

impl Layout {
    /// The least precision that holds all its numbers; whole ones beyond 2^53 are rounded.
    fn precision(self) -> Precision {
        match (self.kind, self.bytes) {
            (Number::Float, 8) | (Number::Signed | Number::Unsigned, 4 | 8) => Precision::Float64,
            _ => Precision::Float32,
        }
    }

    fn number(self, bytes: &[u8]) -> f64 {
        let mut low = [0; 8];
        for (at, byte) in bytes.iter().enumerate() {
            low[if self.is_big_endian {
                bytes.len() - 1 - at
            } else {
                at
            }] = *byte;
        }
        let bits = u64::from_le_bytes(low);
        let unused = 64 - 8 * self.bytes as u32;
        match (self.kind, self.bytes) {
            (Number::Float, 2) => half(bits as u16),
            (Number::Float, 4) => f32::from_bits(bits as u32).into(),
            (Number::Float, _) => f64::from_bits(bits),
            (Number::Brain, _) => f32::from_bits((bits as u32) << 16).into(),
            (Number::Signed, _) => (((bits << unused) as i64) >> unused) as f64,
            (Number::Unsigned, _) => bits as f64,
            (Number::Truth, _) => f64::from(u8::from(bits != 0)),
        }
    }
}

/// IEEE's number of 16 bits.
pub(super) fn half(bits: u16) -> f64 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * 2f64.powi(-24),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction / 1024.0) * 2f64.powi(exponent - 15),
    }
}

/// The tensor that numbers are, in a shape that they fill.
fn tensor(
    bytes: &[u8],
    layout: Layout,
    shape: &[usize],
    by_column: bool,
    work: &Work,
) -> Result<Tensor, ScriptError> {
    if shape.len() > MOST_AXES {
        return Err(damaged(format!(
            "it has {} axes: at most {MOST_AXES}",
            shape.len()
        )));
    }
    work.room(shape, layout.precision().bytes())?;
    let n_bytes = shape
        .iter()
        .fold(layout.bytes, |product, len| product.saturating_mul(*len));
    if n_bytes != bytes.len() {
        let message = format!(
            "the shape {shape:?} takes {n_bytes} bytes, and there are {}",
            bytes.len()
        );
        return Err(damaged(message).with_hint("the file was cut off, or something else was written to it"));
    }
    let order = IxDyn(shape).set_f(by_column);
    let wrong = |error: ndarray::ShapeError| damaged(error.to_string());
    Ok(match layout.precision() {
        Precision::Float32 => {
            let values = numbers(bytes, layout, work, |value| value as f32)?;
            Tensor::new(ArrayD::from_shape_vec(order, values).map_err(wrong)?, &[])
        }
        Precision::Float64 => {
            let values = numbers(bytes, layout, work, |value| value)?;
            Tensor::exact(ArrayD::from_shape_vec(order, values).map_err(wrong)?, &[])
        }
    })
}

fn numbers<T>(bytes: &[u8], layout: Layout, work: &Work, of: fn(f64) -> T) -> Result<Vec<T>, ScriptError> {
    let mut values = Vec::with_capacity(bytes.len() / layout.bytes);
    for piece in bytes.chunks(layout.bytes << 18) {
        values.extend(
            piece
                .chunks_exact(layout.bytes)
                .map(|bytes| of(layout.number(bytes))),
        );
        work.check()?;
    }
    Ok(values)
}

/// numpy's format: a magic number, a version, a header that is a Python dictionary, the numbers.
///
/// # Errors
/// What is no such file, or one of objects, or one that was cut off; no room, an interrupt.
pub(super) fn npy(bytes: &[u8], work: &Work) -> Result<Tensor, ScriptError> {
    let not_numpys = || damaged("it is no file of numpy's");
    let rest = bytes.strip_prefix(b"\x93NUMPY").ok_or_else(not_numpys)?;
    let (header_len, rest) = match *rest {
        [1, _, a, b, ref rest @ ..] => (usize::from(u16::from_le_bytes([a, b])), rest),
        [2 | 3, _, a, b, c, d, ref rest @ ..] => (u32::from_le_bytes([a, b, c, d]) as usize, rest),
        [version, ..] => return Err(damaged(format!("numpy's format {version} is not known here"))),
        [] => return Err(not_numpys()),
    };
    if header_len > LONGEST_HEADER || header_len > rest.len() {
        return Err(damaged("its header was cut off, or is no header of numpy's"));
    }
    let (header, numbers) = rest.split_at(header_len);
    let header = std::str::from_utf8(header).map_err(|_| not_numpys())?;
    let layout = descr(quoted(header, "descr").ok_or_else(not_numpys)?)?;
    let by_column = after(header, "fortran_order")
        .ok_or_else(not_numpys)?
        .starts_with("True");
    let shape = after(header, "shape").and_then(lengths).ok_or_else(not_numpys)?;
    tensor(numbers, layout, &shape, by_column, work)
}

/// What stands behind a key of the header.
fn after<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let at = header.find(&format!("'{key}'"))?;
    Some(
        header[at + key.len() + 2..]
            .trim_start()
            .strip_prefix(':')?
            .trim_start(),
    )
}

fn quoted<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let value = after(header, key)?;
    if value.starts_with('[') {
        return Some(value);
    }
    value.strip_prefix('\'')?.split('\'').next()
}

/// `(2, 3)`, `(5,)`, `()`.
fn lengths(text: &str) -> Option<Vec<usize>> {
    let inside = text.strip_prefix('(')?.split(')').next()?;
    let parts = inside.split(',').map(str::trim).filter(|part| !part.is_empty());
    parts.map(|part| part.parse().ok()).collect()
}

/// `<f4`: byte order, kind, bytes.
fn descr(text: &str) -> Result<Layout, ScriptError> {
    let unknown = || {
        let message = format!("its values are of numpy's type {text:?}, which is no plain number");
        damaged(message).with_hint("save it as numbers: np.save(path, array.astype(\"float32\"))")
    };
    let mut characters = text.chars();
    let (order, kind) = characters.next().zip(characters.next()).ok_or_else(unknown)?;
    let bytes: usize = characters.as_str().parse().map_err(|_| unknown())?;
    let kind = match (kind, bytes) {
        ('f', 2 | 4 | 8) => Number::Float,
        ('i', 1 | 2 | 4 | 8) => Number::Signed,
        ('u', 1 | 2 | 4 | 8) => Number::Unsigned,
        ('b', 1) => Number::Truth,
        _ => return Err(unknown()),
    };
    match order {
        '<' | '>' | '|' | '=' => Ok(Layout {
            kind,
            bytes,
            is_big_endian: order == '>',
        }),
        _ => Err(unknown()),
    }
}

/// Tensors by name; axes have the names that `save` notes.
///
/// # Errors
/// What is no such file, or has types that are no numbers; no room, an interrupt.
pub(super) fn safetensors(bytes: &[u8], work: &Work) -> Result<Map, ScriptError> {
    let file = SafeTensors::deserialize(bytes);
    let file = file.map_err(|error| damaged(format!("it is no file of safetensors: {error}")))?;
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| damaged(format!("it is no file of safetensors: {error}")))?;
    let about = metadata.metadata().clone().unwrap_or_default();
    let n = file.len();
    let mut all = Map::new();
    for (name, view) in file.iter() {
        let read = tensor(
            view.data(),
            layout(name, view.dtype())?,
            view.shape(),
            false,
            work,
        )?;
        let noted = about
            .get(&format!("{name}.axes"))
            .or_else(|| about.get("axes").filter(|_| n == 1));
        all.insert(name.into(), with_noted_axes(read, noted).into_value());
    }
    Ok(all)
}

/// An entry of its metadata.
///
/// # Errors
/// What is no such file.
pub(super) fn noted(bytes: &[u8], name: &str) -> Result<Option<String>, ScriptError> {
    let (_, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|error| damaged(format!("it is no file of safetensors: {error}")))?;
    let about = metadata.metadata().as_ref();
    Ok(about.and_then(|about| about.get(name)).cloned())
}

fn with_noted_axes(tensor: Tensor, noted: Option<&String>) -> Tensor {
    let names = noted.map(|noted| noted.split(',').map(axis_name).collect::<Result<Vec<_>, _>>());
    match names {
        Some(Ok(names)) if names.len() == tensor.shape().len() => tensor.with_axes(&names),
        // Someone else wrote it.
        _ => tensor,
    }
}

fn layout(name: &str, dtype: Dtype) -> Result<Layout, ScriptError> {
    let (kind, bytes) = match dtype {
        Dtype::F64 => (Number::Float, 8),
        Dtype::F32 => (Number::Float, 4),
        Dtype::F16 => (Number::Float, 2),
        Dtype::BF16 => (Number::Brain, 2),
        Dtype::I64 => (Number::Signed, 8),
        Dtype::I32 => (Number::Signed, 4),
        Dtype::I16 => (Number::Signed, 2),
        Dtype::I8 => (Number::Signed, 1),
        Dtype::U64 => (Number::Unsigned, 8),
        Dtype::U32 => (Number::Unsigned, 4),
        Dtype::U16 => (Number::Unsigned, 2),
        Dtype::U8 => (Number::Unsigned, 1),
        Dtype::BOOL => (Number::Truth, 1),
        other => {
            return Err(damaged(format!(
                "the tensor {name:?} is of the type {other:?}, which is not read here"
            )));
        }
    };
    Ok(Layout {
        kind,
        bytes,
        is_big_endian: false,
    })
}

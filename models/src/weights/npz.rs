//! numpy's archives of arrays as `np.savez` writes them: entries that are stored as they are, so that numbers are views of
//! the file.

use safetensors::Dtype;

use super::archive;

const MAGIC: &[u8] = b"\x93NUMPY";
/// A header's dictionary of three entries; numpy's own has about a hundred bytes.
const LONGEST_HEADER: usize = 4096;
const MOST_AXES: usize = 16;
/// numpy's names of the types that weights have, in the order of bytes that is read.
const TYPES: [(&str, Dtype); 6] = [
    ("<f2", Dtype::F16),
    ("<f4", Dtype::F32),
    ("<f8", Dtype::F64),
    ("<i4", Dtype::I32),
    ("<i8", Dtype::I64),
    ("|b1", Dtype::BOOL),
];

/// One array: its header, and its numbers as they lie in the file.
pub(super) struct Array<'a> {
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    /// Columns lie one behind the other, and not rows.
    pub by_column: bool,
    pub bytes: &'a [u8],
}

/// All arrays of a file by name, as views of it.
///
/// # Errors
/// Why it cannot be read.
pub(super) fn arrays(bytes: &[u8]) -> Result<Vec<(&str, Array<'_>)>, String> {
    let entries = archive::entries(bytes)?.into_iter();
    entries
        .map(|(name, content)| {
            let name = name.strip_suffix(".npy").unwrap_or(name);
            let array = Array::read(content).map_err(|reason| format!("{name:?} {reason}"))?;
            Ok((name, array))
        })
        .collect()
}

impl<'a> Array<'a> {
    fn read(content: &'a [u8]) -> Result<Self, String> {
        let cut = || "ends within its header".to_owned();
        if !content.starts_with(MAGIC) {
            return Err("is no array".into());
        }
        let version = *content.get(MAGIC.len()).ok_or_else(cut)?;
        let width = if version == 1 { 2 } else { 4 };
        let start = MAGIC.len() + 2 + width;
        let length = content.get(MAGIC.len() + 2..start).ok_or_else(cut)?;
        let length = length.iter().rev().fold(0, |n, byte| n << 8 | usize::from(*byte));
        if length > LONGEST_HEADER {
            return Err(format!("has a header of {length} bytes"));
        }
        let header = content.get(start..start + length).ok_or_else(cut)?;
        let header = std::str::from_utf8(header).map_err(|_| "has a header that is no text")?;
        let (dtype, shape) = (dtype(header)?, shape(header)?);
        let size = dtype.bitsize() / 8;
        let n_bytes = shape.iter().try_fold(size, |n, &axis| n.checked_mul(axis));
        let bytes = &content[start + length..];
        if n_bytes != Some(bytes.len()) {
            return Err(format!(
                "has shape {shape:?}, and {} bytes of numbers",
                bytes.len()
            ));
        }
        let by_column = value(header, "fortran_order").is_some_and(|value| value.starts_with("True"));
        Ok(Self {
            dtype,
            shape,
            by_column,
            bytes,
        })
    }
}

/// What follows a key of the dictionary that a header is.
fn value<'h>(header: &'h str, key: &str) -> Option<&'h str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    Some(rest.trim_start())
}

fn dtype(header: &str) -> Result<Dtype, String> {
    let named = value(header, "descr")
        .and_then(|value| value.strip_prefix('\''))
        .and_then(|value| value.split_once('\''));
    let named = named.map_or("?", |(name, _)| name);
    let known = TYPES.iter().find(|(name, _)| *name == named);
    known.map(|(_, dtype)| *dtype).ok_or_else(|| {
        let named: String = named.chars().take(20).collect();
        format!("is of type {named:?}, which is not read")
    })
}

fn shape(header: &str) -> Result<Vec<usize>, String> {
    let wrong = || "has a header without its shape".to_owned();
    let axes = value(header, "shape").and_then(|value| value.strip_prefix('('));
    let (axes, _) = axes.and_then(|value| value.split_once(')')).ok_or_else(wrong)?;
    let axes = axes.split(',').map(str::trim).filter(|axis| !axis.is_empty());
    let shape: Vec<usize> = axes
        .map(|axis| axis.parse().map_err(|_| wrong()))
        .collect::<Result<_, _>>()?;
    match shape.len() <= MOST_AXES {
        true => Ok(shape),
        false => Err(format!("has {} axes", shape.len())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An entry as numpy's version 1 has it.
    fn array(header: &str, numbers: &[u8]) -> Vec<u8> {
        let length = (header.len() as u16).to_le_bytes();
        [MAGIC, &[1, 0], &length, header.as_bytes(), numbers].concat()
    }

    #[test]
    fn headers_are_read_and_believed_no_further_than_their_bytes() {
        let header = "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }";
        let whole = array(header, &[0; 24]);
        let read = Array::read(&whole).unwrap();
        assert_eq!((read.dtype, read.shape), (Dtype::F32, vec![2, 3]));
        assert_eq!((read.by_column, read.bytes.len()), (true, 24));
        for (header, numbers) in [
            (header, 20),
            ("{'descr': '>f4', 'fortran_order': False, 'shape': (6,), }", 24),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-6,), }", 24),
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (9223372036854775807, 8), }",
                24,
            ),
            ("{'descr': '|O', 'fortran_order': False, 'shape': (), }", 24),
            ("{}", 24),
        ] {
            assert!(
                Array::read(&array(header, &vec![0; numbers])).is_err(),
                "{header}"
            );
        }
        for end in 0..whole.len() {
            assert!(Array::read(&whole[..end]).is_err(), "{end}");
        }
    }
}

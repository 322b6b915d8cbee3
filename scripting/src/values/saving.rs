//! Tensors in files of the notebook's folder, and nowhere else.
//!
//! A notebook from a stranger may write what belongs to it and no more: paths are relative, links are resolved before
//! they are judged, and a file is written beside its place and moved there when it is whole.

use std::collections::HashMap;
use std::io::{self, BufWriter, Write};
use std::path::{Component, Path, PathBuf};

use ndarray::ArrayViewD;
use safetensors::tensor::{Dtype, TensorView};
use serde_json::json;

use super::tensor::Tensor;
use crate::errors::{ErrorKind, ScriptError};

/// A way to write a tensor.
type Format = fn(&Tensor, &mut dyn Write) -> io::Result<()>;

const FORMATS: [(&str, Format); 3] = [("npy", npy), ("safetensors", safetensors), ("json", json)];

/// Writes a tensor to `path` below `folder`.
///
/// # Errors
/// A path that leads elsewhere or has another ending; what the system says.
pub fn save(tensor: &Tensor, folder: &Path, path: &str) -> Result<(), ScriptError> {
    let extension = Path::new(path).extension().and_then(|end| end.to_str());
    let format = FORMATS.iter().find(|(name, _)| Some(*name) == extension);
    let (_, format) = format.ok_or_else(|| {
        let message = format!("\"{path}\" does not say how to save: expected .npy, .safetensors or .json");
        ScriptError::new(ErrorKind::Value, message).with_hint("for example: tensor.save(\"states.npy\")")
    })?;
    let file = place(folder, path)?;
    write(tensor, &file, *format)
        .map_err(|error| ScriptError::new(ErrorKind::Os, format!("cannot save \"{path}\": {error}")))
}

/// The file's real place.
fn place(folder: &Path, path: &str) -> Result<PathBuf, ScriptError> {
    let outside = || {
        let message = format!("\"{path}\" is outside of the notebook's folder");
        ScriptError::new(ErrorKind::Value, message)
            .with_hint("tensors are saved in the notebook's folder or below: tensor.save(\"states.npy\")")
    };
    let unreadable = |what: &Path, error: io::Error| {
        let message = format!("cannot save \"{path}\": {}: {error}", what.display());
        ScriptError::new(ErrorKind::File, message)
    };
    let wanted = Path::new(path);
    let is_below = wanted
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    let (Some(name), true) = (wanted.file_name(), is_below) else {
        return Err(outside());
    };
    let root = folder.canonicalize().map_err(|error| unreadable(folder, error))?;
    let parent = wanted.parent().unwrap_or(Path::new(""));
    let inside = root
        .join(parent)
        .canonicalize()
        .map_err(|error| unreadable(parent, error))?;
    match inside.starts_with(&root) {
        true => Ok(inside.join(name)),
        false => Err(outside()),
    }
}

fn write(tensor: &Tensor, file: &Path, format: Format) -> io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        // As any new file: what the user's mask leaves of it.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    let partial = builder.prefix(".saving-").tempfile_in(folder)?;
    let mut out = BufWriter::new(partial);
    format(tensor, &mut out)?;
    let partial = out.into_inner().map_err(io::IntoInnerError::into_error)?;
    partial.persist(file)?;
    Ok(())
}

/// NumPy's format 1.0: a header padded to 64 bytes, then the values row by row, little-endian.
fn npy(tensor: &Tensor, out: &mut dyn Write) -> io::Result<()> {
    let lengths: Vec<String> = tensor.shape().iter().map(|len| format!("{len},")).collect();
    let shape = lengths.join(" ");
    let mut header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape}), }}");
    let unpadded = 10 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&(header.len() as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for value in tensor.view().iter() {
        out.write_all(&value.to_le_bytes())?;
    }
    Ok(())
}

fn safetensors(tensor: &Tensor, out: &mut dyn Write) -> io::Result<()> {
    let view = tensor.view();
    let bytes: Vec<u8> = view.iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, tensor.shape().to_vec(), &bytes).map_err(io::Error::other)?;
    let about = HashMap::from([("axes".to_owned(), tensor.axes().join(","))]);
    let file = safetensors::serialize([("tensor", view)], Some(about)).map_err(io::Error::other)?;
    out.write_all(&file)
}

/// Value by value: as one JSON document in memory it would take many times the tensor.
fn json(tensor: &Tensor, out: &mut dyn Write) -> io::Result<()> {
    let (shape, axes) = (json!(tensor.shape()), json!(tensor.axes()));
    write!(out, "{{\"shape\":{shape},\"axes\":{axes},\"data\":")?;
    write_nested(tensor.view(), out)?;
    out.write_all(b"}\n")
}

fn write_nested(view: ArrayViewD<f32>, out: &mut dyn Write) -> io::Result<()> {
    if view.ndim() == 0 {
        // Infinities and NaN, which JSON does not have, become null.
        return write!(out, "{}", json!(view.first()));
    }
    out.write_all(b"[")?;
    for (index, inner) in view.outer_iter().enumerate() {
        if index > 0 {
            out.write_all(b",")?;
        }
        write_nested(inner, out)?;
    }
    out.write_all(b"]")
}

#[cfg(test)]
mod tests {
    use ndarray::{ArrayD, IxDyn};

    use super::*;

    fn example() -> Tensor {
        let data = ArrayD::from_shape_fn(IxDyn(&[2, 3]), |at| (at[0] * 3 + at[1]) as f32 / 2.0);
        // As sites come: a view in another order than memory's.
        Tensor::new(data.permuted_axes(IxDyn(&[1, 0])), &["neuron", "position"])
    }

    fn saved(path: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        save(&example(), folder.path(), path).expect(path);
        let names: Vec<_> = std::fs::read_dir(folder.path()).expect("readable").collect();
        assert_eq!(names.len(), 1, "something stays beside the file");
        std::fs::read(folder.path().join(path)).expect("it was written")
    }

    #[test]
    fn npy_files() {
        let bytes = saved("t.npy");
        assert_eq!(&bytes[..8], b"\x93NUMPY\x01\x00");
        let length = usize::from(u16::from_le_bytes([bytes[8], bytes[9]]));
        assert_eq!((10 + length) % 64, 0);
        let header = std::str::from_utf8(&bytes[10..10 + length]).expect("text");
        assert!(
            header.starts_with("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2,), }")
                && header.ends_with(" \n"),
            "{header}"
        );
        let values = bytes[10 + length..].chunks_exact(4);
        let values: Vec<f32> = values
            .map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]))
            .collect();
        assert_eq!(values, [0.0, 1.5, 0.5, 2.0, 1.0, 2.5]);
    }

    #[test]
    fn safetensors_files() {
        let bytes = saved("t.safetensors");
        let file = safetensors::SafeTensors::deserialize(&bytes).expect("valid");
        let tensor = file.tensor("tensor").expect("the tensor");
        assert_eq!((tensor.shape(), tensor.dtype()), (&[3, 2][..], Dtype::F32));
        assert_eq!(tensor.data()[4..8], 1.5f32.to_le_bytes());
        assert!(String::from_utf8_lossy(&bytes).contains("neuron,position"));
    }

    #[test]
    fn json_files() {
        let parsed: serde_json::Value = serde_json::from_slice(&saved("t.json")).expect("valid");
        assert_eq!(
            parsed,
            json!({"shape": [3, 2], "axes": ["neuron", "position"], "data": [[0.0, 1.5], [0.5, 2.0], [1.0, 2.5]]})
        );
        let mut text = Vec::new();
        let odd = Tensor::new(ArrayD::from_elem(IxDyn(&[1]), f32::NAN), &[]);
        json(&odd, &mut text).expect("written");
        assert_eq!(text, b"{\"shape\":[1],\"axes\":[\"\"],\"data\":[null]}\n");
    }

    #[test]
    #[cfg(unix)]
    fn nothing_is_written_outside_of_the_folder() {
        let outer = tempfile::tempdir().expect("a folder");
        let folder = outer.path().join("notebook");
        std::fs::create_dir_all(folder.join("below")).expect("a folder");
        std::os::unix::fs::symlink(outer.path(), folder.join("out")).expect("a link");
        let precious = outer.path().join("precious.npy");
        std::fs::write(&precious, "precious").expect("a file");
        std::os::unix::fs::symlink(&precious, folder.join("link.npy")).expect("a link");
        let absolute = precious.to_string_lossy().into_owned();
        for path in [
            "../precious.npy",
            "out/precious.npy",
            "below/../../precious.npy",
            &absolute,
            "",
        ] {
            let error = save(&example(), &folder, path).expect_err(path);
            assert_eq!(error.kind, ErrorKind::Value, "{path}: {}", error.message);
        }
        // A link at the file's own place is replaced, not followed.
        save(&example(), &folder, "link.npy").expect("a file");
        save(&example(), &folder, "below/t.npy").expect("a file below");
        save(&example(), &folder, "below/t.npy").expect("a file in the place of another");
        assert_eq!(std::fs::read(&precious).expect("it is there"), b"precious");
        assert!(
            !std::fs::symlink_metadata(folder.join("link.npy"))
                .expect("a file")
                .is_symlink()
        );
        let error = save(&example(), &folder, "nowhere/t.npy").expect_err("no such folder");
        assert_eq!(error.kind, ErrorKind::File);
        assert_eq!(
            save(&example(), &folder, "t.bin").expect_err("an ending").kind,
            ErrorKind::Value
        );
    }
}

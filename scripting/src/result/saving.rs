//! Tensors and results in files of the notebook's folder, and nowhere else.
//!
//! What is written is here; where, and that it is there whole or not at all, is [`folder`](super::folder)'s.

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use ndarray::ArrayViewD;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::json;

use crate::errors::{ErrorKind, ScriptError};
use crate::result::Explanation;
use crate::result::folder::{Folder, check_length};
use crate::result::watched::{Check, Watched, failure};
use crate::tensor::Tensor;

/// Writes one kind of file.
type Writer<'a> = Box<dyn Fn(&mut dyn Write) -> io::Result<()> + 'a>;

/// Writes a tensor to `path` below `folder`.
///
/// # Errors
/// A path that leads elsewhere or has another ending; what the system says; what `check` says, asked all along.
pub(crate) fn save(tensor: &Tensor, folder: &Path, path: &str, check: &Check) -> Result<(), ScriptError> {
    check_length(path)?;
    let write: Writer = match extension(path) {
        Some("npy") => Box::new(|out| npy(tensor, out)),
        Some("safetensors") => Box::new(|out| safetensors(&[("tensor", tensor.clone())], out)),
        Some("json") => Box::new(|out| {
            json(tensor, out)?;
            out.write_all(b"\n")
        }),
        Some("csv") => Box::new(|out| csv(tensor, &|_| None, out)),
        _ => {
            return Err(unknown_ending(
                path,
                &["npy", "safetensors", "json", "csv"],
                "tensor.save(\"states.npy\")",
            ));
        }
    };
    write_file(folder, path, &*write, check)
}

/// Writes a result to `path` below `folder`.
///
/// # Errors
/// As of [`save`]; an ending that says nothing of this result (a picture, where there is none); what computing it says.
pub(crate) fn save_result(
    result: &dyn Explanation,
    folder: &Path,
    path: &str,
    check: &Check,
) -> Result<(), ScriptError> {
    check_length(path)?;
    let example = "result.save(\"result.html\")";
    let there = |made: Option<String>, media_type: &str| {
        made.ok_or_else(|| {
            let message = format!("cannot save \"{path}\": {} has no {media_type}", result.line());
            ScriptError::new(ErrorKind::Value, message).with_hint("save it as .json or .safetensors")
        })
    };
    let write: Writer = match extension(path) {
        Some("json") => {
            let text = json_text(result)?;
            Box::new(move |out| writeln!(out, "{text}"))
        }
        Some("safetensors") => {
            let tensors = result.tensors()?;
            Box::new(move |out| safetensors(&tensors, out))
        }
        Some("npy") => {
            let tensor = main_tensor(result)?;
            Box::new(move |out| npy(&tensor, out))
        }
        Some("csv") => {
            let tensor = main_tensor(result)?;
            Box::new(move |out| csv(&tensor, &|axis| result.labels(axis), out))
        }
        Some("html") => {
            let (body, title) = (there(result.view()?.html(), "text/html")?, result.line());
            Box::new(move |out| page(&title, &body, out))
        }
        Some("svg") => {
            let picture = there(result.view()?.svg(), "image/svg+xml")?;
            Box::new(move |out| out.write_all(picture.as_bytes()))
        }
        _ => {
            let endings = ["json", "safetensors", "npy", "csv", "html", "svg"];
            return Err(unknown_ending(path, &endings, example));
        }
    };
    write_file(folder, path, &*write, check)
}

fn extension(path: &str) -> Option<&str> {
    Path::new(path).extension().and_then(|end| end.to_str())
}

fn unknown_ending(path: &str, known: &[&str], example: &str) -> ScriptError {
    let (last, others) = known.split_last().unwrap_or((&"", &[]));
    let others: Vec<String> = others.iter().map(|ending| format!(".{ending}")).collect();
    let list = format!("{} or .{last}", others.join(", "));
    let message = format!("\"{path}\" does not say how to save: expected {list}");
    ScriptError::new(ErrorKind::Value, message).with_hint(format!("for example: {example}"))
}

fn main_tensor(result: &dyn Explanation) -> Result<Tensor, ScriptError> {
    let mut tensors = result.tensors()?;
    match tensors.is_empty() {
        false => Ok(tensors.swap_remove(0).1),
        true => {
            let message = format!("{} has no numbers to save", result.line());
            Err(ScriptError::new(ErrorKind::Value, message))
        }
    }
}

fn write_file(
    folder: &Path,
    path: &str,
    write: &dyn Fn(&mut dyn Write) -> io::Result<()>,
    check: &Check,
) -> Result<(), ScriptError> {
    let place = Folder::place_in(folder, Path::new(path));
    let place = place.map_err(|refusal| refusal.of_saving(path))?;
    place
        .write(&mut |file| {
            let mut out = Watched::new(file, check);
            write(&mut out)?;
            out.flush()
        })
        .map_err(|error| failure(error, &format!("cannot save \"{path}\"")))
}

/// The result's document, the same that its page and its output in a cell have.
pub(crate) fn json_text(result: &dyn Explanation) -> Result<String, ScriptError> {
    let document = result.view()?.json().ok_or_else(|| {
        let message = format!("{} has no numbers", result.line());
        ScriptError::new(ErrorKind::Value, message)
    })?;
    Ok(document.to_string())
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
    write_values(tensor, out)
}

/// The format's header, padded to 8 bytes, then the values of each tensor, little-endian, in order of their names.
fn safetensors(tensors: &[(&'static str, Tensor)], out: &mut dyn Write) -> io::Result<()> {
    let mut sorted: Vec<&(&'static str, Tensor)> = tensors.iter().collect();
    sorted.sort_by_key(|(name, _)| *name);
    let mut end = 0;
    let info = |(name, tensor): &&(&'static str, Tensor)| {
        let start = end;
        end += tensor.view().len() * size_of::<f32>();
        let info = TensorInfo {
            dtype: Dtype::F32,
            shape: tensor.shape().to_vec(),
            data_offsets: (start, end),
        };
        ((*name).to_owned(), info)
    };
    let infos = sorted.iter().map(info).collect();
    let axes = |(name, tensor): &(&str, Tensor)| {
        let key = match tensors.len() {
            1 => "axes".to_owned(),
            _ => format!("{name}.axes"),
        };
        (key, tensor.axes().join(","))
    };
    let about: HashMap<String, String> = tensors.iter().map(axes).collect();
    let header = Metadata::new(Some(about), infos).map_err(io::Error::other)?;
    let mut header = serde_json::to_vec(&header)?;
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(&header)?;
    for (_, tensor) in sorted {
        write_values(tensor, out)?;
    }
    Ok(())
}

/// Row by row.
fn write_values(tensor: &Tensor, out: &mut dyn Write) -> io::Result<()> {
    tensor
        .view()
        .iter()
        .try_for_each(|value| out.write_all(&value.to_le_bytes()))
}

/// The tensor's document with all values, one by one: in memory they would take many times the tensor.
pub(crate) fn json(tensor: &Tensor, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"{")?;
    for (name, value) in tensor.document() {
        write!(out, "{}:{value},", json!(name))?;
    }
    out.write_all(b"\"data\":")?;
    write_nested(tensor.view(), out)?;
    out.write_all(b"}")
}

fn write_nested(view: ArrayViewD<f32>, out: &mut dyn Write) -> io::Result<()> {
    if view.ndim() == 0 {
        // The shortest decimal that is this float, the same as in documents; infinities and NaN, which JSON does not
        // have, become null.
        let shortest = view
            .first()
            .and_then(|value| value.to_string().parse::<f64>().ok());
        return serde_json::to_writer(out, &shortest).map_err(io::Error::from);
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

/// A text as a cell. One that a spreadsheet would take for a formula, and run, has a `'` before it, as OWASP advises.
fn cell(text: &str) -> String {
    const FORMULA: [char; 10] = ['=', '+', '-', '@', '\t', '\r', '＝', '＋', '－', '＠'];
    let inert = if text.starts_with(FORMULA) { "'" } else { "" };
    format!("\"{inert}{}\"", text.replace('"', "\"\""))
}

/// A row for each value: its place along each axis, what that place is called where `labels` knows, the value.
fn csv(tensor: &Tensor, labels: &dyn Fn(&str) -> Option<Vec<String>>, out: &mut dyn Write) -> io::Result<()> {
    let axes = tensor.axes().iter().enumerate();
    let axes: Vec<(String, Option<Vec<String>>)> = axes
        .map(|(axis, &name)| match name {
            "" => (format!("axis_{axis}"), None),
            name => (name.to_owned(), labels(name)),
        })
        .collect();
    for (name, labels) in &axes {
        write!(out, "{name},")?;
        if labels.is_some() {
            write!(out, "{name}_label,")?;
        }
    }
    out.write_all(b"value\r\n")?;
    for (index, value) in tensor.view().indexed_iter() {
        for (axis, (_, labels)) in axes.iter().enumerate() {
            write!(out, "{},", index[axis])?;
            if let Some(labels) = labels {
                let label = labels.get(index[axis]).map_or("", String::as_str);
                write!(out, "{},", cell(label))?;
            }
        }
        write!(out, "{value}\r\n")?;
    }
    Ok(())
}

/// A page of its own around a widget.
fn page(title: &str, body: &str, out: &mut dyn Write) -> io::Result<()> {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n</head>\n\
         <body>\n{body}\n</body>\n</html>\n"
    )
}

#[cfg(test)]
mod tests {
    use ecco_interpreter::Explorable;
    use ndarray::{ArrayD, IxDyn};

    use super::*;

    fn example() -> Tensor {
        let data = ArrayD::from_shape_fn(IxDyn(&[2, 3]), |at| (at[0] * 3 + at[1]) as f32 / 2.0);
        // As sites come: a view in another order than memory's.
        Tensor::new(data.permuted_axes(IxDyn(&[1, 0])), &["neuron", "position"])
    }

    fn saved(path: &str) -> Vec<u8> {
        let folder = tempfile::tempdir().expect("a folder");
        save(&example(), folder.path(), path, &|| Ok(())).expect(path);
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
            json!({
                "type": "tensor", "version": 1, "name": "tensor", "shape": [3, 2], "axes": ["neuron", "position"],
                "dtype": "float32", "min": 0.0, "max": 2.5, "mean": 1.25, "preview": [0.0, 1.5, 0.5, 2.0, 1.0, 2.5],
                "data": [[0.0, 1.5], [0.5, 2.0], [1.0, 2.5]]
            })
        );
        assert_eq!(Some(parsed), example().json(), "as a cell's output has it");
        // Two shortest decimals are as near to this one.
        let tie = Tensor::new(ArrayD::from_elem(IxDyn(&[1]), 133.0 / 512.0), &[]);
        let mut text = Vec::new();
        json(&tie, &mut text).expect("written");
        assert_eq!(
            serde_json::from_slice::<serde_json::Value>(&text).ok(),
            tie.json()
        );
        let mut text = Vec::new();
        let odd = Tensor::new(ArrayD::from_elem(IxDyn(&[1]), f32::NAN), &[]);
        json(&odd, &mut text).expect("written");
        assert!(text.ends_with(b",\"data\":[null]}"));
    }

    #[test]
    fn csv_files_have_a_row_for_each_value() {
        let mut text = Vec::new();
        let labels = |axis: &str| (axis == "position").then(|| vec!["a, \"b\"".to_owned(), "\n".to_owned()]);
        csv(&example(), &labels, &mut text).expect("written");
        let text = String::from_utf8(text).expect("text");
        let start = "neuron,position,position_label,value\r\n0,0,\"a, \"\"b\"\"\",0\r\n0,1,\"\n\",1.5\r\n";
        assert!(text.starts_with(start), "{text}");
        assert_eq!(text.matches("\r\n").count(), 7);
    }

    #[test]
    fn no_cell_of_a_table_is_a_formula() {
        for formula in [
            "=cmd|\" /C calc\"!A0",
            "+1",
            "-1",
            "@SUM(A1)",
            "\t=1",
            "\r=1",
            "＝1",
        ] {
            assert_eq!(cell(formula), format!("\"'{}\"", formula.replace('"', "\"\"")));
        }
        assert_eq!(
            cell(" =1"),
            "\" =1\"",
            "a space before it makes it a text already"
        );
        assert_eq!(cell("a=b"), "\"a=b\"");
    }

    #[test]
    fn an_interrupt_ends_saving_and_leaves_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("t.csv"), "old").expect("a file");
        let large = Tensor::new(ArrayD::zeros(IxDyn(&[300, 1000])), &["position", "neuron"]);
        for ending in ["csv", "json", "npy", "safetensors"] {
            let asked = std::cell::Cell::new(0);
            let check = || {
                asked.set(asked.get() + 1);
                match asked.get() {
                    ..4 => Ok(()),
                    _ => Err(ScriptError::interrupted()),
                }
            };
            let path = format!("t.{ending}");
            let error = save(&large, folder.path(), &path, &check).expect_err(ending);
            assert_eq!(error.kind, ErrorKind::Interrupt, "{ending}: {}", error.message);
            assert_eq!(asked.get(), 4, "{ending}: asked again");
        }
        let left: Vec<_> = std::fs::read_dir(folder.path()).expect("readable").collect();
        assert_eq!(left.len(), 1, "{left:?}");
        assert_eq!(std::fs::read(folder.path().join("t.csv")).expect("there"), b"old");
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
            let error = save(&example(), &folder, path, &|| Ok(())).expect_err(path);
            assert_eq!(error.kind, ErrorKind::Value, "{path}: {}", error.message);
        }
        // A link at the file's own place is replaced, not followed.
        save(&example(), &folder, "link.npy", &|| Ok(())).expect("a file");
        save(&example(), &folder, "below/t.npy", &|| Ok(())).expect("a file below");
        save(&example(), &folder, "below/t.npy", &|| Ok(())).expect("a file in the place of another");
        assert_eq!(std::fs::read(&precious).expect("it is there"), b"precious");
        assert!(
            !std::fs::symlink_metadata(folder.join("link.npy"))
                .expect("a file")
                .is_symlink()
        );
        let error = save(&example(), &folder, "nowhere/t.npy", &|| Ok(())).expect_err("no such folder");
        assert_eq!(error.kind, ErrorKind::File);
        assert_eq!(
            save(&example(), &folder, "t.bin", &|| Ok(()))
                .expect_err("an ending")
                .kind,
            ErrorKind::Value
        );
    }
}

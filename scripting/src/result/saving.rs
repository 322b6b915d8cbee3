//! Tensors and results in files of the notebook's folder, and nowhere else.
//!
//! What is written is here; where, and that it is there whole or not at all, is [`folder`](super::folder)'s.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::{self, Write};
use std::path::Path;

use ndarray::ArrayViewD;
use rhai::Map;
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde_json::{Value, json};

use crate::errors::{ErrorKind, ScriptError};
use crate::result::Explanation;
use crate::result::folder::{Folder, check_length};
use crate::result::show::brief;
use crate::result::watched::{Check, Watched, failure};
use crate::session::State;
use crate::tensor::numbers::{Element, of_numbers};
use crate::tensor::{Precision, Tensor};

/// The entry of a safetensors file's metadata that has a result's document.
pub(crate) const DOCUMENT: &str = "document";
/// Bytes of a document that goes with its numbers.
const LONGEST_DOCUMENT: usize = 4 << 20;

/// Writes one kind of file.
pub(crate) type Writer<'a> = Box<dyn Fn(&mut dyn Write) -> io::Result<()> + 'a>;

/// Writes a tensor to `path` below `folder`.
///
/// # Errors
/// A path that leads elsewhere or has another ending; what the system says; what `check` says, asked all along.
pub(crate) fn save(tensor: &Tensor, folder: &Path, path: &str, check: &Check) -> Result<(), ScriptError> {
    check_length(path)?;
    let write: Writer = match extension(path) {
        Some("npy") => Box::new(|out| npy(tensor, out)),
        Some("safetensors") => Box::new(|out| safetensors(&[("tensor", tensor.clone())], None, out)),
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

/// Writes a map of tensors to `path` below `folder`.
///
/// # Errors
/// As of [`save`]; a map of something else.
pub(crate) fn save_named(map: &Map, folder: &Path, path: &str, check: &Check) -> Result<(), ScriptError> {
    check_length(path)?;
    let example = "#{states: run.hidden_states}.save(\"states.safetensors\")";
    if extension(path) != Some("safetensors") {
        let message = format!("\"{path}\" does not say how to save a map of tensors: expected .safetensors");
        return Err(ScriptError::new(ErrorKind::Value, message).with_hint(format!("for example: {example}")));
    }
    let mut tensors = Vec::new();
    for (name, value) in map {
        let Some(tensor) = value.read_lock::<Tensor>() else {
            let message = format!("{name} is {}, and no tensor", brief(value));
            let hint = "a map of tensors is saved; ecco::tensor(values) makes one of an array of numbers";
            return Err(ScriptError::new(ErrorKind::Type, message).with_hint(hint));
        };
        tensors.push((name.as_str(), tensor.clone()));
    }
    if tensors.is_empty() {
        let message = "the map is empty: there is nothing to save";
        return Err(ScriptError::new(ErrorKind::Value, message).with_hint(format!("for example: {example}")));
    }
    write_file(folder, path, &|out| safetensors(&tensors, None, out), check)
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
            let tensors = tensors(result)?;
            let document = json_text(result)
                .ok()
                .filter(|text| text.len() <= LONGEST_DOCUMENT);
            Box::new(move |out| safetensors(&tensors, document.as_deref(), out))
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

/// What a file of a folder has.
pub enum Content {
    Json(Value),
    /// A safetensors file.
    Tensors(Vec<(&'static str, Tensor)>),
}

/// Writes files to the folder `path` of the notebook's folder or below, which is made where it is not there. Each is there
/// whole or as it was.
///
/// # Errors
/// As of [`save`].
pub fn save_folder(state: &State, path: &str, files: &[(&str, Content)]) -> Result<(), ScriptError> {
    check_length(path)?;
    let folder = state.folder.borrow().clone();
    Folder::make_in(&folder, Path::new(path)).map_err(|refusal| refusal.of_saving(path))?;
    for (name, content) in files {
        let write: Writer = match content {
            Content::Json(value) => Box::new(move |out| writeln!(out, "{value:#}")),
            Content::Tensors(tensors) => Box::new(move |out| safetensors(tensors, None, out)),
        };
        let path = format!("{}/{name}", path.trim_end_matches('/'));
        write_file(&folder, &path, &*write, &|| state.check_interrupt())?;
    }
    Ok(())
}

/// Writes tensors, with a document that says what they are, to a safetensors file of the notebook's folder or below. It is
/// there whole or as it was, and is written to the end where the cell was interrupted: it is short, and what it keeps would be lost.
///
/// # Errors
/// As of [`save`].
pub fn save_tensors(
    state: &State,
    path: &str,
    document: &Value,
    tensors: &[(&'static str, Tensor)],
) -> Result<(), ScriptError> {
    check_length(path)?;
    let (folder, document) = (state.folder.borrow().clone(), document.to_string());
    write_file(
        &folder,
        path,
        &|out| safetensors(tensors, Some(&document), out),
        &|| Ok(()),
    )
}

pub(crate) fn extension(path: &str) -> Option<&str> {
    Path::new(path).extension().and_then(|end| end.to_str())
}

pub(crate) fn unknown_ending(path: &str, known: &[&str], example: &str) -> ScriptError {
    let (last, others) = known.split_last().unwrap_or((&"", &[]));
    let others: Vec<String> = others.iter().map(|ending| format!(".{ending}")).collect();
    let list = format!("{} or .{last}", others.join(", "));
    let message = format!("\"{path}\" does not say how to save: expected {list}");
    ScriptError::new(ErrorKind::Value, message).with_hint(format!("for example: {example}"))
}

fn main_tensor(result: &dyn Explanation) -> Result<Tensor, ScriptError> {
    Ok(tensors(result)?.swap_remove(0).1)
}

/// At least one.
fn tensors(result: &dyn Explanation) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
    let tensors = result.tensors()?;
    match tensors.is_empty() {
        false => Ok(tensors),
        true => {
            let message = format!("{} has no numbers of its own to save", result.line());
            Err(ScriptError::new(ErrorKind::Value, message).with_hint("save it as .json or .html"))
        }
    }
}

pub(crate) fn write_file(
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
    let kind = tensor.precision().bytes();
    let mut header = format!("{{'descr': '<f{kind}', 'fortran_order': False, 'shape': ({shape}), }}");
    let unpadded = 10 + header.len() + 1;
    header.push_str(&" ".repeat(unpadded.next_multiple_of(64) - unpadded));
    header.push('\n');
    out.write_all(b"\x93NUMPY\x01\x00")?;
    out.write_all(&(header.len() as u16).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    write_values(tensor, out)
}

/// The format's header, padded to 8 bytes, then the values of each tensor, little-endian, in order of their names.
/// Beside the names of axes it notes what they are numbers of, where that is given.
fn safetensors<N: AsRef<str>>(
    tensors: &[(N, Tensor)],
    document: Option<&str>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut sorted: Vec<(&str, &Tensor)> = tensors
        .iter()
        .map(|(name, tensor)| (name.as_ref(), tensor))
        .collect();
    sorted.sort_by_key(|(name, _)| *name);
    let mut end = 0;
    let info = |(name, tensor): &(&str, &Tensor)| {
        let start = end;
        end += tensor.numbers().len() * tensor.precision().bytes();
        let info = TensorInfo {
            dtype: match tensor.precision() {
                Precision::Float32 => Dtype::F32,
                Precision::Float64 => Dtype::F64,
            },
            shape: tensor.shape().to_vec(),
            data_offsets: (start, end),
        };
        ((*name).to_owned(), info)
    };
    let infos = sorted.iter().map(info).collect();
    let axes = |(name, tensor): &(&str, &Tensor)| {
        let key = match tensors.len() {
            1 => "axes".to_owned(),
            _ => format!("{name}.axes"),
        };
        (key, tensor.axes().join(","))
    };
    let mut about: HashMap<String, String> = sorted.iter().map(axes).collect();
    about.extend(document.map(|text| (DOCUMENT.to_owned(), text.to_owned())));
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
    of_numbers!(tensor.numbers(), array => {
        array.iter().try_for_each(|value| out.write_all(&value.to_le_bytes()))
    })
}

/// The tensor's document with all values, one by one: in memory they would take many times the tensor.
pub(crate) fn json(tensor: &Tensor, out: &mut dyn Write) -> io::Result<()> {
    out.write_all(b"{")?;
    for (name, value) in tensor.document() {
        write!(out, "{}:{value},", json!(name))?;
    }
    out.write_all(b"\"data\":")?;
    of_numbers!(tensor.numbers(), array => write_nested(array.view(), out))?;
    out.write_all(b"}")
}

fn write_nested<T: Element + std::fmt::Display>(view: ArrayViewD<T>, out: &mut dyn Write) -> io::Result<()> {
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
pub(crate) fn cell(text: &str) -> String {
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
    of_numbers!(tensor.numbers(), array => csv_rows(array.view(), &axes, out))
}

fn csv_rows<T: Element + std::fmt::Display>(
    values: ArrayViewD<T>,
    axes: &[(String, Option<Vec<String>>)],
    out: &mut dyn Write,
) -> io::Result<()> {
    for (index, value) in values.indexed_iter() {
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
pub(crate) fn page(title: &str, body: &str, out: &mut dyn Write) -> io::Result<()> {
    let title = title.replace('&', "&amp;").replace('<', "&lt;");
    write!(
        out,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>{title}</title>\n</head>\n\
         <body>\n{body}\n</body>\n</html>\n"
    )
}

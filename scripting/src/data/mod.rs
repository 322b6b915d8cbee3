//! Files of the notebook's folder as values: `ecco::read`.
//!
//! - `file`: a file's bytes, of a bounded size; `text`: what they are as text; `stored`: a result that was saved
//! - `arrays`: numpy's and safetensors' numbers as tensors, `npz` several of them; `delimited`: csv and tsv as tables
//! - `parquet`: tables again, which are read and written a part at a time; `column`: the texts of a file, which no memory need hold

mod arrays;
mod column;
mod delimited;
mod file;
mod npz;
pub mod parquet;
mod stored;
mod text;

use rhai::{Array, Dynamic};

use crate::errors::{ErrorKind, ScriptError};
use crate::library::json;
use crate::registry::Registry;
use crate::tensor::work::Work;
use crate::{functions, options};

pub use column::{OnText, each_text};
pub use stored::{Stored, stored};

options! {
    /// What `read` can be told.
    pub(crate) struct ReadOptions {
        /// of a text: its lines, as an array
        lines: bool = false,
        /// of csv and tsv: whether the first row has the names of the columns
        header: bool = true,
        /// of csv and tsv: what stands between cells
        delimiter: Option<String> = "a comma, of tsv a tab",
        /// of csv and tsv: cells as they stand, of which no numbers are made
        text: bool = false,
    }
}

/// What reads one kind of file.
type Reader = fn(&[u8], &ReadOptions, &Work) -> Result<Dynamic, ScriptError>;

/// By the end of the file's name; how many times its bytes a value may take, at most.
const READERS: [(&str, Reader, usize); 9] = [
    ("txt", plain, 3),
    ("md", plain, 3),
    ("json", one_json, 2),
    ("jsonl", several_json, 2),
    ("csv", |bytes, options, work| table(bytes, b',', options, work), 3),
    (
        "tsv",
        |bytes, options, work| table(bytes, b'\t', options, work),
        3,
    ),
    (
        "npy",
        |bytes, _, work| arrays::npy(bytes, work).map(crate::tensor::Tensor::into_value),
        2,
    ),
    (
        "safetensors",
        |bytes, _, work| arrays::safetensors(bytes, work).map(Dynamic::from_map),
        2,
    ),
    (
        "npz",
        |bytes, _, work| npz::tensors(bytes, work).map(Dynamic::from_map),
        1,
    ),
];

/// What is read where it lies, part by part.
const PARQUET: &str = "parquet";

pub(crate) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// A file of the notebook's folder, by the end of its name: `.txt` and `.md` are texts; `.json` a value, `.jsonl` an
        /// array of one a line; `.csv`, `.tsv` and `.parquet` a table; `.npy` a tensor; `.npz` and `.safetensors` a map of tensors by
        /// name, the latter with the names of axes that `save` wrote.
        ///
        /// The path is one in the notebook's folder or below: a script that someone else wrote must not read any other
        /// place, so an absolute path, `..` and links that lead out are refused. Texts are UTF-8, or what a byte order
        /// mark says: UTF-16 or UTF-32. Numbers of up to 32 bits become 32-bit floats where these hold them, others
        /// 64-bit floats. A column of a table has numbers, or `true` and `false`, where all its cells are such as JSON
        /// writes them or empty, which is `()`; else it has texts, so that `007` stays what it is.
        ///
        /// Example:
        /// ```rhai
        /// let prompts = ecco::read("prompts.txt", #{lines: true});
        /// ecco::read("reviews.csv", #{delimiter: ";"}).filter(|row| row.stars == 5)
        /// ```
        fn read(state, path: &str; options: ReadOptions) -> Dynamic { read(path, &options, &Work::new(state)) }
    }
}

fn read(path: &str, options: &ReadOptions, work: &Work) -> Result<Dynamic, ScriptError> {
    let ending = std::path::Path::new(path)
        .extension()
        .and_then(|ending| ending.to_str());
    let ending = ending.unwrap_or_default().to_lowercase();
    let damaged = |error: ScriptError| match error.kind {
        ErrorKind::Value => ScriptError {
            message: format!("cannot read \"{path}\": {}", error.message),
            ..error
        },
        _ => error,
    };
    if ending == PARQUET {
        let (file, len) = file::open(path, work)?;
        return parquet::table(file, len, work)
            .map(Dynamic::from)
            .map_err(damaged);
    }
    let Some((_, reader, growth)) = READERS.iter().find(|(name, ..)| *name == ending) else {
        let names = READERS.iter().map(|(name, ..)| *name).chain([PARQUET]);
        let known: Vec<String> = names.map(|name| format!(".{name}")).collect();
        let message = format!("\"{path}\" does not say how to read it");
        return Err(ScriptError::new(ErrorKind::Value, message)
            .with_hint(format!("files that are read end in {}", known.join(", "))));
    };
    let bytes = file::bytes(path, *growth, work)?;
    reader(&bytes, options, work).map_err(damaged)
}

fn table(bytes: &[u8], between: u8, options: &ReadOptions, work: &Work) -> Result<Dynamic, ScriptError> {
    let text = text::decoded(bytes)?;
    delimited::table(&text, between, options, work).map(Dynamic::from)
}

/// A text, or its lines.
fn plain(bytes: &[u8], options: &ReadOptions, work: &Work) -> Result<Dynamic, ScriptError> {
    let text = text::decoded(bytes)?;
    if !options.lines {
        return Ok(Dynamic::from(text));
    }
    let mut lines = Array::new();
    for line in text.lines() {
        work.value()?;
        lines.push(Dynamic::from(line.to_owned()));
    }
    Ok(Dynamic::from_array(lines))
}

fn one_json(bytes: &[u8], _: &ReadOptions, work: &Work) -> Result<Dynamic, ScriptError> {
    json::parse(&mut || work.value(), &text::decoded(bytes)?)
}

/// A value a line; empty lines are passed over.
fn several_json(bytes: &[u8], _: &ReadOptions, work: &Work) -> Result<Dynamic, ScriptError> {
    let text = text::decoded(bytes)?;
    let mut values = Array::new();
    for (index, line) in text
        .lines()
        .enumerate()
        .filter(|(_, line)| !line.trim().is_empty())
    {
        let value = json::parse(&mut || work.value(), line).map_err(|error| match error.kind {
            ErrorKind::Value => ScriptError {
                // Where it is in the line, the message says as of line 1.
                message: format!(
                    "line {}: {}",
                    index + 1,
                    error.message.replace(" at line 1 column", " at column")
                ),
                ..error
            },
            _ => error,
        })?;
        values.push(value);
    }
    Ok(Dynamic::from_array(values))
}

//! How a cell's value is shown.

use ecco_interpreter::MimeBundle;
use rhai::{Array, Dynamic, FnPtr, Map};

use super::known;
use super::numbers::short;
use crate::errors::{ScriptError, printable};
use crate::session::State;
use crate::tensor::Tensor;

/// Items of an array or map that are shown at each end.
const EDGE: usize = 10;
/// Arrays up to this length are shown whole.
const WHOLE: usize = 30;
/// The same inside of another array or around one: what is nested grows fast.
const NESTED_EDGE: usize = 3;
const NESTED_WHOLE: usize = 8;
/// A nested float that takes more characters is rounded.
const LONGEST_NESTED_FLOAT: usize = 10;
/// Characters of a shown array or map.
const LONGEST_CODE: usize = 20_000;
/// Characters of a shown string.
const LONGEST_TEXT: usize = 100_000;
/// Characters of a nested value's text, and levels of nesting.
const LONGEST_LINE: usize = 100;
const DEEPEST: usize = 6;
/// Characters of a value's text on a page about it.
const LONGEST_SUMMARY: usize = 2_000;

/// The representations of a value; None for `()`.
///
/// # Errors
/// What is computed when first shown may fail.
pub fn bundle(value: &Dynamic) -> Result<Option<MimeBundle>, ScriptError> {
    if value.is_unit() {
        return Ok(None);
    }
    if let Some(bundle) = known::bundle(value) {
        return bundle.map(Some);
    }
    if let Some(error) = value.read_lock::<ScriptError>() {
        let text = format!("{}: {}", error.kind.name(), printable(&error.message));
        return Ok(Some(MimeBundle::from_text(text)));
    }
    Ok(Some(MimeBundle::from_text(text(value))))
}

/// The same for a cell's output: the page of a result that can be asked carries the id by which it is found.
///
/// # Errors
/// As [`bundle`].
pub(crate) fn live_bundle(value: &Dynamic, state: &State) -> Result<Option<MimeBundle>, ScriptError> {
    let Some(mut bundle) = bundle(value)? else {
        return Ok(None);
    };
    state.live.borrow_mut().note(&mut bundle, known::live(value));
    Ok(Some(bundle))
}

/// Readable text of a plain value: strings as they are, the rest as code would write it.
pub fn text(value: &Dynamic) -> String {
    if let Ok(blob) = value.as_blob_ref()
        && blob.len() > LONGEST_CODE
    {
        // Two characters a byte: what follows is not shown, and its text would take many times the blob.
        let beginning = Dynamic::from_blob(blob[..LONGEST_CODE].to_vec());
        return shorten(&beginning.to_string(), LONGEST_CODE);
    }
    match value.as_immutable_string_ref() {
        Ok(text) => quoted(&text),
        Err(_) => shorten(&code(value, 0), LONGEST_CODE),
    }
}

/// A string as code would write it: in backticks with real line breaks where it has several lines.
fn quoted(text: &str) -> String {
    let beginning = text
        .char_indices()
        .nth(LONGEST_TEXT)
        .map_or(text, |(end, _)| &text[..end]);
    if !beginning.contains('\n') || beginning.contains(['`', '$', '\\']) {
        return format!("\"{}\"", escaped(text, LONGEST_TEXT));
    }
    format!("`{}`", printable(&shorten(text, LONGEST_TEXT)))
}

/// The first characters of a text as code would write it; the rest is not looked at, however long it is.
fn escaped(text: &str, most: usize) -> String {
    let beginning = text
        .char_indices()
        .nth(most + 1)
        .map_or(text, |(end, _)| &text[..end]);
    shorten(&beginning.escape_debug().to_string(), most)
}

/// For messages: the value when it is short, and its type.
pub fn brief(value: &Dynamic) -> String {
    let of = type_name(value);
    match of.as_str() {
        "int" | "float" | "bool" | "string" | "char" | "array" => {
            let text = match value.as_immutable_string_ref() {
                Ok(text) => format!("\"{}\"", escaped(&text, 40)),
                Err(_) => text(value),
            };
            let shown = shorten(&text.replace('\n', " "), 40);
            format!("{shown} ({of})")
        }
        "()" => "() (nothing)".to_owned(),
        _ => match value.read_lock::<Tensor>() {
            Some(tensor) => format!("a tensor of shape {:?}", tensor.shape()),
            None => format!("a value of type {of}"),
        },
    }
}

/// The value's type as scripts call it.
pub fn type_name(value: &Dynamic) -> String {
    crate::names::type_for_people(value.type_name())
}

/// A type error that says what was expected and which value came.
pub fn expected<T>(what: &str, value: &Dynamic) -> Result<T, ScriptError> {
    let message = format!("expected {what}, got {}", brief(value));
    Err(ScriptError::new(crate::errors::ErrorKind::Type, message))
}

/// A value as code would write it, shortened.
fn code(value: &Dynamic, depth: usize) -> String {
    if let Ok(text) = value.as_immutable_string_ref() {
        return format!("\"{}\"", escaped(&text, LONGEST_LINE));
    }
    if let Ok(array) = value.as_array_ref() {
        return array_text(&array, depth);
    }
    if let Ok(map) = value.as_map_ref() {
        return map_text(&map, depth);
    }
    if value.is_unit() {
        return "()".to_owned();
    }
    if let Ok(float) = value.as_float() {
        return float_text(float, depth);
    }
    if let Ok(c) = value.as_char() {
        return format!("'{}'", c.escape_debug());
    }
    if let Some(closure) = value.read_lock::<FnPtr>() {
        let name = closure.fn_name();
        return if closure.is_anonymous() {
            "closure".to_owned()
        } else {
            format!("Fn(\"{name}\")")
        };
    }
    if let Some(line) = known::line(value) {
        return shorten(&line, LONGEST_LINE);
    }
    if value.is_variant() {
        format!("<{}>", type_name(value))
    } else {
        value.to_string()
    }
}

fn array_text(array: &Array, depth: usize) -> String {
    if array.is_empty() || depth >= DEEPEST {
        return if array.is_empty() {
            "[]".to_owned()
        } else {
            "[…]".to_owned()
        };
    }
    let item = |value: &Dynamic| code(value, depth + 1);
    let is_nested = depth > 0 || array.iter().any(|value| value.is_array());
    let (whole, edge) = match is_nested {
        true => (NESTED_WHOLE, NESTED_EDGE),
        false => (WHOLE, EDGE),
    };
    let items: Vec<String> = if array.len() <= whole {
        array.iter().map(item).collect()
    } else {
        let head = array[..edge].iter().map(item);
        let tail = array[array.len() - edge..].iter().map(item);
        head.chain(["…".to_owned()]).chain(tail).collect()
    };
    let count = if array.len() > whole && depth == 0 {
        format!(" ({} items)", array.len())
    } else {
        String::new()
    };
    format!("{}{count}", bracketed("[", &items, "]", depth))
}

fn map_text(map: &Map, depth: usize) -> String {
    if map.is_empty() || depth >= DEEPEST {
        return if map.is_empty() {
            "#{}".to_owned()
        } else {
            "#{…}".to_owned()
        };
    }
    let key = |name: &str| {
        let plain = rhai::is_valid_identifier(name);
        if plain {
            name.to_owned()
        } else {
            format!("\"{}\"", name.escape_debug())
        }
    };
    let entries = map.iter().take(WHOLE * 2);
    let mut items: Vec<String> = entries
        .map(|(name, value)| format!("{}: {}", key(name), code(value, depth + 1)))
        .collect();
    if map.len() > items.len() {
        items.push(format!("… {} more", map.len() - items.len()));
    }
    bracketed("#{", &items, "}", depth)
}

/// On one line where that is short enough, else one item a line.
fn bracketed(open: &str, items: &[String], close: &str, depth: usize) -> String {
    let one_line = format!("{open}{}{close}", items.join(", "));
    let is_short = one_line.chars().count() <= LONGEST_LINE && !one_line.contains('\n');
    if is_short {
        return one_line;
    }
    let indent = "    ".repeat(depth + 1);
    let lines: Vec<String> = items.iter().map(|item| format!("{indent}{item}")).collect();
    format!("{open}\n{}\n{}{close}", lines.join(",\n"), "    ".repeat(depth))
}

fn float_text(value: f64, depth: usize) -> String {
    if value.is_finite() && value == value.trunc() && value.abs() < 1e15 {
        return format!("{value:.1}");
    }
    let exact = format!("{value}");
    let most = if depth > 1 { LONGEST_NESTED_FLOAT } else { 22 };
    if exact.len() > most { short(value) } else { exact }
}

fn shorten(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

/// For functions that take any text: strings as they are, the rest as shown.
pub fn printed(value: &Dynamic) -> String {
    match value.as_immutable_string_ref() {
        Ok(text) => text.to_string(),
        Err(_) => code(value, 0),
    }
}

/// What can be said about a value without computing anything: size, shape, place.
pub fn facts(value: &Dynamic) -> Vec<(&'static str, String)> {
    let count = |n: usize, unit: &str| format!("{n} {unit}");
    if let Ok(array) = value.as_array_ref() {
        return vec![("length", count(array.len(), "items"))];
    }
    if let Ok(map) = value.as_map_ref() {
        return vec![("length", count(map.len(), "entries"))];
    }
    if let Ok(text) = value.as_immutable_string_ref() {
        return vec![("length", count(text.chars().count(), "characters"))];
    }
    if let Ok(blob) = value.as_blob_ref() {
        return vec![("length", count(blob.len(), "bytes"))];
    }
    known::facts(value)
}

/// A few lines about any value, without computing anything.
pub fn summary(value: &Dynamic) -> String {
    if let Some(text) = known::summary(value) {
        return text;
    }
    let text = known::line(value).unwrap_or_else(|| self::text(value));
    match text.char_indices().nth(LONGEST_SUMMARY) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

//! Methods of Python's texts and lists that the engine does not have.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, ErrorKind, State};

use super::bounds::{bounded, invalid};
use super::filters::centred;
use super::python::text;

pub(super) fn call(state: &mut State, value: &Value, method: &str, given: &[Value]) -> Result<Value, Error> {
    match minijinja_contrib::pycompat::unknown_method_callback(state, value, method, given) {
        Err(error) if error.kind() == ErrorKind::UnknownMethod => match value.kind() {
            ValueKind::String => of_text(&text(value), method, given).unwrap_or(Err(error)),
            ValueKind::Seq if method == "index" => index(value, given),
            _ => Err(error),
        },
        found => found,
    }
}

/// `None` for a method that is not known here either.
fn of_text(value: &str, method: &str, given: &[Value]) -> Option<Result<Value, Error>> {
    let first = || match given.first() {
        Some(first) => Ok(text(first)),
        None => Err(invalid(format!("{method}: an argument is missing"))),
    };
    let list = |parts: Vec<&str>| parts.into_iter().map(Value::from).collect::<Value>();
    Some(match method {
        "removeprefix" => first().map(|prefix| value.strip_prefix(&prefix).unwrap_or(value).into()),
        "removesuffix" => first().map(|suffix| value.strip_suffix(&suffix).unwrap_or(value).into()),
        "partition" => first().map(|by| {
            let (before, behind) = value.split_once(&by).unwrap_or((value, ""));
            let by = if before.len() == value.len() {
                ""
            } else {
                by.as_str()
            };
            tuple([before, by, behind])
        }),
        "rpartition" => first().map(|by| {
            let (before, behind) = value.rsplit_once(&by).unwrap_or(("", value));
            let by = if behind.len() == value.len() {
                ""
            } else {
                by.as_str()
            };
            tuple([before, by, behind])
        }),
        "rsplit" => Ok(list(rsplit(value, given))),
        "index" => first().and_then(|part| match value.find(&part) {
            Some(at) => Ok(value[..at].chars().count().into()),
            None => Err(invalid(format!("index: {part:?} does not stand in {value:?}"))),
        }),
        "swapcase" => Ok(value.chars().map(swapped).collect::<String>().into()),
        "zfill" | "ljust" | "rjust" | "center" => justified(value, method, given),
        _ => return None,
    })
}

fn tuple(parts: [&str; 3]) -> Value {
    Value::from_object(Tuple::new(parts.map(Value::from).to_vec()))
}

fn rsplit<'v>(value: &'v str, given: &[Value]) -> Vec<&'v str> {
    let by = given.first().filter(|by| !by.is_none()).map(text);
    let n = given
        .get(1)
        .and_then(Value::as_usize)
        .map_or(usize::MAX, |n| n.saturating_add(1));
    let mut parts: Vec<&str> = match &by {
        Some(by) => value.rsplitn(n, by.as_str()).collect(),
        None if n == usize::MAX => value.split_whitespace().rev().collect(),
        None => value
            .trim()
            .rsplitn(n, char::is_whitespace)
            .map(str::trim)
            .collect(),
    };
    parts.reverse();
    parts
}

fn swapped(char: char) -> String {
    match char.is_uppercase() {
        true => char.to_lowercase().collect(),
        false => char.to_uppercase().collect(),
    }
}

fn justified(value: &str, method: &str, given: &[Value]) -> Result<Value, Error> {
    let width = given.first().and_then(Value::as_i64);
    let width = width.ok_or_else(|| invalid(format!("{method}: expected a width")))?;
    let fill = given
        .get(1)
        .map(text)
        .and_then(|fill| fill.chars().next())
        .unwrap_or(' ');
    bounded(usize::try_from(width).unwrap_or(0))?;
    let missing = usize::try_from(width)
        .unwrap_or(0)
        .saturating_sub(value.chars().count());
    let filled = |fill: char| fill.to_string().repeat(missing);
    Ok(match method {
        "ljust" => value.to_owned() + &filled(fill),
        "rjust" => filled(fill) + value,
        "zfill" => match value.strip_prefix(['+', '-']) {
            Some(digits) => format!("{}{}{digits}", &value[..1], filled('0')),
            None => filled('0') + value,
        },
        _ => centred(value, width, fill)?,
    }
    .into())
}

fn index(list: &Value, given: &[Value]) -> Result<Value, Error> {
    let wanted = given
        .first()
        .ok_or_else(|| invalid("index: an argument is missing".to_owned()))?;
    let at = list.try_iter()?.position(|item| item == *wanted);
    at.map(Value::from)
        .ok_or_else(|| invalid(format!("index: {wanted} is not in the list")))
}

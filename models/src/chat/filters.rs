//! Filters of Jinja as Python has them, with all their arguments, where the engine has none or fewer.

use minijinja::value::{Kwargs, Rest, Value, ValueKind, ValueOrKwargs};
use minijinja::{Environment, Error, State, filters};

use super::arguments::Arguments;
use super::bounds::{MOST_LEVELS, bounded, invalid};
use super::layout::{lines, pretty, wrap};
use super::python::{Json, text};

type Given = Rest<ValueOrKwargs>;

/// Adds them all.
pub(super) fn add(environment: &mut Environment) {
    of_engine(environment);
    of_lists(environment);
    of_texts(environment);
    super::markup::add(environment);
    environment.add_filter("tojson", to_json);
}

/// Adds a filter of the engine's under a name that no template can write, and by its own name one that takes arguments
/// by place and by name as Python does; so many go on by place, the others by name.
macro_rules! adapt {
    ($environment:ident, $($name:ident [$($parameter:literal),*] $n_by_place:literal;)*) => {$(
        $environment.add_filter(concat!("~", stringify!($name)), filters::$name);
        $environment.add_filter(stringify!($name), |state: &mut State, value: Value, given: Given| {
            let given = Arguments::bind(stringify!($name), &[$($parameter),*], given)?;
            given.pass_to(state, concat!("~", stringify!($name)), value, $n_by_place)
        });
    )*};
}

fn of_engine(environment: &mut Environment) {
    adapt! { environment,
        sort ["reverse", "case_sensitive", "attribute"] 0;
        unique ["case_sensitive", "attribute"] 0;
        min ["case_sensitive", "attribute"] 0;
        max ["case_sensitive", "attribute"] 0;
        batch ["linecount", "fill_with"] 2;
        slice ["slices", "fill_with"] 2;
    }
    environment.add_filter("~dictsort", filters::dictsort);
    environment.add_filter("dictsort", |state: &mut State, value: Value, given: Given| {
        let given = Arguments::bind("dictsort", &["case_sensitive", "by", "reverse"], given)?;
        match given.text("by", "key").as_str() {
            "key" | "value" => given.pass_to(state, "~dictsort", value, 0),
            by => Err(invalid(format!("dictsort sorts by key or value, not by {by:?}"))),
        }
    });
    environment.add_filter("~map", filters::map);
    environment.add_filter("map", map);
    environment.add_filter("~format", filters::format);
    environment.add_filter("format", |state: &mut State, pattern: Value, given: Given| {
        let given = given.into_values();
        if !given.is_empty() && !text(&pattern).contains('%') {
            return Err(invalid(
                "format: the text has no place for what is given".to_owned(),
            ));
        }
        let all: Vec<Value> = std::iter::once(pattern).chain(given).collect();
        state.apply_filter("~format", &all)
    });
}

/// Another filter on each, with all its arguments, or an attribute of each.
fn map(state: &mut State, value: Value, given: Given) -> Result<Value, Error> {
    let given = given.into_values();
    let Some(name) = given.first().and_then(Value::as_str).map(str::to_owned) else {
        let all: Vec<Value> = std::iter::once(value).chain(given).collect();
        return state.apply_filter("~map", &all);
    };
    let mut mapped = Vec::new();
    for item in value.try_iter()? {
        let all: Vec<Value> = std::iter::once(item).chain(given[1..].iter().cloned()).collect();
        mapped.push(state.apply_filter(&name, &all)?);
    }
    Ok(mapped.into())
}

fn of_lists(environment: &mut Environment) {
    environment.add_filter("join", |state: &mut State, value: Value, given: Given| {
        let given = Arguments::bind("join", &["d", "attribute"], given)?;
        let items = match given.value("attribute") {
            None => value,
            Some(attribute) => {
                let attribute: Kwargs = [("attribute", attribute.clone())].into_iter().collect();
                state.apply_filter("~map", &[value, attribute.into()])?
            }
        };
        let (between, mut joined) = (given.text("d", ""), String::new());
        for (at, item) in items.try_iter()?.enumerate() {
            if at > 0 {
                joined.push_str(&between);
            }
            joined.push_str(&text(&item));
            bounded(joined.len())?;
        }
        Ok(joined)
    });
    for name in ["default", "d"] {
        environment.add_filter(name, |value: Value, given: Given| {
            let given = Arguments::bind("default", &["default_value", "boolean"], given)?;
            let is_missing = value.is_undefined() || given.is_true("boolean", false) && !value.is_true();
            let default = given.required("default_value").cloned();
            Ok::<_, Error>(if is_missing {
                default.unwrap_or_else(|_| "".into())
            } else {
                value
            })
        });
    }
}

fn of_texts(environment: &mut Environment) {
    environment.add_filter("string", |value: Value| text(&value));
    environment.add_filter("pprint", |value: Value| pretty(&value));
    environment.add_filter("replace", |value: Value, given: Given| {
        let given = Arguments::bind("replace", &["old", "new", "count"], given)?;
        let (old, new) = (text(given.required("old")?), text(given.required("new")?));
        replace(&text(&value), &old, &new, given.integer("count", -1)?)
    });
    environment.add_filter("trim", |value: Value, given: Given| {
        let given = Arguments::bind("trim", &["chars"], given)?;
        let value = text(&value);
        Ok::<_, Error>(match given.value("chars").map(text) {
            None => value.trim().to_owned(),
            Some(chars) => value.trim_matches(|char| chars.contains(char)).to_owned(),
        })
    });
    environment.add_filter("indent", |value: Value, given: Given| {
        indent(
            &text(&value),
            &Arguments::bind("indent", &["width", "first", "blank"], given)?,
        )
    });
    environment.add_filter("center", |value: Value, given: Given| {
        let given = Arguments::bind("center", &["width"], given)?;
        centred(&text(&value), given.integer("width", 80)?, ' ')
    });
    environment.add_filter("truncate", |value: Value, given: Given| {
        let parameters = &["length", "killwords", "end", "leeway"];
        truncate(&text(&value), &Arguments::bind("truncate", parameters, given)?)
    });
    environment.add_filter("wordwrap", |value: Value, given: Given| {
        let parameters = &["width", "break_long_words", "wrapstring", "break_on_hyphens"];
        wrap(&text(&value), &Arguments::bind("wordwrap", parameters, given)?)
    });
    environment.add_filter("wordcount", |value: Value| {
        let value = text(&value);
        let words = value.split(|char: char| !(char.is_alphanumeric() || char == '_'));
        words.filter(|word| !word.is_empty()).count()
    });
    environment.add_filter("int", |value: Value, given: Given| {
        let given = Arguments::bind("int", &["default", "base"], given)?;
        let base = u32::try_from(given.integer("base", 10)?)
            .ok()
            .filter(|base| (2..=36).contains(base));
        let base = base.ok_or_else(|| invalid("int: base is not from 2 to 36".to_owned()))?;
        let default = given.value("default").cloned().unwrap_or_else(|| 0.into());
        Ok::<_, Error>(integer(&value, base).map_or(default, Value::from))
    });
    environment.add_filter("float", |value: Value, given: Given| {
        let given = Arguments::bind("float", &["default"], given)?;
        let default = given.value("default").cloned().unwrap_or_else(|| 0.0.into());
        let number = match value.kind() {
            ValueKind::String => text(&value).trim().replace('_', "").parse().ok(),
            _ => f64::try_from(value).ok(),
        };
        Ok::<_, Error>(number.map_or(default, Value::from))
    });
}

/// Of Python's `str.replace`; a negative count is all.
pub(super) fn replace(value: &str, old: &str, new: &str, count: i64) -> Result<String, Error> {
    let n = value.matches(old).count();
    let n = usize::try_from(count).map_or(n, |count| count.min(n));
    bounded(value.len().saturating_add(n.saturating_mul(new.len())))?;
    Ok(value.replacen(old, new, n))
}

fn indent(value: &str, given: &Arguments) -> Result<String, Error> {
    let before = match given.value("width") {
        Some(width) if width.kind() == ValueKind::String => text(width),
        _ => spaces(given.integer("width", 4)?)?,
    };
    let whole = format!("{value}\n");
    let lines = lines(&whole);
    bounded(
        value
            .len()
            .saturating_add(lines.len().saturating_mul(before.len())),
    )?;
    let blank = given.is_true("blank", false);
    // A line that ends the text is one, as in Python.
    let line = |(at, (line, _)): (usize, &(&str, &str))| match at > 0 && (blank || !line.is_empty()) {
        true => format!("{before}{line}"),
        false => (*line).to_owned(),
    };
    let lines: Vec<String> = lines.iter().enumerate().map(line).collect();
    let first = if given.is_true("first", false) {
        before.as_str()
    } else {
        ""
    };
    Ok(format!("{first}{}", lines.join("\n")))
}

fn spaces(n: i64) -> Result<String, Error> {
    let n = usize::try_from(n).unwrap_or(0);
    bounded(n)?;
    Ok(" ".repeat(n))
}

/// Of Python's `str.center`: what cannot be shared out stands where the width is odd before, else behind.
pub(super) fn centred(value: &str, width: i64, fill: char) -> Result<String, Error> {
    let (n, width) = (value.chars().count(), usize::try_from(width).unwrap_or(0));
    bounded(width)?;
    let rest = width.saturating_sub(n);
    let before = rest / 2 + (rest & width & 1);
    let fill = |n: usize| fill.to_string().repeat(n);
    Ok(format!("{}{value}{}", fill(before), fill(rest - before)))
}

fn truncate(value: &str, given: &Arguments) -> Result<String, Error> {
    let (length, leeway) = (given.integer("length", 255)?, given.integer("leeway", 5)?);
    let end = given.text("end", "...");
    let (n, n_end) = (value.chars().count() as i64, end.chars().count() as i64);
    if length < n_end || leeway < 0 {
        return Err(invalid(format!(
            "truncate: expected a length from {n_end}, and a leeway from 0"
        )));
    }
    if n <= length.saturating_add(leeway) {
        return Ok(value.to_owned());
    }
    let kept: String = value.chars().take((length - n_end) as usize).collect();
    let kept = match given.is_true("killwords", false) {
        true => kept.as_str(),
        false => kept.rsplit_once(' ').map_or(kept.as_str(), |(before, _)| before),
    };
    Ok(format!("{kept}{end}"))
}

/// Python's `int(value, base)`, and of what that does not take `int(float(value))`.
fn integer(value: &Value, base: u32) -> Option<i64> {
    let whole = |number: f64| number.is_finite().then_some(number.trunc() as i64);
    if value.kind() != ValueKind::String {
        return value
            .as_i64()
            .or_else(|| whole(f64::try_from(value.clone()).ok()?));
    }
    let written = text(value).trim().replace('_', "").to_lowercase();
    let prefix = match base {
        2 => "0b",
        8 => "0o",
        16 => "0x",
        _ => "",
    };
    let (sign, digits) = match written.strip_prefix('-') {
        Some(digits) => (-1, digits),
        None => (1, written.strip_prefix('+').unwrap_or(&written)),
    };
    let digits = digits.strip_prefix(prefix).unwrap_or(digits);
    let number = i64::from_str_radix(digits, base)
        .ok()
        .filter(|_| !digits.starts_with(['+', '-']));
    number
        .map(|number| sign * number)
        .or_else(|| whole(written.parse().ok()?))
}

/// JSON as Python's `json.dumps` writes it, with the arguments that transformers hands on.
fn to_json(value: Value, given: Given) -> Result<String, Error> {
    let given = Arguments::bind(
        "tojson",
        &["ensure_ascii", "indent", "separators", "sort_keys"],
        given,
    )?;
    let indent = match given.value("indent") {
        None => None,
        Some(indent) if indent.kind() == ValueKind::String => Some(text(indent)),
        Some(_) => Some(spaces(given.integer("indent", 0)?)?),
    };
    if indent.as_ref().is_some_and(|indent| indent.len() > MOST_LEVELS) {
        return Err(invalid(format!(
            "tojson: more than {MOST_LEVELS} characters for each level"
        )));
    }
    let separators = match given.value("separators") {
        None => None,
        Some(pair) => {
            let pair: Vec<Value> = pair.try_iter()?.collect();
            let [items, keys] = &pair[..] else {
                return Err(invalid(format!(
                    "tojson: expected two separators, not {}",
                    pair.len()
                )));
            };
            Some((text(items), text(keys)))
        }
    };
    let usual = if indent.is_some() { "," } else { ", " };
    let (between_items, behind_key) = separators.unwrap_or_else(|| (usual.to_owned(), ": ".to_owned()));
    let json = Json {
        ensure_ascii: given.is_true("ensure_ascii", false),
        indent,
        between_items,
        behind_key,
        sort_keys: given.is_true("sort_keys", false),
    };
    json.write(&value)
}

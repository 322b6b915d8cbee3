//! The language of templates, as transformers sets it up.

use std::fmt::Write as _;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::ValueKind;
use minijinja::{Environment, ErrorKind, Output, State};

use super::{filters, globals, methods, python};

/// Steps of a template, of which each 64 bytes that it makes are one, so that memory is bounded too (128 MB). A
/// long conversation takes some ten thousand.
pub(super) const FUEL: u64 = 2_000_000;

/// Bytes of a pattern of `strftime_now`: what it makes takes no fuel.
const PATTERN_LIMIT: usize = 256;

/// Jinja as transformers sets it up.
pub(super) fn environment() -> Result<Environment<'static>, minijinja::Error> {
    let mut environment = Environment::new();
    environment.set_syntax(
        SyntaxConfig::builder()
            .trim_blocks(true)
            .lstrip_blocks(true)
            .build()?,
    );
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(100);
    environment.set_unknown_method_callback(methods::call);
    filters::add(&mut environment);
    environment.add_function("strftime_now", now);
    environment.add_function(
        "raise_exception",
        |message: String| -> Result<String, minijinja::Error> {
            Err(minijinja::Error::new(ErrorKind::InvalidOperation, message))
        },
    );
    globals::add(&mut environment);
    environment.set_formatter(write);
    Ok(environment)
}

/// Writes a value as Python does.
fn write(output: &mut Output, state: &mut State, value: &minijinja::Value) -> Result<(), minijinja::Error> {
    match value.kind() {
        ValueKind::Undefined | ValueKind::Plain | ValueKind::Invalid => {
            minijinja::escape_formatter(output, state, value)
        }
        _ => Ok(output.write_str(&python::text(value))?),
    }
}

/// The local time by a pattern of C's `strftime`.
fn now(pattern: String) -> Result<String, minijinja::Error> {
    let invalid = |reason: String| minijinja::Error::new(ErrorKind::InvalidOperation, reason);
    if pattern.len() > PATTERN_LIMIT {
        return Err(invalid(format!(
            "strftime_now: a pattern of more than {PATTERN_LIMIT} bytes"
        )));
    }
    let mut text = String::new();
    write!(text, "{}", chrono::Local::now().format(&pattern))
        .map_err(|_| invalid(format!("strftime_now: {pattern:?} is not a pattern")))?;
    Ok(text)
}

/// The tags with which transformers marks what a model wrote, as blocks that Jinja knows.
pub(super) fn without_generation_tags(source: &str) -> String {
    let mut plain = String::with_capacity(source.len());
    let mut rest = source;
    while let Some((before, tag, after)) = next_tag(rest) {
        plain.push_str(before);
        let word = tag.trim_matches(['-', '+']).trim();
        match word {
            "generation" => plain.push_str(&tag.replace(word, "if true")),
            "endgeneration" => plain.push_str(&tag.replace(word, "endif")),
            _ => plain.push_str(tag),
        }
        rest = after;
    }
    plain + rest
}

/// Up to a tag's `{%`, what stands in the tag, and from its `%}` on.
fn next_tag(source: &str) -> Option<(&str, &str, &str)> {
    let start = source.find("{%")? + 2;
    let end = start + source[start..].find("%}")?;
    Some((&source[..start], &source[start..end], &source[end..]))
}

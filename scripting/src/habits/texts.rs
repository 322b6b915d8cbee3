//! Python's texts and comments: `'…'`, `f"…"`, `r"…"`, `"""…"""`, `# …`.

use std::ops::Range;

use super::{Code, Found};

/// A text or a comment in Python's way.
struct Piece {
    range: Range<usize>,
    /// `f`, `r` …; `#` of a comment.
    prefix: String,
    content: String,
    is_triple: bool,
}

pub(super) fn comments(code: &Code) -> Vec<Found> {
    found(code, |piece| piece.prefix == "#", |_| "//".to_owned())
}

pub(super) fn formatted(code: &Code) -> Vec<Found> {
    found(
        code,
        |piece| piece.prefix.contains('f'),
        |piece| interpolated(&piece.content),
    )
}

pub(super) fn prefixed(code: &Code) -> Vec<Found> {
    let is_one = |piece: &Piece| matches!(piece.prefix.as_str(), "r" | "b" | "u" | "rb" | "br");
    found(code, is_one, |piece| match piece.prefix.contains('r') {
        true => format!("#\"{}\"#", piece.content),
        false => quoted(piece),
    })
}

pub(super) fn tripled(code: &Code) -> Vec<Found> {
    found(code, |piece| piece.prefix.is_empty() && piece.is_triple, quoted)
}

pub(super) fn single(code: &Code) -> Vec<Found> {
    found(code, |piece| piece.prefix.is_empty() && !piece.is_triple, quoted)
}

fn found(code: &Code, is_one: impl Fn(&Piece) -> bool, text: impl Fn(&Piece) -> String) -> Vec<Found> {
    let all = pieces(&code.chars).into_iter().filter(is_one);
    all.map(|piece| Found::new(piece.range.clone(), text(&piece)))
        .collect()
}

/// Everything that is no text or comment of Rhai's.
fn pieces(chars: &[char]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut at = 0;
    let line_end = |from: usize| {
        (from..chars.len())
            .find(|&i| chars[i] == '\n')
            .unwrap_or(chars.len())
    };
    let after = |from: usize, end: &str| position(chars, from, end).map_or(chars.len(), |i| i + end.len());
    while let Some(&c) = chars.get(at) {
        let next = chars.get(at + 1).copied().unwrap_or(' ');
        at = match c {
            '/' if next == '/' => line_end(at),
            '/' if next == '*' => after(at + 2, "*/"),
            '`' => after(at + 1, "`"),
            '#' if next == '"' => after(at + 2, "\"#"),
            '#' if next == '{' => at + 2,
            '#' => {
                pieces.push(Piece {
                    range: at..at + 1,
                    prefix: "#".to_owned(),
                    content: String::new(),
                    is_triple: false,
                });
                line_end(at)
            }
            _ if c.is_alphanumeric() || c == '_' => {
                let end = (at..chars.len()).find(|&i| !chars[i].is_alphanumeric() && chars[i] != '_');
                let end = end.unwrap_or(chars.len());
                let prefix: String = chars[at..end].iter().collect::<String>().to_lowercase();
                match chars.get(end) {
                    Some('"' | '\'') if is_prefix(&prefix) => text_at(chars, at, end, prefix, &mut pieces),
                    _ => end,
                }
            }
            '"' | '\'' => text_at(chars, at, at, String::new(), &mut pieces),
            _ => at + 1,
        };
    }
    pieces
}

fn is_prefix(word: &str) -> bool {
    matches!(word, "f" | "r" | "b" | "u" | "fr" | "rf" | "br" | "rb")
}

fn position(chars: &[char], from: usize, text: &str) -> Option<usize> {
    let wanted: Vec<char> = text.chars().collect();
    (from..chars.len()).find(|&i| chars[i..].starts_with(&wanted))
}

/// Reads the text whose quote is at `open`; where it ends.
fn text_at(chars: &[char], start: usize, open: usize, prefix: String, pieces: &mut Vec<Piece>) -> usize {
    let quote = chars[open];
    let is_triple = chars[open..].starts_with(&[quote; 3]);
    let width = if is_triple { 3 } else { 1 };
    let mut at = open + width;
    while at < chars.len() && !chars[at..].starts_with(&[quote; 3][..width]) {
        if chars[at] == '\n' && !is_triple {
            return at;
        }
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    if at >= chars.len() {
        return chars.len();
    }
    let content: String = chars[open + width..at].iter().collect();
    let end = at + width;
    if !prefix.is_empty() || is_triple || (quote == '\'' && !is_character(&content)) {
        pieces.push(Piece {
            range: start..end,
            prefix,
            content,
            is_triple,
        });
    }
    end
}

/// Whether `'…'` is a character to Rhai too.
fn is_character(content: &str) -> bool {
    let mut chars = content.chars();
    match (chars.next(), chars.next()) {
        (Some('\\'), Some('x' | 'u' | 'U')) => true,
        (Some('\\'), Some(_)) => content.chars().count() == 2,
        (Some(_), None) => true,
        _ => false,
    }
}

/// In double quotes; over several lines, in backticks.
fn quoted(piece: &Piece) -> String {
    if piece.content.contains('\n') {
        return format!("`{}`", piece.content.replace('`', "``"));
    }
    let mut text = String::new();
    let mut chars = piece.content.chars();
    while let Some(c) = chars.next() {
        match (c, chars.clone().next()) {
            ('\\', Some('\'')) => {}
            ('\\', Some(next)) => {
                text.extend([c, next]);
                chars.next();
            }
            ('"', _) => text.push_str("\\\""),
            _ => text.push(c),
        }
    }
    format!("\"{text}\"")
}

/// A part of an f-string.
enum Part {
    Text(String),
    Value(String),
}

/// An f-string as a text in backticks; those have no escapes, so with any it is a sum of texts and values.
fn interpolated(content: &str) -> String {
    let parts = parts(content);
    let has_escapes = parts
        .iter()
        .any(|part| matches!(part, Part::Text(text) if text.contains('\\')));
    if has_escapes {
        let mut terms: Vec<String> = parts
            .iter()
            .map(|part| match part {
                Part::Text(text) => format!("\"{}\"", text.replace('"', "\\\"")),
                Part::Value(value) if value.chars().all(|c| c.is_alphanumeric() || "_.".contains(c)) => {
                    value.clone()
                }
                Part::Value(value) => format!("({value})"),
            })
            .collect();
        if matches!(parts.first(), Some(Part::Value(_))) {
            terms.insert(0, "\"\"".to_owned());
        }
        return terms.join(" + ");
    }
    let inside = parts.iter().map(|part| match part {
        Part::Text(text) => text.replace('`', "``"),
        Part::Value(value) => format!("${{{value}}}"),
    });
    format!("`{}`", inside.collect::<String>())
}

fn parts(content: &str) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = content;
    while let Some(c) = rest.chars().next() {
        if rest.starts_with("{{") || rest.starts_with("}}") {
            text.push(c);
            rest = &rest[2..];
            continue;
        }
        match rest.strip_prefix('{').and_then(|inside| inside.split_once('}')) {
            Some((inside, after)) => {
                let (before, value) = value(inside);
                text.push_str(&before);
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text)));
                }
                parts.push(Part::Value(value));
                rest = after;
            }
            None => {
                text.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text));
    }
    parts
}

/// What stands before a value, and the value: `x`, `x=`, `x:.2f`, `x!r`.
fn value(inside: &str) -> (String, String) {
    let inside = inside.trim();
    if let Some(name) = inside
        .strip_suffix('=')
        .filter(|name| !name.ends_with(['=', '!', '<', '>']))
    {
        return (inside.to_owned(), name.trim().to_owned());
    }
    let inside = inside.trim_end_matches("!r").trim_end_matches("!s");
    let Some((value, format)) = inside.rsplit_once(':').filter(|(value, _)| !value.ends_with(':')) else {
        return (String::new(), inside.to_owned());
    };
    let decimals = format.strip_prefix('.').and_then(|rest| rest.strip_suffix('f'));
    match decimals.and_then(|decimals| decimals.parse::<u8>().ok()) {
        Some(decimals) => (String::new(), format!("format({value}, {decimals})")),
        None => (String::new(), value.to_owned()),
    }
}

//! Texts and values in lines of a given width, as Python's `textwrap` and `pprint` break them, to the letter.

use std::sync::LazyLock;

use fancy_regex::Regex;
use minijinja::Error;
use minijinja::value::{Value, ValueKind};

use super::arguments::Arguments;
use super::bounds::{bounded, invalid};
use super::python::within;

/// Lines as Python's `str.splitlines` has them, each with what ends it.
pub(super) fn lines(text: &str) -> Vec<(&str, &str)> {
    let ends =
        |char: char| matches!(char, '\n'..='\r' | '\x1c'..='\x1e' | '\u{85}' | '\u{2028}' | '\u{2029}');
    let (mut lines, mut rest) = (Vec::new(), text);
    while let Some(at) = rest.find(ends) {
        let (line, behind) = rest.split_at(at);
        let n = match behind.starts_with("\r\n") {
            true => 2,
            false => behind.chars().next().map_or(0, char::len_utf8),
        };
        lines.push((line, &behind[..n]));
        rest = &behind[n..];
    }
    if !rest.is_empty() {
        lines.push((rest, ""));
    }
    lines
}

/// Lines of at most so many characters: `textwrap.wrap` of each line.
pub(super) fn wrap(value: &str, given: &Arguments) -> Result<String, Error> {
    let width = usize::try_from(given.integer("width", 79)?).unwrap_or(0);
    if width == 0 {
        return Err(invalid("wordwrap: expected a width from 1".to_owned()));
    }
    let rules = Wrapping {
        width,
        breaks_words: given.is_true("break_long_words", true),
        on_hyphens: given.is_true("break_on_hyphens", true),
    };
    let mut wrapped = Vec::new();
    for (line, _) in lines(value) {
        // A line without words stays one.
        match rules.wrapped(line)? {
            none if none.is_empty() => wrapped.push(String::new()),
            some => wrapped.extend(some),
        }
    }
    let between = given.text("wrapstring", "\n");
    let n_bytes = wrapped.len().saturating_mul(between.len());
    bounded(n_bytes.saturating_add(value.len()))?;
    Ok(wrapped.join(&between))
}

struct Wrapping {
    width: usize,
    breaks_words: bool,
    on_hyphens: bool,
}

/// Words, what stands between them, and the parts of words with hyphens: `TextWrapper.wordsep_re`.
static PARTS: LazyLock<Regex> = LazyLock::new(|| {
    let pattern =
        r#"[S]+|(?<=P)-{2,}(?=\w)|[^S]+?(?:-(?:(?<=L{2}-)|(?<=L-L-))(?=L-?L)|(?=[S]|\z)|(?<=P)(?=-{2,}\w))"#;
    let written = pattern
        .replace('S', r"\t\n\x0b\x0c\r\x20")
        .replace('P', r#"[\w!"'&.,?]"#)
        .replace('L', r"[^\d\W]");
    Regex::new(&written).expect("a pattern of ours")
});

impl Wrapping {
    /// One line as several: what stands between words is left out where a line ends, and where one begins but the first.
    fn wrapped(&self, line: &str) -> Result<Vec<String>, Error> {
        let length = |chunk: &str| chunk.chars().count();
        let is_blank = |chunk: &String| chunk.trim().is_empty();
        let mut lines: Vec<String> = Vec::new();
        let mut chunks = self.chunks(line)?;
        chunks.reverse();
        while !chunks.is_empty() {
            if !lines.is_empty() {
                chunks.pop_if(|chunk| is_blank(chunk));
            }
            let (mut current, mut n_current) = (Vec::new(), 0);
            while let Some(chunk) = chunks.pop_if(|chunk| n_current + length(chunk) <= self.width) {
                n_current += length(&chunk);
                current.push(chunk);
            }
            if let Some(long) = chunks.pop_if(|chunk| length(chunk) > self.width) {
                if self.breaks_words {
                    let mut chars = long.chars();
                    let end = self.end(&long, self.width - n_current);
                    current.push(chars.by_ref().take(end).collect());
                    chunks.push(chars.collect());
                } else if current.is_empty() {
                    current.push(long);
                } else {
                    chunks.push(long);
                }
            }
            current.pop_if(|chunk| is_blank(chunk));
            if !current.is_empty() {
                lines.push(current.concat());
            }
        }
        Ok(lines)
    }

    /// How many characters of a word that is too long stand in the line: up to its last hyphen, or as many as have room.
    fn end(&self, word: &str, room: usize) -> usize {
        let within: Vec<char> = word.chars().take(room).collect();
        let hyphen = within.iter().rposition(|&char| char == '-');
        match hyphen.filter(|&at| self.on_hyphens && within[..at].iter().any(|&char| char != '-')) {
            Some(at) => at + 1,
            None => room,
        }
    }

    fn chunks(&self, line: &str) -> Result<Vec<String>, Error> {
        if self.on_hyphens {
            let part = |part: Result<fancy_regex::Match<'_>, fancy_regex::Error>| {
                part.map(|part| part.as_str().to_owned())
                    .map_err(|_| invalid("wordwrap: a word is too long to look for its hyphens".to_owned()))
            };
            return PARTS.find_iter(line).map(part).collect();
        }
        let is_space = |char: char| matches!(char, '\t'..='\r' | ' ');
        let (mut chunks, mut rest) = (Vec::new(), line);
        while let Some(first) = rest.chars().next() {
            let end = rest.find(|char: char| is_space(char) != is_space(first));
            let (chunk, behind) = rest.split_at(end.unwrap_or(rest.len()));
            chunks.push(chunk.to_owned());
            rest = behind;
        }
        Ok(chunks)
    }
}

/// Characters of a line of what `pprint` writes.
const WIDTH: usize = 80;

/// `pprint.pformat(value)`.
pub(super) fn pretty(value: &Value) -> Result<String, Error> {
    let mut written = String::new();
    format(&mut written, &sorted(value), 0, 0, 0)?;
    Ok(written)
}

/// A value `indent` characters from the left, with room for `allowance` more behind it.
fn format(
    written: &mut String,
    value: &Value,
    indent: usize,
    allowance: usize,
    level: usize,
) -> Result<(), Error> {
    let whole = within(value);
    bounded(written.len().saturating_add(whole.len()).saturating_add(indent))?;
    if length(&whole) <= WIDTH.saturating_sub(indent + allowance) {
        written.push_str(&whole);
        return Ok(());
    }
    match value.kind() {
        ValueKind::Map => {
            let keys: Vec<Value> = value.try_iter()?.collect();
            written.push('{');
            for (at, key) in keys.iter().enumerate() {
                let is_last = at + 1 == keys.len();
                let name = within(key);
                written.push_str(&name);
                written.push_str(": ");
                let behind = if is_last { allowance + 1 } else { 1 };
                let item = value.get_item(key)?;
                format(written, &item, indent + 1 + length(&name) + 2, behind, level + 1)?;
                if !is_last {
                    next_line(written, ",", indent + 1);
                }
            }
            written.push('}');
        }
        ValueKind::Seq => {
            let items: Vec<Value> = value.try_iter()?.collect();
            let (open, close) = match (value.is_tuple(), items.len()) {
                (true, 1) => ("(", ",)"),
                (true, _) => ("(", ")"),
                (false, _) => ("[", "]"),
            };
            written.push_str(open);
            for (at, item) in items.iter().enumerate() {
                let is_last = at + 1 == items.len();
                let behind = if is_last { allowance + close.len() } else { 1 };
                format(written, item, indent + 1, behind, level + 1)?;
                if !is_last {
                    next_line(written, ",", indent + 1);
                }
            }
            written.push_str(close);
        }
        ValueKind::String => long_text(
            written,
            value.as_str().unwrap_or_default(),
            indent,
            allowance,
            level == 0,
        ),
        _ => written.push_str(&whole),
    }
    Ok(())
}

/// A text as several behind each other, broken behind its lines and at spaces; in brackets where it stands alone.
fn long_text(written: &mut String, text: &str, indent: usize, allowance: usize, is_alone: bool) {
    let (indent, allowance) = (indent + usize::from(is_alone), allowance + usize::from(is_alone));
    let width = WIDTH.saturating_sub(indent);
    let quoted = |text: &str| within(&text.into());
    let mut chunks: Vec<String> = Vec::new();
    let lines = lines(text);
    for (at, (line, end)) in lines.iter().enumerate() {
        let line = format!("{line}{end}");
        let is_last_line = at + 1 == lines.len();
        let room = |is_last: bool| width.saturating_sub(if is_last && is_last_line { allowance } else { 0 });
        if length(&quoted(&line)) <= room(true) {
            chunks.push(quoted(&line));
            continue;
        }
        let mut current = String::new();
        let parts = words(&line);
        for (at, part) in parts.iter().enumerate() {
            let longer = format!("{current}{part}");
            if length(&quoted(&longer)) <= room(at + 1 == parts.len()) {
                current = longer;
            } else {
                if !current.is_empty() {
                    chunks.push(quoted(&current));
                }
                current = (*part).to_owned();
            }
        }
        if !current.is_empty() {
            chunks.push(quoted(&current));
        }
    }
    let (open, close) = if is_alone && chunks.len() > 1 {
        ("(", ")")
    } else {
        ("", "")
    };
    written.push_str(open);
    for (at, chunk) in chunks.iter().enumerate() {
        if at > 0 {
            next_line(written, "", indent);
        }
        written.push_str(chunk);
    }
    written.push_str(close);
}

/// Words with the space behind each.
fn words(line: &str) -> Vec<&str> {
    let is_space = |char: char| char.is_whitespace() || matches!(char, '\x1c'..='\x1f');
    let (mut words, mut rest) = (Vec::new(), line);
    while !rest.is_empty() {
        let word = rest.find(is_space).unwrap_or(rest.len());
        let space = rest[word..]
            .find(|char| !is_space(char))
            .unwrap_or(rest.len() - word);
        let (part, behind) = rest.split_at(word + space);
        words.push(part);
        rest = behind;
    }
    words
}

fn next_line(written: &mut String, before: &str, indent: usize) {
    written.push_str(before);
    written.push('\n');
    written.extend(std::iter::repeat_n(' ', indent));
}

fn length(text: &str) -> usize {
    text.chars().count()
}

/// Maps in it with their keys in order.
fn sorted(value: &Value) -> Value {
    let items = || {
        value
            .try_iter()
            .map(Iterator::collect::<Vec<Value>>)
            .unwrap_or_default()
    };
    match value.kind() {
        ValueKind::Map => {
            let mut keys = items();
            keys.sort();
            let item = |key: &Value| sorted(&value.get_item(key).unwrap_or(Value::UNDEFINED));
            Value::from_pairs(keys.into_iter().map(|key| (key.clone(), item(&key))))
        }
        ValueKind::Seq if !value.is_tuple() => items().iter().map(sorted).collect(),
        _ => value.clone(),
    }
}

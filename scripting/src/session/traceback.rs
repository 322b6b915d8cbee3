//! The lines a person reads: message, source line, caret, hint.

use rhai::Position;

use super::fault::{Fault, Frame};
use crate::assist::scan::scan;
use crate::assist::source::Source;
use crate::errors::{ScriptError, printable};
use ecco_interpreter::CellError;

const RED: &str = "\x1b[1;31m";
const BLUE: &str = "\x1b[34m";
/// Carets and hints: readable on the red ground that front ends give errors, light and dark.
const BOLD: &str = "\x1b[1m";
const DIM: &str = "\x1b[2m";
const RESET: &str = "\x1b[0m";

/// Columns of a source line that are shown at most.
const WIDTH: usize = 110;
/// Frames that are shown of a deep call.
const MOST_FRAMES: usize = 6;

/// What Jupyter shows of a fault.
pub(super) fn as_cell_error(fault: &Fault) -> CellError {
    let error = &fault.error;
    let value = printable(&error.message);
    let mut traceback = vec![format!("{RED}{}{RESET}: {value}", error.kind.name())];
    // Code that was given to `eval` cannot be shown: then its caller is the place.
    let shown = fault
        .frames
        .iter()
        .rposition(|frame| frame.source.is_some())
        .map_or(0, |last| last + 1);
    if let Some((last, callers)) = fault.frames[..shown].split_last() {
        traceback.extend(place_lines(last, error));
        for caller in callers.iter().rev().take(MOST_FRAMES) {
            traceback.extend(caller_lines(caller));
        }
        if callers.len() > MOST_FRAMES {
            let left_out = callers.len() - MOST_FRAMES;
            traceback.push(format!("{DIM}  … and {left_out} calls before{RESET}"));
        }
    }
    if let Some(hint) = &error.hint {
        traceback.push(format!("{BOLD}hint:{RESET} {}", printable(hint)));
    }
    CellError {
        name: error.kind.name().to_owned(),
        value,
        traceback,
    }
}

fn place_lines(frame: &Frame, error: &ScriptError) -> Vec<String> {
    let Some(source) = &frame.source else {
        return Vec::new();
    };
    let Some(line) = frame.position.line() else {
        return Vec::new();
    };
    let pointed = error
        .at
        .as_deref()
        .and_then(|word| find_word(source, frame.position, word));
    let (line, column, width) = pointed.unwrap_or_else(|| {
        let column = frame.position.position().unwrap_or(1).max(1);
        (line, column, word_width(source, line, column))
    });
    let mut lines = vec![format!(
        "{}{}",
        place_name(frame, source, line),
        column_name(column)
    )];
    lines.extend(marked_line(source, line, column, width));
    lines
}

fn caller_lines(frame: &Frame) -> Vec<String> {
    let (Some(source), Some(line)) = (&frame.source, frame.position.line()) else {
        return Vec::new();
    };
    let column = frame.position.position().unwrap_or(1).max(1);
    let mut lines = vec![format!(
        "{DIM}called from{RESET} {}",
        place_name(frame, source, line)
    )];
    lines.extend(marked_line(
        source,
        line,
        column,
        word_width(source, line, column),
    ));
    lines
}

fn place_name(frame: &Frame, source: &Source, line: usize) -> String {
    let inside = match frame.function.as_deref() {
        Some(name) if name.starts_with("anon$") => " in a closure".to_owned(),
        Some(name) => format!(" in {name}()"),
        None => String::new(),
    };
    format!("{BLUE}{}{RESET}{inside}, line {line}", printable(&source.label))
}

fn column_name(column: usize) -> String {
    format!(", column {column}")
}

/// The source line with a caret under `column` (counted from 1), cut to a readable width.
fn marked_line(source: &Source, line: usize, column: usize, width: usize) -> Vec<String> {
    let text: Vec<char> = source.line(line).unwrap_or_default().chars().collect();
    let at = (column - 1).min(text.len());
    let from = if at > WIDTH - 20 { at - WIDTH / 2 } else { 0 };
    let to = text.len().min(from + WIDTH);
    let ellipsis = if from > 0 { "…" } else { "" };
    let more = if to < text.len() { "…" } else { "" };
    let shown = printable(&text[from..to].iter().collect::<String>());
    let number = line.to_string();
    let before = blanks(&text[from..at]);
    let carets = blanks(&text[at..to.min(at + width)]).len();
    let carets = "^".repeat(carets.max(1));
    let margin = " ".repeat(number.len());
    vec![
        format!("{DIM}{number} │{RESET} {ellipsis}{shown}{more}"),
        format!(
            "{DIM}{margin} │{RESET} {}{before}{BOLD}{carets}{RESET}",
            " ".repeat(ellipsis.chars().count())
        ),
    ]
}

/// Blanks as wide as some characters are where they are shown. Tabs are kept, so that the caret stands right whatever
/// their width.
fn blanks(text: &[char]) -> String {
    let of = |&c: &char| {
        let shown = printable(c.encode_utf8(&mut [0; 4]));
        shown.chars().map(blank).collect::<String>()
    };
    text.iter().map(of).collect()
}

/// Blanks as wide as `c`.
fn blank(c: char) -> &'static str {
    match c {
        '\t' => "\t",
        '\u{300}'..='\u{36f}' | '\u{200b}'..='\u{200d}' | '\u{fe00}'..='\u{fe0f}' => "",
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{1f300}'..='\u{1faff}' => "  ",
        _ => " ",
    }
}

/// The first place at or after `from` where `word` stands as a map's key or an argument's name.
fn find_word(source: &Source, from: Position, word: &str) -> Option<(usize, usize, usize)> {
    let (from_line, from_column) = (from.line()?, from.position().unwrap_or(1));
    let lexemes = scan(&source.code).lexemes;
    let keys = lexemes
        .windows(2)
        .filter(|pair| pair[1].is_symbol(":") || pair[1].is_symbol("="))
        .map(|pair| &pair[0]);
    for key in keys.filter(|key| key.text.trim_matches('"') == word) {
        let before: String = source.code.chars().take(key.start).collect();
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|&c| c != '\n').count() + 1;
        if (line, column) >= (from_line, from_column) {
            return Some((line, column, key.end - key.start));
        }
    }
    None
}

/// The length of the word or text that starts at `column`.
fn word_width(source: &Source, line: usize, column: usize) -> usize {
    let text = source.line(line).unwrap_or_default();
    let found = scan(text)
        .lexemes
        .into_iter()
        .find(|lexeme| lexeme.start + 1 == column);
    found.map_or(1, |lexeme| lexeme.end - lexeme.start)
}

//! Whether code can be run as it is, needs more lines, or is wrong.

use rhai::Engine;

use super::inspect::question;
use super::scan::{Open, Scan, scan};
use super::source::Source;
use ecco_interpreter::Completeness;

const INDENT: &str = "    ";

/// Judges `code`. Code is unfinished when it is wrong only past its last character.
pub fn judge(engine: &Engine, code: &str) -> Completeness {
    if question(code).is_some() {
        return Completeness::Complete;
    }
    let scanned = scan(code);
    match scanned.open {
        Some(Open::Comment { .. }) => return incomplete(String::new()),
        Some(Open::Text) if !is_faulty_before_text(engine, code, &scanned) => {
            return incomplete(String::new());
        }
        _ => {}
    }
    if is_closure_head(&scanned) {
        return incomplete(indent(code, &scanned));
    }
    let Some(at) = fault(engine, code) else {
        return Completeness::Complete;
    };
    let end = scanned.last().map_or(0, |lexeme| lexeme.end);
    let unfinished = at.is_none_or(|at| at >= end);
    if unfinished {
        incomplete(indent(code, &scanned))
    } else {
        Completeness::Invalid
    }
}

fn incomplete(indent: String) -> Completeness {
    Completeness::Incomplete { indent }
}

/// Whether the code before an open text literal is already wrong: whether it is with the text closed.
fn is_faulty_before_text(engine: &Engine, code: &str, scanned: &Scan) -> bool {
    let Some(text) = scanned.last() else {
        return false;
    };
    let closing = match text.text.chars().next() {
        Some(quote @ ('"' | '\'')) => quote.to_string(),
        Some('#') => format!(
            "\"{}",
            "#".repeat(text.text.chars().take_while(|&c| c == '#').count())
        ),
        // A backtick string, or the rest of one after an interpolation.
        _ => "`".to_owned(),
    };
    let at = fault(engine, &format!("{code}{closing}")).flatten();
    at.is_some_and(|at| at < text.start)
}

/// Where the code is wrong; the place is None past the end or unknown.
fn fault(engine: &Engine, code: &str) -> Option<Option<usize>> {
    let source = Source::new(engine, "", code);
    let error = engine.compile(source.script()).err()?;
    Some(offset(code, source.place(error.position())))
}

/// `|a|` or `|a, b` at the end: Rhai takes the first for a closure that does nothing.
fn is_closure_head(scanned: &Scan) -> bool {
    let lexemes = &scanned.lexemes;
    let tail = lexemes
        .iter()
        .rev()
        .take_while(|l| l.is_word() || l.is_symbol(",") || l.is_symbol("|"));
    let tail: Vec<_> = tail.collect();
    let bars = tail.iter().filter(|l| l.is_symbol("|")).count();
    let before = lexemes
        .len()
        .checked_sub(tail.len() + 1)
        .map(|index| &lexemes[index]);
    let opens_value = before.is_none_or(|l| l.is_symbol("=") || l.is_symbol("(") || l.is_symbol(":"));
    bars > 0 && bars <= 2 && tail.last().is_some_and(|l| l.is_symbol("|")) && opens_value
}

/// A position as code points from the start; None past the end or unknown.
fn offset(code: &str, position: rhai::Position) -> Option<usize> {
    let line = position.line()?;
    let before: usize = code
        .split('\n')
        .take(line - 1)
        .map(|text| text.chars().count() + 1)
        .sum();
    Some(before + position.position().unwrap_or(1).max(1) - 1)
}

/// The indent of the last line that has code, one step deeper when it opens a bracket.
fn indent(code: &str, scanned: &Scan) -> String {
    let code = code.trim_end();
    let last_line = code.rsplit('\n').next().unwrap_or_default();
    let own: String = last_line.chars().take_while(|c| c.is_whitespace()).collect();
    let line_start = code.chars().count() - last_line.chars().count();
    let opens = scanned
        .brackets
        .iter()
        .any(|&bracket| scanned.lexemes[bracket].start >= line_start);
    if opens { own + INDENT } else { own }
}

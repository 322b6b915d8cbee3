//! Documentation of what stands at the cursor.

use ecco_interpreter::MimeBundle;

use super::catalog::Entry;
use super::complete::{NameScope, call_at};
use super::scan::{Lexeme, Scan, scan};
use super::types::called_name;

/// What was found at the cursor.
pub enum Topic<'a> {
    Variable(String),
    /// A function that a cell defined.
    Function(String),
    Entries(Vec<&'a Entry>),
    Documentation(MimeBundle),
}

/// Finds the name at `cursor` (code points), or of the call around it.
pub fn find<'a>(known: &'a NameScope, code: &str, cursor: usize) -> Option<Topic<'a>> {
    let scanned = scan(code);
    let lexemes = &scanned.lexemes;
    let at = lexemes
        .iter()
        .position(|l| l.is_word() && l.start <= cursor && cursor <= l.end);
    match at {
        Some(at) => named(known, lexemes, at).or_else(|| option(known, code, lexemes, at)),
        None => around(known, code, cursor),
    }
}

fn named<'a>(known: &'a NameScope, lexemes: &[Lexeme], at: usize) -> Option<Topic<'a>> {
    let name = &lexemes[at].text;
    if is_key(lexemes, at) {
        return None;
    }
    let is_member = at > 0 && matches!(lexemes[at - 1].text.as_str(), "." | "?." | "::");
    if !is_member && known.variables.iter().any(|(variable, _)| variable == name) {
        return Some(Topic::Variable(name.clone()));
    }
    if !is_member && known.functions.iter().any(|(function, _)| function == name) {
        return Some(Topic::Function(name.clone()));
    }
    let full_name = called_name(known, &lexemes[..=at]).unwrap_or_else(|| name.clone());
    let entries = known.catalog.find(&full_name);
    (!entries.is_empty()).then_some(Topic::Entries(entries))
}

/// Whether the word is a map's key or an argument's name.
fn is_key(lexemes: &[Lexeme], at: usize) -> bool {
    let is = |at: Option<usize>, symbol: &str| {
        at.and_then(|at| lexemes.get(at))
            .is_some_and(|l| l.is_symbol(symbol))
    };
    let is_first = is(at.checked_sub(1), "(") || is(at.checked_sub(1), ",");
    is(Some(at + 1), ":") || (is_first && is(Some(at + 1), "="))
}

/// An option's name inside the arguments of a call, or of its `#{…}`.
fn option<'a>(known: &NameScope, code: &str, lexemes: &[Lexeme], at: usize) -> Option<Topic<'a>> {
    let before: String = code.chars().take(lexemes[at].start).collect();
    let scanned: Scan = scan(&before);
    let of = call_at(known, &scanned, &scanned.lexemes)?;
    let options = known.catalog.options(&of)?;
    let spec = options.iter().find(|spec| spec.name == lexemes[at].text)?;
    let (name, kind) = (spec.name, spec.describe());
    let (default, doc) = (spec.default, spec.doc);
    let plain = format!("{name}: {kind}; default: {default}\n{doc}\n\nan option of {of}");
    let markdown = format!("**{name}**: {kind}; default: {default}\n\n{doc}\n\nan option of `{of}`");
    Some(Topic::Documentation(
        MimeBundle::from_text(plain).with("text/markdown", markdown),
    ))
}

/// The function whose argument list the cursor stands in.
fn around<'a>(known: &'a NameScope, code: &str, cursor: usize) -> Option<Topic<'a>> {
    let before: String = code.chars().take(cursor).collect();
    let scanned = scan(&before);
    let calls = scanned
        .brackets
        .iter()
        .rev()
        .filter(|&&index| scanned.lexemes[index].is_symbol("("));
    for &call in calls {
        let is_call = call > 0 && scanned.lexemes[call - 1].is_word();
        if let Some(found) = is_call
            .then(|| named(known, &scanned.lexemes, call - 1))
            .flatten()
        {
            return Some(found);
        }
    }
    None
}

/// A cell that asks for documentation: `name?`, `?name`, and with two marks for the code too.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    /// A name with its module or receiver, as the cell has it.
    pub name: String,
    pub detail: u8,
}

/// Reads a cell as a question. No such cell is valid code.
pub fn question(code: &str) -> Option<Question> {
    let scanned = scan(code);
    let is_mark = |lexeme: &Lexeme| lexeme.is_symbol("?") || lexeme.is_symbol("??");
    let lexemes = scanned.lexemes.as_slice();
    let (name, marks) = match lexemes {
        [first, ..] if is_mark(first) => {
            let marks = lexemes.iter().take_while(|lexeme| is_mark(lexeme)).count();
            (&lexemes[marks..], &lexemes[..marks])
        }
        _ => {
            let marks = lexemes.iter().rev().take_while(|lexeme| is_mark(lexeme)).count();
            lexemes.split_at(lexemes.len() - marks)
        }
    };
    let n_marks: usize = marks.iter().map(|mark| mark.text.len()).sum();
    let is_name = name.iter().enumerate().all(|(at, lexeme)| match at % 2 {
        0 => lexeme.is_word(),
        _ => lexeme.is_symbol("::") || lexeme.is_symbol("."),
    });
    if !is_name || name.len() % 2 == 0 || !(1..=2).contains(&n_marks) {
        return None;
    }
    Some(Question {
        name: name.iter().map(|lexeme| lexeme.text.as_str()).collect(),
        detail: u8::from(n_marks == 2),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(code: &str) -> Option<(String, u8)> {
        question(code).map(|question| (question.name, question.detail))
    }

    #[test]
    fn questions_are_told_from_code() {
        let found = |name: &str, detail| Some((name.to_owned(), detail));
        assert_eq!(asked("lm?"), found("lm", 0));
        assert_eq!(asked("// about\n lm ? "), found("lm", 0));
        assert_eq!(asked("?lm.generate"), found("lm.generate", 0));
        assert_eq!(
            asked("ecco::from_pretrained??"),
            found("ecco::from_pretrained", 1)
        );
        assert_eq!(asked("??f // code"), found("f", 1));
        for code in [
            "", "?", "lm", "a ?? b", "f()?", "?1", "a?.b", "lm???", "a.?", "\"x?\"", "x; y?",
        ] {
            assert_eq!(asked(code), None, "{code}");
        }
    }
}

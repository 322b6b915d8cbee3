//! Documentation of what stands at the cursor.

use ecco_widgets::MimeBundle;

use super::catalog::Entry;
use super::complete::{Known, called_name, options_at};
use super::docs;
use super::scan::{Lexeme, Scan, scan};

/// What was found at the cursor.
pub enum Found<'a> {
    Variable(String),
    /// A function that a cell defined.
    Function(String),
    Entries(Vec<&'a Entry>),
    Documentation(MimeBundle),
}

/// Finds the name at `cursor` (code points), or of the call around it.
pub fn find<'a>(known: &'a Known, code: &str, cursor: usize) -> Option<Found<'a>> {
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

fn named<'a>(known: &'a Known, lexemes: &[Lexeme], at: usize) -> Option<Found<'a>> {
    let name = &lexemes[at].text;
    let is_member = at > 0 && matches!(lexemes[at - 1].text.as_str(), "." | "?." | "::");
    if !is_member && known.variables.iter().any(|(variable, _)| variable == name) {
        return Some(Found::Variable(name.clone()));
    }
    if !is_member && known.functions.iter().any(|(function, _)| function == name) {
        return Some(Found::Function(name.clone()));
    }
    let is_key = lexemes.get(at + 1).is_some_and(|next| next.is_symbol(":"));
    if is_key {
        return None;
    }
    let full_name = called_name(known, &lexemes[..=at]).unwrap_or_else(|| name.clone());
    let entries = known.catalog.find(&full_name);
    (!entries.is_empty()).then_some(Found::Entries(entries))
}

/// An option's name inside the `#{…}` of a call.
fn option<'a>(known: &Known, code: &str, lexemes: &[Lexeme], at: usize) -> Option<Found<'a>> {
    let before: String = code.chars().take(lexemes[at].start).collect();
    let scanned: Scan = scan(&before);
    let table = options_at(known, &scanned, &scanned.lexemes)?;
    let spec = table.options.iter().find(|spec| spec.name == lexemes[at].text)?;
    let text = format!(
        "{}: {}; default: {}\n{}\n\nan option of {}",
        spec.name,
        spec.kind.describe(),
        spec.default,
        spec.doc,
        table.primitive
    );
    Some(Found::Documentation(MimeBundle::from_text(text)))
}

/// The function whose argument list the cursor stands in.
fn around<'a>(known: &'a Known, code: &str, cursor: usize) -> Option<Found<'a>> {
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

/// The bundle for catalog entries.
pub fn bundle(entries: &[&Entry]) -> MimeBundle {
    docs::bundle(entries)
}

//! What could stand at the cursor.

use super::catalog::{Catalog, Entry, EntryKind};
use super::scan::{Kind, Lexeme, Scan, scan};
use crate::interpreter::{CompletionItem, Completions};
use crate::options::{OptionKind, OptionTable, of_primitive};

const KEYWORDS: [&str; 24] = [
    "let", "const", "fn", "if", "else", "while", "loop", "do", "until", "for", "in", "break", "continue",
    "return", "throw", "try", "catch", "switch", "import", "export", "as", "true", "false", "private",
];

/// The names that exist in a session.
pub struct Known<'a> {
    pub catalog: &'a Catalog,
    /// Name and type of each variable.
    pub variables: Vec<(String, String)>,
    /// Name and signature of each function a cell defined.
    pub functions: Vec<(String, String)>,
    /// Imported modules, and `ecco`.
    pub modules: Vec<String>,
}

/// Completions at `cursor`, in code points.
pub fn complete(known: &Known, code: &str, cursor: usize) -> Completions {
    let before: String = code.chars().take(cursor).collect();
    let cursor = before.chars().count();
    let scanned = scan(&before);
    if scanned.open.is_some() {
        return Completions {
            range: cursor..cursor,
            matches: Vec::new(),
        };
    }
    let partial = scanned.last().filter(|last| last.is_word() && last.end == cursor);
    let (start, prefix) = partial.map_or((cursor, ""), |word| (word.start, word.text.as_str()));
    let context = &scanned.lexemes[..scanned.lexemes.len() - usize::from(partial.is_some())];
    let mut matches = candidates(known, &scanned, context, prefix);
    matches.retain(|item| item.text.starts_with(prefix) || item.text.starts_with(&format!("\"{prefix}")));
    dedup_by_text(&mut matches);
    Completions {
        range: start..cursor,
        matches,
    }
}

fn candidates(known: &Known, scanned: &Scan, context: &[Lexeme], prefix: &str) -> Vec<CompletionItem> {
    match context {
        [before @ .., dot] if dot.is_symbol(".") || dot.is_symbol("?.") => {
            let of = type_of(known, before);
            of.map_or_else(Vec::new, |of| known.catalog.members_of(&of).map(member).collect())
        }
        [.., module, colons] if colons.is_symbol("::") && module.is_word() => {
            let inside = known
                .catalog
                .entries()
                .filter(|entry| entry.namespace == module.text);
            inside.map(function).collect()
        }
        [.., key, colon] if colon.is_symbol(":") && key.is_word() => {
            match options_at(known, scanned, context) {
                Some(table) => option_values(table, &key.text),
                None => names(known, prefix),
            }
        }
        [.., last] if last.is_symbol("#{") || last.is_symbol(",") => {
            match options_at(known, scanned, context) {
                Some(table) => option_names(table),
                None => names(known, prefix),
            }
        }
        _ => names(known, prefix),
    }
}

/// Everything that can start an expression. With nothing typed yet, only what the user made.
fn names(known: &Known, prefix: &str) -> Vec<CompletionItem> {
    let item = |text: &str, kind, signature: Option<&str>| CompletionItem {
        text: text.to_owned(),
        kind,
        signature: signature.map(str::to_owned),
    };
    let mut all: Vec<CompletionItem> = known
        .variables
        .iter()
        .map(|(name, of)| item(name, "variable", Some(of)))
        .collect();
    all.extend(
        known
            .functions
            .iter()
            .map(|(name, signature)| item(name, "function", Some(signature))),
    );
    all.extend(known.modules.iter().map(|name| item(name, "module", None)));
    if !prefix.is_empty() {
        let free = known
            .catalog
            .entries()
            .filter(|e| e.kind == EntryKind::Function && e.namespace.is_empty());
        let (ours, standard): (Vec<_>, Vec<_>) = free.partition(|entry| entry.is_ours);
        all.extend(ours.into_iter().map(function));
        all.extend(KEYWORDS.iter().map(|word| item(word, "keyword", None)));
        all.extend(standard.into_iter().map(function));
    }
    all
}

fn function(entry: &Entry) -> CompletionItem {
    CompletionItem {
        text: entry.name.clone(),
        kind: "function",
        signature: Some(entry.signature()),
    }
}

fn member(entry: &Entry) -> CompletionItem {
    let kind = if entry.kind == EntryKind::Property {
        "property"
    } else {
        "method"
    };
    CompletionItem {
        text: entry.name.clone(),
        kind,
        signature: Some(entry.signature()),
    }
}

fn option_names(table: &OptionTable) -> Vec<CompletionItem> {
    let names = table.options.iter().map(|spec| CompletionItem {
        text: spec.name.to_owned(),
        kind: "option",
        signature: Some(format!("{}: {} = {}", spec.name, spec.kind.name(), spec.default)),
    });
    names.collect()
}

fn option_values(table: &OptionTable, option: &str) -> Vec<CompletionItem> {
    let Some(spec) = table.options.iter().find(|spec| spec.name == option) else {
        return Vec::new();
    };
    let texts: Vec<String> = match spec.kind {
        OptionKind::Bool => vec!["true".to_owned(), "false".to_owned()],
        OptionKind::OneOf(names) | OptionKind::SomeOf(names) => {
            names.iter().map(|name| format!("\"{name}\"")).collect()
        }
        _ => Vec::new(),
    };
    texts
        .into_iter()
        .map(|text| CompletionItem {
            text,
            kind: "value",
            signature: None,
        })
        .collect()
}

/// The options' table of the call whose `#{…}` the end of `context` stands in.
pub fn options_at(known: &Known, scanned: &Scan, context: &[Lexeme]) -> Option<&'static OptionTable> {
    let [outer @ .., map] = scanned.brackets.as_slice() else {
        return None;
    };
    if !context.get(*map)?.is_symbol("#{") {
        return None;
    }
    let call = *outer.last()?;
    if !context.get(call)?.is_symbol("(") {
        return None;
    }
    of_primitive(&called_name(known, &context[..call])?)
}

/// The full name of the function whose name `context` ends with.
pub fn called_name(known: &Known, context: &[Lexeme]) -> Option<String> {
    match context {
        [.., module, colons, name] if colons.is_symbol("::") && name.is_word() => {
            Some(format!("{}::{}", module.text, name.text))
        }
        [before @ .., dot, name] if (dot.is_symbol(".") || dot.is_symbol("?.")) && name.is_word() => {
            Some(format!("{}.{}", type_of(known, before)?, name.text))
        }
        [.., name] if name.is_word() => Some(name.text.clone()),
        _ => None,
    }
}

/// The type of the expression that `context` ends with, as far as names and signatures tell.
pub fn type_of(known: &Known, context: &[Lexeme]) -> Option<String> {
    let (last, before) = context.split_last()?;
    match last.kind {
        Kind::Text => Some(
            if last.text.starts_with('\'') {
                "char"
            } else {
                "string"
            }
            .to_owned(),
        ),
        Kind::Number => Some(if last.text.contains('.') { "float" } else { "int" }.to_owned()),
        Kind::Word => match before.split_last() {
            Some((dot, receiver)) if dot.is_symbol(".") || dot.is_symbol("?.") => {
                let of = type_of(known, receiver)?;
                let property = known
                    .catalog
                    .members_of(&of)
                    .find(|entry| entry.name == last.text)?;
                Some(property.returns.clone())
            }
            _ => variable_type(known, &last.text),
        },
        Kind::Symbol if last.text == ")" => {
            let open = matching(context, "(", ")")?;
            let name = called_name(known, &context[..open])?;
            let entry = known.catalog.entries().find(|entry| entry.full_name() == name)?;
            Some(entry.returns.clone())
        }
        Kind::Symbol if last.text == "]" => {
            let open = matching(context, "[", "]")?;
            match type_of(known, &context[..open]) {
                Some(of) if of == "Tensor" => Some(of),
                Some(_) => None,
                None => Some("array".to_owned()),
            }
        }
        Kind::Symbol => None,
    }
}

fn variable_type(known: &Known, name: &str) -> Option<String> {
    known
        .variables
        .iter()
        .find(|(variable, _)| variable == name)
        .map(|(_, of)| of.clone())
}

/// The index of the bracket that the last lexeme closes.
fn matching(context: &[Lexeme], open: &str, close: &str) -> Option<usize> {
    let mut depth = 0;
    for (index, lexeme) in context.iter().enumerate().rev() {
        if lexeme.is_symbol(close) {
            depth += 1;
        } else if lexeme.is_symbol(open) {
            depth -= 1;
            if depth == 0 {
                return Some(index);
            }
        }
    }
    None
}

fn dedup_by_text(items: &mut Vec<CompletionItem>) {
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(item.text.clone()));
}

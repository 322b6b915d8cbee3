//! What could stand at the cursor.

use std::path::PathBuf;

use super::catalog::{Catalog, Entry, EntryKind};
use super::docs::is_noise;
use super::scan::{Kind, Lexeme, Open, Scan, scan};
use super::types::{called_name, type_of};
use super::{locals, strings};
use crate::errors::printable;
use crate::options::{OptionKind, OptionSpec};
use ecco_interpreter::{CompletionItem, Completions};

/// Code points before the cursor that are read; more is no cell that someone types.
const LONGEST_CODE: usize = 200_000;

const KEYWORDS: [&str; 24] = [
    "let", "const", "fn", "if", "else", "while", "loop", "do", "until", "for", "in", "break", "continue",
    "return", "throw", "try", "catch", "switch", "import", "export", "as", "true", "false", "private",
];

/// The names that exist in a session.
pub struct NameScope<'a> {
    pub catalog: &'a Catalog,
    /// Name and type of each variable.
    pub variables: Vec<(String, String)>,
    /// Name and signature of each function a cell defined.
    pub functions: Vec<(String, String)>,
    /// Imports modules, and `ecco`.
    pub modules: Vec<String>,
    /// The notebook's folder.
    pub folder: PathBuf,
    /// Lists the models in the local cache.
    pub models: Option<fn() -> Vec<String>>,
}

impl NameScope<'_> {
    /// The names that documentation gives values which are called otherwise here, and the newest variable of the type.
    pub fn stand_ins(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String)> = Vec::new();
        for entry in self.catalog.entries().filter(|entry| entry.is_ours) {
            let (Some(of), Some(receiver)) = (entry.receiver(), entry.params.first()) else {
                continue;
            };
            let is_new = !found.iter().any(|(name, _)| *name == receiver.name);
            let is_free = !self.variables.iter().any(|(name, _)| *name == receiver.name);
            let newest = self.variables.iter().rev().find(|(_, variable)| variable == of);
            if let Some((variable, _)) = newest.filter(|_| is_new && is_free) {
                found.push((receiver.name.clone(), variable.clone()));
            }
        }
        found
    }
}

/// Completions at `cursor`, in code points.
pub fn complete(known: NameScope, code: &str, cursor: usize) -> Completions {
    let before: String = code.chars().take(cursor).collect();
    let cursor = before.chars().count();
    let scanned = scan(&before);
    let nothing = Completions {
        range: cursor..cursor,
        matches: Vec::new(),
    };
    if cursor > LONGEST_CODE {
        return nothing;
    }
    let known = with_locals(known, code, &scanned);
    match scanned.open {
        Some(Open::Text) => {
            let mut found = strings::complete(&known, &scanned, cursor);
            // Whoever takes one of these, a file's name, would write what cannot be seen.
            found.matches.retain(|item| printable(&item.text) == item.text);
            return found;
        }
        Some(_) => return nothing,
        None => {}
    }
    let partial = scanned.last().filter(|last| last.is_word() && last.end == cursor);
    if scanned
        .last()
        .is_some_and(|last| last.kind == Kind::Number && last.end == cursor)
    {
        return nothing;
    }
    let (start, prefix) = partial.map_or((cursor, ""), |word| (word.start, word.text.as_str()));
    let context = &scanned.lexemes[..scanned.lexemes.len() - usize::from(partial.is_some())];
    let mut matches = candidates(&known, &scanned, context, prefix);
    matches.retain(|item| item.text.starts_with(prefix) || item.text.starts_with(&format!("\"{prefix}")));
    dedup_by_text(&mut matches);
    Completions {
        range: start..cursor,
        matches,
    }
}

/// Adds what the code itself defines: variables before the cursor, functions and imports anywhere.
pub fn with_locals<'a>(mut known: NameScope<'a>, code: &str, before: &Scan) -> NameScope<'a> {
    // The word at the cursor is still being typed.
    let done = &before.lexemes[..before.lexemes.len().saturating_sub(1)];
    for local in locals::variables(done) {
        let of = type_of(&known, local.value).unwrap_or_default();
        known.variables.retain(|(name, _)| name != local.name);
        known.variables.insert(0, (local.name.to_owned(), of));
    }
    for (name, signature) in locals::functions(&scan(code).lexemes) {
        known.functions.retain(|(other, _)| *other != name);
        known.functions.push((name, signature));
    }
    for module in locals::modules(code) {
        if !known.modules.contains(&module) {
            known.modules.push(module);
        }
    }
    known
}

fn candidates(known: &NameScope, scanned: &Scan, context: &[Lexeme], prefix: &str) -> Vec<CompletionItem> {
    match context {
        [before @ .., dot] if dot.is_symbol(".") || dot.is_symbol("?.") => members(known, before, prefix),
        [.., module, colons] if colons.is_symbol("::") && module.is_word() => {
            let inside = known
                .catalog
                .entries()
                .filter(|entry| entry.namespace == module.text);
            inside.map(function).collect()
        }
        [.., key, sign] if (sign.is_symbol(":") || sign.is_symbol("=")) && key.is_word() => {
            match options_at(known, scanned, context) {
                Some(table) => option_values(table, &key.text),
                None => names(known, prefix),
            }
        }
        [.., last] if last.is_symbol("#{") || last.is_symbol(",") || last.is_symbol("(") => {
            match options_at(known, scanned, context) {
                Some(table) if is_in_map(scanned, context) => option_names(table),
                Some(table) => arguments(known, scanned, context, (table, prefix)),
                None => names(known, prefix),
            }
        }
        _ => names(known, prefix),
    }
}

/// Members of the value before the dot. Of a value of unknown type, a parameter for one, those of our
/// types that start with what was typed.
fn members(known: &NameScope, before: &[Lexeme], prefix: &str) -> Vec<CompletionItem> {
    let of = type_of(known, before).filter(|of| of != "any");
    let entries: Vec<&Entry> = match &of {
        Some(of) => known.catalog.members_of(of).collect(),
        None if prefix.is_empty() => Vec::new(),
        None => {
            let all = known.catalog.entries().filter(|entry| entry.is_ours);
            all.filter(|entry| {
                entry
                    .receiver()
                    .is_some_and(|of| of.starts_with(char::is_uppercase))
            })
            .collect()
        }
    };
    let mut named: Vec<&Entry> = entries
        .into_iter()
        .filter(|entry| !is_noise(entry) && entry.kind != EntryKind::Operator)
        .collect();
    named.sort_by_key(|entry| rank(known, entry));
    named.into_iter().map(member).collect()
}

/// Where the page's contents have a member, which go from question to question; what they have not comes last.
fn rank(known: &NameScope, entry: &Entry) -> usize {
    let name = entry
        .params
        .first()
        .map(|of| format!("{}.{}", of.name, entry.name));
    let mut listed = known.catalog.contents.iter().flat_map(|(_, names)| names.iter());
    let at = listed.position(|listed| Some(*listed) == name.as_deref());
    at.unwrap_or(usize::MAX)
}

/// Everything that can start an expression. With nothing typed yet, only what the user made.
fn names(known: &NameScope, prefix: &str) -> Vec<CompletionItem> {
    let item = |text: &str, kind, signature: Option<&str>| CompletionItem {
        text: text.to_owned(),
        kind,
        signature: signature.map(str::to_owned),
    };
    let mut all: Vec<CompletionItem> = known
        .variables
        .iter()
        .map(|(name, of)| item(name, "variable", Some(of.as_str()).filter(|of| !of.is_empty())))
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

fn option_names(options: &[OptionSpec]) -> Vec<CompletionItem> {
    let names = options.iter().map(|spec| CompletionItem {
        text: spec.name.to_owned(),
        kind: "option",
        signature: Some(format!("{}: {} = {}", spec.name, spec.kind.name(), spec.default)),
    });
    names.collect()
}

fn option_values(options: &[OptionSpec], name: &str) -> Vec<CompletionItem> {
    let Some(spec) = options.iter().find(|spec| spec.name == name) else {
        return Vec::new();
    };
    let texts: Vec<String> = match spec.kind {
        OptionKind::Bool => vec!["true".to_owned(), "false".to_owned()],
        OptionKind::OneOf(names) | OptionKind::SomeOf(names) => {
            names.iter().map(|name| format!("\"{name}\"")).collect()
        }
        OptionKind::BoolOr(names) => {
            let names = names.iter().map(|name| format!("\"{name}\""));
            ["true".to_owned(), "false".to_owned()]
                .into_iter()
                .chain(names)
                .collect()
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

/// What an argument may begin with: values, and the options by name, which come first where no value is missing.
fn arguments(
    known: &NameScope,
    scanned: &Scan,
    context: &[Lexeme],
    (table, prefix): (&[OptionSpec], &str),
) -> Vec<CompletionItem> {
    let mut options = option_names(table);
    for item in &mut options {
        item.text.push_str(": ");
    }
    let values = names(known, prefix);
    let needed = call_at(known, scanned, context).and_then(|name| {
        let mut versions = known.catalog.entries().filter(|entry| entry.options.is_some());
        let entry = versions.find(|entry| entry.full_name() == name)?;
        Some(entry.params.len() - 1 - usize::from(entry.receiver().is_some()))
    });
    let open = scanned.brackets.last().copied().unwrap_or(0);
    let is_enough = n_before(&context[open + 1..]) >= needed.unwrap_or(0);
    let (first, second) = if is_enough {
        (options, values)
    } else {
        (values, options)
    };
    first.into_iter().chain(second).collect()
}

/// How many arguments stand before the last, which has just begun.
fn n_before(arguments: &[Lexeme]) -> usize {
    let mut depth = 0;
    let commas = arguments.iter().filter(|lexeme| {
        match lexeme.text.as_str() {
            "(" | "[" | "{" | "#{" | "${" | "?[" => depth += 1,
            ")" | "]" | "}" => depth -= 1,
            _ => {}
        }
        depth == 0 && lexeme.is_symbol(",")
    });
    commas.count()
}

fn is_in_map(scanned: &Scan, context: &[Lexeme]) -> bool {
    let open = scanned.brackets.last().and_then(|&open| context.get(open));
    open.is_some_and(|open| open.is_symbol("#{"))
}

/// The options of the call whose arguments, or whose `#{…}`, the end of `context` stands in.
pub fn options_at(known: &NameScope, scanned: &Scan, context: &[Lexeme]) -> Option<&'static [OptionSpec]> {
    known.catalog.options(&call_at(known, scanned, context)?)
}

/// The full name of the function whose arguments, or whose `#{…}`, the end of `context` stands in.
pub fn call_at(known: &NameScope, scanned: &Scan, context: &[Lexeme]) -> Option<String> {
    let (&last, outer) = scanned.brackets.split_last()?;
    let call = match is_in_map(scanned, context) {
        true => *outer.last()?,
        false => last,
    };
    if !context.get(call)?.is_symbol("(") {
        return None;
    }
    called_name(known, &context[..call])
}

fn dedup_by_text(items: &mut Vec<CompletionItem>) {
    let mut seen = std::collections::HashSet::new();
    items.retain(|item| seen.insert(item.text.clone()));
}

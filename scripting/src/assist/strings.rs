//! Completion inside of a text literal: models, files, scripts to import, options' closed lists.

use std::path::Path;
use std::time::{Duration, Instant};

use super::complete::{NameScope, options_at};
use super::scan::{Kind, Lexeme, Scan};
use super::types::called_name;
use ecco_interpreter::{CompletionItem, Completions};

/// Entries of a folder that are looked at, and that are offered.
const MOST_LOOKED_AT: usize = 5_000;
const MOST_OFFERED: usize = 200;
/// A folder on a slow disk must not hold up the front end.
const LONGEST: Duration = Duration::from_millis(200);

/// Completions at the end of `scanned`, which ends inside of a text.
pub fn complete(known: &NameScope, scanned: &Scan, cursor: usize) -> Completions {
    let mut found = Completions {
        range: cursor..cursor,
        matches: Vec::new(),
    };
    let Some((text, context)) = scanned.lexemes.split_last() else {
        return found;
    };
    let Some(typed) = typed(text) else {
        return found;
    };
    let start = cursor - typed.chars().count();
    let whole = |names: Vec<CompletionItem>| names.into_iter().filter(|item| item.text.starts_with(typed));
    match place(known, scanned, context) {
        Place::Import => {
            let (shown, scripts) = entries(&known.folder, typed, FileKind::Scripts);
            found.range.start = cursor - shown;
            found.matches = scripts;
        }
        Place::Value(names) => {
            found.range.start = start;
            found.matches = whole(items(names.iter().copied(), "value")).collect();
        }
        Place::Help => {
            let mut names: Vec<String> = known.catalog.entries().map(|entry| entry.full_name()).collect();
            let ours = known.catalog.entries().filter(|entry| entry.is_ours);
            names.extend(ours.map(|entry| entry.name.clone()));
            names.extend(known.functions.iter().map(|(name, _)| name.clone()));
            names.sort();
            names.retain(|name| name.starts_with(|c: char| c.is_alphabetic()));
            names.dedup();
            found.range.start = start;
            found.matches = whole(items(names.iter().map(String::as_str), "function")).collect();
        }
        Place::Model => {
            let here = known.models.map(|list| list()).unwrap_or_default();
            let names = std::iter::once("demo").chain(here.iter().map(String::as_str));
            found.matches = whole(items(names, "model")).collect();
            // All matches replace the same piece, so folders are named from the start of the text.
            let (shown, folders) = entries(&known.folder, typed, FileKind::Models);
            let before: String = typed.chars().take(typed.chars().count() - shown).collect();
            found
                .matches
                .extend(folders.into_iter().map(|item| CompletionItem {
                    text: format!("{before}{}", item.text),
                    ..item
                }));
            found.range.start = start;
        }
        Place::Other => {
            let (shown, files) = entries(&known.folder, typed, FileKind::Files);
            found.range.start = cursor - shown;
            found.matches = files;
        }
    }
    found
}

/// What the text at the end of the code is for.
enum Place {
    Import,
    Model,
    Help,
    Value(&'static [&'static str]),
    Other,
}

fn place(known: &NameScope, scanned: &Scan, context: &[Lexeme]) -> Place {
    match context {
        [.., import] if import.is_word() && import.text == "import" => return Place::Import,
        [before @ .., open] if open.is_symbol("(") => match called_name(known, before).as_deref() {
            Some("ecco::from_pretrained") => return Place::Model,
            Some("help") => return Place::Help,
            _ => {}
        },
        _ => {}
    }
    option_value(known, scanned, context).map_or(Place::Other, Place::Value)
}

/// The names that the option may have whose value the text is, alone or in an array.
fn option_value(known: &NameScope, scanned: &Scan, context: &[Lexeme]) -> Option<&'static [&'static str]> {
    let mut brackets = scanned.brackets.clone();
    let mut key_end = context.len();
    if context.get(*brackets.last()?)?.is_symbol("[") {
        key_end = brackets.pop()?;
    }
    let [.., key, sign] = &context[..key_end] else {
        return None;
    };
    if !sign.is_symbol(":") && !sign.is_symbol("=") {
        return None;
    }
    let outer = Scan {
        brackets,
        ..Scan::default()
    };
    let options = options_at(known, &outer, context)?;
    let name = key.text.trim_matches('"');
    let spec = options.iter().find(|spec| spec.name == name)?;
    Some(spec.kind.names()).filter(|names| !names.is_empty())
}

/// The text after its opening quote; None for characters and for pieces after an interpolation.
fn typed(text: &Lexeme) -> Option<&str> {
    if text.kind != Kind::Text {
        return None;
    }
    let inside = text.text.trim_start_matches('#');
    inside.strip_prefix('"').or_else(|| inside.strip_prefix('`'))
}

fn items<'a>(names: impl Iterator<Item = &'a str>, kind: &'static str) -> Vec<CompletionItem> {
    let item = |name: &str| CompletionItem {
        text: name.to_owned(),
        kind,
        signature: None,
    };
    names.map(item).collect()
}

#[derive(Clone, Copy, PartialEq)]
enum FileKind {
    Files,
    Models,
    Scripts,
}

/// Entries of the folder that `typed` names which start with its last part, and that part's length in
/// code points. Nothing is opened: only folders are listed.
fn entries(folder: &Path, typed: &str, wanted: FileKind) -> (usize, Vec<CompletionItem>) {
    let (parent, prefix) = match typed.rfind('/') {
        Some(slash) => typed.split_at(slash + 1),
        None => ("", typed),
    };
    let length = prefix.chars().count();
    let is_outside = parent.starts_with('/') || parent.split('/').any(|part| part == "..");
    if wanted == FileKind::Scripts && is_outside {
        return (length, Vec::new());
    }
    let start = Instant::now();
    let listed = std::fs::read_dir(folder.join(parent)).into_iter().flatten();
    let mut found: Vec<CompletionItem> = listed
        .take(MOST_LOOKED_AT)
        .take_while(|_| start.elapsed() < LONGEST)
        .flatten()
        .filter_map(|entry| offered(&entry, prefix, wanted))
        .flatten()
        .collect();
    found.sort_by(|a, b| a.text.cmp(&b.text));
    found.truncate(MOST_OFFERED);
    (length, found)
}

/// A folder ends in `/`; one that holds a model is offered as that too.
fn offered(entry: &std::fs::DirEntry, prefix: &str, wanted: FileKind) -> Option<Vec<CompletionItem>> {
    let name = entry.file_name().into_string().ok()?;
    let is_hidden = name.starts_with('.') && !prefix.starts_with('.');
    let is_plain = !name.contains(['"', '\\', '`', '$']) && !name.contains(char::is_control);
    if is_hidden || !is_plain || !name.starts_with(prefix) {
        return None;
    }
    let item = |text: String, kind| CompletionItem {
        text,
        kind,
        signature: None,
    };
    // Follows links, so that a linked folder is offered as one.
    let is_folder = std::fs::metadata(entry.path()).is_ok_and(|about| about.is_dir());
    let path = item(format!("{name}/"), "path");
    match wanted {
        FileKind::Models if is_folder && entry.path().join("config.json").is_file() => {
            Some(vec![item(name, "model"), path])
        }
        FileKind::Models if !is_folder => None,
        FileKind::Scripts if !is_folder => Some(vec![item(name.strip_suffix(".rhai")?.to_owned(), "module")]),
        FileKind::Files if !is_folder => Some(vec![item(name, "path")]),
        _ => Some(vec![path]),
    }
}

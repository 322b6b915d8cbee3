//! Documentation of primitives as markdown and as plain text, from the catalog.

use ecco_interpreter::MimeBundle;

use super::catalog::{Catalog, Entry, EntryKind};
use crate::options::OptionTable;
use crate::primitives;

/// What `help` and inspection show for `entries`: all overloads of one name.
pub fn bundle(entries: &[&Entry]) -> MimeBundle {
    // Front ends colour Rust; of Rhai they know nothing, and nbconvert prints the unknown name.
    let markdown = markdown(entries).replace("```rhai\n", "```rust\n");
    MimeBundle::from_text(plain(entries)).with("text/markdown", markdown)
}

/// Signatures, then each doc comment once, then the options.
pub fn markdown(entries: &[&Entry]) -> String {
    let mut text = String::new();
    for entry in entries {
        text.push_str(&format!("```rhai\n{}\n```\n", entry.signature()));
    }
    for docs in distinct_docs(entries) {
        text.push_str(&format!("\n{docs}\n"));
    }
    if let Some(table) = entries.iter().find_map(|entry| entry.options()) {
        text.push('\n');
        text.push_str(&option_rows(table));
    }
    text
}

fn plain(entries: &[&Entry]) -> String {
    let mut parts: Vec<String> = entries.iter().map(|entry| entry.signature()).collect();
    for docs in distinct_docs(entries) {
        parts.push(format!("\n{docs}"));
    }
    if let Some(table) = entries.iter().find_map(|entry| entry.options()) {
        parts.push("\noptions:".to_owned());
        let widest = table
            .options
            .iter()
            .map(|spec| spec.name.len())
            .max()
            .unwrap_or(0);
        for spec in table.options {
            let kind = spec.kind.describe();
            parts.push(format!(
                "  {:widest$}  {kind}; default: {}",
                spec.name, spec.default
            ));
            parts.push(format!("  {:widest$}  {}", "", spec.doc));
        }
    }
    parts.join("\n")
}

fn option_rows(table: &OptionTable) -> String {
    let mut text = "| option | value | default | meaning |\n|---|---|---|---|\n".to_owned();
    for spec in table.options {
        let (kind, default) = (spec.kind.describe(), spec.default);
        text.push_str(&format!(
            "| `{}` | {kind} | {default} | {} |\n",
            spec.name, spec.doc
        ));
    }
    text
}

fn distinct_docs<'a>(entries: &[&'a Entry]) -> Vec<&'a str> {
    let mut all: Vec<&str> = Vec::new();
    for entry in entries.iter().filter(|entry| !entry.docs.is_empty()) {
        if !all.contains(&entry.docs.as_str()) {
            all.push(&entry.docs);
        }
    }
    all
}

/// Whether an entry says nothing: every type can be turned into text.
pub fn is_noise(entry: &Entry) -> bool {
    matches!(entry.name.as_str(), "to_string" | "to_debug" | "print" | "debug")
        && (entry.docs.is_empty() || entry.receiver().is_some())
}

/// The first sentence of a documentation, on one line.
pub fn first_sentence(docs: &str) -> String {
    let paragraph: Vec<&str> = docs
        .lines()
        .map(str::trim)
        .take_while(|line| !line.is_empty())
        .collect();
    let paragraph = paragraph.join(" ");
    match paragraph.find(". ") {
        Some(end) => paragraph[..=end].to_owned(),
        None => paragraph,
    }
}

/// The whole of `docs/primitives.md`.
pub fn page(catalog: &Catalog) -> String {
    let mut text = PAGE_HEAD.to_owned();
    let ours = catalog
        .entries()
        .filter(|e| e.is_ours && e.kind != EntryKind::Operator);
    let ours: Vec<&Entry> = ours.filter(|entry| !is_noise(entry)).collect();
    let (common, ours): (Vec<&Entry>, Vec<&Entry>) = ours.into_iter().partition(|entry| is_common(entry));
    let functions = |namespace: &str| -> Vec<&Entry> {
        ours.iter()
            .copied()
            .filter(|e| e.receiver().is_none() && e.namespace == namespace)
            .collect()
    };
    let mut types: Vec<&str> = ours.iter().filter_map(|entry| entry.receiver()).collect();
    types.sort_unstable();
    types.dedup();
    // Our types are capitalised, Rhai's are not.
    let (own, plain): (Vec<&str>, Vec<&str>) = types
        .into_iter()
        .partition(|of| of.starts_with(char::is_uppercase));
    let members = |text: &mut String, types: &[&str]| {
        for &of in types {
            let members: Vec<&Entry> = ours
                .iter()
                .copied()
                .filter(|e| e.receiver() == Some(of))
                .collect();
            section(text, of, &members);
        }
    };
    section(&mut text, "Models", &functions("ecco"));
    let first = common.first().and_then(|entry| entry.receiver());
    let once: Vec<&Entry> = common
        .into_iter()
        .filter(|entry| entry.receiver() == first)
        .collect();
    section(&mut text, "Every result", &once);
    members(&mut text, &own);
    section(&mut text, "Showing and asking", &functions(""));
    members(&mut text, &plain);
    text
}

/// Whether it is a member that every result has; the page describes those once.
fn is_common(entry: &Entry) -> bool {
    entry
        .receiver()
        .is_some_and(|of| primitives::is_common(of, &entry.name))
}

const PAGE_HEAD: &str = "# Primitives\n\n\
    What a cell can call besides the [Rhai language](https://rhai.rs/book/) itself. Generated from the\n\
    code's documentation by `cargo run --release -p ecco-scripting --example primitives_docs`; a test\n\
    fails when it is stale. Inside a notebook, `help(\"ecco::from_pretrained\")` shows the same.\n";

fn section(text: &mut String, title: &str, entries: &[&Entry]) {
    if entries.is_empty() {
        return;
    }
    text.push_str(&format!("\n## {title}\n"));
    let mut names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
    names.dedup();
    for name in names {
        let same: Vec<&Entry> = entries
            .iter()
            .copied()
            .filter(|entry| entry.name == name)
            .collect();
        text.push_str(&format!("\n### {name}\n\n{}", markdown(&same)));
    }
}

//! The page of primitives, `docs/primitives.md`: a member that several types have in the same way is said once.

use std::collections::BTreeMap;

use super::catalog::{Catalog, Entry, EntryKind};
use super::docs::{is_noise, markdown};

const HEAD: &str = "# Primitives\n\n\
    What a cell can call besides the [Rhai language](https://rhai.rs/book/) itself. Generated from the\n\
    code's documentation by `make bless`; a test fails when it is stale. Inside a notebook,\n\
    `help(\"ecco::from_pretrained\")` shows the same.\n";

/// What all results have is under this title.
const EVERY_RESULT: &str = "Every result";

/// The whole page: contents by question, functions of `ecco`, members by who has them, free functions.
pub fn page(catalog: &Catalog) -> String {
    let ours: Vec<&Entry> = catalog
        .entries()
        .filter(|entry| entry.is_ours && entry.kind != EntryKind::Operator && !is_noise(entry))
        .collect();
    let mut text = HEAD.to_owned();
    contents(&mut text, catalog);
    section(&mut text, "Models", &functions(&ours, "ecco"));
    // Our types are capitalised, Rhai's are not.
    let (own, plain): (Vec<Section>, Vec<Section>) = sections(&ours)
        .into_iter()
        .partition(|section| section.title.starts_with(char::is_uppercase));
    for each in &own {
        section(&mut text, &each.title, &each.entries);
    }
    section(&mut text, "Showing and asking", &functions(&ours, ""));
    for each in &plain {
        section(&mut text, &each.title, &each.entries);
    }
    text
}

fn functions<'a>(ours: &[&'a Entry], namespace: &str) -> Vec<&'a Entry> {
    let free = ours.iter().copied().filter(|entry| entry.receiver().is_none());
    free.filter(|entry| entry.namespace == namespace).collect()
}

/// Members of the same types.
struct Section<'a> {
    title: String,
    /// Those of the first of the types.
    entries: Vec<&'a Entry>,
}

/// What several types have in the same way first, the most widely shared at the top; then each type's own.
fn sections<'a>(ours: &[&'a Entry]) -> Vec<Section<'a>> {
    let mut members: BTreeMap<(&str, &str), Vec<&Entry>> = BTreeMap::new();
    for &entry in ours {
        if let Some(of) = entry.receiver() {
            members.entry((&entry.name, of)).or_default().push(entry);
        }
    }
    // Who has a member in the same words.
    let mut alike: BTreeMap<(&str, String), Vec<&str>> = BTreeMap::new();
    for ((name, of), entries) in &members {
        alike.entry((name, wording(entries))).or_default().push(of);
    }
    let json = alike.iter().filter(|((name, _), _)| *name == "to_json");
    let results = json.max_by_key(|(_, types)| types.len());
    let results = results.map(|(_, types)| types.clone()).unwrap_or_default();
    let mut sections: BTreeMap<Vec<&str>, Vec<&Entry>> = BTreeMap::new();
    for ((name, _), types) in &alike {
        let entries = &members[&(*name, types[0])];
        sections.entry(types.clone()).or_default().extend(entries);
    }
    let mut sections: Vec<(Vec<&str>, Vec<&Entry>)> = sections.into_iter().collect();
    sections.sort_by_key(|(types, _)| std::cmp::Reverse(types.len()));
    let title = |types: &[&str]| match types == results {
        true => EVERY_RESULT.to_owned(),
        false => types.join(" and "),
    };
    sections
        .into_iter()
        .map(|(types, entries)| Section {
            title: title(&types),
            entries,
        })
        .collect()
}

/// All that is said of a member, but who has it.
fn wording(entries: &[&Entry]) -> String {
    let of_one = |entry: &&Entry| {
        let params: Vec<&str> = entry.params[1..]
            .iter()
            .map(|param| param.name.as_str())
            .collect();
        let options = entry
            .options
            .map_or("", |options| options.first().map_or("", |row| row.doc));
        [
            &params.join(","),
            entry.returns.as_str(),
            options,
            entry.docs.as_str(),
        ]
        .join("\n")
    };
    entries.iter().map(of_one).collect()
}

/// How a member is named on the page: by what examples call a value of its type.
fn heading(entry: &Entry) -> String {
    match (entry.receiver(), entry.params.first()) {
        (Some(_), Some(receiver)) => format!("{}.{}", receiver.name, entry.name),
        _ => entry.full_name(),
    }
}

/// As front ends of Markdown make it from a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase();
    kept.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        .collect()
}

fn contents(text: &mut String, catalog: &Catalog) {
    if catalog.contents.is_empty() {
        return;
    }
    text.push_str("\n| question | call |\n|---|---|\n");
    for (question, names) in catalog.contents {
        let links = names.iter().map(|name| format!("[`{name}`](#{})", anchor(name)));
        text.push_str(&format!(
            "| {question} | {} |\n",
            links.collect::<Vec<_>>().join(", ")
        ));
    }
}

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
        text.push_str(&format!("\n### {}\n\n{}", heading(same[0]), markdown(&same)));
    }
}

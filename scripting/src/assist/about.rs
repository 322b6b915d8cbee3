//! Pages about things: a value, the functions that cells defined. Markdown and plain text.

use ecco_interpreter::MimeBundle;
use rhai::Dynamic;

use super::catalog::{Catalog, Entry};
use super::docs::{self, first_sentence, is_noise};
use super::source::Definition;
use crate::errors::printable;

/// What a value is, and what can be done with it.
pub fn value(name: Option<&str>, of: &str, value: &Dynamic, catalog: &Catalog) -> MimeBundle {
    let title = name.map_or_else(|| of.to_owned(), |name| format!("{name}: {of}"));
    let mut plain = title.clone();
    let mut markdown = format!("**{title}**\n\n");
    for (label, fact) in crate::result::show::facts(value) {
        plain.push_str(&format!("\n  {label:<12}{fact}"));
        markdown.push_str(&format!("- {label}: {fact}\n"));
    }
    let text = crate::result::show::summary(value);
    plain.push_str(&format!("\n{text}"));
    markdown.push_str(&format!("\n{}\n", fenced("text", &text)));
    let members: Vec<&Entry> = catalog.members_of(of).filter(|entry| !is_noise(entry)).collect();
    // Rhai's types have dozens of methods; ours are what the page is about.
    let (list, names) = match of.starts_with(char::is_uppercase) {
        true => (signatures(&members), Vec::new()),
        false => (Vec::new(), names(&members)),
    };
    if !list.is_empty() {
        plain.push_str("\n\nmembers:");
        markdown.push_str("\n**members**\n\n");
    }
    for (signature, sentence) in list {
        plain.push_str(&format!("\n  {signature}"));
        if !sentence.is_empty() {
            plain.push_str(&format!("\n      {sentence}"));
        }
        markdown.push_str(&format!("- `{signature}` {sentence}\n"));
    }
    if !names.is_empty() {
        plain.push_str(&format!("\n\nmembers: {}", names.join(", ")));
        markdown.push_str(&format!("\n**members**: {}\n", names.join(", ")));
    }
    page(&plain, &markdown)
}

/// Signature and first sentence of each.
fn signatures(members: &[&Entry]) -> Vec<(String, String)> {
    let ours: Vec<&Entry> = members.iter().copied().filter(|entry| entry.is_ours).collect();
    let named = ours.chunk_by(|a, b| a.name == b.name && a.kind == b.kind);
    let about = |versions: &[&Entry]| {
        let documented = versions.iter().find(|entry| !entry.docs.is_empty());
        let sentence = documented.map_or(String::new(), |entry| first_sentence(&entry.docs));
        docs::signatures(versions)
            .into_iter()
            .map(move |signature| (signature, sentence.clone()))
    };
    named.flat_map(about).collect()
}

fn names<'a>(members: &[&'a Entry]) -> Vec<&'a str> {
    let mut names: Vec<&str> = members.iter().map(|entry| entry.name.as_str()).collect();
    names.dedup();
    names
}

/// Functions of one name that cells defined; `detail` 1 adds their code.
pub fn functions(definitions: &[&Definition], detail: u8) -> MimeBundle {
    let (mut plain, mut markdown) = (Vec::new(), Vec::new());
    for definition in definitions {
        let place = format!("defined in {}", definition.source.label);
        let head = format!("fn {}", definition.signature);
        plain.push(format!("{head}  ({place})"));
        markdown.push(format!("{}\n{place}", fenced("rust", &head)));
        if !definition.docs.is_empty() {
            plain.push(definition.docs.clone());
            markdown.push(definition.docs.clone());
        }
        if let Some(code) = definition.code().filter(|_| detail > 0) {
            plain.push(format!("\n{code}\n"));
            markdown.push(fenced("rust", &code));
        }
    }
    page(&plain.join("\n"), &markdown.join("\n\n"))
}

/// What it says of values and of code comes from anywhere.
fn page(plain: &str, markdown: &str) -> MimeBundle {
    MimeBundle::from_text(printable(plain)).with("text/markdown", printable(markdown))
}

/// A code block whose fence is longer than any in `text`.
fn fenced(language: &str, text: &str) -> String {
    let mut fence = "```".to_owned();
    while text.contains(&fence) {
        fence.push('`');
    }
    format!("{fence}{language}\n{text}\n{fence}")
}

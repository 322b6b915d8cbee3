//! Documentation of primitives as markdown and as plain text, from the catalog.

use ecco_interpreter::MimeBundle;

use super::catalog::Entry;
use crate::options::OptionSpec;

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
    if let Some(options) = entries.iter().find_map(|entry| entry.options) {
        text.push('\n');
        text.push_str(&option_rows(options));
    }
    text
}

fn plain(entries: &[&Entry]) -> String {
    let mut parts: Vec<String> = entries.iter().map(|entry| entry.signature()).collect();
    for docs in distinct_docs(entries) {
        parts.push(format!("\n{docs}"));
    }
    if let Some(options) = entries.iter().find_map(|entry| entry.options) {
        parts.push("\noptions:".to_owned());
        let widest = options.iter().map(|spec| spec.name.len()).max().unwrap_or(0);
        for spec in options {
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

fn option_rows(options: &[OptionSpec]) -> String {
    let mut text = "| option | value | default | meaning |\n|---|---|---|---|\n".to_owned();
    for spec in options {
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

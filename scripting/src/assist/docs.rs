//! Documentation of primitives as markdown and as plain text, from the catalog.

use ecco_interpreter::MimeBundle;

use super::catalog::{Entry, EntryKind};
use super::scan::scan;
use crate::options::OptionSpec;

/// What `help` and inspection show for `entries`: all versions of one name. Examples speak of the variables that there
/// are: `variables` has the name that documentation gives a value and the one that it has.
pub fn bundle(entries: &[&Entry], variables: &[(String, String)]) -> MimeBundle {
    // Front ends colour Rust; of Rhai they know nothing, and nbconvert prints the unknown name.
    let markdown = with_variables(&help(entries), variables).replace("```rhai\n", "```rust\n");
    MimeBundle::from_text(with_variables(&plain(entries), variables)).with("text/markdown", markdown)
}

/// The text with other variables in its examples, but for those that they make themselves.
fn with_variables(text: &str, variables: &[(String, String)]) -> String {
    let made = |name: &str| text.contains(&format!("let {name} "));
    let variables: Vec<(String, String)> = variables
        .iter()
        .filter(|(name, _)| !made(name))
        .cloned()
        .collect();
    let mut in_example = false;
    let mut is_code = false;
    let lines = text.lines().map(|line| {
        in_example |= line == "Example:";
        if line.starts_with("```") {
            is_code = in_example && !is_code;
            in_example &= is_code;
        } else if is_code {
            return renamed(line, &variables);
        }
        line.to_owned()
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn renamed(line: &str, variables: &[(String, String)]) -> String {
    let mut chars: Vec<String> = line.chars().map(String::from).collect();
    let lexemes = scan(line).lexemes;
    for (at, lexeme) in lexemes.iter().enumerate().filter(|(_, lexeme)| lexeme.is_word()) {
        let is_other = at > 0 && (lexemes[at - 1].is_symbol(".") || lexemes[at - 1].text == "let");
        let is_key = lexemes
            .get(at + 1)
            .is_some_and(|next| next.is_symbol(":") || next.is_symbol("::"));
        let found = variables.iter().find(|(name, _)| *name == lexeme.text);
        if let Some((_, variable)) = found.filter(|_| !is_other && !is_key) {
            chars[lexeme.start..lexeme.end].fill(String::new());
            chars[lexeme.start] = variable.clone();
        }
    }
    chars.concat()
}

/// Signatures, then each doc comment once, then the options.
pub fn markdown(entries: &[&Entry]) -> String {
    let mut text = String::new();
    for signature in signatures(entries) {
        text.push_str(&format!("```rhai\n{signature}\n```\n"));
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

/// What it is about, how it is called, the rest that is said of it, then the options.
fn help(entries: &[&Entry]) -> String {
    let (about, rest) = about_and_rest(entries);
    let mut text = about.map_or(String::new(), |about| format!("{about}\n\n"));
    for signature in signatures(entries) {
        text.push_str(&format!("```rhai\n{signature}\n```\n"));
    }
    for docs in rest {
        text.push_str(&format!("\n{docs}\n"));
    }
    if let Some(options) = entries.iter().find_map(|entry| entry.options) {
        text.push('\n');
        text.push_str(&option_rows(options));
    }
    text
}

/// The first paragraph of the documentation, and the others.
fn about_and_rest<'a>(entries: &[&'a Entry]) -> (Option<&'a str>, Vec<&'a str>) {
    let mut docs = distinct_docs(entries);
    if docs.is_empty() {
        return (None, docs);
    }
    let first = docs.remove(0);
    match first.split_once("\n\n") {
        Some((about, rest)) => {
            docs.insert(0, rest);
            (Some(about), docs)
        }
        None => (Some(first), docs),
    }
}

fn plain(entries: &[&Entry]) -> String {
    let (about, rest) = about_and_rest(entries);
    let mut parts: Vec<String> = about.map(|about| format!("{about}\n")).into_iter().collect();
    parts.extend(signatures(entries));
    for docs in rest {
        parts.push(format!("\n{docs}"));
    }
    if let Some(options) = entries.iter().find_map(|entry| entry.options) {
        parts.push("\noptions:".to_owned());
        let widest = options.iter().map(|spec| spec.name.len()).max().unwrap_or(0);
        for spec in options {
            let kind = spec.describe();
            parts.push(format!(
                "  {:widest$}  {kind}; default: {}",
                spec.name, spec.default
            ));
            parts.push(format!("  {:widest$}  {}", "", spec.doc));
        }
    }
    parts.join("\n")
}

/// A signature for all versions of a member or function: `lm.generate(text: string[, options: map]) -> Generation`.
pub fn signatures(entries: &[&Entry]) -> Vec<String> {
    let mut groups: Vec<Vec<&Entry>> = Vec::new();
    for &entry in entries {
        let alike = |other: &Entry| {
            other.kind == entry.kind
                && other.full_name() == entry.full_name()
                && other.receiver() == entry.receiver()
        };
        match groups.iter_mut().find(|group| alike(group[0])) {
            Some(group) => group.push(entry),
            None => groups.push(vec![entry]),
        }
    }
    groups.iter().map(|group| signature(group)).collect()
}

/// What may be left out stands in brackets, what may stand in the same place behind `|`.
fn signature(versions: &[&Entry]) -> String {
    let Some(first) = versions.first() else {
        return String::new();
    };
    let written = first.signature();
    let open = match (versions.len(), first.kind, written.find('(')) {
        (2.., EntryKind::Method | EntryKind::Function, Some(open)) => open,
        _ => return written,
    };
    let mut text = written[..=open].to_owned();
    let (places, is_chain) = places(versions);
    for (at, (place, may_be_missing)) in places.iter().enumerate() {
        let comma = if at > 0 { ", " } else { "" };
        match may_be_missing {
            true if is_chain => text.push_str(&format!("[{comma}{place}")),
            true => text.push_str(&format!("[{comma}{place}]")),
            false => text.push_str(&format!("{comma}{place}")),
        }
    }
    let n_open = places
        .iter()
        .filter(|(_, may_be_missing)| *may_be_missing && is_chain)
        .count();
    text.push_str(&"]".repeat(n_open));
    let returns = distinct(versions.iter().map(|entry| entry.returns.clone()));
    let returns: Vec<String> = returns
        .into_iter()
        .filter(|of| !of.is_empty() && of != "()")
        .collect();
    match returns.is_empty() {
        true => format!("{text})"),
        false => format!("{text}) -> {}", returns.join(" | ")),
    }
}

/// The parameters of all versions, place by place, the options last, each with whether some version is without; and
/// whether one that is there needs all before it.
fn places(versions: &[&Entry]) -> (Vec<(String, bool)>, bool) {
    const OPTIONS: &str = "options: map";
    let of_one = |entry: &&Entry| -> Vec<String> {
        let own = &entry.params[usize::from(entry.kind == EntryKind::Method)..];
        let written = own.iter().map(|param| match param.of.as_str() {
            "" => param.name.clone(),
            of => format!("{}: {of}", param.name),
        });
        written.collect()
    };
    let mut all: Vec<Vec<String>> = versions.iter().map(of_one).collect();
    let takes_options = |params: &&Vec<String>| params.last().is_some_and(|last| last == OPTIONS);
    let with_options = all.iter().filter(takes_options).count();
    let fewest_with_options = all
        .iter()
        .filter(takes_options)
        .map(|params| params.len() - 1)
        .min();
    let may_be_missing = with_options < all.len();
    for params in &mut all {
        params.retain(|param| param != OPTIONS);
    }
    let needed = all.iter().map(Vec::len).min().unwrap_or(0);
    let most = all.iter().map(Vec::len).max().unwrap_or(0);
    let at_place = |at: usize| {
        let mut alternatives: Vec<String> = Vec::new();
        for param in distinct(all.iter().filter_map(|params| params.get(at).cloned())) {
            let (name, of) = param.split_once(": ").unwrap_or((&param, ""));
            let same = |other: &&mut String| !of.is_empty() && other.starts_with(&format!("{name}: "));
            match alternatives.iter_mut().find(same) {
                Some(other) => other.push_str(&format!(" | {of}")),
                None => alternatives.push(param),
            }
        }
        alternatives.join(" | ")
    };
    let mut places: Vec<(String, bool)> = (0..most).map(|at| (at_place(at), at >= needed)).collect();
    if with_options > 0 {
        places.push((OPTIONS.to_owned(), may_be_missing));
    }
    (places, fewest_with_options.is_some_and(|fewest| fewest > needed))
}

fn distinct(all: impl Iterator<Item = String>) -> Vec<String> {
    let mut seen = Vec::new();
    for one in all {
        if !seen.contains(&one) {
            seen.push(one);
        }
    }
    seen
}

fn option_rows(options: &[OptionSpec]) -> String {
    let mut text = "| option | value | default | meaning |\n|---|---|---|---|\n".to_owned();
    for spec in options {
        let (kind, default) = (spec.describe(), spec.default);
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

//! Every function, method and property that exists, from Rhai's registration metadata.
//!
//! Completion, inspection, help, error hints and the page of primitives all read this one table, so a
//! primitive is described once: by its doc comment and its options' table.

use rhai::Engine;

use crate::options::{self, OptionTable};

/// What an entry is to the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    Function,
    Method,
    Property,
    Operator,
}

/// A parameter's name and the name of its type for people.
#[derive(Debug, Clone, PartialEq)]
pub struct Param {
    pub name: String,
    pub of: String,
}

/// One function as registered.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub name: String,
    /// `ecco`, or empty.
    pub namespace: String,
    pub params: Vec<Param>,
    pub returns: String,
    /// The doc comment, without its markers.
    pub docs: String,
    pub kind: EntryKind,
    /// Ours, not of Rhai's standard library.
    pub is_ours: bool,
}

impl Entry {
    /// The type it belongs to, for methods and properties.
    pub fn receiver(&self) -> Option<&str> {
        match self.kind {
            EntryKind::Method | EntryKind::Property => self.params.first().map(|param| param.of.as_str()),
            _ => None,
        }
    }

    /// The name after the dot.
    pub fn member_name(&self) -> &str {
        &self.name
    }

    /// How a script names it: `ecco::models`, `Model.generate`.
    pub fn full_name(&self) -> String {
        match (self.receiver(), self.namespace.as_str()) {
            (Some(receiver), _) => format!("{receiver}.{}", self.name),
            (None, "") => self.name.clone(),
            (None, namespace) => format!("{namespace}::{}", self.name),
        }
    }

    /// `lm.generate(text: string, options: map) -> Generation`
    pub fn signature(&self) -> String {
        let list = |params: &[Param]| {
            let named = params.iter().map(|param| match param.of.as_str() {
                "" => param.name.clone(),
                of => format!("{}: {of}", param.name),
            });
            named.collect::<Vec<_>>().join(", ")
        };
        let returns = match self.returns.as_str() {
            "" | "()" => String::new(),
            of => format!(" -> {of}"),
        };
        match (self.kind, self.params.split_first()) {
            (EntryKind::Property, Some((of, _))) => format!("{}.{}{returns}", of.name, self.name),
            (EntryKind::Method, Some((of, rest))) => {
                format!("{}.{}({}){returns}", of.name, self.name, list(rest))
            }
            _ => {
                let namespace = if self.namespace.is_empty() { "" } else { "::" };
                format!(
                    "{}{namespace}{}({}){returns}",
                    self.namespace,
                    self.name,
                    list(&self.params)
                )
            }
        }
    }

    /// The options its last argument takes.
    pub fn options(&self) -> Option<&'static OptionTable> {
        let takes_map = self.params.last().is_some_and(|param| param.of == "map");
        if takes_map {
            options::of_primitive(&self.full_name())
        } else {
            None
        }
    }
}

#[derive(Debug, Default)]
pub struct Catalog {
    entries: Vec<Entry>,
}

impl Catalog {
    pub fn of(engine: &Engine) -> Self {
        let ours = engine.collect_fn_metadata(None, entry, false);
        let mut entries: Vec<Entry> = ours;
        for entry in &mut entries {
            entry.is_ours = true;
        }
        for entry in engine.collect_fn_metadata(None, entry, true) {
            let same = |other: &Entry| {
                let types = |entry: &Entry| entry.params.iter().map(|p| p.of.clone()).collect::<Vec<_>>();
                other.name == entry.name
                    && other.namespace == entry.namespace
                    && types(other) == types(&entry)
            };
            if !entries.iter().filter(|other| other.is_ours).any(same) {
                entries.push(entry);
            }
        }
        entries.sort_by_cached_key(|entry| {
            (
                entry.namespace.clone(),
                entry.name.clone(),
                entry.params.len(),
                entry.signature(),
            )
        });
        Self { entries }
    }

    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.iter()
    }

    /// Functions and methods by name; `ecco::models` and `models` both find the former.
    pub fn functions_named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Entry> {
        let callable = self
            .entries
            .iter()
            .filter(|entry| entry.kind != EntryKind::Property);
        callable.filter(move |entry| {
            entry.name == name || (!entry.namespace.is_empty() && entry.full_name() == name)
        })
    }

    pub fn function_names(&self) -> impl Iterator<Item = &str> {
        let callable = self.entries.iter().filter(|entry| is_word(&entry.name));
        callable
            .filter(|entry| entry.kind != EntryKind::Property)
            .map(|entry| entry.name.as_str())
    }

    /// Properties and methods of a type.
    pub fn members_of<'a>(&'a self, of: &'a str) -> impl Iterator<Item = &'a Entry> {
        let members = self
            .entries
            .iter()
            .filter(|entry| entry.namespace.is_empty() && is_word(&entry.name));
        members.filter(move |entry| entry.receiver() == Some(of))
    }

    /// What `help` and inspection find under a name as a script writes it.
    pub fn find(&self, name: &str) -> Vec<&Entry> {
        let by_full_name: Vec<&Entry> = self.entries.iter().filter(|e| e.full_name() == name).collect();
        if !by_full_name.is_empty() {
            return by_full_name;
        }
        let plain = name.rsplit(['.', ':']).next().unwrap_or(name);
        let named: Vec<&Entry> = self.entries.iter().filter(|entry| entry.name == plain).collect();
        let ours: Vec<&Entry> = named.iter().copied().filter(|entry| entry.is_ours).collect();
        if ours.is_empty() { named } else { ours }
    }
}

/// Reads one function's metadata. None for what scripts cannot call by name.
fn entry(info: rhai::FuncInfo) -> Option<Entry> {
    let metadata = info.metadata;
    let name = metadata.name.as_str();
    if name.starts_with("set$") || name.starts_with("index$") || name.starts_with("anon$") {
        return None;
    }
    let params: Vec<Param> = metadata.params_info.iter().map(|info| param(info)).collect();
    let params = params
        .into_iter()
        .filter(|param| param.of != "NativeCallContext")
        .collect::<Vec<_>>();
    let first_is_reference = metadata.params_info.iter().any(|info| info.contains("&mut"));
    let (name, kind) = match name.strip_prefix("get$") {
        Some(property) => (property, EntryKind::Property),
        None if !is_word(name) => (name, EntryKind::Operator),
        None if first_is_reference || is_value(params.first()) => (name, EntryKind::Method),
        None => (name, EntryKind::Function),
    };
    Some(Entry {
        name: name.to_owned(),
        namespace: info.namespace.to_string(),
        params,
        returns: type_for_people(&metadata.return_type),
        docs: doc_text(metadata.comments.iter().map(|line| line.as_str())),
        kind,
        is_ours: false,
    })
}

/// Rhai's own methods on strings and numbers take them by value.
fn is_value(first: Option<&Param>) -> bool {
    first.is_some_and(|param| param.name == "string" || param.name == "array" || param.name == "map")
}

fn is_word(name: &str) -> bool {
    name.starts_with(|c: char| c.is_alphabetic() || c == '_')
}

fn param(info: &str) -> Param {
    let (name, of) = info.split_once(':').unwrap_or((info, ""));
    Param {
        name: name.trim().to_owned(),
        of: type_for_people(of),
    }
}

/// Joins doc comment lines or blocks, without `///`, `/**` and `*/`.
pub fn doc_text<'a>(comments: impl Iterator<Item = &'a str>) -> String {
    let mut lines = Vec::new();
    for comment in comments {
        let block = comment
            .strip_prefix("/**")
            .map(|rest| rest.trim_end_matches("*/"));
        for line in block.unwrap_or(comment).lines() {
            let line = line.trim_start();
            let line = line.strip_prefix("///").unwrap_or(line);
            lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end().to_owned());
        }
    }
    lines.join("\n").trim().to_owned()
}

/// A Rust type as scripts call it: `&mut Map` is `map`, `Result<Tensor, …>` is `Tensor`.
pub fn type_for_people(rust: &str) -> String {
    let text = rust.trim().trim_start_matches('&').trim();
    let text = text.strip_prefix("mut ").unwrap_or(text).trim();
    if text.starts_with("str |") || text.contains("| ImmutableString") {
        return "string".to_owned();
    }
    if let Some((outer, inner)) = text.split_once('<') {
        if outer.ends_with("Result") || outer.ends_with("RhaiResultOf") {
            return type_for_people(first_argument(inner));
        }
        if outer.ends_with("Range") || outer.ends_with("RangeInclusive") {
            return "range".to_owned();
        }
    }
    let last = text.rsplit("::").next().unwrap_or(text).trim_end_matches('>');
    let people = match last {
        "i64" | "INT" => "int",
        "f64" | "FLOAT" => "float",
        "str" | "ImmutableString" | "String" => "string",
        "Array" | "Vec<Dynamic" => "array",
        "Map" => "map",
        "Dynamic" | "?" | "_" => "any",
        "FnPtr" | "Fn" => "closure",
        "Blob" => "blob",
        "Instant" => "timestamp",
        "ScriptError" => "Error",
        "RhaiResult" => "any",
        "ExclusiveRange" | "InclusiveRange" => "range",
        other => other,
    };
    people.to_owned()
}

/// The text before the first comma outside of `<…>`.
fn first_argument(generics: &str) -> &str {
    let mut depth = 0;
    for (at, c) in generics.char_indices() {
        match c {
            '<' | '(' => depth += 1,
            ',' | '>' if depth == 0 => return &generics[..at],
            '>' | ')' => depth -= 1,
            _ => {}
        }
    }
    generics
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_for_people() {
        assert_eq!(type_for_people("&mut Tensor"), "Tensor");
        assert_eq!(type_for_people("RhaiResult<Tensor>"), "Tensor");
        assert_eq!(type_for_people("Result<Vec<i64>, Box<EvalAltResult>>"), "Vec<i64");
        assert_eq!(type_for_people("&str | ImmutableString | String"), "string");
        assert_eq!(type_for_people("core::ops::range::Range<i64>"), "range");
        assert_eq!(type_for_people("rhai::types::dynamic::Dynamic"), "any");
    }
}

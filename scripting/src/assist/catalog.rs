//! Every function, method and property that exists, from Rhai's registration metadata.
//!
//! Completion, inspection, help, error hints and the page of primitives all read this one table, so a
//! primitive is described once: by its doc comment and its options' table.

use rhai::Engine;

use crate::names::{doc_text, type_for_people};
use crate::options::OptionSpec;
use crate::registry::Vocabulary;

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
#[derive(Debug, Clone)]
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
    /// The options its last argument takes.
    pub options: Option<&'static [OptionSpec]>,
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
}

#[derive(Debug, Default)]
pub struct Catalog {
    entries: Vec<Entry>,
    /// What the page of primitives begins with: questions, and the members that answer them.
    pub contents: &'static [(&'static str, &'static [&'static str])],
}

impl Catalog {
    pub fn of(engine: &Engine, vocabulary: &Vocabulary) -> Self {
        let ours = engine.collect_fn_metadata(None, entry, false);
        let mut entries: Vec<Entry> = ours;
        for entry in &mut entries {
            entry.is_ours = true;
        }
        let standard = engine.collect_fn_metadata(None, entry, true);
        for entry in standard.into_iter().filter(is_reachable) {
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
        for entry in &mut entries {
            let takes_map = entry.params.last().is_some_and(|param| param.of == "map");
            entry.options = vocabulary.options(&entry.full_name()).filter(|_| takes_map);
        }
        entries.sort_by_cached_key(|entry| {
            (
                entry.namespace.clone(),
                entry.name.clone(),
                entry.params.len(),
                entry.signature(),
            )
        });
        Self {
            entries,
            contents: vocabulary.contents,
        }
    }

    /// The options of the primitive of that name.
    pub fn options(&self, full_name: &str) -> Option<&'static [OptionSpec]> {
        let mut named = self.entries.iter().filter(|entry| entry.options.is_some());
        named.find(|entry| entry.full_name() == full_name)?.options
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
        // What a module has is called by its full name, whatever it takes first.
        None if info.namespace.is_empty() && (first_is_reference || is_value(params.first())) => {
            (name, EntryKind::Method)
        }
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
        options: None,
    })
}

/// Whether scripts hold values of the types it takes: of numbers, only `int` and `float`.
fn is_reachable(entry: &Entry) -> bool {
    const OTHERS: [&str; 11] = [
        "i8", "i16", "i32", "i128", "u8", "u16", "u32", "u64", "u128", "usize", "f32",
    ];
    !entry
        .params
        .iter()
        .any(|param| OTHERS.contains(&param.of.as_str()))
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

//! What options may be, for people and for completion.

use rhai::Dynamic;

/// What an option's value may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum OptionKind {
    Bool,
    /// True, false, or one of these names.
    BoolOr(&'static [&'static str]),
    /// A whole number, at least this.
    Int(i64),
    /// A whole number of at least 1, or one of these names.
    CountOr(&'static [&'static str]),
    /// A number; whole ones are taken too.
    Float,
    Text,
    OneOf(&'static [&'static str]),
    /// A string; these are usual.
    Such(&'static [&'static str]),
    /// An array of whole numbers, not negative.
    Ints,
    /// A string or an array of strings.
    Texts,
    /// One or several of these names.
    SomeOf(&'static [&'static str]),
    /// A token, by its text or its number.
    Token,
    /// One or several of these.
    Tokens,
    /// A map of plain values.
    Map,
    /// An array of such maps, or JSON text of one.
    Maps,
    /// A value that the primitive looks at itself; this says which, for people.
    Any(&'static str),
    /// A whole number or an array of them, not negative.
    IntOrInts,
    /// A number or an array of them.
    Floats,
    /// A token or label, a map of it with its contrast and position, or an array of these.
    Targets,
    /// An array of pairs of whole numbers.
    Spans,
}

/// Names as they are written, with commas between.
fn quoted(names: &[&str]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("\"{name}\"")).collect();
    names.join(", ")
}

impl OptionKind {
    /// For people: "a whole number of at least 1".
    pub fn describe(self) -> String {
        match self {
            Self::Bool => "true or false".to_owned(),
            Self::BoolOr(names) => format!("true, false or {}", quoted(names)),
            Self::Int(i64::MIN) => "a whole number".to_owned(),
            Self::Int(least) => format!("a whole number of at least {least}"),
            Self::CountOr(names) => format!("a whole number of at least 1, or {}", quoted(names)),
            Self::Float => "a number".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::OneOf(names) => format!("one of {}", quoted(names)),
            Self::Such(names) => format!("a string such as {}", quoted(names)),
            Self::Ints => "an array of whole numbers".to_owned(),
            Self::Texts => "a string or an array of strings".to_owned(),
            Self::SomeOf(names) => format!("one or an array of {}", quoted(names)),
            Self::IntOrInts => "a whole number or an array of them, from 0".to_owned(),
            Self::Floats => "a number or an array of them".to_owned(),
            Self::Targets => {
                "a text or a number, a map with `target`, `contrast`, `position`, or an array of these"
                    .to_owned()
            }
            Self::Spans => "an array of pairs [from, to] of whole numbers".to_owned(),
            Self::Token => "a token: its text or its number".to_owned(),
            Self::Tokens => "a token (its text or its number) or an array of them".to_owned(),
            Self::Map => "a map of plain values".to_owned(),
            Self::Maps => "an array of maps, or JSON text of one".to_owned(),
            Self::Any(which) => which.to_owned(),
        }
    }

    /// The strings it may, or usually does, consist of.
    pub fn names(self) -> &'static [&'static str] {
        match self {
            Self::OneOf(names)
            | Self::SomeOf(names)
            | Self::Such(names)
            | Self::BoolOr(names)
            | Self::CountOr(names) => names,
            _ => &[],
        }
    }

    /// Short, for signatures: `int`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::BoolOr(_) => "bool or string",
            Self::Int(_) => "int",
            Self::CountOr(_) => "int or string",
            Self::Float => "float",
            Self::Text | Self::OneOf(_) | Self::Such(_) => "string",
            Self::Ints => "[int]",
            Self::Texts | Self::SomeOf(_) => "string or [string]",
            Self::IntOrInts => "int or [int]",
            Self::Floats => "float or [float]",
            Self::Targets => "string, int, map or array",
            Self::Spans => "[[int, int]]",
            Self::Token => "string or int",
            Self::Tokens => "string, int or array",
            Self::Map => "map",
            Self::Maps => "[map] or string",
            Self::Any(_) => "value",
        }
    }
}

/// A row of a set of options.
#[derive(Debug, Clone, Copy)]
pub struct OptionSpec {
    pub name: &'static str,
    pub kind: OptionKind,
    /// What holds when it is not given, for people.
    pub default: &'static str,
    pub doc: &'static str,
    /// Whether a script's value is one of the kind.
    pub accepts: fn(&Dynamic) -> bool,
    /// Of a name that is one of a closed list, the one to use for the same.
    pub main_name: fn(&str) -> Option<&'static str>,
}

impl OptionSpec {
    /// What its value may be, for people; each name with others for the same in brackets.
    pub fn describe(&self) -> String {
        let names = self.grouped_names().join(", ");
        match self.kind {
            OptionKind::OneOf(_) => format!("one of {names}"),
            OptionKind::SomeOf(_) => format!("one or an array of {names}"),
            kind => kind.describe(),
        }
    }

    /// Each of its names, with others for the same in brackets.
    pub fn grouped_names(&self) -> Vec<String> {
        let mut groups: Vec<(&str, Vec<&str>)> = Vec::new();
        for &name in self.kind.names() {
            let main = (self.main_name)(name).unwrap_or(name);
            match groups.iter_mut().find(|(group, _)| *group == main) {
                Some((_, others)) if name != main => others.push(name),
                Some(_) => {}
                None => groups.push((main, [name].into_iter().filter(|name| *name != main).collect())),
            }
        }
        let one = |(name, others): &(&str, Vec<&str>)| match others.as_slice() {
            [] => quoted(&[name]),
            others => format!("{} ({})", quoted(&[name]), quoted(others)),
        };
        groups.iter().map(one).collect()
    }
}

//! Values, lists and maps of a row, of what its columns have: Dremel's assembly (Melnik et al. 2010).

use std::ops::Range;

use parquet::basic::{ConvertedType, LogicalType, Repetition};
use parquet::schema::types::{Type, TypePtr};
use rhai::{Array, Dynamic, Map};

use super::damaged;
use super::leaf::Leaf;
use crate::errors::ScriptError;
use crate::tensor::work::Work;

/// What a part of the schema becomes.
pub(super) struct Node {
    kind: Kind,
    /// The columns below it.
    leaves: Range<usize>,
}

enum Kind {
    Value,
    /// `()` below this level of definition.
    Optional(i16, Box<Node>),
    /// A list, empty below this level of definition, which goes on at this level of repetition.
    List(i16, i16, Box<Node>),
    Group(Vec<(String, Node)>),
    /// A list of keys and values that is a map where the keys are texts.
    Pairs(Box<Node>),
}

/// Where in the schema a node stands.
#[derive(Clone, Copy)]
struct Place {
    definition: i16,
    repetition: i16,
}

impl Place {
    fn below(self, definition: i16, repetition: i16) -> Self {
        Self {
            definition: self.definition + definition,
            repetition: self.repetition + repetition,
        }
    }
}

impl Node {
    /// A column of a table.
    pub(super) fn of(field: &Type, n_leaves: &mut usize) -> Result<Self, ScriptError> {
        let place = Place {
            definition: 0,
            repetition: 0,
        };
        node(field, place, n_leaves)
    }

    /// The value of the row at which its columns stand.
    pub(super) fn take(&self, leaves: &mut [Leaf], work: &Work) -> Result<Dynamic, ScriptError> {
        let first = self.leaves.start;
        match &self.kind {
            Kind::Value => leaves[first].take(work),
            Kind::Optional(level, node) => match leaves[first].definition()? < *level {
                true => self.pass(leaves).map(|()| Dynamic::UNIT),
                false => node.take(leaves, work),
            },
            Kind::List(definition, repetition, node) => {
                let mut items = Array::new();
                if leaves[first].definition()? < *definition {
                    self.pass(leaves)?;
                    return Ok(items.into());
                }
                loop {
                    work.value()?;
                    items.push(node.take(leaves, work)?);
                    if leaves[first].is_at_end() || leaves[first].repetition() != *repetition {
                        return Ok(items.into());
                    }
                }
            }
            Kind::Group(fields) => {
                let mut map = Map::new();
                for (name, node) in fields {
                    work.value()?;
                    map.insert(name.as_str().into(), node.take(leaves, work)?);
                }
                Ok(map.into())
            }
            Kind::Pairs(node) => node.take(leaves, work).map(as_map),
        }
    }

    /// Goes on behind a place where there is nothing.
    fn pass(&self, leaves: &mut [Leaf]) -> Result<(), ScriptError> {
        leaves[self.leaves.clone()].iter_mut().try_for_each(Leaf::pass)
    }
}

fn node(field: &Type, place: Place, n_leaves: &mut usize) -> Result<Node, ScriptError> {
    let start = *n_leaves;
    let repetition = match field.get_basic_info().has_repetition() {
        true => field.get_basic_info().repetition(),
        false => Repetition::REQUIRED,
    };
    let kind = match repetition {
        Repetition::REQUIRED => return content(field, place, n_leaves),
        Repetition::OPTIONAL => {
            let inside = place.below(1, 0);
            Kind::Optional(inside.definition, content(field, inside, n_leaves)?.into())
        }
        Repetition::REPEATED => {
            let inside = place.below(1, 1);
            list(inside, content(field, inside, n_leaves)?)
        }
    };
    Ok(Node {
        kind,
        leaves: start..*n_leaves,
    })
}

/// What is in a field that is there.
fn content(field: &Type, place: Place, n_leaves: &mut usize) -> Result<Node, ScriptError> {
    let start = *n_leaves;
    if field.is_primitive() {
        *n_leaves += 1;
        return Ok(Node {
            kind: Kind::Value,
            leaves: start..*n_leaves,
        });
    }
    let fields = field.get_fields();
    if fields.is_empty() {
        return Err(damaged(format!(
            "column {:?} has a group without columns",
            field.name()
        )));
    }
    let inside = place.below(1, 1);
    let kind = if is_pairs(field) {
        let named = ["key", "value"].into_iter().zip(fields[0].get_fields());
        let item = group(named, inside, n_leaves)?;
        let leaves = item.leaves.clone();
        let kind = list(inside, item);
        Kind::Pairs(Node { kind, leaves }.into())
    } else if is_list(field) {
        let item = match item_of(&fields[0]) {
            Some(item) => node(item, inside, n_leaves)?,
            None => content(&fields[0], inside, n_leaves)?,
        };
        list(inside, item)
    } else {
        let named = fields.iter().map(|field| field.name()).zip(fields);
        return group(named, place, n_leaves);
    };
    Ok(Node {
        kind,
        leaves: start..*n_leaves,
    })
}

fn list(inside: Place, item: Node) -> Kind {
    Kind::List(inside.definition, inside.repetition, item.into())
}

fn group<'a>(
    named: impl Iterator<Item = (&'a str, &'a TypePtr)>,
    place: Place,
    n_leaves: &mut usize,
) -> Result<Node, ScriptError> {
    let start = *n_leaves;
    let part = |(name, field): (&str, &TypePtr)| Ok((name.to_owned(), node(field, place, n_leaves)?));
    let kind = Kind::Group(named.map(part).collect::<Result<_, ScriptError>>()?);
    Ok(Node {
        kind,
        leaves: start..*n_leaves,
    })
}

/// A group around a repeated field and nothing else.
fn wraps(field: &Type, converted: &[ConvertedType], logical: &LogicalType) -> bool {
    let info = field.get_basic_info();
    let is_said = info.logical_type_ref() == Some(logical) || converted.contains(&info.converted_type());
    let [inner] = field.get_fields() else {
        return false;
    };
    let inner = inner.get_basic_info();
    is_said && inner.has_repetition() && inner.repetition() == Repetition::REPEATED
}

fn is_list(field: &Type) -> bool {
    wraps(field, &[ConvertedType::LIST], &LogicalType::List)
}

fn is_pairs(field: &Type) -> bool {
    let converted = [ConvertedType::MAP, ConvertedType::MAP_KEY_VALUE];
    wraps(field, &converted, &LogicalType::Map)
        && field.get_fields()[0].is_group()
        && field.get_fields()[0].get_fields().len() == 2
}

/// The item of a list within the group that is repeated, where that group is only there to be repeated. Old writers had none;
/// the format's rules of backward compatibility tell them apart.
fn item_of(repeated: &Type) -> Option<&Type> {
    if !repeated.is_group() {
        return None;
    }
    match repeated.get_fields() {
        [item] if repeated.name() != "array" && !repeated.name().ends_with("_tuple") => Some(item),
        _ => None,
    }
}

/// Pairs as a map, where the keys are texts.
fn as_map(pairs: Dynamic) -> Dynamic {
    let pair = |pair: &Dynamic| {
        let pair = pair.as_map_ref().ok()?;
        let key = pair.get("key")?.as_immutable_string_ref().ok()?.as_str().into();
        Some((key, pair.get("value")?.clone()))
    };
    let map: Option<Map> = match pairs.as_array_ref() {
        Ok(pairs) => pairs.iter().map(pair).collect(),
        Err(_) => None,
    };
    map.map_or(pairs, Dynamic::from_map)
}

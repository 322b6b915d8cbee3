//! The types of values that code speaks of, as far as names and signatures tell.

use super::complete::NameScope;
use super::scan::{Kind, Lexeme};

/// Steps of a chain of calls and properties whose types are followed.
const LONGEST_CHAIN: usize = 64;

/// The full name of the function whose name `context` ends with.
pub fn called_name(known: &NameScope, context: &[Lexeme]) -> Option<String> {
    called(known, context, LONGEST_CHAIN)
}

/// The type of the expression that `context` ends with, as far as names and signatures tell.
pub fn type_of(known: &NameScope, context: &[Lexeme]) -> Option<String> {
    typed(known, context, LONGEST_CHAIN)
}

fn called(known: &NameScope, context: &[Lexeme], steps: usize) -> Option<String> {
    match context {
        [.., module, colons, name] if colons.is_symbol("::") && name.is_word() => {
            Some(format!("{}::{}", module.text, name.text))
        }
        [before @ .., dot, name] if is_dot(dot) && name.is_word() => {
            let of = typed(known, before, steps.checked_sub(1)?)?;
            Some(format!("{of}.{}", name.text))
        }
        [.., name] if name.is_word() => Some(name.text.clone()),
        _ => None,
    }
}

fn is_dot(lexeme: &Lexeme) -> bool {
    lexeme.is_symbol(".") || lexeme.is_symbol("?.")
}

fn typed(known: &NameScope, context: &[Lexeme], steps: usize) -> Option<String> {
    let steps = steps.checked_sub(1)?;
    let (last, before) = context.split_last()?;
    let literal = |of: &str| Some(of.to_owned());
    match last.kind {
        Kind::Text if last.text.starts_with('\'') => literal("char"),
        Kind::Text => literal("string"),
        Kind::Number if last.text.contains('.') => literal("float"),
        Kind::Number => literal("int"),
        Kind::Word if matches!(last.text.as_str(), "true" | "false") => literal("bool"),
        Kind::Word => match before.split_last() {
            Some((dot, receiver)) if is_dot(dot) => {
                let of = typed(known, receiver, steps)?;
                let mut members = known.catalog.members_of(&of);
                members
                    .find(|entry| entry.name == last.text)
                    .map(|entry| entry.returns.clone())
            }
            _ => variable_type(known, &last.text),
        },
        Kind::Symbol if last.text == ")" => {
            let open = matching(context, "(", ")")?;
            let Some(name) = called(known, &context[..open], steps) else {
                return typed(known, &context[open + 1..context.len() - 1], steps);
            };
            let entry = known.catalog.entries().find(|entry| entry.full_name() == name)?;
            Some(entry.returns.clone())
        }
        Kind::Symbol if last.text == "]" => {
            let open = matching(context, "[", "]")?;
            let indexed = open.checked_sub(1).map(|before| &context[before]);
            let is_index =
                indexed.is_some_and(|l| l.kind != Kind::Symbol || matches!(l.text.as_str(), ")" | "]"));
            match typed(known, &context[..open], steps) {
                Some(of) if of == "Tensor" => Some(of),
                Some(of) if of == "ModelList" => literal("Model"),
                Some(_) => None,
                None if is_index => None,
                None => literal("array"),
            }
        }
        Kind::Symbol if last.text == "}" => matching(context, "#{", "}").and_then(|_| literal("map")),
        Kind::Symbol => None,
    }
}

fn variable_type(known: &NameScope, name: &str) -> Option<String> {
    known
        .variables
        .iter()
        .find(|(variable, _)| variable == name)
        .map(|(_, of)| of.clone())
        .filter(|of| !of.is_empty())
}

/// The index of the bracket that the last lexeme closes.
fn matching(context: &[Lexeme], open: &str, close: &str) -> Option<usize> {
    let mut depth = 0;
    for (index, lexeme) in context.iter().enumerate().rev() {
        if lexeme.is_symbol(close) {
            depth += 1;
        } else if lexeme.is_symbol(open) {
            depth -= 1;
            if depth == 0 {
                return Some(index);
            }
        }
    }
    None
}

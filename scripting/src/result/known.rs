//! The types of ours that scripts hold, and how any value of them is shown.
//!
//! A value in a script knows its type, not its traits; this is where the two meet. What stands here is about types
//! and the same in every session, so that it is kept once for the thread that sessions run on.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use ecco_interpreter::MimeBundle;
use rhai::Dynamic;
use serde_json::Value;

use super::Show;
use crate::errors::ScriptError;
use crate::live::Live;

/// What a value is as JSON, where it has such a form.
type Document = Result<Option<Value>, ScriptError>;

/// Its page, where it has one.
type Page = Result<Option<String>, ScriptError>;

/// A type as scripts know it.
#[derive(Clone, Copy)]
struct Type {
    name: &'static str,
    variable: &'static str,
    bundle: fn(&Dynamic) -> Option<Result<MimeBundle, ScriptError>>,
    json: fn(&Dynamic) -> Option<Document>,
    line: fn(&Dynamic) -> Option<String>,
    summary: fn(&Dynamic) -> Option<String>,
    facts: fn(&Dynamic) -> Vec<(&'static str, String)>,
    identity: fn(&Dynamic) -> Option<usize>,
    place_in_memory: fn(&Dynamic) -> Option<usize>,
    page: fn(&Dynamic) -> Option<Page>,
    live: fn(&Dynamic) -> Option<Rc<dyn Live>>,
}

thread_local! {
    static TYPES: RefCell<HashMap<TypeId, Type>> = RefCell::default();
}

pub(crate) fn register<T: Show + Clone + 'static>(name: &'static str, variable: &'static str) {
    let of = Type {
        name,
        variable,
        bundle: |value| Some(value.read_lock::<T>()?.bundle()),
        json: |value| Some(value.read_lock::<T>()?.view().map(|view| view.json())),
        line: |value| Some(value.read_lock::<T>()?.line()),
        summary: |value| value.read_lock::<T>()?.summary(),
        facts: |value| {
            value
                .read_lock::<T>()
                .map(|value| value.facts())
                .unwrap_or_default()
        },
        identity: |value| value.read_lock::<T>()?.identity(),
        place_in_memory: |value| value.read_lock::<T>()?.place_in_memory(),
        page: |value| Some(value.read_lock::<T>()?.view().map(|view| view.html())),
        live: |value| value.read_lock::<T>()?.live(),
    };
    TYPES.with_borrow_mut(|types| types.insert(TypeId::of::<T>(), of));
}

fn type_of(value: &Dynamic) -> Option<Type> {
    TYPES.with_borrow(|types| types.get(&value.type_id()).copied())
}

/// The representations of a value of ours; None for other values.
pub fn bundle(value: &Dynamic) -> Option<Result<MimeBundle, ScriptError>> {
    (type_of(value)?.bundle)(value)
}

/// The document of a value of ours, if it has one; None for other values.
pub fn json(value: &Dynamic) -> Option<Result<Option<Value>, ScriptError>> {
    (type_of(value)?.json)(value)
}

/// One line about a value of ours, for lists and messages.
pub fn line(value: &Dynamic) -> Option<String> {
    (type_of(value)?.line)(value)
}

/// A few lines about a value of ours, where one is too little.
pub fn summary(value: &Dynamic) -> Option<String> {
    (type_of(value)?.summary)(value)
}

/// Size, shape and place of a value of ours.
pub fn facts(value: &Dynamic) -> Vec<(&'static str, String)> {
    type_of(value).map_or_else(Vec::new, |of| (of.facts)(value))
}

/// Which of its kind a value of ours is, if that can be told.
pub fn identity(value: &Dynamic) -> Option<usize> {
    (type_of(value)?.identity)(value)
}

/// Which of its type a value of ours is, if that can be told.
pub(crate) fn place_in_memory(value: &Dynamic) -> Option<usize> {
    (type_of(value)?.place_in_memory)(value)
}

/// The page of a value of ours alone, if it has one; None for other values.
pub fn page(value: &Dynamic) -> Option<Page> {
    (type_of(value)?.page)(value)
}

/// A value of ours that can be asked.
pub(crate) fn live(value: &Dynamic) -> Option<Rc<dyn Live>> {
    (type_of(value)?.live)(value)
}

/// What examples and signatures call a value of the type of that name.
pub fn variable_of(name: &str) -> Option<&'static str> {
    TYPES.with_borrow(|types| types.values().find(|of| of.name == name).map(|of| of.variable))
}

//! What is made known to a session besides the language itself: types, members, functions, options.

use std::collections::BTreeMap;
use std::time::Duration;

use rhai::{Engine, Module};

use crate::errors::{Wording, set_wording};
use crate::options::{OptionSet, OptionSpec};
use crate::result::{self, Explanation, Show};
use crate::session::kept::Kept;

/// An engine that is being filled. What it collects besides, the session asks for.
pub struct Registry<'a> {
    pub engine: &'a mut Engine,
    pub(crate) vocabulary: Vocabulary,
    /// Functions under a name, such as those of `ecco`.
    pub(crate) modules: BTreeMap<&'static str, Module>,
}

/// What there is to ask besides the functions, which the engine knows.
#[derive(Default)]
pub struct Vocabulary {
    /// The options of each primitive that takes some, by its full name.
    tables: BTreeMap<String, &'static [OptionSpec]>,
    /// The models that a text may name, for completion.
    pub(crate) model_names: Option<fn() -> Vec<String>>,
    /// What is done between cells, after a time without work.
    pub(crate) rests: Vec<Rest>,
    /// Titles, and members that belong under them: the contents of the page of primitives.
    pub(crate) contents: &'static [(&'static str, &'static [&'static str])],
}

/// Looks whether something is to be done after a time without work, with what primitives keep from cell to cell; gives in how
/// long it wants to look again.
pub type Rest = fn(&Kept) -> Option<Duration>;

/// What fills a registry: the primitives' side of a session.
pub type Register = fn(&mut Registry);

impl Registry<'_> {
    /// A type that scripts hold. `variable` is what examples and signatures call a value of it.
    pub fn value<T: Show + Clone + 'static>(&mut self, name: &'static str, variable: &'static str) {
        self.engine.register_type_with_name::<T>(name);
        result::known::register::<T>(name, variable);
    }

    /// A type that is a result: besides, it gets `to_array`, `to_json` and `save`, and its line as text.
    pub fn result<T: Explanation + Clone + 'static>(&mut self, name: &'static str, variable: &'static str) {
        self.numbers::<T>(name, variable);
        result::members::register_text::<T>(self.engine, name);
    }

    /// The same, for a result that is more than a line as text.
    pub fn numbers<T: Explanation + Clone + 'static>(&mut self, name: &'static str, variable: &'static str) {
        self.value::<T>(name, variable);
        result::members::register::<T>(self.engine, name);
    }

    /// The module of that name, for functions such as `ecco::models`.
    pub fn module_named(&mut self, name: &'static str) -> &mut Module {
        self.modules.entry(name).or_default()
    }

    /// Documented functions.
    pub fn module(&mut self, module: Module) {
        self.engine.register_global_module(module.into());
    }

    /// The options that a primitive takes.
    pub fn options<O: OptionSet>(&mut self, primitive: &str) {
        self.vocabulary.tables.insert(primitive.to_owned(), O::rows());
    }

    /// The models that a text may name, for completion.
    pub fn model_names(&mut self, list: fn() -> Vec<String>) {
        self.vocabulary.model_names = Some(list);
    }

    /// What is done between cells, when there is nothing to do.
    pub fn rest(&mut self, rest: Rest) {
        self.vocabulary.rests.push(rest);
    }

    /// How hints of the errors of other crates are said in a script.
    pub fn hints(&mut self, wording: Wording) {
        set_wording(wording);
    }

    /// The contents of the page of primitives: questions, and the members that answer them.
    pub fn contents(&mut self, contents: &'static [(&'static str, &'static [&'static str])]) {
        self.vocabulary.contents = contents;
    }
}

impl Vocabulary {
    /// The options of the primitive of that name.
    pub fn options(&self, full_name: &str) -> Option<&'static [OptionSpec]> {
        self.tables.get(full_name).copied()
    }
}

impl<'a> Registry<'a> {
    /// An empty registry of an engine.
    pub(crate) fn new(engine: &'a mut Engine) -> Self {
        Self {
            engine,
            vocabulary: Vocabulary::default(),
            modules: BTreeMap::new(),
        }
    }

    /// Hands the modules over to the engine; what is left is the session's.
    pub(crate) fn finish(self) -> Vocabulary {
        for (name, module) in self.modules {
            self.engine.register_static_module(name, module.into());
        }
        self.vocabulary
    }
}

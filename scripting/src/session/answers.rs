//! What a session answers about code without running it: completion, inspection, documentation pages.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ecco_interpreter::MimeBundle;
use rhai::Dynamic;

use super::Session;
use crate::assist::catalog::Catalog;
use crate::assist::complete::{NameScope, complete, with_locals};
use crate::assist::inspect::{self, Question, Topic};
use crate::assist::scan::scan;
use crate::assist::{about, completeness, docs};
use crate::errors::{ErrorKind, ScriptError};
use crate::names::type_for_people;
use ecco_interpreter::{Completeness, Completions};

impl Session {
    /// Every function and property there is.
    pub fn catalog(&self) -> &Catalog {
        self.catalog
            .get_or_init(|| Catalog::of(&self.engine, &self.state.vocabulary()))
    }

    /// Name and signature of each function that cells defined.
    pub(super) fn script_functions(&self) -> Vec<(String, String)> {
        let named = self
            .library
            .iter_functions()
            .filter(|function| !function.name.starts_with("anon$"));
        named
            .map(|function| (function.name.to_owned(), function.to_string()))
            .collect()
    }

    fn type_name(&self, value: &Dynamic) -> String {
        type_for_people(self.engine.map_type_name(value.type_name()))
    }

    fn known(&self) -> NameScope<'_> {
        NameScope {
            catalog: self.catalog(),
            variables: self
                .scope
                .iter_raw()
                .map(|(name, _, value)| (name.to_owned(), self.type_name(value)))
                .collect(),
            functions: self.script_functions(),
            modules: self.modules.clone(),
            folder: self.folder.clone(),
            models: self.state.vocabulary().model_names,
        }
    }

    /// The names that exist, with those that `code` itself defines.
    pub(super) fn scope_of(&self, code: &str) -> NameScope<'_> {
        with_locals(self.known(), code, &scan(code))
    }

    fn describe(&self, found: Topic, detail: u8) -> Option<MimeBundle> {
        match found {
            Topic::Entries(entries) => Some(docs::bundle(&entries, &self.known().stand_ins())),
            Topic::Documentation(bundle) => Some(bundle),
            Topic::Function(name) => {
                let sources = self.state.sources.borrow();
                let definitions = sources.definitions(&name);
                (!definitions.is_empty()).then(|| about::functions(&definitions, detail))
            }
            Topic::Variable(name) => {
                let value = self.scope.get(&name)?;
                let of = self.type_name(value);
                Some(about::value(Some(&name), &of, value, self.catalog()))
            }
        }
    }

    /// The page that a cell such as `lm?` asks for.
    pub(super) fn answer(&self, question: &Question) -> Result<MimeBundle, ScriptError> {
        let known = self.known();
        let end = question.name.chars().count();
        let found = inspect::find(&known, &question.name, end);
        let page = found.and_then(|found| self.describe(found, question.detail));
        page.ok_or_else(|| {
            let name = &question.name;
            let message = format!("there is nothing named `{name}`");
            let variables = known.variables.iter().map(|(name, _)| name.as_str());
            let functions = known.functions.iter().map(|(name, _)| name.as_str());
            let full: Vec<String> = known.catalog.entries().map(|entry| entry.full_name()).collect();
            let names = variables.chain(functions).chain(full.iter().map(String::as_str));
            ScriptError::new(ErrorKind::Name, message).with_nearest(name, names)
        })
    }

    // A front end asks for these while someone types: a defect in them must cost no more than the answer.

    pub(super) fn completions(&self, code: &str, cursor: usize) -> Completions {
        let cursor = cursor.min(code.chars().count());
        let answer = catch_unwind(AssertUnwindSafe(|| complete(self.known(), code, cursor)));
        answer.unwrap_or_else(|_| Completions {
            range: cursor..cursor,
            matches: Vec::new(),
        })
    }

    pub(super) fn inspection(&self, code: &str, cursor: usize, detail: u8) -> Option<MimeBundle> {
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let known = self.known();
            self.describe(inspect::find(&known, code, cursor)?, detail)
        }));
        answer.unwrap_or(None)
    }

    pub(super) fn completeness(&self, code: &str) -> Completeness {
        let answer = catch_unwind(AssertUnwindSafe(|| completeness::judge(&self.engine, code)));
        // Running it will say what is wrong.
        answer.unwrap_or(Completeness::Complete)
    }
}

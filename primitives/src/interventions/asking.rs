//! What the page of a patching map can ask: the same by other options, and the pass behind a cell.

use std::hash::{DefaultHasher, Hash, Hasher};

use ecco_scripting::live::{Call, Live, Question, literal};
use ecco_scripting::options::OptionSet;
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::Dynamic;
use serde_json::{Map, Value, json};

use super::patching::PatchMapOptions;
use crate::live::{called, offers};
use crate::models::model::Model;

/// The name that scripts give what stands behind a cell: the corrupted text, once as it is and once with that part of the clean one.
const BEHIND: &str = "compare";
/// Tokens that are written to see what the part does.
const N_WRITTEN: usize = 5;

/// Two texts and how they were patched.
pub(super) struct AskedPair {
    pub model: Model,
    pub clean: String,
    pub corrupted: String,
    /// `residual_before`
    pub site: String,
    pub options: Map<String, Value>,
}

impl AskedPair {
    /// `#{layer: 3, positions: 5}` as an entry of `patch`.
    fn entry(&self, question: &Question) -> String {
        let mut cell = question.options.clone().unwrap_or_default();
        cell.insert("site".to_owned(), self.site.clone().into());
        let (entry, clean) = (literal::options(&cell), literal::text(&self.clean));
        let open = entry.strip_suffix('}').unwrap_or(&entry);
        format!("{open}, from: lm.run({clean})}}")
    }
}

impl Live for AskedPair {
    fn text(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.model.card().name, &self.clean, &self.corrupted).hash(&mut hasher);
        hasher.finish()
    }

    fn choices(&self) -> Result<Value, ScriptError> {
        self.model.loaded()?;
        Ok(json!({
            "can_edit": false,
            "can_compare": false,
            "tokens": [],
            "n_input": 0,
            "writes": false,
            "arguments": [],
            "options": self.options,
            "offers": offers(PatchMapOptions::rows()),
            "place": null,
            "has_targets": false,
            "next": [{"member": BEHIND, "place": "cell"}],
        }))
    }

    fn call(&self, question: &Question) -> Result<Call, ScriptError> {
        let corrupted = literal::text(&self.corrupted);
        let rest = match question.next.as_deref() {
            Some(BEHIND) => {
                let entry = self.entry(question);
                format!(
                    ".{BEHIND}({corrupted}, #{{intervene: #{{patch: [{entry}]}}, generate: {N_WRITTEN}}})"
                )
            }
            Some(next) => {
                let message = format!("{next:?} is nothing that can be asked of this map");
                return Err(ScriptError::new(ErrorKind::Value, message));
            }
            None => {
                let options = literal::options(question.options.as_ref().unwrap_or(&self.options));
                called(
                    "patch_map",
                    [literal::text(&self.clean), corrupted].into_iter(),
                    options,
                )
            }
        };
        Ok(Call {
            name: "lm",
            receiver: Dynamic::from(self.model.clone()),
            rest,
        })
    }
}

//! What the page of a patching map can ask: the same by other options, and the pass behind a cell.

use std::hash::{DefaultHasher, Hash, Hasher};

use ecco_scripting::live::{Call, Live, Question, literal};
use ecco_scripting::options::{OptionSet, Told};
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::Dynamic;
use serde_json::{Map, Value, json};

use super::patching::PatchMapOptions;
use crate::live::offers;
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
    pub told: Told,
}

impl AskedPair {
    fn options(&self, question: &Question) -> Result<Map<String, Value>, ScriptError> {
        let own = || {
            let message = "an option of this map is a value that no line of script spells out";
            self.told
                .given()
                .ok_or_else(|| ScriptError::new(ErrorKind::Value, message))
        };
        question.options.clone().map_or_else(own, Ok)
    }

    /// `#{layer: 3, positions: 5}` as an entry of `patch`.
    fn entry(&self, question: &Question) -> String {
        let mut cell = question.options.clone().unwrap_or_default();
        cell.insert("site".to_owned(), self.site.clone().into());
        let entry = literal::options(&cell);
        let clean = literal::text(&self.clean);
        format!("{}, from: lm.run({clean})}}", entry.trim_end_matches('}'))
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
            "options": self.told.given(),
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
                let options = literal::options(&self.options(question)?);
                let given = [literal::text(&self.clean), corrupted, options];
                let given: Vec<String> = given.into_iter().filter(|text| !text.is_empty()).collect();
                format!(".patch_map({})", given.join(", "))
            }
        };
        Ok(Call {
            name: "lm",
            receiver: Dynamic::from(self.model.clone()),
            rest,
        })
    }
}

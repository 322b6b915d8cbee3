//! What the page of the resident models can ask: that one of them is unloaded.

use std::hash::{DefaultHasher, Hash, Hasher};

use ecco_scripting::live::{Call, Live, Question};
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::Dynamic;
use serde_json::{Value, json};

use super::model::Model;

/// The call that lists them.
const ALL: &str = "ecco::models()";
const UNLOAD: &str = "unload";

/// The models in the order of their rows, loaded or not any more.
pub(super) struct AskedModels(pub Vec<Model>);

impl Live for AskedModels {
    fn text(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        ALL.hash(&mut hasher);
        hasher.finish()
    }

    fn choices(&self) -> Result<Value, ScriptError> {
        Ok(json!({
            "can_edit": false,
            "can_compare": false,
            "tokens": [],
            "n_input": 0,
            "writes": false,
            "arguments": [],
            "options": {},
            "offers": [],
            "place": null,
            "has_targets": false,
            "next": [{"member": UNLOAD, "place": "row"}],
        }))
    }

    fn call(&self, question: &Question) -> Result<Call, ScriptError> {
        let row = question.arguments.iter().flatten().next().and_then(Value::as_u64);
        let model = row.and_then(|row| self.0.get(usize::try_from(row).ok()?));
        match (question.next.as_deref(), model) {
            (None, _) => Ok(Call {
                name: ALL,
                receiver: Dynamic::UNIT,
                rest: String::new(),
            }),
            (Some(UNLOAD), Some(model)) => Ok(Call {
                name: "lm",
                receiver: Dynamic::from(model.clone()),
                rest: format!(".{UNLOAD}()"),
            }),
            (Some(UNLOAD), None) => {
                let message = format!(
                    "the list has {} models: say which by its row, from 0 on",
                    self.0.len()
                );
                Err(ScriptError::new(ErrorKind::Value, message))
            }
            (Some(other), _) => {
                let message = format!("{other:?} is nothing that can be asked of models");
                Err(ScriptError::new(ErrorKind::Value, message))
            }
        }
    }
}

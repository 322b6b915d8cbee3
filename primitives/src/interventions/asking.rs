//! What the pages of results of a model's own calls can ask: the same call by other options, or with another text; of a patching map
//! also the pass behind a cell.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};

use ecco_scripting::live::{Call, Live, Question, literal};
use ecco_scripting::options::OptionSpec;
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::Dynamic;
use serde_json::{Map, Value, json};

use crate::live::{called, offers};
use crate::models::model::Model;

/// The name that scripts give what stands behind a cell: the corrupted text, once as it is and once with that part of the clean one.
const BEHIND: &str = "compare";
/// Tokens that are written to see what the part does.
const N_WRITTEN: usize = 5;

/// `lm.patch_map("…", "…", #{site: "mlp_output"})`
pub(crate) struct AskedCall {
    pub model: Model,
    pub member: &'static str,
    /// Before the options.
    pub arguments: Vec<Value>,
    /// As they were given.
    pub options: Map<String, Value>,
    /// Those that its page offers.
    pub rows: Vec<&'static [OptionSpec]>,
    /// Of a call with one text: its pieces, in the place of any of which another can stand.
    pub pieces: Vec<String>,
}

impl fmt::Debug for AskedCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AskedCall")
            .field("member", &self.member)
            .field("arguments", &self.arguments)
            .finish_non_exhaustive()
    }
}

impl AskedCall {
    fn choices(&self, next: &Value) -> Result<Value, ScriptError> {
        self.model.loaded()?;
        let offers: Vec<Value> = self.rows.iter().flat_map(|rows| offers(rows)).collect();
        Ok(json!({
            "can_edit": !self.pieces.is_empty(),
            "can_compare": false,
            "tokens": self.pieces,
            "n_input": self.pieces.len(),
            "writes": false,
            "arguments": [],
            "options": self.options,
            "offers": offers,
            "place": null,
            "has_targets": false,
            "next": next,
        }))
    }

    fn with_rest(&self, rest: String) -> Call {
        Call {
            name: "lm",
            receiver: Dynamic::from(self.model.clone()),
            rest,
        }
    }
}

impl Live for AskedCall {
    fn text(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.model.card().name, literal::literal(&json!(self.arguments))).hash(&mut hasher);
        hasher.finish()
    }

    fn choices(&self) -> Result<Value, ScriptError> {
        self.choices(&json!([]))
    }

    fn call(&self, question: &Question) -> Result<Call, ScriptError> {
        if let Some(next) = &question.next {
            let message = format!("{next:?} is nothing that can be asked of this view");
            return Err(ScriptError::new(ErrorKind::Value, message));
        }
        let text = question.text.as_ref().filter(|_| !self.pieces.is_empty());
        let arguments: Vec<String> = match text {
            Some(text) => vec![literal::text(&text.read)],
            None => self.arguments.iter().map(literal::literal).collect(),
        };
        let options = question.in_order(question.options.as_ref().unwrap_or(&self.options));
        let options = literal::options(&options);
        Ok(self.with_rest(called(self.member, arguments.into_iter(), options)))
    }
}

/// Two texts and how they were patched.
pub(super) struct AskedPair {
    pub call: AskedCall,
    /// `residual_before`
    pub site: String,
}

impl AskedPair {
    fn text(&self, at: usize) -> String {
        literal::literal(&self.call.arguments[at])
    }

    /// `#{layer: 3, positions: 5}` as an entry of `patch`.
    fn entry(&self, question: &Question) -> String {
        let mut cell = question.options.clone().unwrap_or_default();
        cell.insert("site".to_owned(), self.site.clone().into());
        let (entry, clean) = (literal::options(&cell), self.text(0));
        let open = entry.strip_suffix('}').unwrap_or(&entry);
        format!("{open}, from: lm.run({clean})}}")
    }
}

impl Live for AskedPair {
    fn text(&self) -> u64 {
        Live::text(&self.call)
    }

    fn choices(&self) -> Result<Value, ScriptError> {
        self.call.choices(&json!([{"member": BEHIND, "place": "cell"}]))
    }

    fn call(&self, question: &Question) -> Result<Call, ScriptError> {
        if question.next.as_deref() != Some(BEHIND) {
            return self.call.call(question);
        }
        let (entry, corrupted) = (self.entry(question), self.text(1));
        Ok(self.call.with_rest(format!(
            ".{BEHIND}({corrupted}, #{{intervene: #{{patch: [{entry}]}}, generate: {N_WRITTEN}}})"
        )))
    }
}

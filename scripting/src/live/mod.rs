//! Questions to results that a cell has shown: what the page asks is a call, which is also the line that the reader
//! could write.
//!
//! - [`Live`]: what a result that can be asked says of itself; [`Call`]: the call that answers
//! - `results`: the newest of them, by the ids that their pages carry; `channel`: `ecco::live()`
//! - `literal`: values as scripts write them; `answer`: the session's side

mod answer;
pub(crate) mod channel;
pub mod literal;
mod results;

use rhai::Dynamic;
use serde_json::{Map, Value};

use crate::errors::ScriptError;

pub(crate) use results::Results;

/// A shown result that can be asked. It holds what the calls need and none of what was computed: a session keeps
/// many of them.
pub trait Live {
    /// The same number for all results of one text: what is held in one of their views is marked in the others.
    fn text(&self) -> u64;

    /// What can be asked, as JSON for the page: docs/live.md has its fields.
    ///
    /// # Errors
    /// When its model is not loaded any more.
    fn choices(&self) -> Result<Value, ScriptError>;

    /// The call that answers.
    ///
    /// # Errors
    /// A question that cannot be put to this result.
    fn call(&self, question: &Question) -> Result<Call, ScriptError>;
}

/// What is to be computed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Question {
    /// In the place of the result's own text.
    pub text: Option<Text>,
    /// What the member is called with before its options; the result's own where there are none.
    pub arguments: Option<Vec<Value>>,
    /// All options; the result's own where there are none.
    pub options: Option<Map<String, Value>>,
    /// Not the result, but this member of what it is a result of.
    pub next: Option<String>,
    /// From the text on, also where an output or a run is there to be asked.
    pub is_spelled_out: bool,
    /// The call as a cell has it, where that is known.
    pub written: String,
}

impl Question {
    /// Options in the order in which the call was written, which a map does not keep, and those that it has not behind them.
    pub fn in_order(&self, options: &Map<String, Value>) -> Map<String, Value> {
        in_order(options, &self.written)
    }
}

/// Options in the order of a line that names them; the others behind them, as they are.
fn in_order(options: &Map<String, Value>, line: &str) -> Map<String, Value> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let place = |name: &str| {
        let mut found = line.match_indices(name);
        let named = found.find(|(at, _)| {
            let (before, after) = (&line[..*at], &line[at + name.len()..]);
            !before.ends_with(is_word) && after.trim_start().starts_with(':')
        });
        named.map_or(usize::MAX, |(at, _)| at)
    };
    let mut entries: Vec<(&String, &Value)> = options.iter().collect();
    entries.sort_by_key(|(name, _)| place(name));
    let copied = entries
        .into_iter()
        .map(|(name, value)| (name.clone(), value.clone()));
    copied.collect()
}

/// A text that might have stood there.
#[derive(Debug, Clone, PartialEq)]
pub struct Text {
    pub read: String,
    pub written: String,
    /// So many tokens are written anew by the model.
    pub generate: Option<u64>,
}

/// `output.saliency(#{method: "ig"})`
pub struct Call {
    /// A name for the value that it is a method of, for where no variable holds it.
    pub name: &'static str,
    pub receiver: Dynamic,
    /// From the first dot on.
    pub rest: String,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn options_keep_the_order_in_which_they_were_written() {
        let Value::Object(options) = json!({"k": 5, "method": "ig", "position": 3, "topk": 5, "by": "word"})
        else {
            panic!("a map")
        };
        let question = Question {
            written: r#"output.saliency(#{topk: 5, method : "k", position: 3})"#.to_owned(),
            ..Question::default()
        };
        let ordered = question.in_order(&options);
        let names: Vec<&str> = ordered.keys().map(String::as_str).collect();
        assert_eq!(names, ["topk", "method", "position", "k", "by"]);
        assert_eq!(ordered["k"], 5);
        assert_eq!(Question::default().in_order(&options), options);
    }
}

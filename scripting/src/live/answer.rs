//! The session's side of a question.

use std::rc::Rc;

use ecco_interpreter::CellError;
use rhai::{Dynamic, EvalAltResult, Position, Scope};
use serde_json::{Map, Value, json};

use super::{Call, Live, Question, Text, in_order};
use crate::assist::source::Source;
use crate::errors::{ErrorKind, ScriptError};
use crate::result::known;
use crate::session::Session;
use crate::session::state::NoOutput;

impl Session {
    /// `{"gone": true}` where the session does not know the result, what can be asked where nothing is, else the view
    /// and its line.
    pub(crate) fn answer_question(&mut self, question: &Value) -> Result<Value, CellError> {
        let source = Rc::new(Source::new(&self.engine, "question", ""));
        self.guarded(&source, Some(Rc::new(NoOutput)), |session| {
            session
                .answered(question)
                .map_err(|error| error.raise_at(Position::NONE))
        })
    }

    fn answered(&mut self, question: &Value) -> Result<Value, ScriptError> {
        let id = question["result"].as_str().unwrap_or_default();
        let Some((live, written)) = self.state.live.borrow().find(id) else {
            return Ok(json!({"gone": true}));
        };
        let Some(wanted) = question.get("call") else {
            let own = Question {
                written,
                ..Question::default()
            };
            let line = self.line(&*live, &own, &live.call(&own)?);
            let mut choices = choices(&*live, &line)?;
            choices["line"] = line.into();
            return Ok(choices);
        };
        let wanted = Question {
            written,
            ..read(wanted)?
        };
        let call = live.call(&wanted)?;
        let line = self.line(&*live, &wanted, &call);
        let value = self.called(call)?;
        if value.is_unit() {
            return Ok(json!({"done": true, "line": line}));
        }
        let shown = known::live(&value);
        let answer = match question["call"]["json"] == true {
            true => known::json(&value)
                .transpose()?
                .flatten()
                .map(|json| json!({"json": json})),
            false => known::page(&value).transpose()?.flatten().map(|page| {
                let page = match wanted.next {
                    Some(_) => self.card(&page, &line, shown.clone()),
                    None => page,
                };
                json!({"html": page})
            }),
        };
        let mut answer = answer.ok_or_else(|| ScriptError::new(ErrorKind::Value, "this has no view"))?;
        answer["line"] = line.into();
        // Another text has other tokens, another result other options.
        if let Some(live) = shown {
            answer["choices"] = choices(&*live, answer["line"].as_str().unwrap_or_default())?;
        }
        Ok(answer)
    }

    /// A page that stands beside the one that has asked: it says its call, and is asked by itself where it can be.
    fn card(&self, page: &str, line: &str, live: Option<Rc<dyn Live>>) -> String {
        let page = ecco_widgets::with_data(page, "call", line);
        match live {
            Some(live) => {
                let mut known = self.state.live.borrow_mut();
                let page = known.keep(live, &page);
                known.note_call(&page, line);
                page
            }
            None => page,
        }
    }

    /// The call as the user would write it: of the variable that holds its receiver, else from the text on.
    fn line(&self, live: &dyn Live, question: &Question, call: &Call) -> String {
        if let Some(name) = self.variable(&call.receiver) {
            return format!("{name}{}", call.rest);
        }
        let spelled_out = Question {
            is_spelled_out: true,
            ..question.clone()
        };
        let spelled_out = live.call(&spelled_out);
        let call = spelled_out.as_ref().unwrap_or(call);
        let name = self.variable(&call.receiver);
        format!("{}{}", name.unwrap_or(call.name), call.rest)
    }

    fn variable(&self, value: &Dynamic) -> Option<&str> {
        let place = known::place_in_memory(value)?;
        let is_it = |other: &Dynamic| {
            other.type_id() == value.type_id() && known::place_in_memory(other) == Some(place)
        };
        let mut variables = self.scope.iter_raw();
        variables
            .find(|(_, _, other)| is_it(other))
            .map(|(name, _, _)| name)
    }

    /// What the call gives, with nothing else in scope.
    fn called(&self, call: Call) -> Result<Dynamic, ScriptError> {
        let code = format!("{}{}", call.name, call.rest);
        let mut scope = Scope::new();
        scope.push_dynamic(call.name, call.receiver);
        let result = self
            .engine
            .eval_expression_with_scope::<Dynamic>(&mut scope, &code);
        result.map_err(|error| script_error(&error))
    }
}

/// What can be asked of a result with this line, its options in the line's order.
fn choices(live: &dyn Live, line: &str) -> Result<Value, ScriptError> {
    let mut choices = live.choices()?;
    if let Value::Object(options) = &choices["options"] {
        choices["options"] = in_order(options, line).into();
    }
    Ok(choices)
}

/// Errors of primitives as they are; their place in a line that nobody has written says nothing.
fn script_error(error: &EvalAltResult) -> ScriptError {
    match error {
        EvalAltResult::ErrorRuntime(value, _) | EvalAltResult::ErrorTerminated(value, _) => {
            match value.read_lock::<ScriptError>() {
                Some(error) => error.clone(),
                None => ScriptError::new(ErrorKind::Runtime, value.to_string()),
            }
        }
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) => script_error(inner),
        other => ScriptError::new(ErrorKind::Value, other.to_string()),
    }
}

/// A question as a page sends it.
fn read(wanted: &Value) -> Result<Question, ScriptError> {
    let absurd = |what: &str| {
        let message = format!("a view has asked what cannot be understood: {what}");
        ScriptError::new(ErrorKind::Value, message)
    };
    let text = match &wanted["text"] {
        Value::Null => None,
        given => {
            let part = |name: &str| given[name].as_str().map(str::to_owned);
            let read = part("read").ok_or_else(|| absurd("a text without `read`"))?;
            Some(Text {
                read,
                written: part("written").unwrap_or_default(),
                generate: given["generate"].as_u64(),
            })
        }
    };
    let arguments = match &wanted["arguments"] {
        Value::Null => None,
        Value::Array(values) if values.iter().all(|value| is_shallow(value, 1)) => Some(values.clone()),
        _ => return Err(absurd("arguments")),
    };
    let options = match &wanted["options"] {
        Value::Null => None,
        Value::Object(options) => Some(plain(options).ok_or_else(|| absurd("options"))?),
        _ => return Err(absurd("options")),
    };
    Ok(Question {
        text,
        arguments,
        options,
        next: wanted["next"].as_str().map(str::to_owned),
        is_spelled_out: false,
        written: String::new(),
    })
}

/// Options have names, and values about as shallow as those of any primitive.
fn plain(options: &Map<String, Value>) -> Option<Map<String, Value>> {
    let is_plain =
        |(name, value): (&String, &Value)| rhai::is_valid_identifier(name) && is_shallow(value, DEEPEST);
    options.iter().all(is_plain).then(|| options.clone())
}

/// `intervene: #{ablate: [#{layer: 0, neurons: [1]}]}`
const DEEPEST: usize = 4;

fn is_shallow(value: &Value, depth: usize) -> bool {
    match value {
        Value::Array(items) => depth > 0 && items.iter().all(|item| is_shallow(item, depth - 1)),
        Value::Object(fields) => depth > 0 && fields.values().all(|field| is_shallow(field, depth - 1)),
        _ => true,
    }
}

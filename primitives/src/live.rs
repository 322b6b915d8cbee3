//! What the pages of results about a text can ask: the same for a text that is changed, for other options, and what might
//! stand at a place. The call that answers is a line of script: `lm.score("…", "…").saliency(#{method: "ig"})`.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::rc::Rc;

use ecco_models::config::Task;
use ecco_models::{Prompt, Token};
use ecco_scripting::live::{Call, Live, Question, Text, literal};
use ecco_scripting::options::{OptionKind, OptionSet, OptionSpec, Told, Word};
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::Dynamic;
use serde_json::{Map, Value, json};

use crate::models::model::Model;
use crate::text::passage::{Holder, Passage};
use crate::text::token;

/// What follows a look at a text: members of outputs and runs, with what a place in it is given as. Those of the first kind go
/// with any model, those of the second with one that says what comes next.
const NEXT: [(&str, Place); 4] = [
    ("saliency", Place::Option("position")),
    ("lens", Place::Option("positions")),
    ("attention", Place::None),
    ("run_nmf", Place::None),
];
/// What goes on from a saliency as it is.
const NEXT_OF_SALIENCY: [(&str, Place); 1] = [("faithfulness", Place::Own)];
const NEXT_OF_WRITERS: [(&str, Place); 4] = [
    ("candidates", Place::Argument),
    ("logit_attribution", Place::Option("position")),
    ("layer_predictions", Place::Option("position")),
    ("score", Place::None),
];

/// What can be asked of a model about a part of it: the text once more without that part, beside the text as it was.
const COMPARE: &str = "compare";

/// What a place in the text is given as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    None,
    /// The only argument.
    Argument,
    Option(&'static str),
    /// It is a member of the result itself, and not of its text.
    Own,
}

impl Place {
    fn name(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Argument => Some("arguments"),
            Self::Own => Some("own"),
            Self::Option(name) => Some(name),
        }
    }

    /// Of a member with these options.
    fn of(rows: &[OptionSpec]) -> Self {
        let names = ["position", "positions"];
        let row = rows.iter().find(|row| names.contains(&row.name));
        row.map_or(Self::None, |row| Self::Option(row.name))
    }
}

/// How a result was asked for: `.neuron(3, 489, #{site: "mlp_output"})`.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    /// What stands before it: `.saliency(#{method: "ig"})`.
    before: String,
    member: &'static str,
    /// With their names.
    arguments: Vec<(&'static str, Value)>,
    told: Told,
    rows: &'static [OptionSpec],
    place: Place,
}

impl Asking {
    pub(crate) fn new<O: OptionSet>(member: &'static str, options: &O) -> Self {
        Self {
            before: String::new(),
            member,
            arguments: Vec::new(),
            told: options.told(),
            rows: O::rows(),
            place: Place::of(O::rows()),
        }
    }

    /// Called with something before its options.
    pub(crate) fn with(mut self, name: &'static str, argument: impl Into<Value>) -> Self {
        self.arguments.push((name, argument.into()));
        self
    }

    /// Of what another member gives.
    pub(crate) fn after(mut self, other: &Asking) -> Option<Self> {
        let options = literal::options(&other.told.given()?);
        self.before = format!(".{}({options})", other.member);
        Some(self)
    }

    /// A result of a text, as `Show` wants it. It holds no output or run.
    pub(crate) fn live(&self, passage: &Passage) -> Option<Rc<dyn Live>> {
        Some(Rc::new(Asked {
            model: passage.model().plain(),
            holder: passage.holder(),
            tokens: passage.tokens().to_vec(),
            n_input: passage.n_input(),
            is_pair: passage.is_pair(),
            has_written: passage.is_written(),
            options: self.told.given()?,
            asking: self.clone(),
        }))
    }

    /// What a page offers to choose: of each option its name, what holds without it, and either some values, that one first where
    /// it is a value, or the least number.
    fn offers(&self) -> Vec<Value> {
        let arguments = self.arguments.iter().enumerate();
        let arguments = arguments.filter(|(_, (_, value))| value.is_number());
        let arguments = arguments.map(|(at, (name, _))| json!({"name": name, "argument": at, "least": 0}));
        arguments.chain(offers(self.rows)).collect()
    }
}

/// Of options alone.
pub(crate) fn offers(rows: &[OptionSpec]) -> Vec<Value> {
    rows.iter().filter_map(offer).collect()
}

fn offer(row: &OptionSpec) -> Option<Value> {
    let name = row
        .default
        .strip_prefix('"')
        .and_then(|text| text.strip_suffix('"'));
    let default: Value = name
        .filter(|name| !name.contains('"'))
        .unwrap_or(row.default)
        .into();
    let choice = |values: Vec<Value>| {
        let (first, others): (Vec<Value>, Vec<Value>) =
            values.into_iter().partition(|value| *value == default);
        let first = first.into_iter().next().unwrap_or(Value::Null);
        [first].into_iter().chain(others).collect::<Value>()
    };
    let (what, of) = match row.kind {
        _ if Place::of(std::slice::from_ref(row)) != Place::None => return None,
        OptionKind::OneOf(names) | OptionKind::Such(names) => {
            let mains = names
                .iter()
                .filter(|name| (row.main_name)(name).is_none_or(|main| main == **name));
            ("values", choice(mains.map(|name| (*name).into()).collect()))
        }
        OptionKind::Bool => {
            let usual = row.default == "true";
            ("values", json!([usual, !usual]))
        }
        OptionKind::Int(least) => ("least", least.max(0).into()),
        OptionKind::Float => ("least", Value::Null),
        _ => return None,
    };
    Some(json!({"name": row.name, "doc": row.doc, "default": default, what: of}))
}

/// A result that is a member of a text.
struct Asked {
    model: Model,
    holder: Holder,
    tokens: Vec<Token>,
    n_input: usize,
    is_pair: bool,
    /// Whether it has written a part of the text.
    has_written: bool,
    options: Map<String, Value>,
    asking: Asking,
}

impl Asked {
    /// The tokens' texts, which together are the text that a script gives: special tokens that a tokenizer puts around it
    /// are no part of it.
    fn pieces(&self, model: &ecco_models::Model) -> Vec<String> {
        let mask = model.tokenizer().mask().map(|mask| mask.id);
        let is_plain = |id: u32| Some(id) == mask || !model.tokenizer().decode_plain(&[id]).is_empty();
        let piece = |token: &Token| match is_plain(token.id) {
            true => token.text.clone(),
            false => String::new(),
        };
        self.tokens.iter().map(piece).collect()
    }

    /// Whether the text, read again, has these tokens: only then a change is the change of one.
    fn is_editable(&self, model: &ecco_models::Model, pieces: &[String]) -> bool {
        let (read, written) = pieces.split_at(self.n_input);
        let (read, written) = (read.concat(), written.concat());
        let ids: Vec<u32> = self.tokens.iter().map(|token| token.id).collect();
        if self.is_pair || read.contains('\u{fffd}') || written.contains('\u{fffd}') {
            return false;
        }
        let tokenizer = model.tokenizer();
        match written.is_empty() {
            true => tokenizer.encode(&read).is_ok_and(|found| found == ids),
            false => tokenizer
                .encode_continued(Prompt::Text(&read), &written)
                .is_ok_and(|(found, n_input)| found == ids && n_input == self.n_input),
        }
    }

    /// What the call is a member of: `output`, or a text that is read anew.
    fn receiver(&self, question: &Question) -> Result<Call, ScriptError> {
        let text = question.text.as_ref();
        let held = self.holder.get().filter(|_| !question.is_spelled_out);
        if let (None, Some((name, receiver))) = (text, held) {
            let rest = String::new();
            return Ok(Call { name, receiver, rest });
        }
        let text = text.map_or_else(|| self.own_text(), |text| Ok(text.clone()))?;
        let read = literal::text(&text.read);
        let rest = match (&self.holder, text.generate) {
            // What is only explained is explained by the model itself.
            (Holder::Text, _) if question.next.is_none() => format!(".attribute({read}"),
            (Holder::Output(_), Some(n)) => format!(".generate({read}, #{{generate: {n}}})"),
            (Holder::Output(_), None) if text.written.is_empty() => format!(".score({read})"),
            (Holder::Output(_), None) => format!(".score({read}, {})", literal::text(&text.written)),
            _ => format!(".run({read})"),
        };
        Ok(Call {
            name: "lm",
            receiver: Dynamic::from(self.model.clone()),
            rest,
        })
    }

    /// For a result whose output or run is gone.
    fn own_text(&self) -> Result<Text, ScriptError> {
        let model = self.model.loaded()?;
        let pieces = self.pieces(&model);
        if !self.is_editable(&model, &pieces) {
            let message = "the output is gone, and its text cannot be read again as it was";
            return Err(ScriptError::new(ErrorKind::Value, message).with_hint("run the cell again"));
        }
        let (read, written) = pieces.split_at(self.n_input);
        Ok(Text {
            read: read.concat(),
            written: written.concat(),
            generate: None,
        })
    }

    /// A token that a page gives by its number has its text in a script, where that names it.
    fn named(&self, options: &Map<String, Value>) -> Result<Map<String, Value>, ScriptError> {
        let model = self.model.loaded()?;
        let mut options = options.clone();
        for name in ["target", "contrast"] {
            let Some(id) = options.get(name).and_then(Value::as_u64) else {
                continue;
            };
            let id = u32::try_from(id).unwrap_or(u32::MAX);
            let text = token::token(&Word::Id(id), &model, name)?.text;
            let again = token::token(&Word::Text(text.clone()), &model, name);
            if again.is_ok_and(|token| token.id == id) {
                options.insert(name.to_owned(), text.into());
            }
        }
        Ok(options)
    }
}

impl Asked {
    /// What can be asked next of the same text.
    fn next(&self, model: &ecco_models::Model) -> impl Iterator<Item = &'static (&'static str, Place)> {
        let writes_next = writes_next(model);
        let of_writers = NEXT_OF_WRITERS.iter().filter(move |_| writes_next);
        let of_saliency = NEXT_OF_SALIENCY
            .iter()
            .filter(|_| self.asking.member == "saliency");
        of_saliency.chain(of_writers).chain(&NEXT)
    }

    /// Whether the text can be had once more of a model that is changed.
    fn is_comparable(&self, model: &ecco_models::Model, can_edit: bool) -> bool {
        can_edit && writes_next(model) && !self.is_pair
    }

    /// Another member of the same text, or the text under interventions.
    fn follow(&self, question: &Question, next: &str) -> Result<Call, ScriptError> {
        let options = question.options.clone().unwrap_or_default();
        if next == COMPARE {
            let text = question.text.clone().map_or_else(|| self.own_text(), Ok)?;
            let n = (self.tokens.len() - self.n_input).max(1);
            let mut options = options;
            options.entry("generate").or_insert_with(|| n.into());
            return Ok(Call {
                name: "lm",
                receiver: Dynamic::from(self.model.clone()),
                rest: format!(
                    ".{COMPARE}({}, {})",
                    literal::text(&text.read),
                    literal::options(&options)
                ),
            });
        }
        let Some((member, place)) = self
            .next(&*self.model.loaded()?)
            .find(|(member, _)| *member == next)
        else {
            let message = format!("{next:?} is nothing that can be asked of this text");
            return Err(ScriptError::new(ErrorKind::Value, message));
        };
        if *place == Place::Own {
            let own = Question {
                next: None,
                ..question.clone()
            };
            let mut call = self.call(&own)?;
            call.rest += &called(member, [].into_iter(), String::new());
            return Ok(call);
        }
        let mut call = self.receiver(question)?;
        let arguments = question.arguments.iter().flatten().map(literal::literal);
        call.rest += &called(member, arguments, literal::options(&self.named(&options)?));
        Ok(call)
    }
}

/// Whether it says what comes next.
fn writes_next(model: &ecco_models::Model) -> bool {
    model.config().task == Task::NextToken
}

/// `.neuron(3, 489, #{site: "mlp_output"})`
pub(crate) fn called(member: &str, arguments: impl Iterator<Item = String>, options: String) -> String {
    let given: Vec<String> = arguments
        .chain([options].into_iter().filter(|options| !options.is_empty()))
        .collect();
    format!(".{member}({})", given.join(", "))
}

impl Live for Asked {
    fn text(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&self.model.card().name, self.n_input).hash(&mut hasher);
        for token in &self.tokens {
            token.id.hash(&mut hasher);
        }
        hasher.finish()
    }

    fn choices(&self) -> Result<Value, ScriptError> {
        let model = self.model.loaded()?;
        let pieces = self.pieces(&model);
        let can_edit = self.is_editable(&model, &pieces);
        let next = self
            .next(&model)
            .map(|(member, place)| json!({"member": member, "place": place.name()}));
        let has_targets = self.asking.rows.iter().any(|row| row.name == "target");
        let arguments: Vec<&Value> = self.asking.arguments.iter().map(|(_, value)| value).collect();
        let told = |(name, value): (&String, &Value)| {
            let row = self.asking.rows.iter().find(|row| row.name == name);
            let main = value.as_str().and_then(|text| (row?.main_name)(text));
            (name.clone(), main.map_or_else(|| value.clone(), Value::from))
        };
        Ok(json!({
            "can_edit": can_edit,
            "can_compare": self.is_comparable(&model, can_edit),
            "tokens": pieces,
            "n_input": self.n_input,
            "writes": self.has_written,
            "arguments": arguments,
            "options": self.options.iter().map(told).collect::<Map<_, _>>(),
            "offers": self.asking.offers(),
            "place": self.asking.place.name(),
            "has_targets": has_targets,
            "next": next.collect::<Vec<_>>(),
        }))
    }

    fn call(&self, question: &Question) -> Result<Call, ScriptError> {
        if let Some(next) = &question.next {
            return self.follow(question, next);
        }
        let mut call = self.receiver(question)?;
        let options = match &question.options {
            Some(options) => literal::options(&question.in_order(&self.named(options)?)),
            None => literal::options(&question.in_order(&self.options)),
        };
        let own = || {
            self.asking
                .arguments
                .iter()
                .map(|(_, value)| value.clone())
                .collect()
        };
        let arguments: Vec<Value> = question.arguments.clone().unwrap_or_else(own);
        let is_whole = call.rest.ends_with(')') || call.rest.is_empty();
        // `lm.attribute(text, options)` is the saliency itself.
        call.rest += &match (is_whole, options.is_empty()) {
            (true, _) if self.asking.member.is_empty() => String::new(),
            (true, _) => {
                let arguments = arguments.iter().map(literal::literal);
                format!(
                    "{}{}",
                    self.asking.before,
                    called(self.asking.member, arguments, options)
                )
            }
            (false, true) => ")".to_owned(),
            (false, false) => format!(", {options})"),
        };
        Ok(call)
    }
}

//! What the pages of results about a text can ask: the same for a text that is changed, for other options, and what might
//! stand at a place. The call that answers is a line of script: `lm.score("…", "…").saliency(#{method: "ig"})`.

use std::rc::Rc;

use ecco_models::{Prompt, Token};
use ecco_scripting::live::{Call, Live, Question, Text, literal};
use ecco_scripting::options::Word;
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::Dynamic;
use serde_json::{Map, Value, json};

use crate::models::model::Model;
use crate::text::passage::{Holder, Passage};
use crate::text::token;

/// Candidates that a page lists of a place.
const N_CANDIDATES: usize = 8;

/// A choice that a page offers: the name of an option, and its values.
pub(crate) type Offer = (&'static str, Vec<Value>);

/// A result that is a member of a text.
pub(crate) struct Asked {
    model: Model,
    holder: Holder,
    tokens: Vec<Token>,
    n_input: usize,
    is_pair: bool,
    /// `saliency`, `lens`
    member: &'static str,
    /// Those that are not the defaults.
    options: Map<String, Value>,
    offers: Vec<Offer>,
    /// The option that a place is given as.
    place: &'static str,
    /// Whether a token can be explained that does not stand there.
    has_targets: bool,
}

impl Asked {
    pub(crate) fn new(passage: &Passage, member: &'static str, options: Map<String, Value>) -> Self {
        Self {
            model: passage.model().plain(),
            holder: passage.holder(),
            tokens: passage.tokens().to_vec(),
            n_input: passage.n_input(),
            is_pair: passage.is_pair(),
            member,
            options,
            offers: Vec::new(),
            place: "position",
            has_targets: false,
        }
    }

    pub(crate) fn offering(mut self, offers: Vec<Offer>) -> Self {
        self.offers = offers;
        self
    }

    /// A place is given as the option `name`; other tokens can be targets there where `has_targets`.
    pub(crate) fn at(mut self, name: &'static str, has_targets: bool) -> Self {
        (self.place, self.has_targets) = (name, has_targets);
        self
    }

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
        let own;
        let text = match text {
            Some(text) => text,
            None => {
                own = self.own_text()?;
                &own
            }
        };
        let read = literal::text(&text.read);
        let rest = match (&self.holder, text.generate) {
            // What is only explained is explained by the model itself.
            (Holder::Text, _) if question.place.is_none() => format!(".attribute({read}"),
            (Holder::Output(_), Some(n)) => format!(".generate({read}, #{{generate: {n}}})"),
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

impl Live for Asked {
    fn choices(&self) -> Result<Value, ScriptError> {
        let model = self.model.loaded()?;
        let pieces = self.pieces(&model);
        let offers = self
            .offers
            .iter()
            .map(|(name, values)| json!({"name": name, "values": values}));
        Ok(json!({
            "can_edit": self.is_editable(&model, &pieces),
            "tokens": pieces,
            "n_input": self.n_input,
            "writes": matches!(self.holder, Holder::Output(_)),
            "options": self.options,
            "offers": offers.collect::<Vec<_>>(),
            "place": self.place,
            "has_targets": self.has_targets,
        }))
    }

    fn call(&self, question: &Question) -> Result<Call, ScriptError> {
        let mut call = self.receiver(question)?;
        if let Some(place) = question.place {
            call.rest += &format!(".candidates({place}, #{{topk: {N_CANDIDATES}}})");
            return Ok(call);
        }
        let options = match &question.options {
            Some(options) => literal::options(&self.named(options)?),
            None => literal::options(&self.options),
        };
        // `lm.attribute(text, options)` is the result itself.
        call.rest += &match (
            call.rest.ends_with(')') || call.rest.is_empty(),
            options.is_empty(),
        ) {
            (true, _) => format!(".{}({options})", self.member),
            (false, true) => ")".to_owned(),
            (false, false) => format!(", {options})"),
        };
        Ok(call)
    }
}

/// A result that can be asked, as `Show` wants it.
pub(crate) fn live(asked: Asked) -> Option<Rc<dyn Live>> {
    Some(Rc::new(asked))
}

//! The results that can be asked, by the ids that their pages carry.

use std::collections::VecDeque;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::rc::Rc;

use ecco_interpreter::MimeBundle;
use serde_json::Value;

use super::Live;

/// The newest so many results of a session can be asked.
const MOST: usize = 200;

/// Ids are those of one session: the page of a session before finds nothing.
pub(crate) struct Results {
    session: u64,
    shown: u64,
    newest: VecDeque<Shown>,
}

struct Shown {
    number: u64,
    result: Rc<dyn Live>,
    /// As it was written, where it ended a cell.
    call: String,
}

impl Default for Results {
    fn default() -> Self {
        Self {
            session: RandomState::new().hash_one(0),
            shown: 0,
            newest: VecDeque::new(),
        }
    }
}

impl Results {
    /// Keeps the result that a bundle shows, where it can be asked: its page gets the id by which it is found.
    pub(crate) fn note(&mut self, bundle: &mut MimeBundle, live: Option<Rc<dyn Live>>) {
        if let (Some(live), Some(Value::String(page))) = (live, bundle.data.get_mut("text/html")) {
            *page = self.keep(live, page);
        }
    }

    /// Keeps a result; gives its page with the id, and with the text that it is a result of.
    pub(crate) fn keep(&mut self, result: Rc<dyn Live>, page: &str) -> String {
        let text = format!("{:016x}", result.text());
        let page = ecco_widgets::with_data(page, "text", &text);
        ecco_widgets::with_data(&page, "live", &self.id_of(result))
    }

    /// Notes the call that made the newest result, if this is its page.
    pub(crate) fn note_call(&mut self, page: &str, call: &str) {
        let session = self.session();
        if let Some(shown) = self.newest.back_mut()
            && page.contains(&format!("data-live=\"{session}-{}\"", shown.number))
        {
            call.clone_into(&mut shown.call);
        }
    }

    fn id_of(&mut self, result: Rc<dyn Live>) -> String {
        self.shown += 1;
        if self.newest.len() == MOST {
            self.newest.pop_front();
        }
        self.newest.push_back(Shown {
            number: self.shown,
            result,
            call: String::new(),
        });
        format!("{}-{}", self.session(), self.shown)
    }

    /// What the ids of this session begin with.
    pub(super) fn session(&self) -> String {
        format!("{:016x}", self.session)
    }

    /// A result and the call that made it, empty where that is not known.
    pub(crate) fn find(&self, id: &str) -> Option<(Rc<dyn Live>, String)> {
        let number = id.strip_prefix(&format!("{}-", self.session()))?;
        let number: u64 = number.parse().ok()?;
        let found = self.newest.iter().find(|shown| shown.number == number);
        found.map(|shown| (Rc::clone(&shown.result), shown.call.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::errors::ScriptError;
    use crate::live::{Call, Question};

    struct Nothing;

    impl Live for Nothing {
        fn text(&self) -> u64 {
            0
        }
        fn choices(&self) -> Result<Value, ScriptError> {
            Ok(Value::Null)
        }
        fn call(&self, _: &Question) -> Result<Call, ScriptError> {
            Err(ScriptError::interrupted())
        }
    }

    #[test]
    fn the_newest_are_found_by_ids_of_their_session() {
        let (mut results, mut others) = (Results::default(), Results::default());
        let ids: Vec<String> = (0..=MOST).map(|_| results.id_of(Rc::new(Nothing))).collect();
        let other = others.id_of(Rc::new(Nothing));
        assert!(results.find(&ids[0]).is_none());
        assert!(results.find(&ids[1]).is_some() && results.find(&ids[MOST]).is_some());
        assert!(results.find(&other).is_none() && others.find(&other).is_some());
        for forged in ["", "1", "-1", "0000000000000000-1", &ids[1][..17], "é"] {
            assert!(results.find(forged).is_none(), "{forged}");
        }
    }
}

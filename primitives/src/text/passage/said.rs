//! What a model says of texts, computed once; whose each token is.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use ecco_explain::Group;
use ecco_models::run::{self, Prediction};
use ecco_scripting::ScriptError;

use super::Passage;

/// What a model says of a text, once it was asked.
type Predictions = RefCell<Option<Rc<Vec<Prediction>>>>;

impl Passage {
    /// Of each token, or of each group that of its first, whether it was "given" or "written"; of those of a conversation that were
    /// given, whose message they are of.
    pub(crate) fn roles(&self, groups: Option<&[Group]>) -> Vec<Arc<str>> {
        let [given, written]: [Arc<str>; 2] = ["given".into(), "written".into()];
        let role = |at: usize| match at < self.n_input() {
            true => self.facts.roles.get(at).unwrap_or(&given).clone(),
            false => written.clone(),
        };
        match groups {
            None => (0..self.tokens().len()).map(role).collect(),
            Some(groups) => groups.iter().map(|group| role(group.tokens.start)).collect(),
        }
    }

    /// What the model says of the text, computed once.
    pub(crate) fn predictions(&self) -> Result<Rc<Vec<Prediction>>, ScriptError> {
        Self::predict(std::slice::from_ref(self))?;
        let found = self.kept::<Predictions>().borrow().clone();
        Ok(found.unwrap_or_default())
    }

    /// Computes those of some texts of a model, about equally long ones side by side.
    pub(crate) fn predict(all: &[Self]) -> Result<(), ScriptError> {
        let is_missing = |passage: &&Self| passage.kept::<Predictions>().borrow().is_none();
        let missing: Vec<&Self> = all.iter().filter(is_missing).collect();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let loaded = first.model().loaded()?;
        let inputs = missing.iter().map(|passage| passage.input().clone()).collect();
        let found = first.watched(|watch| run::run(&loaded, inputs, 1, watch))??;
        for run in &found {
            for (row, &at) in run.order().iter().enumerate() {
                let said = Rc::new(run.predictions(row).to_vec());
                missing[at].kept::<Predictions>().replace(Some(said));
            }
        }
        Ok(())
    }
}

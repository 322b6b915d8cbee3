//! What a model says of texts, computed once.

use std::cell::RefCell;
use std::rc::Rc;

use ecco_models::run::{self, Prediction};
use ecco_scripting::ScriptError;

use super::Passage;

/// What a model says of a text, once it was asked.
type Predictions = RefCell<Option<Rc<Vec<Prediction>>>>;

impl Passage {
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

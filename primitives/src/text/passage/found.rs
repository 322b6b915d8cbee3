//! An answer about a text that is computed when it is first asked for.

use std::cell::OnceCell;

use ecco_interpreter::Watch;
use ecco_scripting::ScriptError;

use super::Passage;
use crate::text::reading;

impl Passage {
    /// What `cell` keeps, or else is computed now. `answer` is the number that it is about.
    ///
    /// # Errors
    /// What computing says; an answer that is no number.
    pub(crate) fn found<'c, T>(
        &self,
        cell: &'c OnceCell<T>,
        answer: fn(&T) -> f64,
        work: impl FnOnce(&ecco_models::Model, &mut Watch) -> ecco_explain::error::Result<T>,
    ) -> Result<&'c T, ScriptError> {
        if let Some(found) = cell.get() {
            return Ok(found);
        }
        let loaded = self.model().loaded()?;
        let found = self.watched(|watch| work(&loaded, watch))??;
        reading::about_numbers(self.model(), answer(&found).is_finite())?;
        Ok(cell.get_or_init(|| found))
    }
}

//! How an output is shown.

use std::rc::Rc;

use ecco_models::Finish;
use ecco_scripting::ScriptError;
use ecco_scripting::live::Live;
use ecco_scripting::result::Show;
use ecco_widgets::Explorable;

use super::{Appearance, Generation};
use crate::live::Asking;

impl Show for Generation {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(match self.1 {
            Appearance::Tokens => Box::new(self.view()),
            Appearance::Score => Box::new(self.score_view()?),
        })
    }

    fn identity(&self) -> Option<usize> {
        Some(Rc::as_ptr(&self.0) as usize)
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        let member = match self.1 {
            Appearance::Tokens => "",
            Appearance::Score => "score",
        };
        Asking::new(member, &()).live(&self.passage())
    }

    fn line(&self) -> String {
        let (n_input, n_written) = (self.n_input(), self.0.generation.n_generated());
        match self.0.generation.finish {
            Finish::Given => format!("text of {n_input} tokens as context and {n_written} scored ones"),
            _ => format!("output of {n_input} input and {n_written} generated tokens"),
        }
    }
}

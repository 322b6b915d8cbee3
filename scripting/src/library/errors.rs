//! What a script sees of an error that it caught.

use rhai::plugin::*;

use crate::errors::ScriptError;

#[export_module]
pub mod functions {
    use super::*;

    /// What was wrong, as one line.
    #[rhai_fn(get = "message", pure)]
    pub fn message(error: &mut ScriptError) -> String {
        error.message.clone()
    }

    /// The kind of error: `ValueError`, `OptionError` …
    #[rhai_fn(get = "kind", pure)]
    pub fn kind(error: &mut ScriptError) -> String {
        error.kind.name().to_owned()
    }

    /// What to do about it; `()` where nothing is known.
    #[rhai_fn(get = "hint", pure)]
    pub fn hint(error: &mut ScriptError) -> Dynamic {
        error.hint.clone().map_or(Dynamic::UNIT, Into::into)
    }

    #[rhai_fn(name = "to_string", name = "to_debug", pure)]
    pub fn to_string(error: &mut ScriptError) -> String {
        format!("{}: {}", error.kind.name(), error.message)
    }
}

//! The sites of a model by their names in scripts.

use ecco_models::run::{self, Place};
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::Map;

use crate::models::model::Model;
use crate::models::sites::listed;

/// A place by its name.
///
/// # Errors
/// A name that no place has.
pub(crate) fn place(model: &Model, name: &str) -> Result<Place, ScriptError> {
    Place::parse(name).ok_or_else(|| {
        let message = format!("there is no site \"{name}\"");
        with_sites(model, ScriptError::new(ErrorKind::Value, message), name)
    })
}

/// An error about a site's name, with those that there are.
pub(crate) fn with_sites(model: &Model, error: ScriptError, name: &str) -> ScriptError {
    let known = model.loaded().map(|loaded| run::sites(&loaded));
    let Ok(Ok(known)) = known else {
        return error;
    };
    let known: Vec<String> = known.into_iter().map(|(place, _)| place.name()).collect();
    let list = format!("lm.sites() describes them: {}", known.join(", "));
    match ecco_scripting::errors::nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => error.with_hint(format!("did you mean \"{meant}\"? {list}")),
        None => error.with_hint(list),
    }
}

/// Each site of a model with its axes: `(layer 6, head 12, query, key)`.
pub(crate) fn sites(model: &Model) -> Result<Map, ScriptError> {
    let all = listed(&*model.loaded()?)?.into_iter();
    Ok(all.map(|site| (site.name.into(), site.axes.into())).collect())
}

//! The sites of a model as they are listed.

use ecco_models::run;
use ecco_scripting::ScriptError;
use ecco_widgets::ModelSite;

/// In the order in which a pass comes by them, each with its axes: `(layer 6, head 12, query, key)`.
///
/// # Errors
/// What the pass over one token says that finds them.
pub(crate) fn listed(model: &ecco_models::Model) -> Result<Vec<ModelSite>, ScriptError> {
    let axis = |(axis, length): (&&str, Option<usize>)| match length {
        Some(length) => format!("{axis} {length}"),
        None => (*axis).to_owned(),
    };
    let site = |(place, shape): (run::Place, Vec<Option<usize>>)| {
        let axes: Vec<String> = place.axes().iter().zip(shape).map(axis).collect();
        ModelSite {
            name: place.name(),
            axes: format!("({})", axes.join(", ")),
        }
    };
    Ok(run::sites(model)?.into_iter().map(site).collect())
}

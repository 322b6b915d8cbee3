//! `ecco::live()`: the way from views to the kernel in hosts of Jupyter's widgets.

use std::sync::LazyLock;

use ecco_interpreter::MimeBundle;
use serde_json::json;

use crate::errors::{ErrorKind, ScriptError};
use crate::functions;
use crate::registry::Registry;
use crate::result::rich::Rich;

/// What anywidget runs of the model: one module, of two files that JupyterLab's extension lies beside.
static MODULE: LazyLock<String> = LazyLock::new(|| {
    let (import, widget) = include_str!("../../../labextension/static/widget.js")
        .split_once('\n')
        .unwrap_or_default();
    debug_assert!(import.starts_with("import "), "{import}");
    format!("{}{widget}", include_str!("../../../labextension/static/talk.js"))
});
const SAYS: &str = "Views on this page ask this kernel, from now on until it ends.";

pub(crate) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// Lets the views on the page ask this kernel where the front end has no way of its own: in VS Code and other hosts of Jupyter's
        /// widgets. JupyterLab 4 and Notebook 7 need it only where the kernel's extension is not loaded.
        ///
        /// It opens a model of the widget protocol, one a session, as the package anywidget has it; the host needs that package or gets
        /// it by itself, as VS Code does. To be called anew after the kernel was started again. Views themselves are no widgets: they are
        /// as before in a saved notebook, and wherever there is no kernel.
        ///
        /// Example:
        /// ```rhai
        /// ecco::live()
        /// ```
        fn live(state) -> Rich {
            let live = json!({"session": state.live.borrow().session(), "says": SAYS});
            let Some(id) = state.output().open_widget(&MODULE, live) else {
                let error = ScriptError::new(ErrorKind::Value, "there is no page here whose views could ask");
                return Err(error.with_hint("`ecco::live()` is for notebooks, in VS Code and other hosts of widgets"));
            };
            let view = json!({"version_major": 2, "version_minor": 0, "model_id": id});
            Ok(Rich::new(MimeBundle::from_text(SAYS).with("application/vnd.jupyter.widget-view+json", view)))
        }
    }
}

//! What scripts can ask of every result.

use rhai::{Array, Dynamic, Engine, FuncRegistration, NativeCallContext};

use super::{Explanation, saving};
use crate::errors::RhaiResult;
use crate::session::room::check_room;
use crate::session::state::state_of;

const TO_ARRAY: &str = "/// The numbers as nested script arrays.";

const TO_JSON: &str = "/// The result as a JSON text: the document that its page and a cell's output hold too. It says its `type` and `version`;\n\
     /// `docs/results.md` has its fields.";

const SAVE: &str = r#"/// Saves the result. The path's end says how: `.json` (what `to_json` gives), `.safetensors`
/// (all numbers, by name), `.npy` (the main ones), `.csv` (the main ones, a row for each, with the tokens),
/// `.html` (the widget as a page that needs no network), `.svg` (the picture).
///
/// The path is one in the notebook's folder or below.
///
/// Example:
/// ```rhai
/// output.saliency().save("saliency.html")
/// ```"#;

/// The numbers of a result, and its files.
pub(crate) fn register<T: Explanation + Clone + 'static>(engine: &mut Engine, of: &str) {
    let member = |name: &str, docs: &str, params: &[&str], returns: &str| {
        self::member(of, name, docs, params, returns)
    };
    member("to_array", TO_ARRAY, &[], "Array").register_into_engine(
        engine,
        |ctx: NativeCallContext, result: &mut T| -> RhaiResult<Array> {
            let state = state_of(&ctx);
            let room = |n: usize| check_room(&state, n.saturating_mul(size_of::<Dynamic>()));
            Ok(result.to_array(&room)?)
        },
    );
    member("to_json", TO_JSON, &[], "String")
        .register_into_engine(engine, |result: &mut T| -> RhaiResult<String> {
            Ok(saving::json_text(result)?)
        });
    member("save", SAVE, &["path: &str"], "()").register_into_engine(
        engine,
        |ctx: NativeCallContext, result: &mut T, path: &str| -> RhaiResult<()> {
            let state = state_of(&ctx);
            let folder = state.folder.borrow().clone();
            Ok(saving::save_result(result, &folder, path, &|| {
                state.check_interrupt()
            })?)
        },
    );
}

/// As text, a result is its line.
pub(crate) fn register_text<T: Explanation + Clone + 'static>(engine: &mut Engine, of: &str) {
    for name in ["to_string", "to_debug"] {
        member(of, name, "", &[], "String")
            .register_into_engine(engine, |result: &mut T| -> String { result.line() });
    }
}

fn member(of: &str, name: &str, docs: &str, params: &[&str], returns: &str) -> FuncRegistration {
    let receiver = format!("result: &mut {of}");
    let info = [&[receiver.as_str()], params, &[returns]].concat();
    FuncRegistration::new(name)
        .with_purity(true)
        .with_comments(docs.lines())
        .with_params_info(info)
}

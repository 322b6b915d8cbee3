//! `map` and `filter` of lists of outputs and results, as arrays have them.

use ecco_scripting::result::show;
use ecco_scripting::{RhaiResult, ScriptError};
use rhai::{Array, Dynamic, Engine, FnPtr, FuncRegistration, NativeCallContext};

/// One of a list, by its place; an error behind the last.
type Item<L> = fn(&L, usize) -> Result<Option<Dynamic>, ScriptError>;

/// For a list of a type, which examples call `name`.
pub(super) fn register<L: Clone + 'static>(engine: &mut Engine, of: &str, item: Item<L>) {
    let list = format!("list: &mut {of}");
    FuncRegistration::new("map")
        .with_purity(true)
        .with_comments([
            "/// What a closure gives for each of them, as an array.",
            "///",
            "/// Example:",
            "/// ```rhai",
            "/// lm.attribute(texts).map(|saliency| saliency.values[0])",
            "/// ```",
        ])
        .with_params_info([list.as_str(), "closure: FnPtr", "Array"])
        .register_into_engine(
            engine,
            move |ctx: NativeCallContext, list: &mut L, closure: FnPtr| -> RhaiResult<Array> {
                let mut all = Array::new();
                while let Some(one) = item(list, all.len())? {
                    all.push(closure.call_raw(&ctx, None, [one])?);
                }
                Ok(all)
            },
        );
    FuncRegistration::new("filter")
        .with_purity(true)
        .with_comments([
            "/// Those for which a closure gives true, as an array.",
            "///",
            "/// Example:",
            "/// ```rhai",
            "/// lm.attribute(texts).filter(|saliency| saliency.values[0] > 0.5)",
            "/// ```",
        ])
        .with_params_info([list.as_str(), "closure: FnPtr", "Array"])
        .register_into_engine(
            engine,
            move |ctx: NativeCallContext, list: &mut L, closure: FnPtr| -> RhaiResult<Array> {
                let (mut kept, mut at) = (Array::new(), 0);
                while let Some(one) = item(list, at)? {
                    let answer = closure.call_raw(&ctx, None, [one.clone()])?;
                    match answer.as_bool() {
                        Ok(true) => kept.push(one),
                        Ok(false) => {}
                        Err(_) => return Ok(show::expected("true or false of each", &answer)?),
                    }
                    at += 1;
                }
                Ok(kept)
            },
        );
}

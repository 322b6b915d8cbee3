//! Rhai's own functions made safe, and what every notebook needs: showing, asking, texts, tensors, errors.

// Rhai takes over a module's public functions, wherever the module is.
#![allow(unreachable_pub)]

mod display;
mod errors;
pub(crate) mod json;
pub(crate) mod limits;
mod nesting;
mod ranges;
pub(crate) mod sorting;
mod strings;
mod text;

use rhai::exported_module;

use crate::data;
use crate::errors::ScriptError;
use crate::live;
use crate::registry::Registry;
use crate::result::rich::Rich;
use crate::table::{self, Table};
use crate::tensor::{self, Tensor};

/// Makes all of it known.
pub(crate) fn register(registry: &mut Registry) {
    registry.value::<Tensor>("Tensor", "tensor");
    registry.value::<Table>("Table", "table");
    registry.value::<Rich>("Rich", "view");
    registry.engine.register_type_with_name::<ScriptError>("Error");
    registry.engine.register_iterator::<Tensor>();
    registry.engine.register_iterator::<Table>();
    registry.module(exported_module!(display::functions));
    registry.module(exported_module!(text::functions));
    registry.module(exported_module!(tensor::functions::functions));
    registry.module(exported_module!(tensor::calculation::functions));
    tensor::making::register(registry);
    table::register(registry);
    data::register(registry);
    live::channel::register(registry);
    registry.module(exported_module!(errors::functions));
    registry.module(exported_module!(limits::functions));
    let mut strings = exported_module!(strings::functions);
    strings::register_iterator(&mut strings);
    registry.module(strings);
    registry.module(exported_module!(nesting::functions));
    registry.module(exported_module!(ranges::functions));
    registry.module(exported_module!(sorting::functions));
    tensor::functions::register_arithmetic(registry.engine);
}

//! What scripts can call.
//!
//! A primitive is one documented function in one of these modules. Its doc comment is the user's help;
//! completion, inspection and `docs/primitives.md` derive from it and from its table of options.

mod display;
mod limits;
mod tensor;
mod text;

use rhai::{Engine, exported_module};

use crate::options::OptionTable;
use crate::values::rich::Rich;
use crate::values::tensor::Tensor;

/// The options of every primitive that takes some.
pub const OPTION_TABLES: &[&OptionTable] = &[];

/// Makes all primitives known to `engine`.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Tensor>("Tensor");
    engine.register_type_with_name::<Rich>("Rich");
    engine.register_iterator::<Tensor>();
    engine.register_global_module(exported_module!(display::functions).into());
    engine.register_global_module(exported_module!(text::functions).into());
    engine.register_global_module(exported_module!(tensor::functions).into());
    engine.register_global_module(exported_module!(limits::functions).into());
    tensor::register_arithmetic(engine);
}

//! What cells do, by the notebooks in `tests/transcripts`: see `common/transcripts.rs`.

#[allow(dead_code)]
#[macro_use]
mod common;

fn register(_: &mut ecco_scripting::Registry) {}

transcripts! { errors imports language python tables tensors }

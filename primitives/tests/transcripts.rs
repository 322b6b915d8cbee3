//! What cells do, by the notebooks in `tests/transcripts`: see `common/transcripts.rs`.

#[allow(dead_code)]
#[macro_use]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use ecco_primitives::register;

transcripts! { attribution bad_input chat circuits corpus demo dictionaries diff embeddings factors faithfulness generation heads interventions lens lenses many options output probes projection reading results run score similarity tensors trained_dictionaries vocabulary }

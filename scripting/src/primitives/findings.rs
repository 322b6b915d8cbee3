//! What every result can do, for each type that is one: a row in the table.

use rhai::{Array, Engine, FuncRegistration, NativeCallContext};

use crate::errors::RhaiResult;
use crate::state::state_of;
use crate::values::attention::Attention;
use crate::values::candidates::Candidates;
use crate::values::comparison::Comparison;
use crate::values::factorization::{Factorization, Stability};
use crate::values::faithfulness::Faithfulness;
use crate::values::finding::{Finding, Shown};
use crate::values::generation::Generation;
use crate::values::lens::Lens;
use crate::values::neurons::{Activity, TopNeurons};
use crate::values::parts::LogitAttribution;
use crate::values::patch_map::PatchMap;
use crate::values::run::Run;
use crate::values::saliency::Saliency;
use crate::values::saving;
use crate::values::side_by_side::SideBySide;
use crate::values::similarity::SimilarityGrid;
use crate::values::steering::SteeringVector;

type Register = fn(&mut Engine, &str);

/// Types that are results, as scripts call them.
const FINDINGS: &[(&str, Register)] = &[
    // As a text it is its tokens, not a line about them.
    ("Generation", register_numbers::<Generation>),
    ("Saliency", register_members::<Saliency>),
    ("Faithfulness", register_members::<Faithfulness>),
    ("Comparison", register_members::<Comparison>),
    ("Factorization", register_members::<Factorization>),
    ("SideBySide", register_members::<SideBySide>),
    ("PatchMap", register_members::<PatchMap>),
    ("SteeringVector", register_members::<SteeringVector>),
    ("Stability", register_members::<Stability>),
    ("Activity", register_members::<Activity>),
    ("TopNeurons", register_members::<TopNeurons>),
    ("SimilarityGrid", register_members::<SimilarityGrid>),
    ("Lens", register_members::<Lens>),
    ("LogitAttribution", register_members::<LogitAttribution>),
    ("Attention", register_members::<Attention>),
    ("Candidates", register_members::<Candidates>),
    ("Run", register_members::<Run>),
];

const TO_ARRAY: &str = "/// The numbers as nested script arrays.";

const TO_JSON: &str = "/// The numbers, and what belongs to them (tokens, method), as a JSON text.";

const SAVE: &str = r#"/// Saves the result. The path's end says how: `.json` (all numbers and what belongs to them), `.safetensors`
/// (all numbers, by name), `.npy` (the main ones), `.csv` (the main ones, a row for each, with the tokens),
/// `.html` (the widget as a page that needs no network), `.svg` (the picture).
///
/// The path is one in the notebook's folder or below.
///
/// Example:
/// ```rhai
/// output.saliency().save("saliency.html")
/// ```"#;

/// Makes the common members of all results known to `engine`.
pub fn register(engine: &mut Engine) {
    for (name, register) in FINDINGS {
        register(engine, name);
    }
}

/// Whether `of` is a result and `member` one that all results have.
pub fn is_common(of: &str, member: &str) -> bool {
    ["to_array", "to_json", "save"].contains(&member) && FINDINGS.iter().any(|(name, _)| *name == of)
}

fn register_members<T: Finding + Clone + 'static>(engine: &mut Engine, of: &str) {
    register_numbers::<T>(engine, of);
    for name in ["to_string", "to_debug"] {
        member(of, name, "", &[], "String")
            .register_into_engine(engine, |result: &mut T| -> String { Shown::line(result) });
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

fn register_numbers<T: Finding + Clone + 'static>(engine: &mut Engine, of: &str) {
    let member =
        |name: &str, docs: &str, params: &[&str], returns: &str| member(of, name, docs, params, returns);
    member("to_array", TO_ARRAY, &[], "RhaiResult<Array>").register_into_engine(
        engine,
        |ctx: NativeCallContext, result: &mut T| -> RhaiResult<Array> {
            Finding::to_array(result).map_err(|error| error.raise(&ctx))
        },
    );
    member("to_json", TO_JSON, &[], "RhaiResult<String>").register_into_engine(
        engine,
        |ctx: NativeCallContext, result: &mut T| -> RhaiResult<String> {
            saving::json_text(result).map_err(|error| error.raise(&ctx))
        },
    );
    member("save", SAVE, &["path: &str"], "RhaiResult<()>").register_into_engine(
        engine,
        |ctx: NativeCallContext, result: &mut T, path: &str| -> RhaiResult<()> {
            let folder = state_of(&ctx).folder.borrow().clone();
            saving::save_finding(result, &folder, path).map_err(|error| error.raise(&ctx))
        },
    );
}

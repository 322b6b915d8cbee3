//! `lm.patchscope`: what a state says, in words (Ghandeharioun et al. 2024, 2401.06102).

use ecco_explain::intervention::{Change, Intervention, Part, Replacement, Vector, compile};
use ecco_models::Site;

use crate::models::model::Model;
use crate::text::capture::place_in;
use crate::text::generate::{GenerationOptions, generate};
use crate::text::generation::Generation;
use crate::text::reading;
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

options! {
    /// What `patchscope` can be told.
    pub struct PatchscopeOptions {
        /// the layer where the state is put
        layer: usize = 0,
        /// what reads the state; the paper's makes a model say the same once more
        prompt: Option<String> = "\"cat -> cat; 1135 -> 1135; hello -> hello; ?\"",
        /// where in the prompt it is put
        position: Option<usize> = "at its last token",
        /// the site where it is put: one of lm.sites()
        site: Option<String> = "\"residual_after\"",
        ..generation: GenerationOptions,
    }
}

/// Says what it stands for: an identity.
const PROMPT: &str = "cat -> cat; 1135 -> 1135; hello -> hello; ?";
/// Tokens where nothing is said of their number.
const USUAL: usize = 10;

/// What the model writes with the state in the place of its own, while it reads the prompt.
///
/// # Errors
/// A state that is no vector or not of the site's width, and places that there are not.
fn patchscope(lm: &Model, state: &Tensor, options: PatchscopeOptions) -> Result<Generation, ScriptError> {
    if state.shape().len() != 1 {
        let message = format!("a state is a vector; this has the axes {:?}", state.shape());
        return Err(ScriptError::new(ErrorKind::Value, message)
            .with_hint("take one of a layer and a position: output.hidden_states[3][5]"));
    }
    let loaded = lm.loaded()?;
    let prompt = options.prompt.as_deref().unwrap_or(PROMPT);
    let n = reading::input(lm, prompt.into(), None)?.ids.len();
    let position = options.position.unwrap_or(n - 1);
    if position >= n {
        let message = format!("position is {position}: the prompt has {n} tokens, numbered from 0");
        return Err(ScriptError::new(ErrorKind::Value, message).pointing_at("position"));
    }
    let mut place = place_in(lm, options.site.as_deref(), Site::ResidualAfter)?;
    // Beside a decoder it is the encoder that reads the prompt.
    place.encoder = loaded.config().encoder.is_some();
    let change = |change| Intervention {
        place,
        layers: Some(vec![options.layer]),
        part: Part::Whole,
        positions: Some(std::iter::once(position..position + 1).collect()),
        change,
    };
    let vector = Vector::Values(state.data().iter().copied().collect());
    let changes = [
        change(Change::Ablate(Replacement::Number(0.0))),
        change(Change::Add {
            what: vector,
            factor: 1.0,
        }),
    ];
    let edits = watched(&*lm.state()?, lm.verbose, |watch| {
        compile(&loaded, &changes, watch)
    })?;
    let line = format!(
        "{} of layer {} is another state at position {position}",
        place.name(),
        options.layer
    );
    let generation = GenerationOptions {
        generate: options
            .generation
            .generate
            .or(match options.generation.max_length {
                Some(_) => None,
                None => Some(USUAL),
            }),
        ..options.generation
    };
    generate(
        &lm.changed(edits, vec![line]),
        prompt.into(),
        generation,
        lm.verbose,
    )
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// What a state says, in words: the model reads a prompt with the state in the place of its own at one position of one
        /// layer, and goes on from there. The state may come from another text, layer, position or model of the same width.
        /// Takes the options of `lm.generate` too; 10 tokens where nothing is said.
        ///
        /// Example:
        /// ```rhai
        /// let run = lm.run("The capital of France is");
        /// lm.patchscope(run.at("residual_after", 4)[5], #{layer: 1})
        /// ```
        volatile fn patchscope(lm: &Model, state: Tensor; options: PatchscopeOptions) -> Generation {
            patchscope(lm, &state, options)
        }
    }
}

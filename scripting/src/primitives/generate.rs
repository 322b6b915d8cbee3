//! `lm.generate`: a text, token by token, shown as it is made.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ecco_explain::{AttributionOptions, Method};
use ecco_models::{GenerateOptions, Token};
use ecco_widgets::Explorable;
use rhai::Map;
use rhai::plugin::*;

use crate::errors::{RhaiResult, ScriptError};
use crate::options::{OptionKind, OptionTable, Options, option};
use crate::primitives::explain::METHODS;
use crate::state::State;
use crate::values::generation::{Generation, Recorded, token_sequence};
use crate::values::model::Model;

pub const GENERATE_OPTIONS: OptionTable = OptionTable {
    primitive: "Model.generate",
    options: &[
        option(
            "generate",
            OptionKind::Int(1),
            "up to max_length",
            "how many tokens to make",
        ),
        option(
            "max_length",
            OptionKind::Int(1),
            "the model's, else 8",
            "length of the whole text in tokens, where `generate` is not given",
        ),
        option(
            "do_sample",
            OptionKind::Bool,
            "false",
            "draw tokens; otherwise always the most probable",
        ),
        option(
            "temperature",
            OptionKind::Float,
            "the model's, else 1.0",
            "above 1 more random, below less",
        ),
        option(
            "top_k",
            OptionKind::Int(0),
            "the model's, else 50",
            "draw among the k most probable; 0: all",
        ),
        option(
            "top_p",
            OptionKind::Float,
            "the model's, else 1.0",
            "draw among the fewest tokens whose probabilities reach p",
        ),
        option(
            "seed",
            OptionKind::Int(0),
            "drawn, then in `output.seed`",
            "makes sampling repeatable",
        ),
        option(
            "stop",
            OptionKind::Texts,
            "none",
            "texts that end the generation when they appear",
        ),
        option(
            "attribution",
            OptionKind::SomeOf(METHODS),
            "none",
            "saliency methods to compute right away",
        ),
    ],
};

/// Between two updates of the display while tokens stream.
const PACE: Duration = Duration::from_millis(50);

#[export_module]
pub mod functions {
    use super::*;

    /// Continues a text with the model's default settings, up to its default length.
    #[rhai_fn(name = "generate", return_raw, volatile)]
    pub fn generate(ctx: NativeCallContext, lm: &mut Model, text: &str) -> RhaiResult<Generation> {
        run(lm, text, &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Continues a text. The tokens appear as they are made; an interrupt keeps those made so far in
    /// `lm.last_output`.
    ///
    /// Example:
    /// ```rhai
    /// let output = lm.generate("The countries are:\n1.", #{generate: 20, do_sample: true, seed: 1});
    /// ```
    #[rhai_fn(name = "generate", return_raw, volatile)]
    pub fn generate_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        text: &str,
        options: Map,
    ) -> RhaiResult<Generation> {
        run(lm, text, &options).map_err(|error| error.raise(&ctx))
    }
}

fn run(lm: &Model, text: &str, options: &Map) -> Result<Generation, ScriptError> {
    let options = GENERATE_OPTIONS.read(options)?;
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let mut stream = Stream::new(&state, lm.verbose);
    let generation = ecco_models::generate(&loaded, text, &generate_options(&options), &mut |tokens| {
        stream.tokens(tokens);
        if state.interrupt.is_requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    });
    let generation = match generation {
        Ok(generation) => generation,
        Err(error) => {
            stream.abandon();
            return Err(error.into());
        }
    };
    let whole_text = loaded.tokenizer().decode(&generation.ids());
    let output = Generation::new(lm, generation, whole_text);
    lm.remember(&output);
    stream.finish(&output);
    let kept = "the tokens made so far are in `lm.last_output`";
    state.check_interrupt().map_err(|error| error.with_hint(kept))?;
    record(lm, &output)?;
    for method in options.texts("attribution").unwrap_or_default() {
        let method = Method::parse(method).unwrap_or_default();
        output.attribution(&AttributionOptions {
            method,
            ..Default::default()
        })?;
    }
    Ok(output)
}

fn generate_options(options: &Options) -> GenerateOptions {
    GenerateOptions {
        generate: options.usize("generate"),
        max_length: options.usize("max_length"),
        do_sample: options.bool("do_sample"),
        temperature: options.float("temperature"),
        top_k: options.usize("top_k"),
        top_p: options.float("top_p"),
        seed: options.u64("seed"),
        stop: options.texts("stop").unwrap_or_default().to_vec(),
    }
}

/// Records what the model was loaded to record, in one pass.
fn record(lm: &Model, output: &Generation) -> Result<(), ScriptError> {
    let recording = &lm.recording;
    let wanted = [
        (recording.activations, Recorded::Activations),
        (recording.hidden_states, Recorded::HiddenStates),
        (recording.attention, Recorded::Attention),
    ];
    let wanted: Vec<Recorded> = wanted
        .iter()
        .filter(|(wanted, _)| *wanted)
        .map(|(_, what)| *what)
        .collect();
    if wanted.is_empty() {
        Ok(())
    } else {
        output.record(&wanted)
    }
}

/// The display that grows while tokens are made.
struct Stream<'a> {
    state: &'a State,
    is_shown: bool,
    id: String,
    n_input: Option<usize>,
    last: Option<Instant>,
}

impl<'a> Stream<'a> {
    fn new(state: &'a State, is_shown: bool) -> Self {
        Self {
            state,
            is_shown,
            id: state.new_display_id(),
            n_input: None,
            last: None,
        }
    }

    /// The first call has the prompt alone.
    fn tokens(&mut self, tokens: &[Token]) {
        let n_input = *self.n_input.get_or_insert(tokens.len());
        let now = Instant::now();
        if self.is_shown && self.last.is_none_or(|last| now - last >= PACE) {
            self.last = Some(now);
            self.state
                .show(token_sequence(tokens, n_input, true).bundle(), &self.id);
        }
    }

    /// The last state is always shown.
    fn finish(&self, output: &Generation) {
        if self.is_shown {
            self.state.show(output.bundle(), &self.id);
            *self.state.streamed.borrow_mut() = Some(output.clone());
        }
    }

    /// The work failed: no half text stays behind.
    fn abandon(&self) {
        if self.last.is_some() {
            let nothing = ecco_widgets::MimeBundle::from_text("").with("text/html", "");
            self.state.show(nothing, &self.id);
        }
    }
}

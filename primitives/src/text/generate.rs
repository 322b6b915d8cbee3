//! `lm.generate`: a text, token by token, shown as it is made.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ecco_interpreter::Explorable;
use ecco_models::{Draft, EarlyStopping, GenerateOptions, Prompt};
use rhai::Map;
use rhai::plugin::*;

use super::generation::{Generation, Recorded};
use super::shown::token_sequence;
use crate::attribution::functions::{METHODS, with_method};
use crate::models::model::Model;
use crate::text::chat::Chat;
use ecco_scripting::errors::{ErrorKind, RhaiResult, ScriptError};
use ecco_scripting::options::{OptionKind, OptionTable, Options, option};
use ecco_scripting::result::Show;
use ecco_scripting::session::State;

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
            "length of the whole text in tokens (of an encoder–decoder's answer, its start token included), where \
             `generate` is not given",
        ),
        option(
            "do_sample",
            OptionKind::Bool,
            "false",
            "draw tokens, with beams the ways to go on; otherwise always the most probable",
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
            "min_p",
            OptionKind::Float,
            "the model's, else 0.0",
            "draw among the tokens at least this fraction as probable as the most probable one",
        ),
        option(
            "seed",
            OptionKind::Int(0),
            "drawn, then in `output.seed`",
            "makes sampling repeatable",
        ),
        option(
            "repetition_penalty",
            OptionKind::Float,
            "the model's, else 1.0",
            "above 1 tokens that are in the text already become less probable, below 1 more",
        ),
        option(
            "no_repeat_ngram_size",
            OptionKind::Int(0),
            "the model's, else 0",
            "so many tokens in a row come only once; 0: no such rule",
        ),
        option(
            "beam_size",
            OptionKind::Int(1),
            "1, whatever the model says",
            "follow so many texts and keep the most probable one; 1: the most probable token each time",
        ),
        option(
            "num_beams",
            OptionKind::Int(1),
            "1",
            "the name transformers has for `beam_size`",
        ),
        option(
            "length_penalty",
            OptionKind::Float,
            "the model's, else 1.0",
            "with beams: above 0 longer texts win more often, below 0 shorter ones",
        ),
        option(
            "early_stopping",
            OptionKind::BoolOr(&["never"]),
            "the model's, else false",
            "with beams: end as soon as that many texts have ended; false: when a better one is unlikely; \"never\": \
             when there can be no better one",
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
        run(lm, text.into(), &Map::new()).map_err(|error| error.raise(&ctx))
    }

    #[rhai_fn(name = "generate", return_raw, volatile)]
    pub fn answer(ctx: NativeCallContext, lm: &mut Model, chat: Chat) -> RhaiResult<Generation> {
        run(lm, chat.prompt(), &Map::new()).map_err(|error| error.raise(&ctx))
    }

    /// Continues a text; an encoder–decoder answers to it. The tokens appear as they are made, with beams those of
    /// the best text so far; an interrupt keeps those made so far in `lm.last_output`.
    ///
    /// What the model's `generation_config.json` says holds where an option is not given, except that nothing is
    /// drawn and no beams are followed unless asked for.
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
        run(lm, text.into(), &options).map_err(|error| error.raise(&ctx))
    }

    /// Answers in a conversation that `lm.chat` made.
    ///
    /// Example:
    /// ```rhai
    /// lm.generate(lm.chat([#{role: "user", content: "hi"}]), #{generate: 40})
    /// ```
    #[rhai_fn(name = "generate", return_raw, volatile)]
    pub fn answer_with(
        ctx: NativeCallContext,
        lm: &mut Model,
        chat: Chat,
        options: Map,
    ) -> RhaiResult<Generation> {
        run(lm, chat.prompt(), &options).map_err(|error| error.raise(&ctx))
    }
}

fn run(lm: &Model, prompt: Prompt, options: &Map) -> Result<Generation, ScriptError> {
    generated(lm, prompt, options, lm.verbose)
}

/// The output of a generation, whose tokens are shown as they are made where `is_shown`.
pub fn generated(
    lm: &Model,
    prompt: Prompt,
    options: &Map,
    is_shown: bool,
) -> Result<Generation, ScriptError> {
    let options = GENERATE_OPTIONS.read(options)?;
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let mut stream = Stream::new(&state, is_shown);
    let generation = ecco_models::generate(&loaded, prompt, &generate_options(&options)?, &mut |draft| {
        stream.draft(draft);
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
        with_method(&output.passage(), method)?.computed()?;
    }
    Ok(output)
}

fn generate_options(options: &Options) -> Result<GenerateOptions, ScriptError> {
    let beam_size = options.usize("beam_size");
    let num_beams = options.usize("num_beams");
    if beam_size.is_some() && num_beams.is_some() {
        let message = "beam_size and num_beams are the same option: give one of them";
        return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("num_beams"));
    }
    let early_stopping = match (options.bool("early_stopping"), options.text("early_stopping")) {
        (Some(true), _) => Some(EarlyStopping::Full),
        (Some(false), _) => Some(EarlyStopping::Unlikely),
        (None, never) => never.map(|_| EarlyStopping::Impossible),
    };
    Ok(GenerateOptions {
        generate: options.usize("generate"),
        max_length: options.usize("max_length"),
        do_sample: options.bool("do_sample"),
        temperature: options.float("temperature"),
        top_k: options.usize("top_k"),
        top_p: options.float("top_p"),
        min_p: options.float("min_p"),
        seed: options.u64("seed"),
        repetition_penalty: options.float("repetition_penalty"),
        no_repeat_ngram_size: options.usize("no_repeat_ngram_size"),
        beam_size: beam_size.or(num_beams),
        length_penalty: options.float("length_penalty"),
        early_stopping,
        stop: options.texts("stop").unwrap_or_default().to_vec(),
    })
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
    last: Option<Instant>,
}

impl<'a> Stream<'a> {
    fn new(state: &'a State, is_shown: bool) -> Self {
        Self {
            state,
            is_shown,
            id: state.new_display_id(),
            last: None,
        }
    }

    /// Text is made of tokens only where it is shown.
    fn draft(&mut self, draft: &Draft) {
        let now = Instant::now();
        if self.is_shown && self.last.is_none_or(|last| now - last >= PACE) {
            self.last = Some(now);
            let tokens = token_sequence(&draft.tokens(), draft.n_input(), true);
            self.state.show(tokens.bundle(), &self.id);
        }
    }

    /// The last state is always shown.
    fn finish(&self, output: &Generation) {
        if self.is_shown {
            self.state.show(output.view().bundle(), &self.id);
            self.state.just_shown.set(output.identity());
        }
    }

    /// The work failed: no half text stays behind.
    fn abandon(&self) {
        if self.last.is_some() {
            let nothing = ecco_interpreter::MimeBundle::from_text("").with("text/html", "");
            self.state.show(nothing, &self.id);
        }
    }
}

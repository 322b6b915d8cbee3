//! `lm.generate`: a text, token by token, shown as it is made.

use std::cell::RefCell;
use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use ecco_explain::Method;
use ecco_interpreter::Interrupt;
use ecco_models::generation::generate_recorded;
use ecco_models::{Draft, EarlyStopping, GenerateOptions, Prompt};
use ecco_scripting::options::{Choice, OneOrMany, OptionKind, OptionValue};
use ecco_scripting::result::Show;
use ecco_scripting::session::{State, watched};
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use ecco_widgets::Explorable;
use rhai::Dynamic;

use super::chat::TextOrChat;
use super::generation::{Generation, Internals, sites};
use super::outputs::{KEPT, Outputs, Parts, progress};
use super::reading;
use super::run::of_text;
use super::shown::token_sequence;
use crate::models::model::Model;

options! {
    /// What `generate` can be told.
    pub struct GenerationOptions {
        /// how many tokens to make
        generate: Option<usize> [1..] = "up to max_length",
        /// length of the whole text in tokens (of an encoder–decoder's answer, its start token included), where
        /// `generate` is not given
        max_length: Option<usize> [1..] = "the model's, else 8",
        /// draw tokens, with beams the ways to go on; otherwise always the most probable
        do_sample: Option<bool> = "false",
        /// above 1 more random, below less
        temperature: Option<f64> = "the model's, else 1.0",
        /// draw among the k most probable; 0: all
        top_k: Option<usize> = "the model's, else 50",
        /// draw among the fewest tokens whose probabilities reach p
        top_p: Option<f64> = "the model's, else 1.0",
        /// draw among the tokens at least this fraction as probable as the most probable one
        min_p: Option<f64> = "the model's, else 0.0",
        /// makes sampling repeatable
        seed: Option<u64> = "drawn, then in `output.seed`",
        /// above 1 tokens that are in the text already become less probable, below 1 more
        repetition_penalty: Option<f64> = "the model's, else 1.0",
        /// so many tokens in a row come only once; 0: no such rule
        no_repeat_ngram_size: Option<usize> = "the model's, else 0",
        /// follow so many texts and keep the most probable one; 1: the most probable token each time
        beam_size: Option<usize> [1..] = "1, whatever the model says",
        /// the name transformers has for `beam_size`
        num_beams: Option<usize> [1..] = "1",
        /// with beams: above 0 longer texts win more often, below 0 shorter ones
        length_penalty: Option<f64> = "the model's, else 1.0",
        /// with beams: end as soon as that many texts have ended; false: when a better one is unlikely; "never": when
        /// there can be no better one
        early_stopping: Option<BeamEnd> = "the model's, else false",
        /// texts that end the generation when they appear
        stop: Option<OneOrMany<String>> = "none",
        /// the text's language, for models that translate (mBART, M2M-100, NLLB): "en_XX", "en", "eng_Latn"
        src_lang: Option<String> = "the tokenizer's own",
        /// the language to write in: the first token is made to be it
        tgt_lang: Option<String> = "the model's own, if any",
        /// on a GPU: record the step that makes a token once, as a CUDA graph, and replay it: the same text, sooner
        cuda_graph: Option<bool> = "on a GPU, from 16 tokens on",
        /// saliency methods to compute right away
        attribution: Option<OneOrMany<Choice<Method>>> = "none",
    }
}

/// When beams end, as transformers has it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BeamEnd(EarlyStopping);

impl OptionValue for BeamEnd {
    const KIND: OptionKind = OptionKind::BoolOr(&["never"]);

    fn of(value: &Dynamic) -> Option<Self> {
        match (value.as_bool(), value.as_immutable_string_ref()) {
            (Ok(true), _) => Some(Self(EarlyStopping::Full)),
            (Ok(false), _) => Some(Self(EarlyStopping::Unlikely)),
            (Err(_), Ok(text)) => (&*text == "never").then_some(Self(EarlyStopping::Impossible)),
            (Err(_), Err(_)) => None,
        }
    }
}

/// What `lm.last_output` gives: kept with the model's handle.
#[derive(Default)]
struct LastOutput(RefCell<Option<Generation>>);

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// The output of the last `generate`, also when that was interrupted.
        get last_output(lm: &Model) -> Generation {
            lm.kept::<LastOutput>().0.borrow().clone().ok_or_else(|| {
                ScriptError::new(ErrorKind::Value, "this model has not generated anything yet")
                    .with_hint("lm.generate(text, #{generate: 20})")
            })
        }
    }
}

/// Between two updates of the display while tokens stream.
const PACE: Duration = Duration::from_millis(50);

/// The output of a generation, whose tokens are shown as they are made where `is_shown`. The option `attribution` is
/// left to the attributions.
pub(crate) fn generate(
    lm: &Model,
    prompt: Prompt,
    options: GenerationOptions,
    is_shown: bool,
) -> Result<Generation, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let mut stream = Stream::new(&state, is_shown);
    let recorded = Internals::recorded(&lm.recording, loaded.config().encoder.is_some());
    let (places, layers) = sites(lm, &recorded);
    let mut on_draft = |draft: &Draft| {
        stream.draft(draft);
        if state.interrupt.is_requested() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let options = model_options(options)?;
    let generation = generate_recorded(&loaded, prompt, &options, &places, layers, &mut on_draft);
    let (generation, records) = match generation {
        Ok(generation) => generation,
        Err(error) => {
            stream.abandon();
            return Err(error.into());
        }
    };
    // What was interrupted is the generation, which has ended with its tokens: they are told and shown all the same.
    let deaf = Interrupt::default().enter();
    reading::about_prompt(lm, prompt)?;
    reading::about_generation(lm)?;
    reading::about_graph(lm, &generation)?;
    let n_written = generation.decoder_ids().len();
    match generation.start_id {
        Some(_) => reading::about_length(lm, generation.n_input, n_written)?,
        None => reading::about_length(lm, n_written, 0)?,
    }
    let whole_text = loaded.tokenizer().decode(&generation.ids());
    let output = Generation::new(lm, generation, whole_text);
    lm.kept::<LastOutput>().0.replace(Some(output.clone()));
    stream.finish(&output)?;
    drop(deaf);
    let kept = "the tokens made so far are in `lm.last_output`";
    state.check_interrupt().map_err(|error| error.with_hint(kept))?;
    match records {
        Some(records) => output.keep(&recorded, &records)?,
        None => record(lm, &output)?,
    }
    Ok(output)
}

/// The outputs of several prompts, those with equally many tokens made side by side. What is done when it is interrupted is
/// kept in `lm.last_outputs`.
pub(crate) fn generate_each(
    lm: &Model,
    texts: &[TextOrChat],
    options: GenerationOptions,
) -> Result<Outputs, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    if texts.is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "the list of texts is empty")
            .with_hint("lm.generate([\"one text\", \"another\"], #{generate: 20})"));
    }
    let prompts: Vec<Prompt> = texts.iter().map(TextOrChat::prompt).collect();
    let options = model_options(options)?;
    for prompt in &prompts {
        state.check_interrupt()?;
        reading::about_prompt(lm, *prompt)?;
    }
    reading::about_generation(lm)?;
    let (done, total) = (RefCell::new(Parts::new(prompts.len())), prompts.len() as u64);
    let ended = watched(&state, lm.verbose, |watch| {
        let mut on_step = || watch(&progress("texts generated", done.borrow().n(), total));
        ecco_models::generation::generate_each(&loaded, &prompts, &options, &mut on_step, &mut |at, text| {
            let whole = loaded.tokenizer().decode(&text.ids());
            done.borrow_mut().put(at, Generation::new(lm, text, whole));
        })
    });
    let outputs = done.into_inner().keep(lm);
    ended.map_err(|(at, error)| match error {
        ecco_models::Error::Interrupted => ScriptError::from(error).with_hint(KEPT),
        error => of_text(error.into(), at),
    })?;
    for output in outputs.all() {
        record(lm, output)?;
    }
    Ok(outputs)
}

/// Those that the model knows.
fn model_options(options: GenerationOptions) -> Result<GenerateOptions, ScriptError> {
    if options.beam_size.is_some() && options.num_beams.is_some() {
        let message = "beam_size and num_beams are the same option: give one of them";
        return Err(ScriptError::new(ErrorKind::Option, message).pointing_at("num_beams"));
    }
    Ok(GenerateOptions {
        generate: options.generate,
        max_length: options.max_length,
        do_sample: options.do_sample,
        temperature: options.temperature,
        top_k: options.top_k,
        top_p: options.top_p,
        min_p: options.min_p,
        seed: options.seed,
        repetition_penalty: options.repetition_penalty,
        no_repeat_ngram_size: options.no_repeat_ngram_size,
        beam_size: options.beam_size.or(options.num_beams),
        length_penalty: options.length_penalty,
        early_stopping: options.early_stopping.map(|BeamEnd(end)| end),
        stop: options.stop.unwrap_or_default().0,
        src_lang: options.src_lang,
        tgt_lang: options.tgt_lang,
        cuda_graph: options.cuda_graph,
    })
}

/// Records what the model was loaded to record, in one pass.
fn record(lm: &Model, output: &Generation) -> Result<(), ScriptError> {
    let chosen = Internals::recorded(&lm.recording, output.is_pair());
    if chosen.is_empty() {
        Ok(())
    } else {
        output.record(&chosen)
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
            self.show(&tokens);
        }
    }

    fn show(&self, view: &impl Explorable) {
        let _deaf = Interrupt::default().enter();
        self.state.show(view.bundle(), &self.id);
    }

    /// The last state is always shown, whole, interrupted or not.
    fn finish(&self, output: &Generation) -> Result<(), ScriptError> {
        if self.is_shown {
            let _deaf = Interrupt::default().enter();
            self.state.show_result(output, &self.id)?;
            self.state.just_shown.set(output.identity());
        }
        Ok(())
    }

    /// The work failed: no half text stays behind.
    fn abandon(&self) {
        if self.last.is_some() {
            let nothing = ecco_interpreter::MimeBundle::from_text("").with("text/html", "");
            self.state.show(nothing, &self.id);
        }
    }
}

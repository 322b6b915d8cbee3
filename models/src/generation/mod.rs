//! Text from a model, token by token.
//!
//! - [`generate`]: from a prompt to a [`Generation`]; greedy and sampled texts are made here
//! - [`generate_recorded`]: what the model has inside meanwhile, too
//! - [`generate_each`]: of several prompts, those equally long side by side
//! - [`beam`]: several texts at once
//! - [`processors`]: what is done to scores; [`sampling`]: how a token is chosen by them
//! - [`step`]: the step that makes a token, recorded as a CUDA graph
//! - `text`: a text that is given, as if it had been made; [`mod@writer`]: the model's side, a decoder alone or with an encoder
//! - `bounds`: where a text begins, how long it may become
//! - [`config`]: what the model's files say about all this
//!
//! A sequence is what the decoder reads: the prompt and what was made, or, where an encoder reads the prompt, a
//! start token and what was made. Lengths count its tokens, as in transformers.

use std::ops::ControlFlow;
use std::sync::Arc;

use tch::Device;

use crate::below_autograd::BelowAutograd;
use crate::chat::Prompt;
use crate::error::{Error, Result, refuse};
use crate::guard::guard;
use crate::model::{Body, Model};
use crate::run::{Place, Records};
use crate::tokenizer::{Token, Tokenizer};

pub mod beam;
mod bounds;
pub mod config;
mod options;
pub mod processors;
mod recorder;
pub mod sampling;
mod side_by_side;
pub mod step;
mod text;
pub mod writer;

use beam::BeamOptions;
use bounds::{check_room, check_stop, max_length, start_id, target};
pub use config::{EarlyStopping, GenerationConfig};
pub use options::GenerateOptions;
use processors::Processors;
use recorder::Recorder;
use sampling::Sampler;
pub use side_by_side::generate_each;
use writer::Writer;

/// A text: what was given and what was made.
#[derive(Debug, Clone, PartialEq)]
pub struct Generation {
    pub tokens: Vec<Token>,
    /// The first `n_input` tokens were given; they are the encoder's, where there is one.
    pub n_input: usize,
    /// What the decoder of an encoder–decoder started with, which is not among `tokens`. `None` where one stack
    /// reads and writes.
    pub start_id: Option<u32>,
    pub finish: Finish,
    /// The seed of sampling; `None` when nothing was drawn.
    pub seed: Option<u64>,
    /// Why no CUDA graph was recorded, where one was asked for.
    pub without_graph: Option<String>,
    /// Of a conversation, whose message each given token is of; empty where that is not known.
    pub roles: Vec<Arc<str>>,
}

/// Why a generation ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish {
    /// Nothing was made: the text was given.
    Given,
    Length,
    EndOfText,
    Stop,
    Interrupted,
}

impl Generation {
    pub fn ids(&self) -> Vec<u32> {
        self.tokens.iter().map(|token| token.id).collect()
    }

    /// The sequence that the decoder reads: all tokens, or a start token and those that were made.
    pub fn decoder_ids(&self) -> Vec<u32> {
        let ids = self.ids();
        match self.start_id {
            Some(start) => [&[start], &ids[self.n_input..]].concat(),
            None => ids,
        }
    }

    pub fn n_generated(&self) -> usize {
        self.tokens.len() - self.n_input
    }
}

/// A generation under way.
pub struct Draft<'a> {
    tokenizer: &'a Tokenizer,
    input: &'a [u32],
    generated: &'a [u32],
}

impl Draft<'_> {
    pub fn n_input(&self) -> usize {
        self.input.len()
    }

    pub fn n_generated(&self) -> usize {
        self.generated.len()
    }

    /// What was given and what is made so far, up to the last whole character. This reads the whole text: ask for
    /// it only when it is shown.
    pub fn tokens(&self) -> Vec<Token> {
        let ids = [self.input, self.generated].concat();
        self.tokenizer.tokens(&ids[..self.tokenizer.whole_prefix(&ids)])
    }
}

type OnDraft<'a> = dyn FnMut(&Draft) -> ControlFlow<()> + 'a;

/// Continues `prompt`, or writes what a model answers to it. `on_draft` is called with the prompt alone, then after
/// every token, in a beam search with the text that is best so far; its `Break` ends the generation and keeps what
/// there is.
///
/// # Errors
/// [`Error::NotCausal`] for a model that does not write; [`Error::Option`] for a value that cannot be; the text's
/// own, and those of memory.
pub fn generate<'a>(
    model: &Model,
    prompt: impl Into<Prompt<'a>>,
    options: &GenerateOptions,
    on_draft: &mut OnDraft,
) -> Result<Generation> {
    let sampler = Sampler::new(&model.generation, options)?;
    generate_with(model, prompt, options, sampler, on_draft)
}

/// The same, and what the model had at `places` while it read the text, at some layers or all: as [`run::record`](crate::run::record)
/// has it of all tokens but the last one, which was not read. `None` where a pass afterwards has to tell: for what grows with the
/// text (patterns), beams, an encoder beside the decoder, a GPU, and where nothing was written.
pub fn generate_recorded<'a>(
    model: &Model,
    prompt: impl Into<Prompt<'a>>,
    options: &GenerateOptions,
    places: &[Place],
    layers: Option<&[usize]>,
    on_draft: &mut OnDraft,
) -> Result<(Generation, Option<Records>)> {
    let sampler = Sampler::new(&model.generation, options)?;
    let job = Job::new(model, prompt.into(), options)?;
    check_room(model, job.max_length, job.beams.n_beams)?;
    let mut recorder = Recorder::of(&job, options.cuda_graph == Some(true), places, layers);
    let generation = job.write(options, sampler, recorder.as_mut(), on_draft)?;
    let records = match recorder {
        Some(recorder) => recorder.records(&job, &generation, layers)?,
        None => None,
    };
    Ok((generation, records))
}

/// The same as [`generate`] with a sampler of one's own.
pub fn generate_with<'a>(
    model: &Model,
    prompt: impl Into<Prompt<'a>>,
    options: &GenerateOptions,
    sampler: Sampler,
    on_draft: &mut OnDraft,
) -> Result<Generation> {
    let job = Job::new(model, prompt.into(), options)?;
    check_room(model, job.max_length, job.beams.n_beams)?;
    job.write(options, sampler, None, on_draft)
}

/// Tokens to write from which a graph pays: one is recorded in the time of some.
const WORTH_A_GRAPH: usize = 16;

/// By recorded steps where that is asked for and can be, and why it cannot; where nothing is said, where it pays.
fn writer<'a>(job: &Job<'a>, options: &GenerateOptions) -> Result<(Writer<'a>, Option<String>)> {
    let usual = || Writer::new(job.model, &job.input, job.max_length);
    let pays = || {
        let n = job.max_length.saturating_sub(job.context.len());
        matches!(job.model.stack().device(), Device::Cuda(_)) && n >= WORTH_A_GRAPH
    };
    if !options.cuda_graph.unwrap_or_else(pays) {
        return Ok((usual()?, None));
    }
    let told = |reason: Option<String>| reason.filter(|_| options.cuda_graph.is_some());
    let obstacle = step::obstacle(job.model, job.max_length, job.beams.n_beams);
    let Body::Decoder(decoder) = job.model.body() else {
        return Ok((usual()?, told(obstacle)));
    };
    if obstacle.is_some() {
        return Ok((usual()?, told(obstacle)));
    }
    let writer = match Writer::by_steps(decoder, job.max_length) {
        // Nobody asked for it, and the usual way takes less.
        Err(Error::OutOfMemory { .. }) if options.cuda_graph.is_none() => usual()?,
        writer => writer?,
    };
    let without = writer.without_graph().map(str::to_owned);
    Ok((writer, told(without)))
}

/// What is written and when it ends.
struct Job<'a> {
    model: &'a Model,
    input: Vec<u32>,
    /// Of the tokens of `input`, where they are known.
    roles: Vec<Arc<str>>,
    /// What the decoder has before it makes anything.
    context: Vec<u32>,
    start_id: Option<u32>,
    max_length: usize,
    beams: BeamOptions,
    processors: Processors,
    stop: &'a [String],
}

impl<'a> Job<'a> {
    fn new(model: &'a Model, prompt: Prompt, options: &'a GenerateOptions) -> Result<Self> {
        let start_id = start_id(model)?;
        let roles = prompt.read().map_or_else(Vec::new, |read| read.roles.clone());
        let input = match (&options.src_lang, prompt) {
            (Some(language), Prompt::Text(text)) => model.tokenizer.encode_in(language, text)?,
            (Some(language), _) => {
                let reason = "only a text is put in a language: what is given has its tokens already";
                return Err(refuse("src_lang", format!("{language:?}"), reason));
            }
            (None, prompt) => model.ids(prompt)?,
        };
        model.check_ids(&input)?;
        let context = start_id.map_or_else(|| input.clone(), |id| vec![id]);
        let max_length = max_length(model, context.len(), options)?;
        let beams = BeamOptions::new(&model.generation, options, model.config().vocab_size)?;
        let mut processors = Processors::new(&model.generation, options, &input, context.len(), max_length)?;
        if let Some(language) = &options.tgt_lang {
            processors.force_first(target(model, language)?);
        }
        let stop = match options.stop.is_empty() {
            true => &model.generation.stop,
            false => &options.stop,
        };
        check_stop(stop)?;
        Ok(Self {
            model,
            input,
            roles,
            context,
            start_id,
            max_length,
            beams,
            processors,
            stop,
        })
    }

    /// By itself.
    fn write(
        &self,
        options: &GenerateOptions,
        mut sampler: Sampler,
        recorder: Option<&mut Recorder>,
        on_draft: &mut OnDraft,
    ) -> Result<Generation> {
        let mut without_graph = None;
        let (ids, finish) = guard(|| {
            if self.show(&self.context, on_draft) == ControlFlow::Break(()) {
                return Ok((self.context.clone(), Finish::Interrupted));
            }
            if self.context.len() >= self.max_length {
                return Ok((self.context.clone(), Finish::Length));
            }
            let mut writer;
            (writer, without_graph) = self::writer(self, options)?;
            writer.record(recorder);
            let written = match self.beams.n_beams {
                1 => one_by_one(self, &mut sampler, &mut writer, on_draft),
                _ => beam::search(self, self.beams, &mut sampler, &mut writer, on_draft),
            }?;
            writer.end();
            Ok(written)
        })?;
        self.model.ensure_unchanged()?;
        let generation = self.generation(&ids, finish, &sampler);
        Ok(Generation {
            without_graph,
            ..generation
        })
    }

    /// What was made of it; `ids` are the context and what follows.
    fn generation(&self, ids: &[u32], finish: Finish, sampler: &Sampler) -> Generation {
        let made = &ids[self.context.len()..];
        Generation {
            tokens: self.model.tokenizer.tokens(&[&self.input, made].concat()),
            n_input: self.input.len(),
            start_id: self.start_id,
            finish,
            seed: sampler.seed(),
            without_graph: None,
            roles: self.roles.clone(),
        }
    }

    fn end_ids(&self) -> &[u32] {
        &self.model.generation.end_ids
    }

    fn show(&self, ids: &[u32], on_draft: &mut OnDraft) -> ControlFlow<()> {
        on_draft(&Draft {
            tokenizer: &self.model.tokenizer,
            input: &self.input,
            generated: &ids[self.context.len()..],
        })
    }

    fn no_numbers(&self) -> Error {
        Error::NoNumbers {
            model: self.model.name().to_owned(),
        }
    }

    /// Why a sequence ends with its last token; `None` when it does not.
    fn finish(&self, ids: &[u32]) -> Option<Finish> {
        if ids.last().is_some_and(|id| self.end_ids().contains(id)) {
            return Some(Finish::EndOfText);
        }
        if self.stops(ids) {
            return Some(Finish::Stop);
        }
        (ids.len() >= self.max_length).then_some(Finish::Length)
    }

    /// Whether one of the texts ends in what was made. Its first token may show a space that it has not alone, so it is
    /// read behind the end of what was given.
    fn stops(&self, ids: &[u32]) -> bool {
        let longest = self.stop.iter().map(String::len).max();
        let Some(longest) = longest else { return false };
        let before = &self.input[self.input.len().saturating_sub(longest + 1)..];
        let tokenizer = &self.model.tokenizer;
        let given = tokenizer.decode(before);
        let text = tokenizer.decode(&[before, &ids[self.context.len()..]].concat());
        // A character that was begun in what was given is not the same in both.
        let same = text
            .bytes()
            .zip(given.bytes())
            .take_while(|(one, other)| one == other);
        let made_from = same.count();
        let ends_in_made = |stop: &String| {
            let first = text.ceil_char_boundary((made_from + 1).saturating_sub(stop.len()));
            text[first..].contains(stop.as_str())
        };
        self.stop.iter().any(ends_in_made)
    }
}

/// One text, greedy or drawn: its tokens, the context included, and why it ends.
fn one_by_one(
    job: &Job,
    sampler: &mut Sampler,
    writer: &mut Writer,
    on_draft: &mut OnDraft,
) -> Result<(Vec<u32>, Finish)> {
    let _below = BelowAutograd::new();
    let mut sequence = [job.context.clone()];
    let mut logits = writer.begin(&job.context)?;
    loop {
        let chosen = sampler.choose(logits, |logits| job.processors.apply(&sequence, logits));
        let chosen = chosen.ok_or_else(|| job.no_numbers())?;
        sequence[0].push(chosen.id);
        let shown = job.show(&sequence[0], on_draft);
        let finish = job.finish(&sequence[0]);
        let finish = finish.or(shown.is_break().then_some(Finish::Interrupted));
        if let Some(finish) = finish {
            let [ids] = sequence;
            return Ok((ids, finish));
        }
        logits = writer.go_on_from(&sequence, &chosen.place)?;
    }
}

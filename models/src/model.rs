//! A model that is loaded: configuration, weights on their devices, tokenizer.

mod aside;
mod loading;
#[cfg(test)]
mod published;
mod tuning;

use std::rc::Rc;

use serde_json::Value;
use tch::{Device, Tensor};

use crate::adapter::Tunable;
use crate::chat::{Chat, ChatOptions, ChatTemplate, Prompt};
use crate::config::Config;
use crate::decoder::Decoder;
use crate::device;
use crate::edit::{Edit, Edits};
use crate::encoder::Encoder;
use crate::encoder_decoder::EncoderDecoder;
use crate::error::{Error, Result, refuse};
use crate::files::ModelFiles;
use crate::generation::config::GenerationConfig;
use crate::guard::guard;
use crate::holders::Entry;
use crate::site::{Place, Site};
use crate::stack::{Marks, Stack};
use crate::tap::{Capture, ReportTap, Tap, running};
use crate::tokenizer::Tokenizer;
use crate::weights::Sum;
use ecco_interpreter::Watch;

pub use aside::Aside;
pub use loading::{LoadOptions, load};

/// A language model, resident on one device or several.
pub struct Model {
    name: String,
    body: Body,
    sum: Sum,
    pub(crate) tokenizer: Rc<Tokenizer>,
    pub(crate) generation: Rc<GenerationConfig>,
    chat: Option<Rc<ChatTemplate>>,
    /// The mapped weights; on the CPU the tensors are views of them.
    files: Rc<ModelFiles>,
    /// Those of its adapter.
    adapter: Option<Rc<ModelFiles>>,
    /// What it was loaded with.
    asked: LoadOptions,
    /// For others that ask who holds the memory.
    held: Rc<Entry>,
    notices: Vec<String>,
    /// Its own weights and what its adapter makes of them.
    tunable: Option<Rc<Tunable>>,
}

/// The tensors of a model, by how it reads.
pub enum Body {
    /// From left to right.
    Decoder(Box<Decoder>),
    /// All at once.
    Encoder(Box<Encoder>),
    /// All at once, to write another text from left to right.
    EncoderDecoder(Box<EncoderDecoder>),
}

impl Model {
    /// Edits for this model: see [`Model::edited`].
    pub fn edits(&self, edits: Vec<Edit>) -> Result<Edits> {
        let spot = |place: Place, layer: usize| {
            let stack = match &self.body {
                Body::EncoderDecoder(both) if place.encoder => &both.encoder,
                _ => self.stack(),
            };
            match (place.site, stack.blocks.get(layer)) {
                (Site::FinalNorm, _) | (_, None) => stack.place(),
                (_, Some(block)) => block.place(),
            }
        };
        guard(|| Ok(Edits::new(edits, spot)))
    }

    /// A view on the same weights in whose every pass these edits are made, and no others.
    pub fn edited(&self, edits: &Edits) -> Self {
        let body = match &self.body {
            Body::Decoder(decoder) => Body::Decoder(Box::new(decoder.edited(&edits.own))),
            Body::Encoder(encoder) => Body::Encoder(Box::new(encoder.edited(&edits.own))),
            Body::EncoderDecoder(both) => Body::EncoderDecoder(Box::new(both.edited(edits))),
        };
        self.with_body(body)
    }

    /// The same model with other tensors; all else is shared.
    fn with_body(&self, body: Body) -> Self {
        Self {
            name: self.name.clone(),
            body,
            sum: self.sum,
            tokenizer: Rc::clone(&self.tokenizer),
            generation: Rc::clone(&self.generation),
            chat: self.chat.clone(),
            files: Rc::clone(&self.files),
            adapter: self.adapter.clone(),
            asked: self.asked.clone(),
            held: Rc::clone(&self.held),
            notices: self.notices.clone(),
            tunable: self.tunable.clone(),
        }
    }

    /// The name it was asked for by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What people should know of how its files were read, a sentence each.
    pub fn notices(&self) -> &[String] {
        &self.notices
    }

    pub fn config(&self) -> &Config {
        &self.stack().config
    }

    /// The tensors themselves, for what computes on them.
    pub fn body(&self) -> &Body {
        &self.body
    }

    /// Embedding and blocks.
    pub fn stack(&self) -> &Stack {
        match &self.body {
            Body::Decoder(decoder) => &decoder.stack,
            Body::Encoder(encoder) => &encoder.stack,
            Body::EncoderDecoder(both) => &both.decoder.stack,
        }
    }

    /// The decoder, for what only makes sense from left to right.
    ///
    /// # Errors
    /// [`Error::NotCausal`] for an encoder; `what` says what was wanted.
    pub fn decoder(&self, what: &'static str) -> Result<&Decoder> {
        match &self.body {
            Body::Decoder(decoder) => Ok(decoder),
            Body::Encoder(_) | Body::EncoderDecoder(_) => Err(self.not_causal(what)),
        }
    }

    /// The decoder that writes, by itself or beside an encoder.
    ///
    /// # Errors
    /// [`Error::NotCausal`] for an encoder.
    pub fn writer(&self, what: &'static str) -> Result<&Decoder> {
        match &self.body {
            Body::Decoder(decoder) => Ok(decoder),
            Body::EncoderDecoder(both) => Ok(&both.decoder),
            Body::Encoder(_) => Err(self.not_causal(what)),
        }
    }

    pub(crate) fn not_causal(&self, what: &'static str) -> Error {
        Error::NotCausal {
            what,
            model: self.name.clone(),
            model_type: self.config().model_type.clone(),
        }
    }

    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// A conversation as the model was trained to read it. `messages` is a list of maps with `role` and `content`.
    ///
    /// # Errors
    /// [`Error::NoChatTemplate`] for a model that has none, [`Error::ChatTemplate`] for messages that its template
    /// refuses.
    pub fn chat(&self, messages: &Value, options: &ChatOptions) -> Result<Chat> {
        let template = self.chat.as_ref().ok_or_else(|| Error::NoChatTemplate {
            model: self.name.clone(),
        })?;
        let chat = template.render(messages, options)?;
        self.check_text(&chat.text)?;
        Ok(chat)
    }

    /// What the model's files say about generating text.
    pub fn generation_config(&self) -> &GenerationConfig {
        &self.generation
    }

    /// The token that fills up a text, where the model has one.
    pub fn pad_id(&self) -> Option<u32> {
        let pad = self.tokenizer.pad().map(|token| token.id);
        pad.filter(|&id| (id as usize) < self.config().vocab_size)
            .or(self.generation.pad_id)
    }

    /// `cpu`, `cuda:0`; of a model on several devices all of them, the one that texts come in at first:
    /// `cuda:0 + cuda:1 + cpu`.
    pub fn device(&self) -> String {
        let names: Vec<String> = self.devices().into_iter().map(device::device_name).collect();
        names.join(" + ")
    }

    /// Waits until its devices have done all that they were asked for: before a time is taken, and after.
    ///
    /// # Errors
    /// What went wrong meanwhile.
    pub fn wait(&self) -> Result<()> {
        guard(|| {
            self.devices().into_iter().for_each(device::wait);
            Ok(())
        })
    }

    fn devices(&self) -> Vec<Device> {
        let encoder = match &self.body {
            Body::EncoderDecoder(both) => both.encoder.places(),
            _ => vec![],
        };
        let mut devices = vec![self.stack().device()];
        for (_, device) in encoder.into_iter().chain(self.stack().places()) {
            if !devices.contains(&device) {
                devices.push(device);
            }
        }
        devices
    }

    /// The device of each layer: of an encoder–decoder, the decoder's.
    pub fn layer_devices(&self) -> Vec<String> {
        let places = self.stack().places().into_iter();
        places.map(|(_, device)| device::device_name(device)).collect()
    }

    pub(crate) fn files(&self) -> &ModelFiles {
        &self.files
    }

    pub fn dtype(&self) -> String {
        device::kind_name(self.stack().kind()).into()
    }

    pub fn n_parameters(&self) -> u64 {
        self.sum.n_parameters
    }

    /// Bytes the weights take where they are kept.
    pub fn memory_bytes(&self) -> u64 {
        self.sum.n_bytes
    }

    /// The stack that reads a text: of an encoder–decoder the encoder.
    pub fn reader(&self) -> &Stack {
        match &self.body {
            Body::EncoderDecoder(both) => &both.encoder,
            _ => self.stack(),
        }
    }

    /// One pass over a whole sequence: the head's input `[1, position, size]`.
    pub fn forward(&self, ids: &[u32], tap: &mut dyn Tap) -> Result<Tensor> {
        self.check_ids(ids)?;
        guard(|| {
            let embeddings = self.stack().embed(ids);
            match &self.body {
                Body::Decoder(decoder) => decoder.forward(&embeddings, None, tap),
                Body::Encoder(encoder) => encoder.forward(&embeddings, Marks::default(), tap),
                Body::EncoderDecoder(_) => Err(self.not_causal("one pass over one text")),
            }
        })
    }

    /// What the head says of a whole sequence, on the host: `(position, vocabulary)` for next and masked tokens,
    /// `(position, label)` for labels of each token (`(position)` where there is one), `(label)` for those of the text.
    ///
    /// # Errors
    /// [`Error::NoHead`] for a model that has none.
    pub fn logits(&self, ids: &[u32]) -> Result<ndarray::ArrayD<f32>> {
        let states = self.forward(ids, &mut crate::tap::NoTap)?;
        guard(|| {
            let logits = match &self.body {
                Body::Decoder(decoder) => Some(decoder.logits(&states)),
                Body::Encoder(encoder) => encoder.logits(&states, None),
                Body::EncoderDecoder(both) => Some(both.decoder.logits(&states)),
            };
            let logits = logits.ok_or_else(|| Error::NoHead {
                model: self.name.clone(),
            })?;
            crate::run::on_host(self.config(), &logits.get(0))
        })
    }

    /// Two texts as they are read together, by the tokenizer's own template: what stands between them and around, and the
    /// token types that the model knows. The text is both, a line each.
    ///
    /// # Errors
    /// A tokenizer that reads one text; texts that the model cannot take.
    pub fn pair(&self, first: &str, second: &str) -> Result<Chat> {
        let text = format!("{first}\n{second}");
        self.check_text(&text)?;
        let mut read = self.tokenizer.encode_pair(first, second)?;
        let n_segments = self.reader().config.embedding.n_segments;
        if n_segments < 2 {
            read.segments.clear();
        }
        if let Some(&segment) = read
            .segments
            .iter()
            .find(|&&segment| segment as usize >= n_segments)
        {
            let reason = format!("{} has vectors for {n_segments} of them", self.name);
            return Err(refuse("token type", segment, reason));
        }
        Ok(Chat {
            text,
            read: Some(read),
        })
    }

    /// The ids of what is given to read. Of an empty text that is to be gone on with: the token that texts start with,
    /// where the model has one.
    pub fn ids<'a>(&self, prompt: impl Into<Prompt<'a>>) -> Result<Vec<u32>> {
        let prompt = prompt.into();
        self.check_text(prompt.text())?;
        let ids = prompt.ids(&self.tokenizer)?;
        match (&self.body, self.generation.begin_id) {
            (Body::Decoder(_), Some(begin)) if ids.is_empty() => Ok(vec![begin]),
            _ => Ok(ids),
        }
    }

    /// Refuses a text that the model cannot take however it is read: to read it takes long, and memory.
    pub(crate) fn check_text(&self, text: &str) -> Result<()> {
        let limit = match &self.body {
            Body::EncoderDecoder(both) => {
                let limits = [both.encoder.config.length_limit(), self.config().length_limit()];
                limits[0].zip(limits[1]).map(|(one, other)| one.max(other))
            }
            _ => self.config().length_limit(),
        };
        match limit.zip(self.tokenizer.fewest(text.len())) {
            Some((context, fewest)) if fewest > context + 1 => Err(Error::TextTooLong {
                model: self.name.clone(),
                bytes: text.len() as u64,
                fewest,
                context,
            }),
            _ => Ok(()),
        }
    }

    /// The length that the model was made for, of the first of its stacks that a text of so many tokens goes beyond:
    /// `n_read` in all, of an encoder–decoder those that the encoder reads and `n_written` by the decoder.
    pub fn outgrown(&self, n_read: usize, n_written: usize) -> Option<usize> {
        let is_beyond =
            |config: &Config, n: usize| (n > config.context_length).then_some(config.context_length);
        match &self.body {
            Body::EncoderDecoder(both) => {
                is_beyond(&both.encoder.config, n_read).or_else(|| is_beyond(self.config(), n_written))
            }
            _ => is_beyond(self.config(), n_read),
        }
    }

    /// Whether some of its weights become numbers when they are used.
    pub(crate) fn is_stored(&self) -> bool {
        self.sum.is_stored
    }

    /// Refuses what was or would be computed of weights that were written to since they were loaded.
    pub(crate) fn ensure_unchanged(&self) -> Result<()> {
        match self.sum.is_stored || self.devices().contains(&Device::Cpu) {
            true => self.files.ensure_unchanged(),
            false => Ok(()),
        }
    }

    /// Refuses a sequence the model cannot take.
    pub fn check_ids(&self, ids: &[u32]) -> Result<()> {
        self.ensure_unchanged()?;
        self.check_ids_for(self.config(), ids)
    }

    /// The same for one of its stacks.
    pub(crate) fn check_ids_for(&self, config: &Config, ids: &[u32]) -> Result<()> {
        if ids.is_empty() {
            let start = self.generation.begin_id.filter(|&id| self.tokenizer.has(id));
            return Err(Error::EmptyText {
                start: start.map(|id| self.tokenizer.token_after(None, id).text),
            });
        }
        if config.length_limit().is_some_and(|limit| ids.len() > limit) {
            let (n_input, context) = (ids.len(), config.context_length);
            return Err(Error::TooLong {
                model: self.name.clone(),
                n_input,
                n_generate: 0,
                context,
            });
        }
        self.check_rows(ids)
    }

    /// Refuses tokens that the model's embedding has no row for: tokenizers may have more than that.
    pub fn check_rows(&self, ids: &[u32]) -> Result<()> {
        let vocabulary = self.config().vocab_size;
        match ids.iter().find(|&&id| id as usize >= vocabulary) {
            Some(&id) if self.tokenizer.has(id) => Err(Error::NoRow {
                id,
                text: self.tokenizer.token_after(None, id).text,
                vocabulary,
            }),
            Some(id) => Err(refuse(
                "token id",
                id,
                format!("the vocabulary has {vocabulary} tokens"),
            )),
            None => Ok(()),
        }
    }
}

/// One forward pass over `ids` that records `sites`, at `layers` or at all.
pub fn capture(
    model: &Model,
    ids: &[u32],
    sites: &[Site],
    layers: Option<&[usize]>,
    watch: &mut Watch,
) -> Result<Capture> {
    let n_layers = model.config().n_layers;
    let mut report = |layer| watch(&running(layer, n_layers));
    let mut tap = ReportTap {
        tap: Capture::new(sites, layers),
        report: &mut report,
    };
    let _ = model.forward(ids, &mut tap)?;
    Ok(tap.tap)
}

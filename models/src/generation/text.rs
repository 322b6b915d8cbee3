//! A text as if a model had written it.

use super::{Finish, Generation};
use crate::chat::Prompt;
use crate::error::{Error, Result};
use crate::model::{Body, Model};
use crate::run::Input;
use crate::tokenizer::Tokenizer;

impl Generation {
    /// A text as if the model had written it: all but its first token, or what follows the prompt. Of an
    /// encoder–decoder the prompt is what it reads, and the text what it writes.
    ///
    /// # Errors
    /// [`Error::NoWriting`] for a model that writes nothing, [`Error::NoPrompt`] for one that reads another text than it
    /// writes and is given one only, [`Error::NothingWritten`] where no token follows, and what the model cannot take.
    pub fn of_text(model: &Model, prompt: Option<Prompt>, text: &str) -> Result<Self> {
        let generation = match model.body() {
            Body::Decoder(_) => {
                let (ids, n_input) = continued(model.tokenizer(), prompt, text)?;
                model.check_ids(&ids)?;
                Self {
                    tokens: model.tokenizer().tokens(&ids),
                    n_input,
                    start_id: None,
                    finish: Finish::Given,
                    seed: None,
                }
            }
            Body::EncoderDecoder(_) => of_two(model, prompt, text)?,
            Body::Encoder(_) => {
                return Err(Error::NoWriting {
                    model: model.name().to_owned(),
                });
            }
        };
        match generation.tokens.len() > generation.n_input {
            true => Ok(generation),
            false => Err(Error::NothingWritten {
                prompt: prompt.is_some(),
            }),
        }
    }
}

/// The ids of a prompt and its continuation, and how many are the prompt's. Together they are read as one text, so
/// that words come out as the model knows them, unless a token would reach over the border.
fn continued(tokenizer: &Tokenizer, prompt: Option<Prompt>, text: &str) -> Result<(Vec<u32>, usize)> {
    let prompt = prompt.filter(|prompt| !prompt.text().is_empty());
    let Some(prompt) = prompt else {
        return Ok((tokenizer.encode(text)?, 1));
    };
    let before = prompt.ids(tokenizer)?;
    let whole = format!("{}{text}", prompt.text());
    let whole = match prompt {
        Prompt::Text(_) => Prompt::Text(&whole),
        Prompt::Bare(_) => Prompt::Bare(&whole),
    };
    let whole = whole.ids(tokenizer)?;
    let ids = match whole.starts_with(&before) {
        true => whole,
        false => [before.clone(), tokenizer.encode_bare(text)?].concat(),
    };
    Ok((ids, before.len()))
}

fn of_two(model: &Model, prompt: Option<Prompt>, text: &str) -> Result<Generation> {
    let prompt = prompt.ok_or_else(|| Error::NoPrompt {
        model: model.name().to_owned(),
    })?;
    let input = Input::new(model, prompt, Some(text))?;
    let mut tokens = model.tokenizer().tokens(&input.ids);
    let n_input = tokens.len();
    tokens.extend(model.tokenizer().tokens(&input.target[1..]));
    Ok(Generation {
        tokens,
        n_input,
        start_id: input.target.first().copied(),
        finish: Finish::Given,
        seed: None,
    })
}

//! A text as if a model had written it.

use super::{Finish, Generation};
use crate::chat::Prompt;
use crate::error::{Error, Result};
use crate::model::{Body, Model};
use crate::run::Input;

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
                let prompt = prompt.filter(|prompt| !prompt.text().is_empty());
                if let Some(prompt) = &prompt {
                    model.check_text(prompt.text())?;
                }
                model.check_text(text)?;
                let (ids, n_input) = match prompt {
                    Some(prompt) => model.tokenizer().encode_continued(prompt, text)?,
                    None => (model.tokenizer().encode(text)?, 1),
                };
                model.check_ids(&ids)?;
                let read = prompt.as_ref().and_then(Prompt::read);
                Self {
                    roles: read.map_or_else(Vec::new, |read| read.roles.clone()),
                    tokens: model.tokenizer().tokens(&ids),
                    n_input,
                    start_id: None,
                    finish: Finish::Given,
                    seed: None,
                    without_graph: None,
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

fn of_two(model: &Model, prompt: Option<Prompt>, text: &str) -> Result<Generation> {
    let prompt = prompt.ok_or_else(|| Error::NoPrompt {
        model: model.name().to_owned(),
    })?;
    let input = Input::new(model, prompt, Some(text))?;
    let mut tokens = model.tokenizer().tokens(&input.ids);
    let n_input = tokens.len();
    tokens.extend(model.tokenizer().tokens(&input.target[1..]));
    Ok(Generation {
        roles: input.roles,
        tokens,
        n_input,
        start_id: input.target.first().copied(),
        finish: Finish::Given,
        seed: None,
        without_graph: None,
    })
}

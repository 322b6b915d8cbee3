//! What a model is given to read, and what should be known of it: said once in a cell, and no error.

use ecco_models::run::Input;
use ecco_models::{Generation, Model as Loaded, Prompt};
use ecco_scripting::{ErrorKind, ScriptError};
use rhai::{Array, Dynamic};

use super::chat::TextOrChat;
use crate::models::model::Model;
use crate::text::run::of_text;

/// Bytes in which a special token stands, where a text begins with one.
const START: usize = 1 << 10;

/// What a model reads of a text; `target` is what the decoder of an encoder–decoder has written.
///
/// # Errors
/// What the model cannot take.
pub(crate) fn input(lm: &Model, text: Prompt, target: Option<&str>) -> Result<Input, ScriptError> {
    let loaded = lm.loaded()?;
    let input = Input::new(&loaded, text, target)?;
    about_prompt(lm, text)?;
    about_length(lm, input.ids.len(), input.target.len())?;
    Ok(input)
}

/// Texts of an array, up to so many tokens of each.
///
/// # Errors
/// What is no text, or none that the model can take.
pub(crate) fn beginnings(lm: &Model, texts: &Array, max_length: usize) -> Result<Vec<Input>, ScriptError> {
    let (model, state) = (lm.loaded()?, lm.state()?);
    let mut inputs = Vec::new();
    for (at, text) in texts.iter().enumerate() {
        state.check_interrupt()?;
        let mut ids = ids_alone(&model, text, at)?;
        ids.truncate(max_length);
        inputs.push(Input {
            ids,
            ..Input::default()
        });
    }
    Ok(inputs)
}

/// The numbers of the tokens of a text, or of a conversation, that is read for itself: the one at a place of a list.
///
/// # Errors
/// What is neither, and two texts that are read together: their token types would be lost.
pub(crate) fn ids_alone(model: &Loaded, text: &Dynamic, at: usize) -> Result<Vec<u32>, ScriptError> {
    let text = TextOrChat::of(text, "a list of strings")?;
    if let Prompt::Read(_, read) = text.prompt()
        && read.second.is_some()
    {
        let message = "a pair of texts cannot be read here, where a text is one row of tokens without types";
        let error = ScriptError::new(ErrorKind::Value, message);
        return Err(of_text(
            error.with_hint("give the two texts one by one, or lm.run(pair)"),
            at,
        ));
    }
    let ids = model.ids(text.prompt());
    ids.map_err(|error| of_text(error.into(), at))
}

/// Says so where a text begins with what the tokenizer puts before it.
pub(crate) fn about_prompt(lm: &Model, text: Prompt) -> Result<(), ScriptError> {
    let Prompt::Text(text) = text else {
        return Ok(());
    };
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let tokenizer = loaded.tokenizer();
    // How it begins says it: to read all of it once more may take long.
    let start = &text[..text.floor_char_boundary(START)];
    let ids = tokenizer.encode(start)?;
    let twice = tokenizer.doubled_start(&ids)?;
    if !twice.is_empty() {
        let token = tokenizer.decode(twice);
        state.notice(&format!(
            "the text begins with {token}, and the tokenizer puts one before every text: the model reads it twice. \
             Leave it out, or give `output.as_prompt`, which has an output's tokens as they are."
        ));
    }
    Ok(())
}

/// Says so where a text is longer than what a model was made for.
pub(crate) fn about_length(lm: &Model, n_read: usize, n_written: usize) -> Result<(), ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    if let Some(length) = loaded.outgrown(n_read, n_written) {
        let name = loaded.name();
        state.notice(&format!(
            "the text is longer than the {length} tokens that {name:?} was made for: it is read, but the model was \
             not trained on such."
        ));
    }
    Ok(())
}

/// Says so where what a model says are no numbers, so that neither ranks nor shares can be made of them.
pub(crate) fn about_numbers(lm: &Model, are_there: bool) -> Result<(), ScriptError> {
    if !are_there {
        let (name, dtype) = (&lm.card().name, &lm.card().dtype);
        lm.state()?.notice(&format!(
            "{name:?} does not say numbers (NaN): its weights, what is changed in it, or {dtype}, in which it computes, \
             overflow. What would be made of them, ranks and shares, is left out."
        ));
    }
    Ok(())
}

/// Says which keys of the model's generation_config.json are not followed.
pub(crate) fn about_generation(lm: &Model) -> Result<(), ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    let keys = &loaded.generation_config().not_followed;
    if !keys.is_empty() {
        let keys = keys.join(", ");
        state.notice(&format!(
            "the model's generation_config.json says {keys}, which is not followed here: transformers may write \
             another text."
        ));
    }
    Ok(())
}

/// Says why a text was written without the CUDA graph that was asked for.
pub(crate) fn about_graph(lm: &Model, generation: &Generation) -> Result<(), ScriptError> {
    if let Some(reason) = &generation.without_graph {
        lm.state()?.notice(&format!(
            "cuda_graph: no CUDA graph was recorded, since {reason}. The text is the same without."
        ));
    }
    Ok(())
}

//! Tokens that scripts name: by their text, or by their number.

use ecco_models::Token;
use ecco_scripting::errors::{ErrorKind, ScriptError};
use ecco_scripting::options::Word;

/// The token that a word means, of a model's vocabulary.
///
/// # Errors
/// A text that is not exactly one token; a number that no token has. `option` is where it was given.
pub(crate) fn token(word: &Word, model: &ecco_models::Model, option: &str) -> Result<Token, ScriptError> {
    let refuse = |message: String| ScriptError::new(ErrorKind::Value, message).pointing_at(option);
    // Of a token that the tokenizer has and the model has no row for, it says so by its text.
    let named = |id: u32| {
        model.check_rows(&[id])?;
        Ok(model.tokenizer().tokens(&[id]).remove(0))
    };
    let text = match word {
        Word::Id(id) if (*id as usize) < model.config().vocab_size || model.tokenizer().has(*id) => {
            return named(*id);
        }
        Word::Id(id) => {
            let n = model.config().vocab_size;
            return Err(refuse(format!(
                "there is no token {id}: the vocabulary has {n}, from 0"
            )));
        }
        Word::Text(text) => text,
    };
    let ids = model.tokenizer().encode_bare(text)?;
    if let [id] = ids[..] {
        return named(id);
    }
    // Tokenizers that put a space before the text themselves have words with one under the bare word.
    if let Some(bare) = text.strip_prefix(' ')
        && let [id] = model.tokenizer().encode_bare(bare)?[..]
        && model.tokenizer().tokens(&[id, id])[1].text == *text
    {
        return named(id);
    }
    let quoted = format!("{text:?}");
    if ids.is_empty() {
        return Err(refuse(format!("{quoted} is no token: it is empty")));
    }
    let parts: Vec<String> = model
        .tokenizer()
        .tokens(&ids)
        .into_iter()
        .map(|token| format!("{:?} ({})", token.text, token.id))
        .collect();
    let hint = match text.starts_with(' ') {
        true => "name one of these, by its text or its number".to_owned(),
        false => format!(
            "name one of these, by its text or its number; words within a text often start with a space: \" {text}\""
        ),
    };
    let message = format!("{quoted} is {} tokens, not one: {}", ids.len(), parts.join(", "));
    Err(refuse(message).with_hint(hint))
}

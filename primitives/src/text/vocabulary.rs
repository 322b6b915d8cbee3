//! Texts as tokens and tokens as texts: `lm.tokenize`, `lm.decode`, `lm.token`, `lm.vocabulary`.

use ecco_models::{Token, Tokenizer};
use ecco_scripting::options::Word;
use ecco_scripting::result::show;
use ecco_scripting::tensor::work::Work;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use rhai::{Array, Dynamic, INT, Map};

use super::chat::Chat;
use super::token;
use crate::models::model::Model;

options! {
    /// What `tokenize` and `decode` can be told.
    struct SpecialOptions {
        /// with the tokens that the model expects around a text
        special_tokens: bool = true,
    }
}

options! {
    /// What `vocabulary` can be told.
    struct VocabularyOptions {
        /// only tokens whose text has this in it, in upper or lower case
        like: Option<String> = "all",
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// The tokens of a text: `ids`, `texts` (of a character that several tokens share, each has it), and `spans`,
        /// the place of each among the text's characters, from and up to.
        ///
        /// Example:
        /// ```rhai
        /// lm.tokenize("The keys to the cabinet").texts
        /// ```
        fn tokenize(lm: &Model, text: &str; options: SpecialOptions) -> Map {
            tokenized(lm, text, options.special_tokens)
        }

        /// The text of tokens, given by their numbers; bytes that are no character become U+FFFD.
        ///
        /// Example:
        /// ```rhai
        /// lm.decode(lm.tokenize("The keys").ids)
        /// ```
        fn decode(lm: &Model, ids: Array; options: SpecialOptions) -> String {
            let (loaded, ids) = (lm.loaded()?, ids_of(lm, &ids)?);
            Ok(match options.special_tokens {
                true => loaded.tokenizer().decode(&ids),
                false => loaded.tokenizer().decode_plain(&ids),
            })
        }

        /// The one token that a text is: `id`, `text`. Words within a text mostly begin with a space.
        ///
        /// Example:
        /// ```rhai
        /// lm.token(" Paris").id
        /// ```
        fn token(lm: &Model, text: &str) -> Map { one(lm, &Word::Text(text.to_owned())) }

        /// The token of a number: `id`, `text`.
        fn token(lm: &Model, id: INT) -> Map {
            let word = Word::of(&Dynamic::from_int(id)).ok_or_else(|| {
                ScriptError::new(ErrorKind::Value, format!("there is no token {id}")).pointing_at("token")
            })?;
            one(lm, &word)
        }

        /// The tokens that the model has, as maps with `id` and `text`; with `like`, those with a text in them.
        ///
        /// Example:
        /// ```rhai
        /// lm.vocabulary(#{like: "paris"})
        /// ```
        fn vocabulary(lm: &Model; options: VocabularyOptions) -> Array { vocabulary(lm, options.like) }
    }
}

fn tokenized(lm: &Model, text: &str, special_tokens: bool) -> Result<Map, ScriptError> {
    let loaded = lm.loaded()?;
    let tokenizer = loaded.tokenizer();
    let ids = match special_tokens {
        true => tokenizer.encode(text)?,
        false => tokenizer.encode_bare(text)?,
    };
    let state = lm.state()?;
    Work::new(state).room(&[ids.len()], BYTES_OF_TOKEN)?;
    let tokens = tokenizer.tokens(&ids);
    let each = |of: &dyn Fn(&Token) -> Dynamic| Dynamic::from_array(tokens.iter().map(of).collect());
    let span = |token: &Token| {
        let ends = [token.span.start, token.span.end].map(|at| Dynamic::from_int(at as INT));
        Dynamic::from_array(ends.to_vec())
    };
    Ok(Map::from([
        (
            "ids".into(),
            each(&|token| Dynamic::from_int(INT::from(token.id))),
        ),
        ("texts".into(), each(&|token| token.text.clone().into())),
        ("spans".into(), each(&span)),
    ]))
}

/// What a token takes in a script, with its text, its map and its span.
const BYTES_OF_TOKEN: usize = 400;

fn one(lm: &Model, word: &Word) -> Result<Map, ScriptError> {
    Ok(map(&token::token(word, &*lm.loaded()?, "token")?))
}

fn map(token: &Token) -> Map {
    Map::from([
        ("id".into(), Dynamic::from_int(INT::from(token.id))),
        ("text".into(), token.text.clone().into()),
    ])
}

fn vocabulary(lm: &Model, like: Option<String>) -> Result<Array, ScriptError> {
    let loaded = lm.loaded()?;
    let (tokenizer, work) = (loaded.tokenizer(), Work::new(lm.state()?));
    let n = u32::try_from(loaded.config().vocab_size).unwrap_or(u32::MAX);
    if like.is_none() {
        work.room(&[n as usize], BYTES_OF_TOKEN)?;
    }
    let like = like.map(|like| like.to_lowercase());
    let mut found = Array::new();
    for id in 0..n {
        if id.is_multiple_of(ASKED_EVERY) {
            work.check()?;
        }
        if !tokenizer.has(id) {
            continue;
        }
        let token = within_a_text(tokenizer, id);
        let fits = |like: &String| token.text.to_lowercase().contains(like.as_str());
        if like.as_ref().is_none_or(fits) {
            found.push(Dynamic::from_map(map(&token)));
        }
    }
    Ok(found)
}

const ASKED_EVERY: u32 = 1024;

/// The token as it is behind another, where some tokenizers show a space that a text's first token has not.
fn within_a_text(tokenizer: &Tokenizer, id: u32) -> Token {
    let behind = tokenizer.token_after(Some(id), id);
    match behind.part {
        None => behind,
        Some(_) => tokenizer.token_after(None, id),
    }
}

const FROM_TEXT: &str = "a text is one string; lm.tokenize(text).ids gives the numbers of its tokens";

/// Numbers of tokens, each checked against the vocabulary.
fn ids_of(lm: &Model, ids: &Array) -> Result<Vec<u32>, ScriptError> {
    let n = lm.card().vocab_size;
    let id = |(index, value): (usize, &Dynamic)| {
        let Ok(number) = value.as_int() else {
            let error = show::expected("the number of a token", value);
            return error.map_err(|error: ScriptError| error.with_hint(FROM_TEXT));
        };
        let id = u32::try_from(number).ok().filter(|id| (*id as usize) < n);
        id.ok_or_else(|| {
            let message = format!("there is no token {number}: the vocabulary has {n}, from 0");
            ScriptError::new(ErrorKind::Value, message)
                .with_hint(format!("this is number {index} of the list, counted from 0"))
        })
    };
    ids.iter().enumerate().map(id).collect()
}

/// Whether an array is one of numbers, and not of texts.
pub(crate) fn is_ids(array: &Array) -> bool {
    array.first().is_some_and(Dynamic::is_int)
}

/// A text of exactly these tokens, to be read as it is.
///
/// # Errors
/// What is no number of a token; none at all.
pub(crate) fn text_of_ids(lm: &Model, ids: &Array) -> Result<Chat, ScriptError> {
    let ids = ids_of(lm, ids)?;
    if ids.is_empty() {
        return Err(ScriptError::new(ErrorKind::Value, "the list of tokens is empty").with_hint(FROM_TEXT));
    }
    let loaded = lm.loaded()?;
    let tokenizer = loaded.tokenizer();
    Ok(Chat::of_tokens(tokenizer.decode(&ids), tokenizer.tokens(&ids)))
}

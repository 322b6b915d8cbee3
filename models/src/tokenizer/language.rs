//! The language that a text is in: models of many languages are told it by a token at one of the text's ends.

use super::Tokenizer;
use crate::error::{Result, refuse};

/// How many languages an error lists.
const MOST_SHOWN: usize = 12;

impl Tokenizer {
    /// The token of a language: `fra_Latn`, `fr_XX`, or `fr` where the vocabulary writes `__fr__`.
    pub fn language(&self, code: &str) -> Option<u32> {
        let is_it = |id: &&u32| self.written(**id).as_deref().and_then(language) == Some(code);
        self.added.iter().filter(is_it).min().copied()
    }

    /// The token of a language that an option names.
    ///
    /// # Errors
    /// For a language that is none of the tokenizer's, and where it has none.
    pub fn language_of(&self, option: &'static str, code: &str) -> Result<u32> {
        self.language(code)
            .ok_or_else(|| refuse(option, format!("{code:?}"), self.without_language()))
    }

    /// The ids of a text in a language.
    ///
    /// # Errors
    /// As [`Self::language_of`], and those of the text.
    pub fn encode_in(&self, code: &str, text: &str) -> Result<Vec<u32>> {
        let id = self.language_of("src_lang", code)?;
        self.with_language(self.encode_as(text, true)?, id)
    }

    /// Puts a language in the place of the one at the ends of a text.
    pub(super) fn with_language(&self, mut ids: Vec<u32>, language: u32) -> Result<Vec<u32>> {
        let ends = self.ends_of(|text| self.encode_as(text, true))?;
        let (before, behind) = (ends.before.min(ids.len()), ends.behind.min(ids.len()));
        let behind = ids.len() - behind;
        for (at, id) in ids.iter_mut().enumerate() {
            if (at < before || at >= behind) && self.is_language(*id) {
                *id = language;
            }
        }
        Ok(ids)
    }

    fn is_language(&self, id: u32) -> bool {
        self.added.contains(&id) && self.written(id).as_deref().and_then(language).is_some()
    }

    fn without_language(&self) -> String {
        let texts = self.added.iter().filter_map(|id| self.written(*id));
        let mut known: Vec<String> = texts
            .filter_map(|text| language(&text).map(str::to_owned))
            .collect();
        known.sort();
        let n_more = known.len().saturating_sub(MOST_SHOWN);
        known.truncate(MOST_SHOWN);
        match (known.is_empty(), n_more) {
            (true, _) if self.is_told_by_text() => {
                "the text itself begins with the language that is wanted: \">>fra<< It was there.\"".into()
            }
            (true, _) => "the model's tokenizer knows no languages".into(),
            (false, 0) => format!("expected one of {}", known.join(", ")),
            (false, n) => format!("expected one of {} and {n} more", known.join(", ")),
        }
    }

    fn is_told_by_text(&self) -> bool {
        self.numbered
            .as_ref()
            .is_some_and(super::Numbered::is_told_by_text)
    }
}

/// The language that a token stands for: `fr_XX` (mBART), `fra_Latn` (NLLB), the `fr` of `__fr__` (M2M-100).
fn language(token: &str) -> Option<&str> {
    let is_code =
        |text: &str| (2..=3).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_lowercase());
    if let Some(code) = token.strip_prefix("__").and_then(|rest| rest.strip_suffix("__")) {
        return is_code(code).then_some(code);
    }
    let (code, place) = token.split_once('_')?;
    let is_place = (2..=4).contains(&place.len())
        && place.starts_with(|first: char| first.is_ascii_uppercase())
        && place.bytes().all(|byte| byte.is_ascii_alphabetic());
    (is_code(code) && is_place).then_some(token)
}

#[cfg(test)]
mod tests {
    use super::language;

    #[test]
    fn tokens_of_languages() {
        for (token, expected) in [
            ("fr_XX", Some("fr_XX")),
            ("fra_Latn", Some("fra_Latn")),
            ("__ast__", Some("ast")),
            ("__fr", None),
            ("____", None),
            ("<unk_2>", None),
            ("a_b", None),
            ("fr_xx", None),
        ] {
            assert_eq!(language(token), expected, "{token}");
        }
    }
}

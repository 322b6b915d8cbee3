//! Texts as SentencePiece itself reads them (`normalizer.cc`): the longest match of its map of characters, spaces in a row
//! as one and none at the ends, one before the text, ▁ for each.

use tokenizers::{NormalizedString, Normalizer};

use super::SentencePiece;

/// How a model's texts are normalised.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::tokenizer) struct SentencePieceNormalizer {
    map: CharMap,
    adds_space: bool,
    removes_spaces: bool,
    /// Whether a text goes on where another ends, so that a space at its start counts.
    is_behind: bool,
    /// Whether a text may begin with a language, `>>fra<<`, which is left as it is.
    pub(in crate::tokenizer) knows_languages: bool,
}

impl SentencePieceNormalizer {
    pub(super) fn new(model: &SentencePiece, knows_languages: bool) -> Self {
        Self {
            map: CharMap::new(&model.char_map),
            adds_space: model.adds_space,
            removes_spaces: model.removes_spaces,
            is_behind: false,
            knows_languages,
        }
    }

    /// For a text that goes on where another ends.
    pub(in crate::tokenizer) fn behind(&self) -> Self {
        Self {
            adds_space: false,
            is_behind: true,
            knows_languages: false,
            ..self.clone()
        }
    }

    pub(super) fn text(&self, text: &str) -> String {
        let (language, mut rest) = text.split_at(if self.knows_languages { language(text) } else { 0 });
        let mut normal = String::from(language);
        let trims = self.removes_spaces && !self.is_behind;
        if trims {
            while let Some((" ", length)) = self.map.first(rest) {
                rest = &rest[length..];
            }
        }
        if rest.is_empty() {
            return normal;
        }
        if self.adds_space {
            normal.push('▁');
        }
        let mut follows_space = trims;
        while let Some((mut part, length)) = self.map.first(rest) {
            rest = &rest[length..];
            while follows_space && let Some(behind) = part.strip_prefix(' ') {
                part = behind;
            }
            if !part.is_empty() {
                normal.extend(part.chars().map(|char| if char == ' ' { '▁' } else { char }));
                follows_space = part.ends_with(' ');
            }
            follows_space &= self.removes_spaces;
        }
        if self.removes_spaces {
            let kept = normal[language.len()..].trim_end_matches('▁').len();
            normal.truncate(language.len() + kept);
        }
        normal
    }
}

impl Normalizer for SentencePieceNormalizer {
    fn normalize(&self, normalized: &mut NormalizedString) -> tokenizers::Result<()> {
        *normalized = NormalizedString::from(self.text(normalized.get()));
        Ok(())
    }
}

/// The length of the language that a text begins with: that of `>>fra<<`, else 0.
pub(in crate::tokenizer) fn language(text: &str) -> usize {
    let end = text.strip_prefix(">>").and_then(|rest| rest.find("<<"));
    end.map_or(0, |end| end + 4)
}

/// What characters become: a trie in a double array (github.com/s-yata/darts-clone) and the texts that its leaves lead to.
#[derive(Debug, Clone, Default, PartialEq)]
struct CharMap {
    units: Vec<u32>,
    /// Each ended by a zero byte.
    texts: Vec<u8>,
}

impl CharMap {
    /// A map that is damaged is one that changes nothing, or less.
    fn new(compiled: &[u8]) -> Self {
        let Some((size, rest)) = compiled.split_first_chunk::<4>() else {
            return Self::default();
        };
        let size = u32::from_le_bytes(*size) as usize;
        let Some((units, texts)) = rest.split_at_checked(size) else {
            return Self::default();
        };
        let unit = |bytes: &[u8]| bytes.try_into().map_or(0, u32::from_le_bytes);
        Self {
            units: units.chunks_exact(4).map(unit).collect(),
            texts: texts.to_vec(),
        }
    }

    /// What the longest known start of a text, or else its first character, becomes, and how long it is.
    fn first<'t>(&'t self, text: &'t str) -> Option<(&'t str, usize)> {
        let first = text.chars().next()?.len_utf8();
        let known = self.longest(text.as_bytes());
        // What does not end between two characters is no text.
        let known = known.filter(|&(_, length)| text.is_char_boundary(length));
        Some(known.unwrap_or((&text[..first], first)))
    }

    fn longest(&self, text: &[u8]) -> Option<(&str, usize)> {
        let mut at = offset(*self.units.first()?);
        let mut found = None;
        for (index, &byte) in text.iter().enumerate() {
            at ^= usize::from(byte);
            let Some(&unit) = self.units.get(at).filter(|&&unit| label(unit) == u32::from(byte)) else {
                break;
            };
            at ^= offset(unit);
            if unit >> 8 & 1 == 1 {
                let start = (*self.units.get(at)? & 0x7FFF_FFFF) as usize;
                found = self.text(start).map(|text| (text, index + 1)).or(found);
            }
        }
        found
    }

    fn text(&self, start: usize) -> Option<&str> {
        let rest = self.texts.get(start..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

fn label(unit: u32) -> u32 {
    unit & (1 << 31 | 0xFF)
}

fn offset(unit: u32) -> usize {
    ((unit >> 10) << ((unit & 1 << 9) >> 6)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalizer() -> SentencePieceNormalizer {
        SentencePieceNormalizer {
            map: CharMap::default(),
            adds_space: true,
            removes_spaces: true,
            is_behind: false,
            knows_languages: true,
        }
    }

    #[test]
    fn spaces_are_one_and_none_is_at_the_ends() {
        let normal = |text: &str| normalizer().text(text);
        assert_eq!(normal("  a   b "), "▁a▁b");
        assert_eq!(normal(""), "");
        assert_eq!(normal("   "), "");
        assert_eq!(normal("▁a▁"), "▁▁a");
        assert_eq!(normal("a\n b"), "▁a\n▁b");
        assert_eq!(normal(">>fra<< a"), ">>fra<<▁a");
        assert_eq!(normal(">>fra<<"), ">>fra<<");
        assert_eq!(normal(">>fra"), "▁>>fra");
        assert_eq!(normalizer().behind().text(">>fra<< a"), ">>fra<<▁a");
        assert_eq!(normalizer().behind().text("a "), "a");
        assert_eq!(normalizer().behind().text("  a"), "▁a");
    }

    #[test]
    fn a_damaged_map_changes_nothing() {
        for bytes in [
            &[][..],
            &[1],
            &[255, 255, 255, 255],
            &[4, 0, 0, 0, 255, 255, 255, 255],
        ] {
            assert_eq!(CharMap::new(bytes).first("äb"), Some(("ä", 2)));
        }
    }
}

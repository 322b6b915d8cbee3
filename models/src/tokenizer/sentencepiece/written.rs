//! Of models that write: mBART, Pegasus, Gemma.

use serde_json::{Value, json};

use super::pipeline::{Vocabulary, Words, bpe, replace};
use crate::error::Result;

/// mBART's languages, in the order of their ids; the first [`N_OF_25`] are those of the model of 25.
const LANGUAGES: &str = "ar_AR cs_CZ de_DE en_XX es_XX et_EE fi_FI fr_XX gu_IN hi_IN it_IT ja_XX kk_KZ ko_KR lt_LT lv_LV \
    my_MM ne_NP nl_XX ro_RO ru_RU si_LK tr_TR vi_VN zh_CN af_ZA az_AZ bn_IN fa_IR he_IL hr_HR id_ID ka_GE km_KH mk_MK ml_IN \
    mn_MN mr_IN pl_PL ps_AF pt_XX sv_SE sw_KE ta_IN te_IN th_TH tl_XX uk_UA ur_PK xh_ZA gl_ES sl_SI";
const N_OF_25: usize = 25;

/// Pieces behind which Pegasus' own begin, those that it was trained with and does not use.
const PEGASUS_OFFSET: u64 = 103;

impl Words<'_> {
    /// The text's language stands behind it, or, in the model of 50 languages, before it.
    pub(super) fn mbart(&self, file: &str, is_of_50: bool) -> Result<Value> {
        let languages = LANGUAGES.split_whitespace();
        let languages: Vec<&str> = languages
            .take(if is_of_50 { usize::MAX } else { N_OF_25 })
            .collect();
        let named = [
            ("bos_token", "<s>"),
            ("pad_token", "<pad>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
        ];
        let mut vocabulary: Vocabulary = named
            .iter()
            .map(|(key, default)| ((self.name)(key, default), 0.0))
            .collect();
        vocabulary.extend(self.vocabulary().into_iter().skip(3));
        vocabulary.extend(languages.iter().map(|language| ((*language).to_owned(), 0.0)));
        vocabulary.push(((self.name)("mask_token", "<mask>"), 0.0));
        let source = self.settings.text("src_lang").unwrap_or("en_XX");
        let end = (self.name)("eos_token", "</s>");
        let mut all = [&named[..], &[("mask_token", "<mask>")]].concat();
        all.extend(languages.iter().map(|language| (*language, *language)));
        let normalizer = match is_of_50 {
            true => json!({"type": "Sequence", "normalizers": self.mapped_steps(vec![], one_space())}),
            false => Value::Null,
        };
        let (before, behind): (&[&str], &[&str]) = match is_of_50 {
            true => (&[source], &[&end]),
            false => (&[], &[&end, source]),
        };
        let mut json = self.unigram(file, vocabulary, 3, normalizer, (before, behind), &all)?;
        if is_of_50 {
            json["pre_tokenizer"] = json["decoder"].clone();
        }
        Ok(json)
    }

    pub(super) fn pegasus(&self, file: &str) -> Result<Value> {
        let offset = self.settings.number("offset").unwrap_or(PEGASUS_OFFSET).min(1000);
        let sentence = self
            .settings
            .text("mask_token_sent")
            .unwrap_or("<mask_1>")
            .to_owned();
        let unused: Vec<String> = (2..offset).map(|number| format!("<unk_{number}>")).collect();
        let mut vocabulary: Vocabulary = vec![
            ((self.name)("pad_token", "<pad>"), 0.0),
            ((self.name)("eos_token", "</s>"), 0.0),
            (sentence.clone(), 0.0),
            ((self.name)("mask_token", "<mask_2>"), 0.0),
        ];
        vocabulary.extend(unused.iter().map(|token| (token.clone(), -100.0)));
        let unk_id = vocabulary.len() + self.model.unk_id.saturating_sub(2);
        vocabulary.extend(self.vocabulary().into_iter().skip(2));
        let mut named = vec![
            ("pad_token", "<pad>"),
            ("eos_token", "</s>"),
            ("unk_token", "<unk>"),
            ("mask_token", "<mask_2>"),
            ("mask_token_sent", sentence.as_str()),
        ];
        named.extend(unused.iter().map(|token| ("", token.as_str())));
        let steps = match self.model.char_map.is_empty() {
            true => [vec![replace(json!({"Regex": "\n"}), " ")], one_space()].concat(),
            false => one_space(),
        };
        let normalizer = json!({"type": "Sequence", "normalizers": self.mapped_steps(vec![], steps)});
        let end = (self.name)("eos_token", "</s>");
        let mut json = self.unigram(file, vocabulary, unk_id, normalizer, (&[], &[&end]), &named)?;
        json["pre_tokenizer"] = json["decoder"].clone();
        Ok(json)
    }

    /// Byte pairs over whole texts, spaces written as ▁ and none put before.
    pub(super) fn gemma(&self) -> Value {
        let vocabulary = self.vocabulary();
        let named = [
            ("unk_token", "<unk>"),
            ("bos_token", "<bos>"),
            ("eos_token", "<eos>"),
            ("pad_token", "<pad>"),
            ("mask_token", "<mask>"),
        ];
        json!({
            "version": "1.0",
            "added_tokens": self.special(&vocabulary, &named),
            "normalizer": replace(json!({"String": " "}), "▁"),
            "pre_tokenizer": {"type": "Split", "pattern": {"String": " "}, "behavior": "MergedWithPrevious", "invert": false},
            "post_processor": null,
            "decoder": {"type": "Sequence", "decoders": [
                replace(json!({"String": "▁"}), " "), {"type": "ByteFallback"}, {"type": "Fuse"},
            ]},
            "model": bpe(&vocabulary, Some(&(self.name)("unk_token", "<unk>"))),
        })
    }
}

fn one_space() -> Vec<Value> {
    vec![replace(json!({"Regex": " {2,}"}), " ")]
}

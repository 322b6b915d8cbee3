//! Every kind of tokenizer against transformers: ids, texts, and what each token shows.

use ecco_models::Tokenizer;
use ecco_models::files::TokenizerFiles;
use ecco_tests::{fixtures, integers};
use serde_json::Value;

/// The kinds, with what the model's configuration calls its type.
const KINDS: [&str; 15] = [
    "byte_level",
    "llama3",
    "word_piece",
    "unigram",
    "byte_fallback",
    "gemma",
    "metaspace_fallback",
    "suffixes",
    "slow-gpt2",
    "slow-opt",
    "slow-roberta",
    "slow-bert",
    "slow-bert-cased",
    "slow-gpt2-added",
    "slow-bert-added",
];

fn tokenizer(name: &str) -> Tokenizer {
    let folder = fixtures().join("tokenizers").join(name);
    let files = TokenizerFiles::open(&folder).expect("the folder has a tokenizer");
    Tokenizer::read(&files, "").unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn reference(name: &str) -> Value {
    let path = fixtures().join(format!("tokenizers/{name}.json"));
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).expect("valid JSON")
}

fn runs(reference: &Value) -> &[Value] {
    reference["texts"].as_array().expect("a list")
}

/// The tokens' characters are those of the text, in order, and none is left out.
fn check_tokens(tokenizer: &Tokenizer, ids: &[u32], what: &str) {
    let text: Vec<char> = tokenizer.decode(ids).chars().collect();
    let tokens = tokenizer.tokens(ids);
    assert_eq!(tokens.len(), ids.len(), "{what}");
    let mut end = 0;
    for token in &tokens {
        let shown: String = text[token.span.clone()].iter().collect();
        if !shown.contains('\u{FFFD}') {
            assert_eq!(token.text, shown, "{what}: {token:?}");
        }
        assert!(
            token.span.start <= end && token.span.end >= end,
            "{what}: {token:?} after {end}"
        );
        assert!(
            token.part.is_some() || token.span.start == end || shown.contains('\u{FFFD}'),
            "{what}: {token:?}"
        );
        end = token.span.end;
    }
    assert_eq!(end, text.len(), "{what}");
}

#[test]
fn texts_become_the_ids_that_transformers_gives() {
    for name in KINDS {
        let tokenizer = tokenizer(name);
        for run in runs(&reference(name)) {
            let text = run["text"].as_str().unwrap();
            assert_eq!(
                tokenizer.encode(text).unwrap(),
                integers(&run["ids"]),
                "{name}: {text:?}"
            );
        }
    }
}

#[test]
fn ids_become_the_text_that_transformers_gives() {
    for name in KINDS {
        let (tokenizer, reference) = (tokenizer(name), reference(name));
        for run in runs(&reference) {
            let ids = integers(&run["ids"]);
            assert_eq!(tokenizer.decode(&ids), run["decoded"], "{name}");
            assert_eq!(tokenizer.decode_plain(&ids), run["plain"], "{name}");
            for (n, part) in run["parts"].as_array().unwrap().iter().enumerate() {
                assert_eq!(
                    tokenizer.decode(&ids[..=n]),
                    *part,
                    "{name}: {n} of {:?}",
                    run["text"]
                );
            }
        }
        for garbage in reference["garbage"].as_array().unwrap() {
            assert_eq!(
                tokenizer.decode(&integers(&garbage["ids"])),
                garbage["decoded"],
                "{name}"
            );
        }
    }
}

#[test]
fn the_tokens_together_are_the_text() {
    for name in KINDS {
        let (tokenizer, reference) = (tokenizer(name), reference(name));
        let all = runs(&reference)
            .iter()
            .chain(reference["garbage"].as_array().unwrap());
        for run in all {
            check_tokens(&tokenizer, &integers(&run["ids"]), name);
        }
    }
}

#[test]
fn a_text_that_grows_never_shows_half_a_character() {
    for name in KINDS {
        let tokenizer = tokenizer(name);
        for run in runs(&reference(name)) {
            let ids = integers(&run["ids"]);
            for n in 0..=ids.len() {
                let whole = tokenizer.whole_prefix(&ids[..n]);
                let text = tokenizer.decode(&ids[..whole]);
                assert!(!text.contains('\u{FFFD}'), "{name}: {text:?}");
            }
            assert_eq!(
                tokenizer.whole_prefix(&ids),
                ids.len(),
                "{name}: {:?}",
                run["text"]
            );
        }
    }
}

#[test]
fn tokens_show_what_they_stand_for() {
    let shown = |name: &str, text: &str| -> Vec<String> {
        let tokenizer = tokenizer(name);
        let tokens = tokenizer.tokens(&tokenizer.encode(text).unwrap());
        let marked = tokens.into_iter().map(|token| match token.part {
            Some((part, of)) => format!("{} {part}/{of}", token.text),
            None => token.text,
        });
        marked.collect()
    };
    assert_eq!(
        shown("word_piece", "The reading"),
        ["[CLS]", " the", " reading", " [SEP]"]
    );
    assert_eq!(shown("byte_fallback", "é 🎉")[..3], ["<s>", " ", "é"]);
    assert_eq!(shown("byte_fallback", "日")[2..], ["日 1/3", "日 2/3", "日 3/3"]);
    assert_eq!(shown("gemma", " 日")[1..], [" ", "日 1/3", "日 2/3", "日 3/3"]);
    assert_eq!(shown("unigram", "the garden").concat(), "the garden</s>");
}

/// SentencePiece's model files against transformers' classes, on 500 texts each.
#[test]
fn sentencepiece_models_are_read_as_transformers_reads_them() {
    let stored = std::fs::read(fixtures().join("sentencepiece.json")).expect("the fixture is there");
    let stored: Value = serde_json::from_slice(&stored).expect("valid JSON");
    let texts: Vec<&str> = stored["texts"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(texts.len(), 500);
    for (name, expected) in stored["kinds"].as_object().unwrap() {
        let files = TokenizerFiles::open(&fixtures().join("sentencepiece").join(name)).unwrap();
        let tokenizer = Tokenizer::read(&files, "").unwrap_or_else(|error| panic!("{name}: {error}"));
        let mut failed = Vec::new();
        let all = texts.iter().copied().zip(expected["ids"].as_array().unwrap());
        let more = expected["more"].as_array().into_iter().flatten();
        let more = more.map(|run| (run["text"].as_str().unwrap(), &run["ids"]));
        for (text, expected) in all.chain(more) {
            let (found, expected) = (tokenizer.encode(text).unwrap(), integers(expected));
            if found != expected {
                failed.push(format!("{text:?}: {found:?}, expected {expected:?}"));
            }
        }
        let n = failed.len();
        failed.truncate(5);
        assert_eq!(n, 0, "{name}: {}", failed.join("\n"));
        let decoded = expected["ids"]
            .as_array()
            .unwrap()
            .iter()
            .zip(expected["decoded"].as_array().unwrap());
        for (ids, text) in decoded {
            // transformers sets special tokens of these apart by spaces that no text has.
            let decoded = match name.starts_with("marian") || name.starts_with("m2m") {
                true => tokenizer.decode_plain(&integers(ids)).trim().to_owned(),
                false => tokenizer.decode(&integers(ids)),
            };
            assert_eq!(decoded, *text, "{name} {ids}");
        }
    }
}

/// A language that is asked for stands where the tokenizer puts its own.
#[test]
fn a_text_is_in_the_language_that_is_asked_for() {
    let read = |name: &str| {
        let files = TokenizerFiles::open(&fixtures().join("sentencepiece").join(name)).unwrap();
        Tokenizer::read(&files, "").unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    for (name, own, other) in [
        ("mbart", "ro_RO", "de_DE"),
        ("mbart-50", "en_XX", "sl_SI"),
        ("m2m_100", "fr", "de"),
    ] {
        let tokenizer = read(name);
        let id = |code: &str| {
            tokenizer
                .language(code)
                .unwrap_or_else(|| panic!("{name} has {code}"))
        };
        let ids = tokenizer.encode("the garden").unwrap();
        assert!(ids.contains(&id(own)), "{name}: {ids:?}");
        let swapped: Vec<u32> = ids
            .iter()
            .map(|&token| if token == id(own) { id(other) } else { token })
            .collect();
        assert_eq!(
            tokenizer.encode_in(other, "the garden").unwrap(),
            swapped,
            "{name}"
        );
        let ends = tokenizer.ends().unwrap();
        assert_eq!(ends.before + ends.behind, 2, "{name}");
        let error = tokenizer.encode_in("xx", "the garden").unwrap_err().to_string();
        assert!(
            error.starts_with("src_lang is \"xx\": expected one of ") && error.contains(" more"),
            "{name}: {error}"
        );
    }
    let error = |name: &str| read(name).encode_in("fr", "a").unwrap_err().to_string();
    assert_eq!(
        error("marian"),
        "src_lang is \"fr\": the text itself begins with the language that is wanted: \">>fra<< It was there.\""
    );
    assert_eq!(
        error("t5"),
        "src_lang is \"fr\": the model's tokenizer knows no languages"
    );
}

/// What goes on behind a text has neither a space nor special tokens put before it.
#[test]
fn numbered_pieces_go_on_behind_a_text() {
    let files = TokenizerFiles::open(&fixtures().join("sentencepiece/marian")).unwrap();
    let tokenizer = Tokenizer::read(&files, "").unwrap();
    let whole = tokenizer.encode_bare("the garden").unwrap();
    let (start, rest) = (
        tokenizer.encode_bare("the").unwrap(),
        tokenizer.encode_behind(" garden").unwrap(),
    );
    assert_eq!(tokenizer.decode(&[start, rest].concat()), "the garden");
    assert_eq!(tokenizer.decode(&whole), "the garden");
    assert_eq!(
        tokenizer
            .tokens(&whole)
            .iter()
            .map(|token| token.text.as_str())
            .collect::<String>(),
        "the garden"
    );
}

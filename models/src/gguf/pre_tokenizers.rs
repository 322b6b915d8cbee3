//! How texts are split before their bytes are joined to tokens, by the name in `tokenizer.ggml.pre`: what the
//! `tokenizer.json` of the models with such a vocabulary has.

use serde_json::{Value, json};

/// A way to split texts.
pub(super) struct PreTokenizer {
    names: &'static [&'static str],
    steps: &'static [Step],
    /// A word that is a token is not put together of others; and texts start with a token where nothing says that they
    /// do not.
    pub(super) whole_words: bool,
}

/// One step, behind others.
enum Step {
    /// At what fits, which is a part of its own.
    Split(&'static str),
    EachDigit,
    RunsOfDigits,
    Punctuation,
    /// Words as GPT-2 has them, their bytes as characters.
    Words,
    /// Bytes as characters.
    Bytes,
}

const LLAMA3: &str = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const QWEN2: &str = crate::tokenizer::QWEN2_WORDS;
const TEKKEN: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const GPT4O: &str = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+";
const BLOOM: &str = r" ?[^(\s|[.,!?…。，、।۔،])]+";

const GPT2: PreTokenizer = PreTokenizer {
    names: &[
        "default",
        "gpt-2",
        "gpt2",
        "mpt",
        "olmo",
        "phi-2",
        "jais",
        "gigachat",
        "mellum",
        "roberta-bpe",
    ],
    steps: &[Step::Words],
    whole_words: false,
};

static PRE_TOKENIZERS: &[PreTokenizer] = &[
    GPT2,
    PreTokenizer {
        names: &[
            "llama3",
            "llama-v3",
            "llama-bpe",
            "falcon3",
            "pixtral",
            "midm-2.0",
        ],
        steps: &[Step::Split(LLAMA3), Step::Bytes],
        whole_words: true,
    },
    PreTokenizer {
        names: &["dbrx", "smaug-bpe"],
        steps: &[Step::Split(LLAMA3), Step::Bytes],
        ..GPT2
    },
    PreTokenizer {
        names: &["tekken"],
        steps: &[Step::Split(TEKKEN), Step::Bytes],
        whole_words: true,
    },
    PreTokenizer {
        names: &[
            "qwen2",
            "stablelm2",
            "deepseek-r1-qwen",
            "kormo",
            "f2llmv2",
            "megrez",
            "hunyuan",
        ],
        steps: &[Step::Split(QWEN2), Step::Bytes],
        ..GPT2
    },
    PreTokenizer {
        names: &["gpt-4o", "llama4", "kanana2", "talkie"],
        steps: &[Step::Split(GPT4O), Step::Bytes],
        ..GPT2
    },
    PreTokenizer {
        names: &[
            "starcoder",
            "refact",
            "command-r",
            "smollm",
            "codeshell",
            "exaone",
            "minerva-7b",
        ],
        steps: &[Step::EachDigit, Step::Words],
        ..GPT2
    },
    PreTokenizer {
        names: &["falcon"],
        steps: &[
            Step::Punctuation,
            Step::Words,
            Step::RunsOfDigits,
            Step::Split("[0-9][0-9][0-9]"),
        ],
        ..GPT2
    },
    PreTokenizer {
        names: &["bloom", "poro-chat", "gpt3-finnish"],
        steps: &[Step::Split(BLOOM), Step::Bytes],
        ..GPT2
    },
];

/// The one of a name; of files before there were names, GPT-2's.
pub(super) fn find(name: Option<&str>) -> Option<&'static PreTokenizer> {
    let name = name.unwrap_or("default");
    PRE_TOKENIZERS.iter().find(|one| one.names.contains(&name))
}

/// All names.
pub(super) fn names() -> String {
    let names: Vec<&str> = PRE_TOKENIZERS.iter().flat_map(|one| one.names).copied().collect();
    names.join(", ")
}

impl PreTokenizer {
    pub(super) fn json(&self) -> Value {
        let steps: Vec<Value> = self.steps.iter().map(Step::json).collect();
        json!({"type": "Sequence", "pretokenizers": steps})
    }
}

impl Step {
    fn json(&self) -> Value {
        let byte_level = |use_regex: bool| json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": use_regex});
        match self {
            Self::Split(regex) => {
                json!({"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": false})
            }
            Self::EachDigit => json!({"type": "Digits", "individual_digits": true}),
            Self::RunsOfDigits => json!({"type": "Digits", "individual_digits": false}),
            Self::Punctuation => json!({"type": "Punctuation", "behavior": "Contiguous"}),
            Self::Words => byte_level(true),
            Self::Bytes => byte_level(false),
        }
    }
}

//! Damaged GGUF files: each is an error that names the file and the value, and takes no memory.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;

use ecco_interpreter::{Diagnostic, unwatched};
use ecco_models::{Error, LoadOptions, Model, load};
use ecco_tests::fixtures;

use crate::folder::{Walk, fault};
use crate::{MOST, one_at_a_time};

/// A copy of a small model's file in a folder of its own.
struct File {
    folder: PathBuf,
    bytes: Vec<u8>,
    /// What it is opened as.
    dtype: Option<String>,
}

impl File {
    fn copy(what: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ecco-gguf-{}-{what}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let bytes = std::fs::read(fixtures().join("gguf/llama.gguf")).expect("the fixture");
        let dtype = None;
        Self { folder, bytes, dtype }
    }

    /// To be opened with its blocks as they are stored, or as numbers.
    fn kept_stored(mut self, stored: bool) -> Self {
        self.dtype = stored.then(|| "stored".to_owned());
        self
    }

    /// Where a text stands.
    fn find(&self, text: &str) -> usize {
        let mut places = self.bytes.windows(text.len());
        places
            .position(|bytes| bytes == text.as_bytes())
            .expect("it is there")
    }

    /// Another text of the same length in its place.
    fn replace(&mut self, text: &str, other: &str) {
        assert_eq!(text.len(), other.len());
        let at = self.find(text);
        self.bytes[at..at + text.len()].copy_from_slice(other.as_bytes());
    }

    /// The four bytes of a number, behind its key (whose length stands before it) and its type.
    fn set(&mut self, key: &str, number: u32) {
        let length = char::from(key.len() as u8);
        let whole = format!("{length}\0\0\0\0\0\0\0{key}");
        let at = self.find(&whole) + whole.len() + 4;
        self.bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
    }

    /// Bytes behind a text.
    fn write_behind(&mut self, text: &str, skip: usize, bytes: &[u8]) {
        let at = self.find(text) + text.len() + skip;
        self.bytes[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn open(&self) -> Result<Model, Error> {
        let path = self.folder.join("a.gguf");
        std::fs::write(&path, &self.bytes).expect("written");
        let options = LoadOptions {
            dtype: self.dtype.clone(),
            ..LoadOptions::default()
        };
        load(&path.display().to_string(), &options, &mut unwatched)
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Damages a file; gives what the error must contain.
type Damage = (&'static str, fn(&mut File), &'static str);

const DAMAGES: &[Damage] = &[
    (
        "nothing in it",
        |file| file.bytes.clear(),
        "ends at byte 0 within the first four bytes",
    ),
    (
        "another file",
        |file| file.replace("GGUF", "PK\u{3}\u{4}"),
        "does not begin with GGUF",
    ),
    (
        "a version to come",
        |file| file.write_behind("GGUF", 0, &[4, 0, 0, 0]),
        "version 4 of the format",
    ),
    (
        "half of it",
        |file| file.bytes.truncate(file.bytes.len() / 2),
        "beyond the file's end",
    ),
    (
        "a part of its header",
        |file| file.bytes.truncate(9_000),
        "ends at byte 9000 within",
    ),
    (
        "more tensors than bytes",
        |file| file.write_behind("GGUF", 4, &u64::MAX.to_le_bytes()),
        "18446744073709551615 tensors",
    ),
    (
        "more values than bytes",
        |file| file.write_behind("GGUF", 12, &(1_u64 << 40).to_le_bytes()),
        "1099511627776 values",
    ),
    (
        "an unknown architecture",
        |file| file.write_behind("general.architecture", 12, b"lamma"),
        "unknown general.architecture \"lamma\"; supported: llama, qwen2",
    ),
    (
        "no architecture",
        |file| file.replace("general.arch", "general.arcx"),
        "does not say its general.architecture",
    ),
    (
        "no layers",
        |file| file.set("llama.block_count", 0),
        "llama.block_count is 0",
    ),
    (
        "silent about layers",
        |file| file.replace("llama.block_count", "llama.block_kount"),
        "does not say its llama.block_count",
    ),
    (
        "too many layers",
        |file| file.set("llama.block_count", 77),
        "lacks weights: everything of layers.2",
    ),
    (
        "absurdly many layers",
        |file| file.set("llama.block_count", u32::MAX),
        "num_hidden_layers is 4294967295",
    ),
    (
        "no heads",
        |file| file.set("llama.attention.head_count", 0),
        "llama.attention.head_count is 0",
    ),
    (
        "heads that do not fit",
        |file| file.set("llama.attention.head_count", 5),
        "num_attention_heads = 5 is not a multiple of it",
    ),
    (
        "another width",
        |file| file.set("llama.embedding_length", 48),
        "has shape [384, 32], its header asks for [384, 48]",
    ),
    (
        "an absurd width",
        |file| file.set("llama.embedding_length", u32::MAX),
        "hidden_size is 4294967295",
    ),
    (
        "no vocabulary",
        |file| file.replace("ggml.tokens", "ggml.tokenz"),
        "has no list tokenizer.ggml.tokens",
    ),
    (
        "no kind of vocabulary",
        |file| file.replace("ggml.model", "ggml.modem"),
        "does not say its tokenizer.ggml.model",
    ),
    (
        "an unknown vocabulary",
        |file| file.write_behind("tokenizer.ggml.model", 12, b"lamma"),
        "tokenizer.ggml.model is \"lamma\"",
    ),
    (
        "no scores",
        |file| file.replace("ggml.scores", "ggml.scorez"),
        "tokenizer.ggml.scores has 0 numbers for 384 tokens",
    ),
    (
        "a start that is no token",
        |file| file.set("tokenizer.ggml.bos_token_id", 9_999),
        "tokenizer.ggml.bos_token_id is 9999",
    ),
    (
        "no embedding",
        |file| file.replace("token_embd.weight", "token_embx.weight"),
        "has no matrix token_embd.weight",
    ),
    (
        "a missing weight",
        |file| file.replace("blk.1.ffn_up.weight", "rope_freqs.weight\0\0"),
        "rope_freqs",
    ),
    (
        "an unknown weight",
        |file| file.replace("blk.1.ffn_up.weight", "blk.1.ffn_xx.weight"),
        "blk.1.ffn_xx.weight",
    ),
    (
        "a weight twice",
        |file| file.replace("blk.1.ffn_up.weight", "blk.0.ffn_up.weight"),
        "twice",
    ),
    (
        "a weight of five axes",
        |file| file.write_behind("output_norm.weight", 0, &[5]),
        "output_norm.weight has 5 axes",
    ),
    (
        "a type that is not read",
        |file| file.write_behind("output_norm.weight", 12, &[16]),
        "output_norm.weight is stored as IQ2_XXS",
    ),
    (
        "a scale that is no number",
        |file| {
            let at = file.bytes.len() - 32 * 4;
            file.bytes[at..at + 4].copy_from_slice(&f32::NAN.to_le_bytes());
        },
        "NaN at flat index",
    ),
    (
        "a block whose scale is no number",
        |file| {
            // The last tensor, in blocks of 18 bytes and 32 numbers.
            let at = file.bytes.len() - 384 * 18 + 100 * 18;
            file.bytes[at..at + 2].copy_from_slice(&[0x00, 0x7E]);
        },
        "lm_head.weight holds NaN at flat index 3200",
    ),
    (
        "an infinite half float",
        |file| file.bytes[18_144 + 10..18_144 + 12].copy_from_slice(&[0x00, 0x7C]),
        "layers.0.self_attn.v_proj.weight holds inf at flat index 5",
    ),
];

#[test]
fn every_damage_is_told() {
    let _alone = one_at_a_time();
    let mut failed = Vec::new();
    for stored in [false, true] {
        File::copy("whole").kept_stored(stored).open().expect("undamaged");
        for (number, (name, damage, expected)) in DAMAGES.iter().enumerate() {
            let mut file = File::copy(&number.to_string()).kept_stored(stored);
            damage(&mut file);
            let fault = fault(
                &["a.gguf", expected],
                MOST,
                AssertUnwindSafe(|| file.open().map(drop)),
            );
            failed.extend(fault.map(|what| format!("{name}, stored: {stored}: {what}")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

/// Every number of the header replaced by every absurd one: it is refused, or means nothing.
#[test]
fn absurd_headers_are_refused_or_load() {
    let _alone = one_at_a_time();
    let keys = [
        "llama.block_count",
        "llama.context_length",
        "llama.embedding_length",
        "llama.feed_forward_length",
        "llama.attention.head_count",
        "llama.attention.head_count_kv",
        "llama.attention.layer_norm_rms_epsilon",
        "llama.rope.freq_base",
        "llama.rope.dimension_count",
        "llama.vocab_size",
        "tokenizer.ggml.bos_token_id",
    ];
    let absurd = [
        0,
        1,
        3,
        1 << 24,
        i32::MAX as u32,
        u32::MAX,
        f32::NAN.to_bits(),
        f32::INFINITY.to_bits(),
        f32::MAX.to_bits(),
    ];
    let mut walk = Walk::default();
    for stored in [false, true] {
        // The first tensor opens libtorch.
        File::copy("first").kept_stored(stored).open().expect("undamaged");
        for key in keys {
            for number in absurd {
                let mut file = File::copy("absurd").kept_stored(stored);
                file.set(key, number);
                let what = || format!("{key} = {number}, stored: {stored}");
                let is_clear = |error: &Error| error.to_string().contains("a.gguf");
                walk.step(what, MOST, is_clear, || file.open().map(drop));
            }
        }
    }
    walk.assert(150, 4);
}

/// What is read while it is used must be what was loaded: elsewhere reading would end the process.
#[test]
fn a_file_that_becomes_shorter_is_told_when_it_is_used() {
    for stored in [false, true] {
        let file = File::copy("shorter").kept_stored(stored);
        let model = file.open().expect("undamaged");
        let ids = model.tokenizer().encode("She said").expect("tokens");
        model.logits(&ids).expect("a pass");
        let path = file.folder.join("a.gguf");
        let shorter = std::fs::File::options().write(true).open(path).expect("opened");
        shorter.set_len(12_000).expect("cut");
        let error = model.logits(&ids).expect_err("another file");
        assert!(
            matches!(&error, Error::FileChanged { file } if file == "a.gguf"),
            "{error}"
        );
    }
}

#[test]
fn a_folder_with_one_file_and_with_several() {
    let file = File::copy("several");
    let model = file.open().expect("a model");
    let folder = |file: &File| {
        load(
            &file.folder.display().to_string(),
            &Default::default(),
            &mut unwatched,
        )
    };
    assert_eq!(
        folder(&file).expect("one file").n_parameters(),
        model.n_parameters()
    );
    std::fs::write(file.folder.join("b.gguf"), &file.bytes).expect("written");
    let error = folder(&file).map(drop).expect_err("two models");
    let said = error.to_string();
    assert!(
        said.ends_with("has no model.safetensors, but a.gguf, b.gguf"),
        "{error}"
    );
    let hint = error.hint().expect("a hint");
    assert!(
        hint.starts_with("give the path of the one that is meant: ") && hint.ends_with("a.gguf\""),
        "{hint}"
    );
    std::fs::write(file.folder.join("c-00001-of-00002.gguf"), &file.bytes).expect("written");
    let path = file.folder.join("c-00001-of-00002.gguf").display().to_string();
    let error = load(&path, &Default::default(), &mut unwatched)
        .map(drop)
        .expect_err("half a model");
    assert!(
        error.to_string().contains("c-00002-of-00002.gguf is not there"),
        "{error}"
    );
}

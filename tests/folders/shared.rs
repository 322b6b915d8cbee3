//! Encoder–decoders, whose two sides and head are tied to one matrix, and may each have their own; sides of two widths, and
//! what the decoder begins with.

use serde_json::json;

use crate::damages::set;
use crate::folder::{Folder, Stored};
use crate::names::{assert_same, embedding, loaded, said};
use crate::{one_at_a_time, open};

const FAMILIES: &[&str] = &["t5", "mt5", "bart", "mbart", "pegasus", "marian", "m2m_100"];
const HEAD: &str = "lm_head.weight";
const START: &str = "decoder_start_token_id";

/// A tied copy that begins with what config.json says, the name of its shared matrix, and that of the decoder's own.
fn tied(family: &str) -> (Folder, String, String) {
    let folder = Folder::copy(family);
    set(&folder, "tie_word_embeddings", json!(true));
    folder.remove("generation_config.json");
    folder.edit(|tensors| drop(tensors.remove(HEAD)));
    let shared = embedding(&folder);
    let prefix = shared.strip_suffix("shared.weight").expect("a shared matrix");
    let own = format!("{prefix}decoder.embed_tokens.weight");
    (folder, shared, own)
}

/// The matrix with two rows in each other's place.
fn swapped(stored: &Stored, a: usize, b: usize) -> Stored {
    let mut stored = stored.clone();
    let width = stored.bytes.len() / stored.shape[0];
    for i in 0..width {
        stored.bytes.swap(a * width + i, b * width + i);
    }
    stored
}

/// A decoder that begins with one token and embeds it as another reads what it would if it began with that; the head, which
/// is tied to the shared matrix, says the same of it.
#[test]
fn a_head_is_tied_to_the_shared_matrix_and_not_to_the_decoders_own() {
    let _alone = one_at_a_time();
    for family in FAMILIES {
        let (folder, shared, own) = tied(family);
        let start = folder.config()[START].as_u64().expect("a start") as usize;
        let another = 9;
        let ids = loaded(&folder).tokenizer().encode("it").expect("a text");
        assert!(start != another && !ids.contains(&(another as u32)));
        let (expected, ..) = tied(family);
        set(&expected, START, json!(another));
        folder.edit(|tensors| {
            let turned = swapped(&tensors[&shared], start, another);
            tensors.insert(own.clone(), turned);
        });
        let model = loaded(&folder);
        let [notice] = model.notices() else {
            panic!("{family}: {:?}", model.notices())
        };
        assert!(notice.contains("two matrices that differ"), "{notice}");
        assert_same(&said(&model), &said(&loaded(&expected)), family);
    }
}

/// As transformers writes a model that ties nothing: the shared matrix is there, and used by nothing.
#[test]
fn a_shared_matrix_that_nothing_uses_is_passed_over() {
    let _alone = one_at_a_time();
    for family in FAMILIES {
        let (folder, shared, own) = tied(family);
        let expected = said(&loaded(&folder));
        set(&folder, "tie_word_embeddings", json!(false));
        folder.edit(|tensors| {
            let matrix = tensors[&shared].clone();
            for name in [own.replace("decoder.", "encoder."), own.clone(), HEAD.to_owned()] {
                tensors.insert(name, matrix.clone());
            }
            let unused = swapped(&matrix, 3, 4);
            tensors.insert(shared.clone(), unused);
        });
        let model = loaded(&folder);
        // The oldest of these scale what their head reads where it is tied alone.
        if *family != "t5" {
            assert_same(&said(&model), &expected, family);
        }
    }
}

/// A decoder cannot look at states of another width; each side says its own.
#[test]
fn sides_of_two_widths_are_refused_with_both() {
    let _alone = one_at_a_time();
    for (key, of_encoder, of_decoder) in [("hidden_size", 24, 16), ("vocab_size", 400, 384)] {
        let folder = Folder::copy("t5gemma");
        let mut config = folder.config();
        assert_eq!(config["decoder"][key], of_decoder);
        config["encoder"][key] = json!(of_encoder);
        folder.write_config(&config);
        let error = open(&folder).err().expect("it is refused").to_string();
        let reason =
            format!("its {key} is {of_encoder}, the decoder's {of_decoder}: only equal ones are read");
        assert!(
            error.starts_with("config.json: encoder is {") && error.ends_with(&reason),
            "{error}"
        );
    }
}

/// Where config.json alone says what the decoder begins with, it is no later read than the weights.
#[test]
fn a_start_that_is_no_token_is_refused_as_the_model_is_loaded() {
    let _alone = one_at_a_time();
    for family in FAMILIES.iter().chain(&["t5gemma"]) {
        for start in [json!(1 << 24), json!(-1), json!("big"), json!([]), json!(1.5)] {
            let folder = Folder::copy(family);
            folder.remove("generation_config.json");
            let mut config = folder.config();
            config[START] = start.clone();
            folder.write_config(&config);
            let error = open(&folder).err().unwrap_or_else(|| panic!("{family}: {start}"));
            let told =
                format!("config.json: {START} is {start}: the decoder has to start with one of 384 tokens");
            assert_eq!(error.to_string(), told, "{family}");
        }
    }
}

//! Encoder–decoders, whose two sides and head are tied to one matrix, and may each have their own.

use serde_json::json;

use crate::damages::set;
use crate::folder::{Folder, Stored};
use crate::names::{assert_same, embedding, loaded, said};
use crate::one_at_a_time;

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

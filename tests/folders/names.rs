//! The same model under other names, with other words of its config, in other files: it has to be the same model.

use std::ops::ControlFlow;

use ecco_interpreter::{Diagnostic, unwatched};
use ecco_models::model::Body;
use ecco_models::run::{Input, run};
use ecco_models::{Error, GenerateOptions, Model, generate};
use ecco_tests::fixtures;
use ndarray::ArrayD;
use serde_json::{Value, json};

use crate::damages::set;
use crate::folder::{Folder, Stored};
use crate::{families, one_at_a_time, open};

/// What a model says of a text; of an encoder–decoder, of the first token it writes.
pub(crate) fn said(model: &Model) -> ArrayD<f32> {
    let ids = model.tokenizer().encode("She said").expect("a text");
    match model.body() {
        Body::EncoderDecoder(_) => {
            let input = Input::new(model, "She said", Some("it")).expect("texts");
            let runs = run(model, vec![input], 3, &mut unwatched).expect("it runs");
            runs[0].logits(model, 0).expect("logits")
        }
        _ => model.logits(&ids).expect("it runs"),
    }
}

/// Equal up to how products round: weights that lie elsewhere in a file are aligned otherwise.
#[track_caller]
pub(crate) fn assert_same(a: &ArrayD<f32>, b: &ArrayD<f32>, what: &str) {
    let gap = (a - b).mapv(f32::abs) / b.mapv(|b| 1.0 + b.abs());
    let largest = gap.iter().copied().fold(0.0, f32::max);
    assert!(largest < 1e-5, "{what}: {largest}");
}

pub(crate) fn loaded(folder: &Folder) -> Model {
    open(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.path().display()))
}

/// The names of the embedding and of the head in a file, with or without a prefix.
const EMBEDDINGS: &[&str] = &[
    "wte.weight",
    "embed_tokens.weight",
    "tokens_embed.weight",
    "embed_in.weight",
    "tok_embeddings.weight",
    "shared.weight",
    "embeddings.word_embeddings.weight",
    "word_embeddings.weight",
    "embeddings.weight",
    "embed.W_E",
];

pub(crate) fn embedding(folder: &Folder) -> String {
    let names: Vec<String> = folder.tensors().into_keys().collect();
    let found = EMBEDDINGS
        .iter()
        .find_map(|end| names.iter().find(|name| name.ends_with(end)));
    found.expect("an embedding").clone()
}

/// What the head's matrix is called, for those that may share the embedding's.
fn head(model: &Model) -> Option<&'static str> {
    match (model.body(), model.config().model_type.as_str()) {
        (_, "transformer_lens") => None,
        (_, "gpt_neox") => Some("embed_out.weight"),
        (_, "internlm2") => Some("output.weight"),
        (_, "t5gemma") => Some("lm_head.out_proj.weight"),
        (Body::Encoder(_), "bert" | "deberta-v2") => Some("cls.predictions.decoder.weight"),
        (Body::Encoder(_), "roberta" | "camembert" | "xlm-roberta") => Some("lm_head.decoder.weight"),
        (Body::Encoder(_), "albert") => Some("predictions.decoder.weight"),
        (Body::Encoder(_), "distilbert") => Some("vocab_projector.weight"),
        (Body::Encoder(_), "modernbert") => Some("decoder.weight"),
        (Body::Encoder(_), _) => None,
        _ => Some("lm_head.weight"),
    }
}

/// The numbers of the other sign.
fn negated(stored: &Stored) -> Stored {
    let words = stored.bytes.chunks_exact(4);
    let bytes = words
        .flat_map(|word| [word[0], word[1], word[2], word[3] ^ 0x80])
        .collect();
    Stored {
        bytes,
        ..stored.clone()
    }
}

/// Some files have layers behind the last, which guess several tokens at once.
#[test]
fn layers_that_guess_are_passed_over() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("deepseek_v3");
    let before = said(&loaded(&folder));
    folder.edit(|tensors| {
        let of_last = tensors
            .iter()
            .filter(|(name, _)| name.starts_with("model.layers.1."));
        let mut more: Vec<(String, Stored)> = of_last
            .map(|(name, stored)| (name.replacen(".1.", ".2.", 1), stored.clone()))
            .collect();
        more.push(("model.layers.2.eh_proj.weight".into(), more[0].1.clone()));
        tensors.extend(more);
    });
    assert_eq!(folder.config()["num_nextn_predict_layers"], 1);
    assert_same(&said(&loaded(&folder)), &before, "with a layer that guesses");
    set(&folder, "num_nextn_predict_layers", json!(0));
    let error = open(&folder)
        .err()
        .expect("a layer that is not there")
        .to_string();
    assert!(error.contains("model.layers.2.eh_proj.weight"), "{error}");
}

/// Two matrices in the file are two, whatever config.json says; where it says one, that is told.
#[test]
fn what_is_stored_counts_and_not_what_the_config_says_of_tying() {
    let _alone = one_at_a_time();
    let mut n = 0;
    for family in families() {
        let folder = Folder::copy(&family);
        let plain = loaded(&folder);
        let Some(head) = head(&plain) else { continue };
        let model_type = plain.config().model_type.clone();
        let before = said(&plain);
        // Its file is about to be written to.
        drop(plain);
        let embedding = embedding(&folder);
        folder.edit(|tensors| {
            let other = negated(&tensors[&embedding]);
            tensors.insert(head.into(), other);
        });
        set(&folder, "tie_word_embeddings", json!(true));
        let tied = loaded(&folder);
        let is_t5 = ["t5", "mt5"].contains(&model_type.as_str());
        match is_t5 {
            // Its later versions have a head of their own, and its config says the scale by the same key.
            true => assert_eq!(tied.notices(), [""; 0], "{family}"),
            false => {
                let [notice] = tied.notices() else {
                    panic!("{family}: {:?}", tied.notices())
                };
                assert!(
                    notice.starts_with(&format!("config.json ties {head} to ")),
                    "{notice}"
                );
                set(&folder, "tie_word_embeddings", json!(false));
                let apart = loaded(&folder);
                assert_eq!(apart.notices(), [""; 0], "{family}");
                assert_same(&said(&tied), &said(&apart), &family);
            }
        }
        assert_ne!(said(&tied), before, "{family}");
        n += 1;
    }
    assert!(n > 30, "{n} families");
}

/// One matrix, under whichever of its names.
#[test]
fn a_shared_matrix_may_have_any_of_its_names() {
    let _alone = one_at_a_time();
    let mut n = 0;
    for family in families() {
        let folder = Folder::copy(&family);
        let Some(head) = head(&loaded(&folder)) else {
            continue;
        };
        set(&folder, "tie_word_embeddings", json!(true));
        folder.edit(|tensors| drop(tensors.remove(head)));
        let expected = said(&loaded(&folder));
        let embedding = embedding(&folder);
        let is_both =
            ["t5", "mt5", "bart", "mbart", "pegasus", "marian", "m2m_100"].contains(&family.as_str());
        let prefix = embedding.strip_suffix("shared.weight").unwrap_or_default();
        let sides = ["encoder", "decoder"].map(|side| format!("{prefix}{side}.embed_tokens.weight"));
        let others = if is_both { &sides[..] } else { &[] };
        for name in others.iter().map(String::as_str).chain([head]) {
            let other = Folder::copy(&family);
            set(&other, "tie_word_embeddings", json!(true));
            other.edit(|tensors| {
                drop(tensors.remove(head));
                let shared = tensors.remove(&embedding).expect("the embedding");
                tensors.insert(name.into(), shared);
            });
            let model = loaded(&other);
            assert_eq!(model.notices(), [""; 0], "{family}, {name}");
            assert_same(&said(&model), &expected, &format!("{family}, {name}"));
            n += 1;
        }
    }
    assert!(n > 30, "{n} names");
}

#[test]
fn prefixes_that_all_names_have_are_taken_off() {
    let _alone = one_at_a_time();
    for family in ["gpt_neo", "llama", "bert", "t5", "bart", "gpt_neox"] {
        let whole = Folder::copy(family);
        let expected = said(&loaded(&whole));
        for prefix in [
            "_orig_mod.",
            "module.",
            "model.",
            "transformer.",
            "base_model.model.",
            "module._orig_mod.",
            "anything.at.all.",
        ] {
            let folder = Folder::copy(family);
            folder.edit(|tensors| {
                let old = std::mem::take(tensors).into_iter();
                tensors.extend(old.map(|(name, stored)| (format!("{prefix}{name}"), stored)));
            });
            let model = loaded(&folder);
            assert_same(&said(&model), &expected, &format!("{family}, {prefix}"));
            let [notice] = model.notices() else {
                panic!("{family}, {prefix}: {:?}", model.notices())
            };
            let text = format!("all weights of model.safetensors have {prefix:?} before their names");
            assert!(notice.starts_with(&text), "{notice}");
        }
    }
}

#[test]
fn what_is_of_no_use_is_told_with_a_way_to_leave_it_out() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("llama");
    folder.edit(|tensors| {
        for name in ["v_head.summary.weight", "v_head.summary.bias"] {
            let any = tensors.values().next().expect("a tensor").clone();
            tensors.insert(name.into(), any);
        }
    });
    let hint = open(&folder)
        .err()
        .expect("it is refused")
        .hint()
        .expect("a hint");
    let path = folder.path().join("model.safetensors");
    let save = "save({k: v for k, v in load(p).items() if not k.startswith('v_head.summary.')}, p";
    assert!(
        hint.contains(save) && hint.contains(&format!("p = '{}'", path.display())),
        "{hint}"
    );
    let folder = Folder::copy("llama");
    set(&folder, "tie_word_embeddings", json!(false));
    folder.edit(|tensors| drop(tensors.remove("lm_head.weight")));
    let error = open(&folder).err().expect("it has no head");
    assert_eq!(
        error.to_string(),
        "model.safetensors lacks weights: lm_head.weight"
    );
    assert!(
        error
            .hint()
            .expect("a hint")
            .ends_with("\"tie_word_embeddings\": true")
    );
}

/// A BERT saved as one that writes is none without a head, though its class ends with "Model".
#[test]
fn a_bert_that_writes_is_not_taken_for_one_without_a_head() {
    let _alone = one_at_a_time();
    let folder = Folder::copy("bert");
    set(&folder, "architectures", json!(["BertLMHeadModel"]));
    let error = open(&folder).err().expect("it is refused").to_string();
    assert!(
        error.starts_with("config.json: architectures is [\"BertLMHeadModel\"]"),
        "{error}"
    );
}

/// Tokenizers may know more tokens than the embedding has rows for.
#[test]
fn only_a_text_with_a_token_beyond_the_embedding_is_refused() {
    let _alone = one_at_a_time();
    for id in [384, 5000] {
        let folder = Folder::copy("llama");
        let expected = said(&loaded(&folder));
        let mut tokenizer: Value = serde_json::from_slice(&folder.read("tokenizer.json")).expect("JSON");
        let added = json!({
            "id": id, "content": "<image>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true,
        });
        tokenizer["added_tokens"]
            .as_array_mut()
            .expect("a list")
            .push(added);
        folder.write("tokenizer.json", tokenizer.to_string());
        let model = loaded(&folder);
        assert_same(&said(&model), &expected, "beside a token more");
        let id = model
            .tokenizer()
            .encode("<image>")
            .expect("a text")
            .pop()
            .expect("a token");
        let said = format!(
            "token {id}, \"<image>\", is none of the model's 384 tokens: its embedding has no row for it"
        );
        let options = GenerateOptions {
            generate: Some(2),
            ..Default::default()
        };
        let errors: [Option<Error>; 3] = [
            Input::new(&model, "a <image> b", None)
                .and_then(|input| run(&model, vec![input], 2, &mut unwatched))
                .err(),
            generate(
                &model,
                "a <image> b",
                &options,
                &mut |_| ControlFlow::Continue(()),
            )
            .err(),
            model.logits(&[5, id]).err(),
        ];
        for error in errors {
            assert_eq!(error.expect("it has no row").to_string(), said);
        }
    }
}

#[test]
fn tokens_that_other_files_add_are_told_by_their_text_too() {
    let _alone = one_at_a_time();
    for (file, text) in [
        (
            "tokenizer_config.json",
            json!({"additional_special_tokens": ["<image>"]}),
        ),
        ("added_tokens.json", json!({"<image>": 384})),
        (
            "special_tokens_map.json",
            json!({"cls_token": {"content": "<image>"}}),
        ),
    ] {
        let folder = Folder::copy("llama");
        folder.write(file, text.to_string());
        let model = loaded(&folder);
        let error = Input::new(&model, "a <image> b", None).err();
        let error = error.or_else(|| {
            model
                .logits(&model.tokenizer().encode("a <image>").expect("a text"))
                .err()
        });
        let said =
            "token 384, \"<image>\", is none of the model's 384 tokens: its embedding has no row for it";
        assert_eq!(error.expect("it has no row").to_string(), said, "{file}");
    }
}

/// PyTorch's files of three families: shared storages, transposed matrices, attributes of the dictionary.
#[test]
fn pytorchs_files_are_the_same_models() {
    let _alone = one_at_a_time();
    let pytorch = fixtures().join("pytorch");
    let with = |family: &str, files: &[(&str, &str)]| {
        let folder = Folder::copy(family);
        folder.remove("model.safetensors");
        for (from, to) in files {
            folder.write(to, std::fs::read(pytorch.join(from)).expect("the fixture"));
        }
        folder
    };
    for family in ["bert", "t5", "llama"] {
        let expected = said(&loaded(&Folder::copy(family)));
        let folder = with(family, &[(&format!("{family}.bin"), "pytorch_model.bin")]);
        assert_same(&said(&loaded(&folder)), &expected, family);
        // Another name: by its path.
        std::fs::rename(
            folder.path().join("pytorch_model.bin"),
            folder.path().join("best.pt"),
        )
        .expect("renamed");
        let error = open(&folder).err().expect("which is meant is not said");
        assert!(
            error
                .to_string()
                .ends_with("has no model.safetensors, but best.pt"),
            "{error}"
        );
        let path = folder.path().join("best.pt");
        assert_eq!(
            error.hint().expect("a hint"),
            format!("give the path of the one that is meant: {path:?}")
        );
        let model = Model::open(&path, &Default::default(), &mut unwatched).expect("it loads");
        assert_same(&said(&model), &expected, family);
    }
    let expected = said(&loaded(&Folder::copy("llama")));
    let names = [
        "pytorch_model-00001-of-00002.bin",
        "pytorch_model-00002-of-00002.bin",
        "pytorch_model.bin.index.json",
    ];
    let files = names.map(|name| (format!("sharded/{name}"), name));
    let files = files.each_ref().map(|(from, to)| (from.as_str(), *to));
    let sharded = with("llama", &files);
    assert_same(&said(&loaded(&sharded)), &expected, "shards");
    // Safetensors are preferred, and what else is there does not matter.
    let whole = Folder::copy("llama");
    whole.write("pytorch_model.bin", "no weights at all");
    whole.write(
        "model.safetensors.index.json",
        json!({"weight_map": {"x": "gone.safetensors"}}).to_string(),
    );
    for name in ["original", "onnx"] {
        std::fs::create_dir(whole.path().join(name)).expect("a folder");
        whole.write(&format!("{name}/model.safetensors"), "something else");
    }
    assert_same(&said(&loaded(&whole)), &expected, "safetensors");
}

/// Formats before archives, links that lead nowhere, pointers of git-lfs: each says what it is, and the way out.
#[test]
fn files_that_are_something_else_say_what() {
    let _alone = one_at_a_time();
    let pytorch = fixtures().join("pytorch");
    let tar = [&[b'x'; 257][..], b"ustar\0", &[0; 300]].concat();
    let old = std::fs::read(pytorch.join("old.bin")).expect("the fixture");
    let asks = std::fs::read(pytorch.join("namespace.pt")).expect("the fixture");
    for (bytes, said, way_out) in [
        (
            old,
            "is in PyTorch's format before 1.6, which is not read",
            "weights_only=True), p)\"",
        ),
        (
            tar,
            "is in PyTorch's format before 0.1.10, which is not read",
            "weights_only=False), p)\"",
        ),
        (
            asks,
            "asks for argparse.Namespace to be run, which is not done",
            "weights_only=False); t = lambda x: {k: torch.as_tensor(v) for k, v",
        ),
        (
            b"\x80\x04}\x94.".to_vec(),
            "is a bare pickle, which can run anything when it is loaded: it is not read",
            "d = pickle.load(open(p, 'rb')); t = lambda x: {k: torch.as_tensor(v) for k, v",
        ),
    ] {
        let folder = Folder::copy("llama");
        folder.remove("model.safetensors");
        folder.write("pytorch_model.bin", bytes);
        let error = open(&folder).err().expect("it is refused");
        assert!(error.to_string().contains(said), "{error}");
        let hint = error.hint().expect("a hint");
        let path = folder.path().join("pytorch_model.bin");
        assert!(
            hint.contains(way_out) && hint.contains(&format!("p = '{}'", path.display())),
            "{hint}"
        );
    }
    for file in ["config.json", "tokenizer.json", "model.safetensors"] {
        let folder = Folder::copy("llama");
        folder.remove(file);
        std::os::unix::fs::symlink("../../blobs/gone", folder.path().join(file)).expect("a link");
        let error = open(&folder).err().expect("it is not there").to_string();
        assert!(
            error.ends_with(&format!(
                "{file} is a link to ../../blobs/gone, which is not there"
            )),
            "{error}"
        );
    }
    let folder = Folder::copy("llama");
    folder.write(
        "model.safetensors",
        "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n",
    );
    let error = open(&folder).err().expect("no weights");
    assert!(
        error
            .to_string()
            .ends_with("model.safetensors is a pointer that git-lfs left, not the file itself")
    );
    assert_eq!(error.hint().expect("a hint"), "fetch it: git lfs pull");
}

/// Numbers of eight bits: with a method that has scales for them, and without one.
#[test]
fn small_numbers_without_scales_are_told_and_not_called_damaged() {
    let _alone = one_at_a_time();
    for (method, dtype, scales) in [
        ("fp8", "F8_E4M3", ".weight_scale_inv or {}.weight_scale"),
        ("bitsandbytes", "I8", ".SCB or "),
        (
            "compressed-tensors",
            "F8_E4M3",
            ".weight_packed or {}.weight_scale",
        ),
    ] {
        let folder = Folder::copy("llama");
        let name = folder.a_matrix();
        folder.edit(|tensors| {
            let stored = tensors.get_mut(&name).expect("the matrix");
            stored.bytes.truncate(stored.bytes.len() / 4);
            stored.dtype = dtype.into();
        });
        let error = open(&folder).err().expect("it is no number");
        let said = format!("model.safetensors: {name} is stored as {dtype}");
        assert_eq!(
            error.to_string(),
            format!("{said}; expected F32, F16, BF16 or F64")
        );
        assert!(error.hint().expect("a hint").contains("quantized"));
        set(&folder, "quantization_config", json!({"quant_method": method}));
        let error = open(&folder).err().expect("there is no scale");
        let module = name.strip_suffix(".weight").expect("a weight");
        let scales = format!("{module}{}", scales.replace("{}", module));
        let expected = format!("{said}, as {method} quantizes it, and there is no {scales}");
        assert!(error.to_string().starts_with(&expected), "{error}");
        assert!(
            error
                .hint()
                .expect("a hint")
                .contains("the model that it was made from")
        );
    }
}

//! Layers with something else in the place of attention: how they are read, what they keep, what goes through attention alone.

use ecco_explain::direct::{LogitQuery, direct};
use ecco_explain::edges::Graph;
use ecco_interpreter::unwatched;
use ecco_models::attention::Cache;
use ecco_models::config::{Config, ConfigFile, Mixer};
use ecco_models::families::find;
use ecco_models::run::{Input, Place, record};
use ecco_models::{Error, Site};
use ecco_tests::model;
use serde_json::{Value, json};
use tch::Kind;

fn read(changes: Value) -> Result<Config, Error> {
    let mut config = json!({
        "model_type": "lfm2", "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "max_position_embeddings": 50, "intermediate_size": 100, "block_multiple_of": 8,
    });
    for (key, value) in changes.as_object().expect("settings") {
        config[key] = value.clone();
    }
    let file = ConfigFile::parse(config.to_string().as_bytes())?;
    (find(&file)?.config)(&file)
}

fn attends(config: &Config) -> Vec<bool> {
    (0..config.n_layers)
        .map(|layer| config.mixer(layer) == Mixer::Attention)
        .collect()
}

/// The numbers are those that transformers' Lfm2Config and Lfm2MLP make of the same settings.
#[test]
fn settings_are_read_as_transformers_does() {
    let types = json!(["conv", "full_attention", "conv", "full_attention"]);
    for named in [json!({ "layer_types": types }), json!({"full_attn_idxs": [1, 3]})] {
        assert_eq!(attends(&read(named).unwrap()), [false, true, false, true]);
    }
    assert_eq!(attends(&read(json!({})).unwrap()), [true; 4]);
    let neurons = |changes: Value| read(changes).unwrap().intermediate_size;
    assert_eq!(neurons(json!({})), 72);
    assert_eq!(
        neurons(json!({"block_ff_dim": 12_288, "block_multiple_of": 256})),
        8_192
    );
    assert_eq!(neurons(json!({"block_ffn_dim_multiplier": 1.3})), 88);
    assert_eq!(neurons(json!({"block_ffn_dim_multiplier": null})), 66);
    assert_eq!(neurons(json!({"block_auto_adjust_ff_dim": false})), 100);
    assert!(read(json!({})).unwrap().head.tied);
    assert!(!read(json!({"tie_embedding": false})).unwrap().head.tied);
    for (changes, said) in [
        (
            json!({"layer_types": ["conv", "conv"]}),
            "one for each of 4 layers",
        ),
        (
            json!({"layer_types": ["conv", "mamba", "conv", "conv"]}),
            "full_attention or conv",
        ),
        (json!({"full_attn_idxs": [1, 4]}), "numbers of layers"),
        (json!({"conv_L_cache": 0}), "conv_L_cache"),
        (json!({"conv_L_cache": 5000}), "up to 1024"),
        (json!({"block_ffn_dim_multiplier": 1e300}), "neurons"),
    ] {
        let error = read(changes).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Two layers with attention, whose keys and values are 16 numbers at each position; two convolutions with 2 · 16 in all.
#[test]
fn a_state_does_not_grow_with_the_text() {
    let config = read(json!({"full_attn_idxs": [1, 3]})).unwrap();
    let bytes = |n: usize| Cache::bytes(&config, n, Kind::Float);
    assert_eq!(bytes(100), 2 * 4 * (100 * 16 + 2 * 16));
    assert_eq!(bytes(200) - bytes(100), 2 * 4 * 100 * 16);
}

#[test]
fn what_goes_through_attention_names_the_layer_that_has_none() {
    let model = model("families/lfm2", "float64");
    let error = Graph::of(&model).unwrap_err().to_string();
    assert!(
        error.contains("layer 0") && error.contains("a short convolution"),
        "{error}"
    );

    let input = Input::new(&model, "She said that it was there.", None).unwrap();
    let place = Place::of(Site::AttentionPattern);
    let records = record(
        &model,
        std::slice::from_ref(&input),
        &[place],
        None,
        &mut unwatched,
    )
    .unwrap();
    let error = records.array(place, None, 0).unwrap_err();
    assert_eq!(
        error.to_string(),
        "attention_pattern is not at all layers, but at 1"
    );
    assert!(records.array(place, Some(1), 0).is_ok());
    assert!(matches!(
        records.array(place, Some(0), 0),
        Err(Error::NoSite { layer: Some(0), .. })
    ));

    let wanted = LogitQuery {
        row: 5,
        token: 70,
        contrast: None,
    };
    let found = direct(&model, &input, wanted, &mut unwatched).unwrap();
    for (layer, parts) in found.layers.iter().enumerate() {
        let is_nothing = parts.heads.iter().all(|&head| head == 0.0);
        assert_eq!((parts.heads.len(), is_nothing), (4, layer != 1));
        assert!(parts.attention.abs() > 1e-3);
    }
}

//! Layers with something else in the place of attention: how they are read, what they keep, what goes through attention alone.

use ecco_explain::direct::{LogitQuery, direct};
use ecco_explain::edges::Graph;
use ecco_explain::vocabulary::{Written, vocabulary};
use ecco_interpreter::unwatched;
use ecco_models::attention::Cache;
use ecco_models::config::{Config, ConfigFile, MambaKind, Mixer};
use ecco_models::edit::{Change, Edit, Part};
use ecco_models::families::find;
use ecco_models::run::{Input, Place, record};
use ecco_models::tap::NoTap;
use ecco_models::{Error, Model, Site};
use ecco_tests::model;
use serde_json::{Value, json};
use tch::{Kind, Tensor};

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

/// The cache has two layers' inputs of the convolution, three each of 26 channels, and states of 2 heads in single precision.
#[test]
fn a_carried_state_is_kept_in_single_precision() {
    let config = model("families/qwen3_5_text", "bfloat16").config().clone();
    let of_net = |n: usize| config.kept_bytes(0, n, Kind::BFloat16);
    assert_eq!([of_net(10), of_net(1000)], [2 * 26 + 4 * 2 * 5 * 3; 2]);
    assert_eq!(config.kept_bytes(1, 10, Kind::BFloat16), 2 * 10 * 16);
}

#[test]
fn settings_of_delta_nets_are_read_as_transformers_does() {
    let of = |changes: Value| {
        let mut changes = changes;
        changes["model_type"] = json!("qwen3_5_text");
        read(changes)
    };
    let config = of(json!({})).unwrap();
    assert_eq!(attends(&config), [false, false, false, true]);
    assert_eq!((config.head_dim, config.without_attention().unwrap().0), (256, 0));
    let every_other = of(json!({"full_attention_interval": 2})).unwrap();
    assert_eq!(attends(&every_other), [false, true, false, true]);
    for (changes, said) in [
        (json!({"linear_num_value_heads": 20}), "linear_num_key_heads = 16"),
        (
            json!({"layer_types": ["linear_attention"]}),
            "for each of 4 layers",
        ),
        (json!({"linear_conv_kernel_dim": 2000}), "up to 1024"),
    ] {
        let error = of(changes).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Part by part, position by position, and in pieces behind a cache.
#[test]
fn states_are_the_same_however_a_text_is_read() {
    for name in [
        "qwen3_next",
        "mamba",
        "falcon_mamba",
        "mamba2",
        "nemotron_h",
        "nemotron_h-experts",
        "gemma4-experts",
        "gemma4_text",
    ] {
        same_however_read(name);
    }
}

fn same_however_read(name: &str) {
    let model = model(&format!("families/{name}"), "float64");
    let decoder = model.decoder("a test").unwrap();
    // Beyond where a part ends.
    let ids: Vec<u32> = (0..70).map(|n| 1 + (n * 37) % 380).collect();
    let whole = decoder.forward(&decoder.embed(&ids), None, &mut NoTap).unwrap();
    for cuts in [vec![1, 33, 64], (1..70).collect()] {
        let mut cache = Cache::new(model.config(), 70, &decoder.stack.places());
        let mut states = Vec::new();
        let ends = cuts.iter().copied().chain([70]);
        for (start, end) in [0].into_iter().chain(cuts.iter().copied()).zip(ends) {
            let embeddings = decoder.embed(&ids[start..end]);
            states.push(
                decoder
                    .forward(&embeddings, Some(&mut cache), &mut NoTap)
                    .unwrap(),
            );
        }
        let apart = (Tensor::cat(&states, 1) - &whole).abs().max().double_value(&[]);
        assert!(apart < 1e-10, "{name}, {cuts:?}: {apart}");
    }
}

#[test]
fn settings_of_state_spaces_are_read_as_transformers_does() {
    let of = |model_type: &str, changes: Value| {
        let mut changes = changes;
        changes["model_type"] = json!(model_type);
        read(changes)
    };
    let space = |config: &Config| match config.mixer(0) {
        Mixer::Mamba(space) => space,
        mixer => panic!("{mixer:?}"),
    };
    let mamba = of(
        "mamba",
        json!({"time_step_rank": "auto", "intermediate_size": null}),
    )
    .unwrap();
    let kind = MambaKind::ByChannel {
        n_channels: 32,
        rank: 1,
        norm: None,
    };
    assert_eq!(
        (space(&mamba).kind, space(&mamba).state, mamba.head.tied),
        (kind, 16, true)
    );
    let heads = json!({"num_heads": 4, "head_dim": 8, "n_groups": 2, "time_step_limit": [0.1, 2.0]});
    let mamba2 = of("mamba2", heads).unwrap();
    assert_eq!(space(&mamba2).step_limits, (0.1, 2.0));
    assert!(!mamba2.has_mlp(0) && !mamba2.head.tied);
    let pattern = json!({"hybrid_override_pattern": "M-*", "mamba_num_heads": 8, "num_attention_heads": 8});
    let hybrid = of("nemotron_h", pattern).unwrap();
    assert_eq!(hybrid.n_layers, 3);
    assert_eq!(
        (0..3).map(|layer| hybrid.has_mlp(layer)).collect::<Vec<_>>(),
        [false, true, false]
    );
    assert_eq!(
        (hybrid.mixer(1), hybrid.mixer(2)),
        (Mixer::Nothing, Mixer::Attention)
    );
    assert_eq!(space(&hybrid).step_limits, (0.001, f64::INFINITY));
    for (model_type, changes, said) in [
        (
            "mamba2",
            json!({"num_heads": 5}),
            "it is not expand times hidden_size, 32",
        ),
        (
            "mamba2",
            json!({"num_heads": 4, "head_dim": 8, "n_groups": 3}),
            "4 heads",
        ),
        ("mamba", json!({"conv_kernel": 2000}), "up to 1024"),
        (
            "nemotron_h",
            json!({"hybrid_override_pattern": "ME", "mlp_bias": true}),
            "without biases are read alone",
        ),
        (
            "nemotron_h",
            json!({"hybrid_override_pattern": "M?"}),
            "expected M, *, - or E",
        ),
        (
            "nemotron_h",
            json!({"layers_block_type": ["conv"]}),
            "full_attention, mlp or moe",
        ),
    ] {
        let error = of(model_type, changes).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

/// Layers of one branch have its sites alone, and what asks for neurons says that there are none.
#[test]
fn layers_of_one_branch() {
    let model = model("families/nemotron_h", "float64");
    let input = Input::new(&model, "She said that it was there.", None).unwrap();
    let places = [Site::MlpInner, Site::AttentionOutput, Site::ResidualMid].map(Place::of);
    let all = std::slice::from_ref(&input);
    let records = record(&model, all, &places, None, &mut unwatched).unwrap();
    let layers = places.map(|place| records.layers(place));
    assert_eq!(layers, [vec![1], vec![0, 2, 3], vec![]]);
    let wanted = Written::Neurons {
        layer: 0,
        neurons: vec![0],
    };
    let error = vocabulary(&model, &wanted, 3, &mut unwatched)
        .unwrap_err()
        .to_string();
    assert!(error.contains("no MLP"), "{error}");
}

/// To look at states moves nothing, and to change one changes its position and no other at that layer.
#[test]
fn a_changed_state_is_read_where_it_is() {
    let model = model("families/qwen3_5_text", "float64");
    let input = Input::new(&model, "She said that it was there.", None).unwrap();
    let outputs = |model: &Model| {
        let places = [Place::of(Site::RecurrentOutput), Place::of(Site::ResidualAfter)];
        let input = std::slice::from_ref(&input);
        let records = record(model, input, &places, None, &mut unwatched).unwrap();
        places.map(|place| records.array(place, Some(0), 0).unwrap())
    };
    let edited = |change: Change| {
        let edit = Edit {
            place: Place::of(Site::RecurrentState),
            layer: 0,
            part: Part::Heads(vec![1]),
            positions: Some(vec![3..4]),
            change,
        };
        outputs(&model.edited(&model.edits(vec![edit]).unwrap()))
    };
    let [read, after] = outputs(&model);
    let [same, same_after] = edited(Change::Scale(1.0));
    assert_eq!((same, same_after), (read.clone(), after.clone()));
    let [twice, twice_after] = edited(Change::Scale(2.0));
    for ((index, &found), &before) in twice.indexed_iter().zip(&read) {
        let expected = if index[0] == 1 && index[1] == 3 {
            2.0 * before
        } else {
            before
        };
        assert!((found - expected).abs() < 1e-6, "{index:?}");
    }
    let moved = |position: usize| {
        let row = |x: &ndarray::ArrayD<f32>| x.index_axis(ndarray::Axis(0), position).to_owned();
        (row(&twice_after) - row(&after)).iter().any(|&x| x != 0.0)
    };
    assert_eq!(
        (0..5).map(moved).collect::<Vec<_>>(),
        [false, false, false, true, false]
    );
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

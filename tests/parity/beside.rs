//! Layers that read more than the stream: inputs of their own, and the keys and values of earlier layers.

use ecco_explain::edges::Graph;
use ecco_explain::intervention::{Change, Intervention, Part, Replacement, compile};
use ecco_interpreter::unwatched;
use ecco_models::config::{Config, ConfigFile};
use ecco_models::families::find;
use ecco_models::run::{Input, Place, known, record, resume};
use ecco_models::tap::NoTap;
use ecco_models::{Error, Model, Site};
use ecco_tests::model;
use ndarray::{Array2, ArrayD};
use serde_json::{Value, json};

const NAME: &str = "families/gemma4_text";

fn read(changes: &Value) -> Result<Config, Error> {
    let mut config = json!({
        "model_type": "gemma4_text", "vocab_size": 64, "hidden_size": 16, "num_hidden_layers": 6, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 10, "head_dim": 8, "global_head_dim": 8, "num_kv_shared_layers": 3,
        "hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 64, "layer_types": [
            "sliding_attention", "full_attention", "sliding_attention", "full_attention", "sliding_attention",
            "full_attention"
        ],
    });
    for (key, value) in changes.as_object().expect("settings") {
        config[key] = value.clone();
    }
    let file = ConfigFile::parse(config.to_string().as_bytes())?;
    (find(&file)?.config)(&file)
}

/// As Gemma4TextConfig's `kv_sharing_modes` and Gemma4TextMLP make of the same settings.
#[test]
fn settings_are_read_as_transformers_does() {
    let config = read(&json!({})).unwrap();
    let sources: Vec<Option<usize>> = (0..6).map(|layer| config.source(layer)).collect();
    assert_eq!(sources, [None, None, None, Some(1), Some(2), Some(1)]);
    assert_eq!(config.sources(), [1, 2]);
    assert_eq!((config.neurons(5), config.input_size()), (10, 16 + 6 * 4));
    let wide = read(&json!({"use_double_wide_mlp": true})).unwrap();
    assert_eq!((wide.neurons(2), wide.neurons(3)), (10, 20));
    let plain = read(&json!({"num_kv_shared_layers": 0, "hidden_size_per_layer_input": 0})).unwrap();
    assert!(!plain.reads_beside() && plain.input_size() == 16);
    for (changes, said) in [
        (
            json!({"num_kv_shared_layers": 5}),
            "no layer before layer 1 sees as much as layer 1",
        ),
        (json!({"num_kv_shared_layers": 7}), "there are 6 layers"),
        (
            json!({"per_layer_config": {"3": {"head_dim": 6}}}),
            "per_layer_config",
        ),
        (
            json!({"use_double_wide_mlp": true, "enable_moe_block": true, "num_experts": 4, "top_k_experts": 2,
                "moe_intermediate_size": 8}),
            "no experts beside them",
        ),
    ] {
        let error = read(&changes).unwrap_err().to_string();
        assert!(error.contains(said), "{error}");
    }
}

fn input(model: &Model) -> Input {
    Input::new(model, "She said that it was there.", None).unwrap()
}

#[test]
fn what_goes_on_from_any_layers_stream_says_the_same() {
    let model = model(NAME, "float64");
    let (known, states) = known(&model, &input(&model), &mut NoTap).unwrap();
    for layer in 0..model.config().n_layers {
        let again = resume(&model, &known, layer, 2, &mut NoTap).unwrap();
        let apart = (again - &states).abs().max().double_value(&[]);
        assert!(apart < 1e-12, "from layer {layer}: {apart}");
    }
}

fn at(model: &Model, site: Site, layer: usize) -> ArrayD<f32> {
    let place = Place::of(site);
    let input = input(model);
    let all = std::slice::from_ref(&input);
    let records = record(model, all, &[place], None, &mut unwatched).unwrap();
    records.array(place, Some(layer), 0).unwrap()
}

fn without(model: &Model, site: Site, layer: usize) -> Result<Model, String> {
    let wanted = Intervention {
        place: Place::of(site),
        layers: Some(vec![layer]),
        part: Part::Whole,
        positions: None,
        change: Change::Ablate(Replacement::Number(0.0)),
    };
    let edits = compile(model, &[wanted], &mut unwatched).map_err(|error| error.to_string())?;
    Ok(model.edited(&edits))
}

/// Layers 2 and 3 read those of 1 and 0.
#[test]
fn keys_and_values_are_changed_where_they_are_made() {
    let model = model(NAME, "float64");
    for (layer, source) in [(2, 1), (3, 0)] {
        assert_eq!(model.config().source(layer), Some(source));
        for site in [Site::Keys, Site::Values] {
            assert_eq!(at(&model, site, layer), at(&model, site, source));
            let error = without(&model, site, layer).err().expect("refused");
            assert!(
                error.contains(&format!("of layer {source}: change them there")),
                "{error}"
            );
        }
        let changed = without(&model, Site::Values, source).unwrap();
        let mixed = at(&changed, Site::HeadOutputs, layer);
        assert!(mixed.iter().all(|number| *number == 0.0), "layer {layer}");
    }
}

#[test]
fn both_embeddings_are_one_row() {
    let model = model(NAME, "float32");
    let (width, n) = (model.config().input_size(), model.config().embedding.size);
    let ids = input(&model).ids;
    let rows = model.decoder("a test").unwrap().embed(&ids);
    let rows: Vec<f32> = Vec::try_from(rows.flatten(0, -1)).unwrap();
    let rows = Array2::from_shape_vec((ids.len(), width), rows).unwrap();
    let embedded = Input::embedded(&model, rows).unwrap();
    let states = |input: &Input| {
        let (_, states) = known(&model, input, &mut NoTap).unwrap();
        states
    };
    assert!(states(&embedded).equal(&states(&input(&model))));
    let error = Input::embedded(&model, Array2::zeros((3, n)))
        .unwrap_err()
        .to_string();
    let said = format!(
        "rows of {width} numbers ({n} of the first embedding, {} of the second)",
        width - n
    );
    assert!(error.contains(&said), "{error}");
}

#[test]
fn edges_need_all_that_is_read_to_be_on_the_stream() {
    let model = model(NAME, "float32");
    assert!(Graph::of(&model).is_err());
}

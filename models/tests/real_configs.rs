//! The `config.json` of well-known checkpoints, odd keys and all: each is read, to the sizes that people know of it, and to
//! the head that its class has. `configs/real.jsonl` has one a line: `id`, `config`, and `sizes`: layers, hidden size, heads,
//! heads of keys, numbers of a head, neurons, vocabulary, context (null where the file says none), whether the head is the
//! embedding.

use ecco_models::Config;
use ecco_models::config::{ConfigFile, LabelOf, Positions, Reading, Task};
use ecco_models::families::find;
use serde_json::{Value, json};

const CONFIGS: &str = include_str!("configs/real.jsonl");

fn configs() -> Vec<(String, Config, Value)> {
    let read = |line: &str| {
        let row: Value = serde_json::from_str(line).expect("a line of JSON");
        let id = row["id"].as_str().expect("an id").to_owned();
        let file = ConfigFile::parse(row["config"].to_string().as_bytes()).expect("an object");
        let family = find(&file).unwrap_or_else(|error| panic!("{id}: {error}"));
        assert_eq!(family.model_type, row["config"]["model_type"], "{id}");
        let config = (family.config)(&file).unwrap_or_else(|error| panic!("{id}: {error}"));
        (id, config, row["sizes"].clone())
    };
    CONFIGS.lines().map(read).collect()
}

fn config(name: &str) -> Config {
    let found = configs().into_iter().find(|(id, ..)| id.ends_with(name));
    found.unwrap_or_else(|| panic!("no {name}")).1
}

#[test]
fn each_is_read_to_its_sizes() {
    let configs = configs();
    assert!(configs.len() >= 60, "{}", configs.len());
    let mut wrong = Vec::new();
    for (id, config, sizes) in configs {
        let mut found = json!([
            config.n_layers,
            config.hidden_size,
            config.n_heads,
            config.n_kv_heads,
            config.head_dim,
            config.intermediate_size,
            config.vocab_size,
            config.context_length,
            config.head.tied,
        ]);
        if sizes[7].is_null() {
            found[7] = Value::Null;
        }
        if found != sizes {
            wrong.push(format!("{id}: {found}, expected {sizes}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn heads_are_those_of_the_class() {
    let label = |name: &str| match config(name).task {
        Task::Label(label) => (label.of, label.reading, label.names.len(), label.names[0].clone()),
        task => panic!("{name}: {task:?}"),
    };
    let row = |of, reading, n, first: &str| (of, reading, n, first.to_owned());
    assert_eq!(
        label("bert-base-NER"),
        row(LabelOf::Token, Reading::OneOf, 9, "O")
    );
    assert_eq!(
        label("ms-marco-MiniLM-L-6-v2"),
        row(LabelOf::First, Reading::Value, 1, "LABEL_0")
    );
    assert_eq!(
        label("sst-2-english"),
        row(LabelOf::First, Reading::OneOf, 2, "NEGATIVE")
    );
    assert_eq!(
        label("roberta-large-mnli"),
        row(LabelOf::First, Reading::OneOf, 3, "CONTRADICTION")
    );
    assert_eq!(
        label("roberta-base-squad2"),
        row(LabelOf::Token, Reading::Place, 2, "start")
    );
    assert_eq!(
        label("distilled-squad"),
        row(LabelOf::Token, Reading::Place, 2, "start")
    );
    assert_eq!(
        label("electra-small-discriminator"),
        row(LabelOf::Token, Reading::Each, 1, "replaced")
    );
    assert_eq!(config("deberta-v3-small").task, Task::States);
    for name in [
        "bert-base-uncased",
        "roberta-base",
        "albert-base-v2",
        "ModernBERT-base",
        "camembert-base",
    ] {
        assert!(matches!(config(name).task, Task::MaskedToken(_)), "{name}");
    }
}

#[test]
fn odd_keys_mean_what_they_mean() {
    let windows = |name: &str| config(name).attention.windows;
    assert_eq!(windows("gpt-neo-125m")[..2], [None, Some(256)]);
    assert_eq!(windows("Mistral-7B-v0.1")[31], Some(4096));
    assert_eq!(windows("Mistral-7B-v0.3")[31], None);
    assert_eq!(windows("Qwen2.5-0.5B")[23], None, "use_sliding_window is false");
    assert_eq!(windows("gemma-2-2b")[..2], [Some(4096), None]);
    assert_eq!(windows("gemma-3-1b-it")[4..6], [Some(512), None]);
    assert_eq!(windows("ModernBERT-base")[..2], [None, Some(65)]);
    assert_eq!(config("opt-350m").embedding.size, 512);
    assert!(config("opt-350m").residual.after_sum, "norms behind the sums");
    assert_eq!(config("albert-base-v2").n_stored_layers, 1);
    assert_eq!(config("electra-small-discriminator").embedding.size, 128);
    assert_eq!(config("deberta-v3-small").embedding.n_segments, 0);
    assert_eq!(config("roberta-base").positions, Positions::Learned { offset: 2 });
    assert!(matches!(config("bloom-560m").positions, Positions::Alibi { .. }));
    assert!(matches!(config("mpt-7b").positions, Positions::Alibi { .. }));
    assert!(matches!(config("t5-small").positions, Positions::Buckets { .. }));
    assert!(matches!(
        config("deberta-v3-small").positions,
        Positions::Disentangled(_)
    ));
    assert!(matches!(
        config("opus-mt-en-de").positions,
        Positions::Sinusoidal { .. }
    ));
    assert_eq!(config("gemma-2-2b").attention.soft_cap, Some(50.0));
    assert!((config("bart-large-cnn").encoder).is_some_and(|encoder| encoder.n_layers == 12));
}

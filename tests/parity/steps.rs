//! Steps of fixed shapes, which are what a CUDA graph records, against the usual passes. Here they are asked for operation by
//! operation; recording them needs a GPU.

use std::ops::ControlFlow;

use ecco_models::config::Task;
use ecco_models::edit::{Change, Edit, Part};
use ecco_models::generation::GenerateOptions;
use ecco_models::generation::step::obstacle;
use ecco_models::generation::writer::Writer;
use ecco_models::host::{self, Crossings, crossings};
use ecco_models::{Generation, Model, Place, Site, generate};
use ecco_tests::{cases, model};

const TEXT: &str = "She said that it";

fn greedy(n: usize) -> GenerateOptions {
    GenerateOptions {
        generate: Some(n),
        ..GenerateOptions::default()
    }
}

fn generated(model: &Model, options: &GenerateOptions) -> Generation {
    generate(model, TEXT, options, &mut |_| ControlFlow::Continue(())).expect("it generates")
}

/// Both ways to write, and the same without a graph.
fn both(model: &Model, options: &GenerateOptions) -> (Generation, Generation) {
    let by_steps = GenerateOptions {
        cuda_graph: Some(true),
        ..options.clone()
    };
    (generated(model, options), generated(model, &by_steps))
}

/// The names of all models that write.
fn writers() -> Vec<String> {
    let mut names = cases();
    names.retain(|name| {
        let model = model(name, "float32");
        model.config().task == Task::NextToken
    });
    assert!(names.len() >= 40, "{names:?}");
    names
}

/// Logits of every step, on the host, each token the most probable one after the usual pass.
fn compare(name: &str, n: usize) {
    let model = model(name, "float32");
    let decoder = model.decoder("a test").expect("a decoder");
    let ids = model.ids(TEXT).expect("ids");
    let max_length = ids.len() + n;
    let mut usual = Writer::new(&model, &ids, max_length).expect("a writer");
    let mut steps = Writer::by_steps(decoder, max_length).expect("a writer");
    let mut sequence = [ids.clone()];
    let (mut a, mut b) = (usual.begin(&ids).unwrap(), steps.begin(&ids).unwrap());
    for at in 0..n {
        let largest = host::number(&a.abs().max()).max(1.0);
        let apart = host::number(&(&a - &b).abs().max()) / largest;
        assert!(apart < 1e-5, "{name}, token {at}: {apart:e}");
        let best = a.argmax(-1, false);
        sequence[0].push(host::ids(&best)[0] as u32);
        a = usual.go_on_from(&sequence, &best).unwrap();
        let before = crossings();
        b = steps.go_on_from(&sequence, &best).unwrap();
        // What crosses waits, which is not allowed while a step is recorded, or brings what would be gone when it is replayed.
        assert_eq!(crossings().since(before), Crossings::default(), "{name}");
    }
    steps.end();
}

#[test]
fn every_decoder_says_the_same_by_steps() {
    let mut with_obstacle = Vec::new();
    for name in writers() {
        match obstacle(&model(&name, "float32"), 24, 1) {
            None => compare(&name, 16),
            Some(_) => with_obstacle.push(name.trim_start_matches("families/").to_owned()),
        }
    }
    assert_eq!(
        with_obstacle,
        [
            "bart",
            "deepseek_v2",
            "deepseek_v2-lite",
            "deepseek_v3",
            "deepseek_v3-halves",
            "dots1",
            "ernie4_5_moe",
            "flan-t5",
            "flex_olmo",
            "gemma4-experts",
            "glm4_moe",
            "glm4_moe_lite",
            "gpt_oss",
            "granitemoe",
            "llama-dynamic",
            "m2m_100",
            "marian",
            "mbart",
            "mixtral",
            "mt5",
            "nemotron_h-experts",
            "olmoe",
            "pegasus",
            "phimoe",
            "qwen2_moe",
            "qwen3_5_moe",
            "qwen3_moe",
            "qwen3_next",
            "t5",
            "t5gemma",
        ]
    );
}

#[test]
fn generated_tokens_are_the_same_whether_steps_can_be_or_not() {
    for name in writers() {
        let model = model(&name, "float32");
        let (usual, by_steps) = both(&model, &greedy(12));
        assert_eq!(usual.ids(), by_steps.ids(), "{name}");
        assert_eq!(usual.without_graph, None);
        // Here is no GPU that would record them.
        assert!(by_steps.without_graph.is_some(), "{name}");
    }
}

#[test]
fn tokens_are_drawn_and_ruled_as_ever() {
    let model = model("families/llama", "float32");
    let drawn = GenerateOptions {
        do_sample: Some(true),
        seed: Some(4),
        top_k: Some(20),
        ..greedy(20)
    };
    let ruled = GenerateOptions {
        repetition_penalty: Some(1.7),
        no_repeat_ngram_size: Some(2),
        ..greedy(20)
    };
    for options in [drawn, ruled] {
        let (usual, by_steps) = both(&model, &options);
        assert_eq!(usual.ids(), by_steps.ids(), "{options:?}");
        assert_eq!(usual.finish, by_steps.finish);
    }
}

#[test]
fn a_step_serves_one_text_after_another() {
    let model = model("families/mistral", "float32");
    let decoder = model.decoder("a test").expect("a decoder");
    let lengths = [20, 3, 20];
    let found = lengths.map(|n| both(&model, &greedy(n)));
    assert!(
        found
            .iter()
            .all(|(usual, by_steps)| usual.ids() == by_steps.ids())
    );
    // What an earlier text had left, be it no number, is not looked at.
    let mut step = decoder.steps.take(decoder, 20).expect("the one that is there");
    step.begin().fill(f64::NAN);
    decoder.steps.keep(step);
    let (usual, by_steps) = both(&model, &greedy(20));
    assert_eq!(usual.ids(), by_steps.ids());
}

#[test]
fn obstacles_are_told() {
    let told = |model: &Model, options: &GenerateOptions| both(model, options).1.without_graph;
    let llama = model("families/llama", "float32");
    assert_eq!(told(&llama, &greedy(2)).as_deref(), Some("the model is on cpu"));
    let beams = GenerateOptions {
        beam_size: Some(3),
        ..greedy(2)
    };
    assert_eq!(
        told(&llama, &beams).as_deref(),
        Some("3 beams change places from token to token")
    );
    let edit = Edit {
        place: Place::of(Site::HeadOutputs),
        layer: 0,
        part: Part::Heads(vec![1]),
        positions: None,
        change: Change::Set(0.0),
    };
    let edited = llama.edited(&llama.edits(vec![edit]).expect("edits"));
    assert!(told(&edited, &greedy(2)).is_some_and(|why| why.contains("edited")));
    let mixtral = model("families/mixtral", "float32");
    assert!(told(&mixtral, &greedy(2)).is_some_and(|why| why.contains("experts")));
    let bart = model("families/bart", "float32");
    assert!(told(&bart, &greedy(2)).is_some_and(|why| why.contains("encoder")));
    let stored = crate::gguf::open("bloom", Some("stored"));
    assert!(told(&stored, &greedy(2)).is_some_and(|why| why.contains("stored blocks")));
    let guided = model("generation/guided", "float32");
    assert!(told(&guided, &greedy(2)).is_some_and(|why| why.contains("guidance_scale")));
    // Up to its context of 20 the one turns as ever, the other up to what it stretches from.
    let dynamic = model("families/llama-dynamic", "float32");
    assert_eq!(obstacle(&dynamic, 20, 1), None);
    assert!(obstacle(&dynamic, 21, 1).is_some_and(|why| why.contains("21 tokens")));
    let longrope = model("families/phi3-longrope", "float32");
    assert_eq!(obstacle(&longrope, 24, 1), None);
    assert!(obstacle(&longrope, 40, 1).is_some());
}

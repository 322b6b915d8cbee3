//! Generated tokens against transformers', in every deterministic way; what is left to draw among.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ecco_interpreter::unwatched;
use ecco_models::generation::generate_with;
use ecco_models::generation::sampling::Sampler;
use ecco_models::host;
use ecco_models::{EarlyStopping, Finish, GenerateOptions, Generation, Model, generate};
use ecco_tests::{fixtures, integers, model};
use serde_json::Value;
use tch::Tensor;

fn stored(what: &str) -> Value {
    let text = std::fs::read(fixtures().join("generation.json")).expect("the fixture is there");
    let mut all: Value = serde_json::from_slice(&text).expect("valid JSON");
    all[what].take()
}

/// Options as the fixtures have them: by the names that scripts use.
fn options(map: &Value) -> GenerateOptions {
    let known = [
        "generate",
        "max_length",
        "temperature",
        "top_k",
        "top_p",
        "min_p",
        "repetition_penalty",
        "no_repeat_ngram_size",
        "beam_size",
        "length_penalty",
        "early_stopping",
    ];
    for name in map.as_object().expect("a map").keys() {
        assert!(known.contains(&name.as_str()), "{name} would be ignored");
    }
    let size = |name: &str| map[name].as_u64().map(|n| n as usize);
    GenerateOptions {
        generate: size("generate"),
        max_length: size("max_length"),
        temperature: map["temperature"].as_f64(),
        top_k: size("top_k"),
        top_p: map["top_p"].as_f64(),
        min_p: map["min_p"].as_f64(),
        repetition_penalty: map["repetition_penalty"].as_f64(),
        no_repeat_ngram_size: size("no_repeat_ngram_size"),
        beam_size: size("beam_size"),
        length_penalty: map["length_penalty"].as_f64(),
        early_stopping: match &map["early_stopping"] {
            Value::Bool(true) => Some(EarlyStopping::Full),
            Value::Bool(false) => Some(EarlyStopping::Unlikely),
            Value::String(never) if never == "never" => Some(EarlyStopping::Impossible),
            _ => None,
        },
        ..Default::default()
    }
}

fn run(model: &Model, prompt: &str, options: &GenerateOptions) -> Generation {
    generate(model, prompt, options, &mut |_| ControlFlow::Continue(())).expect("it generates")
}

#[test]
fn tokens_are_transformers() {
    let stored = stored("runs");
    let (mut n_runs, mut n_ended, mut failed) = (0, 0, Vec::new());
    for (name, runs) in stored.as_object().expect("runs by model") {
        let model = model(name, "float32");
        for stored in runs.as_array().expect("runs") {
            let prompt = stored["text"].as_str().expect("a text");
            let output = run(&model, prompt, &options(&stored["options"]));
            let (found, expected) = (&output.ids()[output.n_input..], integers(&stored["generated"]));
            n_runs += 1;
            n_ended += usize::from(output.finish == Finish::EndOfText);
            if found != expected {
                let options = &stored["options"];
                failed.push(format!(
                    "{name} {prompt:?} {options}: {found:?}, expected {expected:?}"
                ));
            }
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {n_runs}:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(
        n_runs > 500 && n_ended > 50,
        "{n_runs} runs, {n_ended} ended by a token"
    );
}

#[test]
fn every_option_makes_a_difference() {
    let stored = stored("runs");
    let mut by_option = BTreeMap::<String, usize>::new();
    for runs in stored.as_object().expect("runs by model").values() {
        let runs = runs.as_array().expect("runs");
        for (index, one) in runs.iter().enumerate() {
            for other in &runs[..index] {
                if one["text"] != other["text"] || one["generated"] == other["generated"] {
                    continue;
                }
                let (one, other) = (one["options"].as_object(), other["options"].as_object());
                let (one, other) = (one.expect("a map"), other.expect("a map"));
                let names = one.keys().chain(other.keys());
                let mut differing: Vec<_> = names.filter(|name| one.get(*name) != other.get(*name)).collect();
                differing.dedup();
                if let [name] = differing[..] {
                    *by_option.entry(name.clone()).or_default() += 1;
                }
            }
        }
    }
    for option in ["beam_size", "length_penalty", "early_stopping"] {
        assert!(
            by_option.contains_key(option),
            "{option} changes nothing: {by_option:?}"
        );
    }
}

#[test]
fn what_is_left_to_draw_among() {
    let stored = stored("drawn");
    let model = model("families/llama", "float32");
    let scores: Vec<f32> = stored["scores"]
        .as_array()
        .expect("scores")
        .iter()
        .map(|score| score.as_f64().expect("a number") as f32)
        .collect();
    let cases = stored["cases"].as_array().expect("cases");
    assert!(cases.len() >= 5);
    for case in cases {
        let options = GenerateOptions {
            do_sample: Some(true),
            ..options(&case["options"])
        };
        let sampler = Sampler::new(model.generation_config(), &options).expect("good options");
        let kept = sampler.kept(&Tensor::from_slice(&scores).unsqueeze(0), 1);
        let n = host::number(&kept.n) as usize;
        let (ids, weights) = (host::ids(&kept.ids), host::array(&kept.weights));
        let expected = integers(&case["ids"]);
        let found: Vec<u32> = ids[..n].iter().map(|&id| id as u32).collect();
        let weights: Vec<f32> = weights.into_iter().take(n).collect();
        assert_eq!(found, expected, "{}", case["options"]);
        let sum: f32 = weights.iter().sum();
        for (weight, expected) in weights
            .iter()
            .zip(case["probabilities"].as_array().expect("numbers"))
        {
            let expected = expected.as_f64().expect("a number") as f32;
            assert!((weight / sum - expected).abs() < 1e-5, "{}", case["options"]);
        }
    }
}

/// The random numbers of make_generation.py.
fn written_down() -> impl FnMut() -> f32 {
    let mut state = 12_345_u32;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    }
}

#[test]
fn drawn_beams_are_transformers() {
    let stored = stored("drawn_beams");
    let stored = stored.as_array().expect("runs");
    let (mut models, mut failed, mut unlike_greedy) = (BTreeMap::new(), Vec::new(), 0);
    for run in stored {
        let name = run["model"].as_str().expect("a name");
        let model = models.entry(name).or_insert_with(|| model(name, "float32"));
        let drawn = GenerateOptions {
            do_sample: Some(true),
            ..options(&run["options"])
        };
        let sampler = Sampler::new(model.generation_config(), &drawn).expect("good options");
        let sampler = sampler.with_random(written_down());
        let prompt = run["text"].as_str().expect("a text");
        let go_on = &mut |_: &ecco_models::Draft| ControlFlow::Continue(());
        let output = generate_with(model, prompt, &drawn, sampler, go_on).expect("it generates");
        let (found, expected) = (&output.ids()[output.n_input..], integers(&run["generated"]));
        let greedy = self::run(model, prompt, &options(&run["options"]));
        unlike_greedy += usize::from(greedy.ids()[greedy.n_input..] != expected);
        if found != expected {
            failed.push(format!(
                "{name} {prompt:?} {}: {found:?}, expected {expected:?}",
                run["options"]
            ));
        }
    }
    assert!(
        failed.is_empty(),
        "{} of {}:\n{}",
        failed.len(),
        stored.len(),
        failed.join("\n")
    );
    assert!(
        stored.len() > 50 && unlike_greedy > 30,
        "{} runs, {unlike_greedy} unlike the best",
        stored.len()
    );
}

#[test]
fn a_seed_repeats_drawn_beams() {
    let model = model("families/llama", "float32");
    let drawn = |seed| {
        let options = GenerateOptions {
            generate: Some(8),
            beam_size: Some(3),
            do_sample: Some(true),
            seed: Some(seed),
            ..Default::default()
        };
        let output = run(&model, "She said", &options);
        assert_eq!(output.seed, Some(seed));
        output.ids()
    };
    assert_eq!(drawn(4), drawn(4));
    let different: std::collections::BTreeSet<_> = (0..6).map(drawn).collect();
    assert!(different.len() > 1);
}

#[test]
fn an_encoder_decoder_says_what_was_read_and_what_was_written() {
    let model = model("families/bart", "float32");
    let options = GenerateOptions {
        generate: Some(4),
        ..Default::default()
    };
    let mut shown = Vec::new();
    let output = generate(&model, "She said", &options, &mut |draft| {
        shown.push((draft.n_input(), draft.n_generated(), draft.tokens().len()));
        ControlFlow::Continue(())
    })
    .expect("it generates");
    let input = model.tokenizer().encode("She said").expect("a text");
    assert_eq!(output.ids()[..output.n_input], input);
    assert_eq!(output.start_id, Some(2));
    assert_eq!(output.n_generated(), 4);
    assert_eq!(output.decoder_ids()[0], 2);
    assert_eq!(output.decoder_ids()[1..], output.ids()[output.n_input..]);
    let counts: Vec<_> = shown.iter().map(|(n_input, made, _)| (*n_input, *made)).collect();
    assert_eq!(counts, [0, 1, 2, 3, 4].map(|made| (input.len(), made)));
    assert_eq!(shown[0].2, input.len());
}

#[test]
fn beams_are_interrupted_and_stopped_by_texts() {
    let model = model("families/llama", "float32");
    let options = |stop: &[&str]| GenerateOptions {
        generate: Some(12),
        beam_size: Some(3),
        stop: stop.iter().map(|&text| text.to_owned()).collect(),
        ..Default::default()
    };
    let mut calls = 0;
    let output = generate(&model, "She said", &options(&[]), &mut |_| {
        calls += 1;
        match calls {
            1..=4 => ControlFlow::Continue(()),
            _ => ControlFlow::Break(()),
        }
    })
    .expect("it generates");
    assert_eq!((output.finish, output.n_generated()), (Finish::Interrupted, 4));
    let whole = run(&model, "She said", &options(&[]));
    assert_eq!(whole.finish, Finish::Length);
    let stop = &whole.tokens[whole.n_input + 3].text;
    let stopped = run(&model, "She said", &options(&[stop]));
    assert_eq!(stopped.finish, Finish::Stop);
    let text = model.tokenizer().decode(&stopped.ids()[stopped.n_input..]);
    assert!(
        text.contains(stop.as_str()) && stopped.n_generated() < 12,
        "{text:?}"
    );
}

/// Where a tokenizer takes the space off that a text begins with, it must not be taken off what was made.
#[test]
fn a_text_stops_at_what_its_tokens_show() {
    let model = model("runs/chat", "float32");
    let options = |stop: &[&str]| GenerateOptions {
        generate: Some(5),
        stop: stop.iter().map(|&text| text.to_owned()).collect(),
        ..Default::default()
    };
    let mut n_spaces = 0;
    for prompt in [
        "She",
        "The",
        "garden",
        "in",
        "reading",
        "They were",
        "was",
        "a",
        "b",
        "c",
    ] {
        let whole = run(&model, prompt, &options(&[]));
        let first = whole.tokens[whole.n_input].text.as_str();
        if first.contains("<0x") {
            continue; // a byte of no character, which no text names
        }
        n_spaces += usize::from(first.starts_with(' '));
        let stopped = run(&model, prompt, &options(&[first]));
        assert_eq!(
            (stopped.finish, stopped.n_generated()),
            (Finish::Stop, 1),
            "{prompt:?} {first:?}"
        );
        // What was given stops nothing, unless it goes on in what is made.
        let given = run(&model, prompt, &options(&[prompt]));
        assert!(given.n_generated() > 1 || first.contains(prompt), "{prompt:?}");
        let border = format!("{}{first}", prompt.chars().last().unwrap());
        assert_eq!(
            run(&model, prompt, &options(&[&border])).n_generated(),
            1,
            "{border:?}"
        );
    }
    assert!(n_spaces > 0, "no token shows a space");
}

/// The languages that a text is in and is answered in, as transformers' pipeline asks for them.
#[test]
fn languages_are_asked_for_as_transformers_does() {
    let stored = std::fs::read(fixtures().join("sentencepiece.json")).expect("the fixture is there");
    let stored: Value = serde_json::from_slice(&stored).expect("valid JSON");
    let translations = stored["translations"].as_array().expect("a list");
    assert_eq!(translations.len(), 12);
    for translation in translations {
        let name = translation["tokenizer"].as_str().expect("a name");
        let folder = std::env::temp_dir().join(format!("ecco-languages-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a folder");
        let family = fixtures()
            .join("families")
            .join(name.split('-').next().expect("a family"));
        let copy = |from: &std::path::Path, is_wanted: fn(&str) -> bool| {
            for entry in std::fs::read_dir(from).expect("the fixture") {
                let entry = entry.expect("readable");
                if is_wanted(&entry.file_name().to_string_lossy()) {
                    std::fs::copy(entry.path(), folder.join(entry.file_name())).expect("a copy");
                }
            }
        };
        copy(&family, |file| !file.starts_with("tokenizer"));
        copy(&fixtures().join("sentencepiece").join(name), |_| true);
        let model = Model::open(&folder, &Default::default(), &mut unwatched).expect("it loads");
        let language = |key: &str| translation[key].as_str().map(str::to_owned);
        let options = GenerateOptions {
            generate: Some(6),
            src_lang: language("src_lang"),
            tgt_lang: language("tgt_lang"),
            ..Default::default()
        };
        let output = run(&model, translation["text"].as_str().expect("a text"), &options);
        let ids = output.ids();
        let (input, answer) = ids.split_at(output.n_input);
        assert_eq!(input, integers(&translation["input"]), "{translation}");
        assert_eq!(answer, integers(&translation["answer"]), "{translation}");
        let refused = |options: GenerateOptions| {
            let refused = generate(&model, "a", &options, &mut |_| ControlFlow::Continue(()));
            refused.expect_err("there is no such language").to_string()
        };
        let error = refused(GenerateOptions {
            tgt_lang: Some("xx".into()),
            ..options
        });
        assert!(
            error.starts_with("tgt_lang is \"xx\": expected one of "),
            "{error}"
        );
        std::fs::remove_dir_all(&folder).expect("removed");
    }
    let error = generate(
        &model("gpt2-tiny", "float32"),
        "a",
        &GenerateOptions {
            src_lang: Some("fr".into()),
            ..Default::default()
        },
        &mut |_| ControlFlow::Continue(()),
    );
    assert_eq!(
        error.expect_err("it has none").to_string(),
        "src_lang is \"fr\": the model's tokenizer knows no languages"
    );
}

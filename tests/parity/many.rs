//! Several texts at once: each becomes what it becomes alone, for every kind of model.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;

use ecco_explain::score::{TokenScore, score, score_each};
use ecco_interpreter::unwatched;
use ecco_models::generation::generate_each;
use ecco_models::model::Body;
use ecco_models::run::Input;
use ecco_models::{Error, GenerateOptions, Generation, Model, Prompt, TokenSequence, generate};
use ecco_tests::{cases, model};

/// Prompts of three lengths, several of each.
fn prompts(model: &Model) -> Vec<Vec<u32>> {
    let text = "She said that it was there.";
    let whole = model.tokenizer().encode(text).expect("a text");
    let turned = |n: usize| [&whole[n..], &whole[..n]].concat();
    let part = |from: usize| whole[from..whole.len() - 2 + from].to_vec();
    vec![
        whole.clone(),
        part(0),
        turned(2),
        part(1),
        turned(3),
        whole[..1].to_vec(),
        turned(1),
    ]
}

fn each(model: &Model, ids: &[Vec<u32>], options: &GenerateOptions) -> BTreeMap<usize, Generation> {
    let sequences: Vec<TokenSequence> = ids.iter().cloned().map(Into::into).collect();
    let prompts: Vec<Prompt> = sequences.iter().map(|read| Prompt::Read("", read)).collect();
    let mut texts = BTreeMap::new();
    let mut on_step = || ControlFlow::Continue(());
    let mut on_text = |at, text| assert!(texts.insert(at, text).is_none(), "{at} twice");
    generate_each(model, &prompts, options, &mut on_step, &mut on_text).expect("they are written");
    texts
}

fn options() -> [GenerateOptions; 4] {
    let six = GenerateOptions {
        generate: Some(6),
        ..GenerateOptions::default()
    };
    [
        six.clone(),
        GenerateOptions {
            do_sample: Some(true),
            temperature: Some(1.5),
            top_k: Some(40),
            top_p: Some(0.95),
            seed: Some(7),
            ..six.clone()
        },
        GenerateOptions {
            repetition_penalty: Some(1.3),
            no_repeat_ngram_size: Some(2),
            stop: vec!["e".to_owned()],
            ..six.clone()
        },
        GenerateOptions {
            beam_size: Some(2),
            ..six
        },
    ]
}

#[test]
fn each_text_is_written_as_alone() {
    let (mut n_models, mut n_shorter) = (0, 0);
    for name in cases() {
        let model = model(&name, "float32");
        if matches!(model.body(), Body::Encoder(_)) {
            continue;
        }
        n_models += 1;
        let ids = prompts(&model);
        for options in options() {
            let found = each(&model, &ids, &options);
            assert_eq!(found.len(), ids.len(), "{name}");
            for (at, text) in &found {
                let read = ids[*at].clone().into();
                let prompt = Prompt::Read("", &read);
                let alone = generate(&model, prompt, &options, &mut |_| ControlFlow::Continue(()));
                assert_eq!(
                    *text,
                    alone.expect("it is written"),
                    "{name}, prompt {at}, {options:?}"
                );
                n_shorter += usize::from(text.n_generated() < 6);
            }
        }
    }
    assert!(
        n_models >= 20 && n_shorter > 10,
        "{n_models} models, {n_shorter} ended before"
    );
}

#[test]
fn each_text_is_scored_as_alone() {
    let mut n_scored = 0;
    for name in cases() {
        let model = model(&name, "float32");
        let texts: Vec<(Input, usize)> = match model.body() {
            Body::Encoder(_) => continue,
            Body::Decoder(_) => {
                let ids = prompts(&model).into_iter().filter(|ids| ids.len() > 2);
                let input = |ids| Input::of(&model, ids, vec![]).expect("an input");
                ids.enumerate()
                    .map(|(at, ids)| (input(ids), 1 + at % 2))
                    .collect()
            }
            Body::EncoderDecoder(_) => {
                let pairs = [
                    ("She said", "that it was there"),
                    ("that", "She"),
                    ("it was there", "said that"),
                ];
                let input = |(read, written)| Input::new(&model, read, Some(written)).expect("an input");
                pairs.into_iter().map(|pair| (input(pair), 1)).collect()
            }
        };
        let mut found: BTreeMap<usize, Vec<TokenScore>> = BTreeMap::new();
        score_each(&model, &texts, &mut unwatched, &mut |at, scores| {
            found.insert(at, scores);
        })
        .expect("they are scored");
        assert_eq!(found.len(), texts.len(), "{name}");
        for (at, (input, from)) in texts.iter().enumerate() {
            let alone = score(&model, input, *from, &mut unwatched).expect("it is scored");
            assert_eq!(found[&at].len(), alone.len(), "{name}, text {at}");
            for (one, other) in found[&at].iter().zip(&alone) {
                let apart = (one.log_probability - other.log_probability).abs();
                assert!(apart < 1e-5, "{name}, text {at}: {one:?}, alone {other:?}");
                assert_eq!(
                    (one.rank, one.best.0),
                    (other.rank, other.best.0),
                    "{name}, text {at}"
                );
                n_scored += 1;
            }
        }
    }
    assert!(n_scored > 500, "{n_scored}");
}

#[test]
fn what_is_done_before_an_interrupt_is_given() {
    let model = model("gpt2-tiny", "float32");
    let ids = prompts(&model);
    let sequences: Vec<TokenSequence> = ids.iter().cloned().map(Into::into).collect();
    let prompts: Vec<Prompt> = sequences.iter().map(|read| Prompt::Read("", read)).collect();
    let options = &options()[0];
    let (steps, mut done) = (Cell::new(0), Vec::new());
    let mut on_step = || {
        steps.set(steps.get() + 1);
        if steps.get() > 14 {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    };
    let ended = generate_each(&model, &prompts, options, &mut on_step, &mut |at, _| {
        done.push(at)
    });
    assert!(matches!(ended, Err((_, Error::Interrupted))), "{ended:?}");
    // The shortest, then the two that are alike, are whole by then.
    assert_eq!(done, [5, 1, 3]);
    let stopped = &mut |_: &ecco_interpreter::Progress| ControlFlow::Break(());
    let texts = [(Input::of(&model, ids[0].clone(), vec![]).expect("an input"), 1)];
    let ended = score_each(&model, &texts, stopped, &mut |at, _| panic!("{at} is done"));
    assert!(ended.is_err());
}

#[test]
fn what_cannot_be_written_is_named_before_anything_is() {
    let model = model("gpt2-tiny", "float32");
    let long = vec![1; model.config().context_length].into();
    let prompts = [Prompt::Text("She said"), Prompt::Read("", &long)];
    let options = &options()[0];
    let mut on_step = || ControlFlow::Continue(());
    let ended = generate_each(&model, &prompts, options, &mut on_step, &mut |at, _| {
        panic!("{at} is written")
    });
    assert!(matches!(ended, Err((1, Error::TooLong { .. }))), "{ended:?}");
}

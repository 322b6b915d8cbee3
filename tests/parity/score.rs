//! Scores of texts against transformers' logits, and against those of a run.

use ecco_explain::score::{TokenScore, score};
use ecco_interpreter::unwatched;
use ecco_models::files::TokenizerFiles;
use ecco_models::run::{Input, run};
use ecco_models::{Finish, Generation, Model, Prompt, Tokenizer};
use ecco_tests::{Reference, fixtures, integers, model};
use ndarray::{ArrayD, Axis};

/// What the logits before them say of the tokens from `from` on, in double precision.
fn expected(logits: &ArrayD<f32>, spoken: &[u32], from: usize) -> Vec<TokenScore> {
    let of = |position: usize| {
        let row: Vec<f64> = logits
            .index_axis(Axis(0), position - 1)
            .iter()
            .map(|&x| f64::from(x))
            .collect();
        let own = row[spoken[position] as usize];
        let best = (0..row.len())
            .reduce(|best, id| if row[id] > row[best] { id } else { best })
            .unwrap();
        let most = row[best];
        let log_sum = most + row.iter().map(|x| (x - most).exp()).sum::<f64>().ln();
        TokenScore {
            log_probability: own - log_sum,
            rank: row.iter().filter(|&&x| x > own).count() + 1,
            best: (best as u32, (most - log_sum).exp()),
        }
    };
    (from..spoken.len()).map(of).collect()
}

fn assert_same(what: &str, found: &[TokenScore], expected: &[TokenScore]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (found, expected) in found.iter().zip(expected) {
        let apart = (found.log_probability - expected.log_probability).abs();
        assert!(apart < 1e-4, "{what}: {found:?}, expected {expected:?}");
        assert_eq!(found.rank, expected.rank, "{what}");
        assert_eq!(found.best.0, expected.best.0, "{what}");
        assert!((found.best.1 - expected.best.1).abs() < 1e-5, "{what}");
    }
}

#[test]
fn scores_are_those_of_transformers_logits() {
    let mut n_scored = 0;
    for name in ["gpt2-tiny", "gpt2-untied"] {
        let (model, reference) = (model(name, "float32"), Reference::open(name));
        for (text, run) in reference.runs.as_object().unwrap() {
            let Some(logits) = reference.tensor(&format!("{text}.logits")) else {
                continue;
            };
            let ids: Vec<u32> = integers(&run["ids"]);
            let input = Input::of(&model, ids.clone(), vec![]).unwrap();
            for from in [1, 2.min(ids.len() - 1)] {
                let found = score(&model, &input, from, &mut unwatched).unwrap();
                assert_same(&format!("{name} {text}"), &found, &expected(&logits, &ids, from));
                n_scored += found.len();
            }
        }
    }
    assert!(n_scored > 20, "{n_scored}");
}

/// Also beyond the rows that go through the head together.
#[test]
fn scores_are_those_of_a_run() {
    let text = "She said hello, and then she said it again and again. ".repeat(3);
    let both = model("families/bart", "float32");
    let pair = Input::new(&both, "She said hello", Some("he said hello")).unwrap();
    check("bart", &both, &pair);
    let decoder = model("gpt2-tiny", "float32");
    let ids = decoder.tokenizer().encode(&text).unwrap();
    let n = decoder.config().context_length.min(ids.len());
    assert!(n > 51, "{n} tokens");
    check(
        "gpt2-tiny",
        &decoder,
        &Input::of(&decoder, ids[..n].to_vec(), vec![]).unwrap(),
    );
}

fn check(name: &str, model: &Model, input: &Input) {
    let logits = run(model, vec![input.clone()], 1, &mut unwatched).unwrap()[0]
        .logits(model, 0)
        .unwrap();
    let found = score(model, input, 1, &mut unwatched).unwrap();
    assert_same(name, &found, &expected(&logits, input.spoken(), 1));
}

#[test]
fn nothing_to_score_is_refused() {
    let model = model("gpt2-tiny", "float32");
    let input = Input::of(&model, vec![1, 2], vec![]).unwrap();
    for from in [0, 2] {
        assert!(score(&model, &input, from, &mut unwatched).is_err());
    }
    let encoder = ecco_tests::model("families/bert", "float32");
    let input = Input::new(&encoder, "She said", None).unwrap();
    let error = score(&encoder, &input, 1, &mut unwatched).unwrap_err();
    assert!(error.to_string().contains("a score"), "{error}");
}

/// A prompt and its continuation are one text, unless a token would reach over the border.
#[test]
fn texts_are_read_as_written() {
    let model = model("gpt2-tiny", "float32");
    let tokenizer = model.tokenizer();
    let of_text = |prompt: Option<&str>, text: &str| {
        Generation::of_text(&model, prompt.map(Prompt::from), text).unwrap()
    };
    let (prompt, text) = ("She said", " he was 12 😀.");
    let whole = tokenizer.encode(&format!("{prompt}{text}")).unwrap();
    let before = tokenizer.encode(prompt).unwrap();
    let found = of_text(Some(prompt), text);
    assert_eq!((found.ids(), found.n_input), (whole.clone(), before.len()));
    assert_eq!(
        (found.finish, found.start_id, found.seed),
        (Finish::Given, None, None)
    );
    // Without a prompt all but the first token were written; an empty one is none.
    for prompt in [None, Some("")] {
        let found = of_text(prompt, "She said he was");
        assert_eq!(found.n_input, 1);
        assert_eq!(found.ids(), tokenizer.encode("She said he was").unwrap());
    }
    // Wherever the border is, the prompt's tokens are those of the prompt, and nothing is lost.
    let both = format!("{prompt}{text}");
    let mut n_torn = 0;
    for (border, _) in both.char_indices().skip(1) {
        let (prompt, text) = both.split_at(border);
        let found = of_text(Some(prompt), text);
        let before = tokenizer.encode(prompt).unwrap();
        assert_eq!(found.ids()[..found.n_input], before, "{prompt:?}");
        assert_eq!(tokenizer.decode(&found.ids()), both, "{prompt:?}");
        n_torn += usize::from(found.ids() != whole);
    }
    assert!(n_torn > 0, "no token reaches over a border");
}

#[test]
fn an_encoder_decoder_reads_one_text_and_writes_another() {
    let model = model("families/t5", "float32");
    let found = Generation::of_text(&model, Some("She said".into()), "he was").unwrap();
    let input = Input::new(&model, "She said", Some("he was")).unwrap();
    assert_eq!(
        (found.n_input, found.start_id),
        (input.ids.len(), Some(input.target[0]))
    );
    assert_eq!(found.ids(), [&input.ids[..], &input.target[1..]].concat());
    let refused = |model: &Model, prompt: Option<&str>, text: &str| {
        let found = Generation::of_text(model, prompt.map(Prompt::from), text);
        found.unwrap_err().to_string()
    };
    assert!(refused(&model, None, "he was").ends_with("reads one text and writes another: give both"));
    let decoder = ecco_tests::model("gpt2-tiny", "float32");
    assert_eq!(
        refused(&decoder, Some("She"), ""),
        "the continuation is empty: there is nothing to score"
    );
    assert!(refused(&decoder, None, "e").starts_with("the text has no token with another before it"));
    let encoder = ecco_tests::model("families/bert", "float32");
    assert!(refused(&encoder, None, "She said").ends_with("writes none, so it has no score"));
}

/// The border between a prompt and its continuation, with tokenizers that put a space before a text, or tokens around it.
#[test]
fn a_continuation_begins_where_the_prompt_ends() {
    let prefixed = [
        "unigram",
        "byte_fallback",
        "metaspace_fallback",
        "slow-roberta",
        "llama3",
        "gemma",
        "byte_level",
    ];
    let both = "She said that she was reading.";
    for name in prefixed {
        let files = TokenizerFiles::open(&fixtures().join("tokenizers").join(name)).unwrap();
        let tokenizer = Tokenizer::read(&files, "").unwrap();
        let ends = tokenizer.ends().unwrap();
        let mut n_torn = 0;
        for (border, _) in both.char_indices().skip(1) {
            let (prompt, text) = both.split_at(border);
            let (ids, n_input) = tokenizer.encode_continued(prompt.into(), text).unwrap();
            let before = tokenizer.encode(prompt).unwrap();
            assert_eq!(
                ids[..n_input],
                before[..before.len() - ends.behind],
                "{name} {prompt:?}"
            );
            let plain = |ids: &[u32]| tokenizer.decode_plain(ids);
            assert_eq!(
                plain(&ids),
                plain(&tokenizer.encode(both).unwrap()),
                "{name} {prompt:?}"
            );
            n_torn += usize::from(ids != tokenizer.encode(both).unwrap());
        }
        assert!(n_torn > 0, "{name}: no token reaches over a border");
    }
}

use super::*;

fn token(text: &str) -> Token {
    Token {
        text: text.to_owned(),
        id: 5,
        part: None,
    }
}

fn scored(bits: f32, rank: u32) -> Option<ScoredToken> {
    let log_probability = -bits * std::f32::consts::LN_2;
    let best = Some((token(" x"), 0.75));
    Some(ScoredToken {
        log_probability,
        rank,
        best,
    })
}

fn score() -> Score {
    Score {
        tokens: ["a", " b", "c", "\n"].map(token).to_vec(),
        n_input: 1,
        is_pair: false,
        scored: vec![None, scored(3.0, 2), scored(0.0, 1), scored(12.0, 4000)],
        vocab_size: 1 << 12,
        ..Score::default()
    }
}

#[test]
fn a_console_has_a_line_for_each_scored_token() {
    let expected = "text score · 3 scored tokens · perplexity 32 · 5.00 bits per token\n\
                        1 ·b: 12%, 3.0 bits, rank 2; most probable: ·x 75%\n\
                        2 c: 100%, 0.0 bits, rank 1\n\
                        3 \\n: 0.024%, 12.0 bits, rank 4,000; most probable: ·x 75%";
    assert_eq!(score().text(), expected);
}

#[test]
fn the_most_surprising_token_is_described_without_a_script() {
    let html = score().html().unwrap();
    for part in [
        "<span class=\"g\" style=\"--s:0.25;",
        "<span class=\"g\" style=\"--s:1;background-color:#440154;color:#fff\"><small>3</small> <bdi><i>\\n</i></bdi> <em>12</em>",
        "<span class=\"what\"><bdi><i>\\n</i></bdi> <small>3</small> 0.024%, 12.0 bits, rank 4,000</span>",
        "12 bits: a blind guess",
    ] {
        assert!(html.contains(part), "{part} is not in {html}");
    }
    assert!(COMPONENT.js.contains("define(\"ecco-score\", \"score-2\""));
}

#[test]
fn bad_input_is_said() {
    let mut view = score();
    view.scored[1] = scored(f32::INFINITY, 7);
    view.scored.pop();
    let text = view.text();
    assert!(text.contains("⚠ 3 scores for 4 tokens"), "{text}");
    assert!(text.contains("⚠ 1 tokens have a probability of 0"), "{text}");
    for view in [
        view,
        Score::default(),
        Score {
            tokens: vec![token("x")],
            ..Score::default()
        },
    ] {
        assert!(view.bundle().data.contains_key("text/html"));
    }
    assert!(Score::default().text().contains("nothing is scored"));
}

#[test]
fn data_is_complete() {
    let json = score().json().unwrap();
    assert_eq!(json["perplexity"], 32.0);
    assert!(json["bits"][0].is_null() && json["ranks"][0].is_null());
    assert_eq!(json["ranks"][3], 4000);
    assert_eq!(json["most_probable"][3]["text"], " x");
}

#[test]
fn the_picture_has_a_bar_for_each_scored_token() {
    let svg = score().svg().unwrap();
    assert_eq!(svg.matches("<rect").count(), 1 + 3, "{svg}");
    assert!(svg.contains("perplexity 32"));
}

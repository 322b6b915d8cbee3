use super::*;

fn token(text: &str, id: u32) -> Token {
    Token {
        text: text.to_owned(),
        id,
        part: None,
    }
}

fn example() -> SideBySide {
    let given = [token("It", 1), token(" was", 2)];
    let with = |others: &[(&str, u32)]| {
        let others = others.iter().map(|(text, id)| token(text, *id));
        given.iter().cloned().chain(others).collect::<Vec<_>>()
    };
    let predicted = |kl: f32| {
        Some(Prediction {
            kl,
            best: [(token(" good", 3), 0.5), (token(" bad", 4), 0.75)],
            of_token: [0.125, 0.75],
        })
    };
    SideBySide {
        untouched: Side {
            name: "untouched".into(),
            tokens: with(&[(" good", 3), (".", 5)]),
        },
        intervened: Side {
            name: "intervened".into(),
            tokens: with(&[(" bad", 4), (".", 5)]),
        },
        n_input: 2,
        interventions: vec!["layer 1 mlp_output: set to 0".into()],
        predictions: vec![None, predicted(0.0), predicted(1.5), predicted(0.25)],
    }
}

#[test]
fn a_console_says_where_and_how_far_they_part() {
    let expected = "layer 1 mlp_output: set to 0\n\
                        untouched: It was│ good.\n\
                        intervened: It was│ bad.\n\
                        the texts part at 2: ·good and ·bad\n\
                        KL(untouched ‖ intervened) in nats: mean of the generated tokens 0.88, most at ·bad₂ 1.5, .₃ 0.25";
    assert_eq!(example().text(), expected);
}

#[test]
fn boxes_have_bars_and_numbers_and_the_first_difference_is_marked() {
    let html = example().html().unwrap();
    assert!(html.contains("--k:1.000;outline:2px solid #d98e04"), "{html}");
    assert!(
        html.contains("--k:0.167;") && html.contains("<em>1.5</em>"),
        "{html}"
    );
    assert_eq!(html.matches("the texts part here").count(), 3);
    assert!(
        html.contains("role=\"img\"")
            && COMPONENT
                .js
                .contains("define(\"ecco-side-by-side\", \"side-by-side-3\"")
    );
    assert!(!html.contains(" id=\""));
}

#[test]
fn texts_of_unequal_length_part_where_one_ends() {
    let mut view = example();
    view.intervened.tokens = view.untouched.tokens[..3].to_vec();
    view.predictions.truncate(3);
    assert_eq!(view.first_difference(), Some(3));
    assert!(
        view.text().contains("the texts part at 3: . and (nothing)"),
        "{}",
        view.text()
    );
    view.untouched.tokens.truncate(3);
    assert!(view.text().contains("the texts are the same"));
    assert!(view.html().unwrap().contains("</ecco-side-by-side>"));
}

#[test]
fn nothing_and_what_is_no_number_do_not_panic() {
    let mut view = example();
    view.predictions = vec![None, None];
    assert!(view.html().is_some() && view.svg().is_none());
    let mut view = example();
    if let Some(predicted) = &mut view.predictions[2] {
        predicted.kl = f32::NAN;
    }
    assert!(view.svg().is_some() && view.html().unwrap().contains("<em>–</em>"));
    view.untouched.tokens.clear();
    view.intervened.tokens.clear();
    view.predictions.clear();
    assert!(view.html().is_some() && view.mean_kl().is_none());
}

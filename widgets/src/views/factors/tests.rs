use super::*;

fn factors() -> Factors {
    let token = |text: &str| Token {
        text: text.to_owned(),
        id: 5,
        part: None,
    };
    Factors {
        method: "NMF".to_owned(),
        tokens: ["1", ".", " Austria", "\n", "2", ".", "\n"].map(token).to_vec(),
        texts: vec![FactorText {
            start: 0,
            n_input: 4,
            n_read: 7,
        }],
        components: vec![
            vec![0.0, 0.0, 0.5, 2.0, 0.0, 0.0, 1.0],
            vec![4.0, 1.0, 0.0, 0.0, 3.0, 0.0, 0.0],
        ],
        error: 12.3456,
        relative_error: 0.25,
        ..Factors::default()
    }
}

fn signed() -> Factors {
    Factors {
        method: "PCA".to_owned(),
        signed: true,
        components: vec![
            vec![0.0, -1.0, 0.5, 2.0, -2.0, 0.0, 1.0],
            vec![4.0, 1.0, -8.0, 0.0, 3.0, 0.0, 0.0],
        ],
        shares: vec![0.75, 0.125],
        ..factors()
    }
}

#[test]
fn a_console_shows_sparklines_and_top_tokens() {
    let expected = "2 factors, NMF · reconstruction error 12.35 (25%)\n\
                        0 ▁▁▃█▁▁▅  \\n ×2  ·Austria\n\
                        1 █▃▁▁▆▁▁  1  2  .";
    assert_eq!(factors().text(), expected);
}

#[test]
fn tokens_have_the_colour_of_their_strongest_factor() {
    let html = factors().html().unwrap();
    assert!(
        html.contains(
            "<span style=\"--c:#de8f05;--s:1;background-color:#ebbc69;color:#222\"><small>0</small>"
        ),
        "{html}"
    );
    assert!(
        html.contains(
            "<span style=\"--c:#0072b2;--s:1;background-color:#66aad1;color:#222\"><small>3</small>"
        ),
        "{html}"
    );
    assert!(
        html.contains("<span class=\"g\"><small>5</small>"),
        "no factor is active there"
    );
}

#[test]
fn sparklines_stay_where_pictures_are_stripped() {
    let html = factors().html().unwrap();
    assert!(
        html.contains("<path d=\"M0 20V20H2V15H3V0H4V20H6V10H7V20z\">"),
        "{html}"
    );
    assert!(html.contains("<code>▁▁▃█▁▁▅</code>"));
    assert!(COMPONENT.js.contains("define(\"ecco-factors\", \"factors-6\""));
}

#[test]
fn bad_input_is_said_not_hidden() {
    let mut view = factors();
    view.components[0].truncate(3);
    view.components[1][0] = f32::NAN;
    view.components[1][1] = -1.0;
    let text = view.text();
    assert!(text.contains("⚠ factor 0 has 3 values for 7 tokens"), "{text}");
    assert!(
        text.contains("⚠ 1 factors hold values that are negative or not finite, shown as 0"),
        "{text}"
    );
    assert!(view.svg().is_some() && view.json().unwrap()["components"][1][0].is_null());
}

#[test]
fn signs_are_shown_around_a_line() {
    let view = signed();
    let expected = "2 components, PCA · reconstruction error 12.35 (25%)\n\
                        0 ▅▃▅█▁▅▆  \\n ×2  2  .  ·Austria\n\
                        1 ▆▅▁▅▆▅▅  ·Austria  1  2";
    assert_eq!(view.text(), expected);
    let html = view.html().unwrap();
    assert!(
        html.contains("75% of the variance") && html.contains("Each token has the colour of component 0")
    );
    assert!(html.contains("<path d=\"M0 10V10H1V15"), "{html}");
    assert!(
        html.contains("<span style=\"--s:1;background-color:#8c1e04;color:#fff\"><small>3</small>"),
        "{html}"
    );
    assert!(view.svg().unwrap().contains("M0 11V"));
}

#[test]
fn several_texts_are_told_apart() {
    let mut view = factors();
    view.texts = vec![
        FactorText {
            start: 0,
            n_input: 4,
            n_read: 4,
        },
        FactorText {
            start: 4,
            n_input: 1,
            n_read: 3,
        },
    ];
    let html = view.html().unwrap();
    assert!(html.contains("<div class=\"sep\">text 1</div>"), "{html}");
    assert_eq!(
        html.matches("<small>0</small>").count(),
        2,
        "each text is counted from 0"
    );
    assert_eq!(
        html.matches("generated from here on").count(),
        1,
        "only where something was generated"
    );
    assert!(html.contains("<span class=\"cut\" style=\"left:57.1%\">"));
}

#[test]
fn neurons_and_the_curve_are_shown() {
    let mut view = factors();
    let neuron = |layer, neuron| FactorNeuron {
        layer,
        neuron,
        weight: 0.5,
    };
    view.neurons = vec![vec![neuron(Some(2), 117), neuron(None, 3)], vec![]];
    view.held_out = [(1, 0.5), (2, 0.25), (3, 0.375)]
        .map(|(n_components, error)| Holdout {
            n_components,
            error,
            spread: 0.01,
        })
        .to_vec();
    let html = view.html().unwrap();
    assert!(html.contains("title=\"weight 0.5\">L2 n117</span>"), "{html}");
    assert!(html.contains("title=\"weight 0.5\">n3</span>"));
    let line = "held-out error 25% with 2 of 1 to 3 components";
    assert!(html.contains(line) && view.text().contains(line), "{html}");
    assert_eq!(html.matches("<circle").count(), 3);
    assert_eq!(view.json().unwrap()["held_out"][1]["error"], 0.25);
}

#[test]
fn nothing_does_not_panic() {
    let none = Factors {
        components: vec![],
        ..factors()
    };
    assert!(none.html().unwrap().contains("no factors to show") && none.svg().is_none());
    let empty = Factors {
        tokens: vec![],
        error: f64::NAN,
        ..factors()
    };
    assert!(empty.bundle().data.contains_key("text/html"));
    let flat = Factors {
        components: vec![vec![0.0; 7]],
        ..factors()
    };
    assert!(flat.text().contains("▁▁▁▁▁▁▁"));
}

#[test]
fn long_sequences_stay_small() {
    let tokens = vec![
        Token {
            text: " x".into(),
            id: 1,
            part: None
        };
        5000
    ];
    let components = vec![(0..5000).map(|i| (i % 17) as f32).collect(); 10];
    let view = Factors {
        tokens,
        components,
        ..factors()
    };
    assert!(view.svg().unwrap().len() < 40_000);
    assert!(view.html().unwrap().len() < 1_000_000);
}

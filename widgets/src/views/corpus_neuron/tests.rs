use super::*;

fn token(text: &str) -> Token {
    Token {
        text: text.to_owned(),
        id: 5,
        part: None,
    }
}

fn neuron() -> CorpusNeuron {
    let text = |text, value, values: &[f32]| CorpusText {
        text,
        value,
        peak: 1,
        tokens: ["to", " <Paris>", "."].map(token).to_vec(),
        values: values.to_vec(),
    };
    let group = |name: &str, texts| CorpusGroup {
        name: name.to_owned(),
        texts,
    };
    CorpusNeuron {
        model: None,
        site: "mlp_inner".to_owned(),
        layer: Some(2),
        neuron: 117,
        unit: "neuron".to_owned(),
        n_tokens: 12_345,
        n_texts: 90,
        mean: 0.25,
        deviation: 1.5,
        active: 0.125,
        histogram: Histogram {
            start: -0.5,
            end: 4.0,
            counts: vec![1000, 0, 20, 1],
        },
        promotes: vec![VocabularyToken {
            token: token(" France"),
            value: 2.0,
        }],
        suppresses: vec![],
        quantiles: vec![
            Quantile {
                share: 0.01,
                value: -0.5,
            },
            Quantile {
                share: 0.5,
                value: 0.125,
            },
        ],
        nearest: vec![Neighbours {
            by: "weights".to_owned(),
            units: vec![
                Neighbour {
                    layer: Some(3),
                    neuron: 5,
                    likeness: 0.7,
                },
                Neighbour {
                    layer: Some(0),
                    neuron: 1,
                    likeness: -0.25,
                },
            ],
        }],
        groups: vec![
            group(
                "strongest",
                vec![text(7, 4.0, &[]), text(3, 2.0, &[-1.0, 2.0, f32::NAN])],
            ),
            group("at 50 % of the texts", vec![text(1, 0.0, &[])]),
        ],
    }
}

#[test]
fn the_strongest_places_stand_in_their_texts() {
    let text = neuron().text();
    let expected = "L2 n117, mlp_inner · 12,345 tokens of 90 texts\n\
                    mean 0.25, deviation 1.5, above 0 at 12.5 % of the tokens\n\
                    −0.5 █▁▄▂ 4\n\
                    quantiles 1 % −0.5 · 50 % 0.125\n\
                    promotes ·France\n\
                    nearest by weights L3 n5 0.70 · L0 n1 −0.25\n\
                    strongest         4  to[·<Paris>].\n\
                    strongest         2  to[·<Paris>].\n\
                    at 50 % of the texts         0  to[·<Paris>].";
    assert_eq!(text, expected);
    let html = neuron().html().unwrap();
    assert!(html.contains("<dt>50 %</dt><dd>0.125</dd>") && html.contains("L0 n1 <small>−0.25</small>"));
    assert!(html.contains("&lt;Paris&gt;") && !html.contains("<Paris>"));
    // One scale for all: the largest value is 4; where a value is not known, there is no colour.
    for (style, n) in [("--s:1;", 1), ("--s:0.5;", 1), ("--s:-0.25;", 1), ("--s:", 3)] {
        assert_eq!(html.matches(&format!("style=\"{style}")).count(), n, "{style}");
    }
    let json = neuron().json().unwrap();
    assert_eq!(
        (
            &json["groups"][0]["texts"][0]["value"],
            &json["histogram"]["counts"][2]
        ),
        (&4.0.into(), &20.into())
    );
}

#[test]
fn nothing_does_not_panic() {
    let mut none = neuron();
    none.groups.clear();
    none.histogram = Histogram::default();
    none.mean = f64::NAN;
    none.active = f64::NAN;
    assert!(none.html().unwrap().contains("it has no strongest place"));
    assert!(none.text().contains("above 0 at –"), "{}", none.text());
}

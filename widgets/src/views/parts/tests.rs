use super::*;

fn token(text: &str) -> Token {
    Token {
        text: text.to_owned(),
        id: 7,
        part: None,
    }
}

fn parts(by: PartsBy) -> Parts {
    let layer = |attention, mlp| LayerParts {
        attention,
        mlp,
        cross: None,
    };
    Parts {
        model: None,
        before: vec![token("a")],
        position: 1,
        target: token(" b"),
        contrast: None,
        logit: 4.5,
        sum: 4.5,
        embedding: 0.5,
        bias: 1.0,
        layers: vec![layer(2.0, -1.0), layer(0.0, 2.0)],
        heads: vec![vec![1.5, 0.25], vec![0.5, -0.5]],
        attention_bias: vec![0.25, 0.0],
        neurons: vec![Neuron {
            layer: 1,
            neuron: 12,
            activation: 2.0,
            part: -0.75,
        }],
        n_neurons: 2048,
        by,
        capped: false,
    }
}

#[test]
fn a_console_shows_parts_and_their_sum() {
    let expected = "direct logit attribution · logit of ·b at position 1\n\
                        4.5 = embedding 0.5 + layers 3 + biases 1\n\
                        layer  attention  MLP    logit so far\n\
                        0      +2.00      −1.00  2.5\n\
                        1                 +2.00  4.5";
    assert_eq!(parts(PartsBy::Layer).text(), expected);
    assert!(
        parts(PartsBy::Head)
            .text()
            .contains("0      +1.50   +0.25   +0.25  −1.00")
    );
}

#[test]
fn the_sign_has_a_hue_and_the_size_a_strength() {
    let html = parts(PartsBy::Layer).html().unwrap();
    for strength in ["--s:1;background-color:#", "--s:-0.5;background-color:#"] {
        assert!(html.contains(strength), "{html}");
    }
    assert!(
        html.contains("<td></td>"),
        "nothing has neither number nor colour"
    );
}

#[test]
fn heads_have_a_scale_beside_an_mlp_that_writes_more() {
    let mut view = parts(PartsBy::Head);
    view.layers[1].mlp = 150.0;
    let html = view.html().unwrap();
    assert!(html.contains("heads −1.50, MLP −150") && html.contains("heads +1.50, MLP +150"));
    assert!(html.contains(">+1.50</td>") && html.contains("--s:1;"), "{html}");
    let of_head = html.split(">+1.50<").next().unwrap();
    assert!(of_head.rsplit("--s:").next().unwrap().starts_with("1;"), "{html}");
    assert!(
        !html.contains("−1.00</td>"),
        "less than a hundredth of an MLP's largest"
    );
}

#[test]
fn neurons_are_named_by_layer_and_index() {
    let view = Parts {
        contrast: Some(token("<c>")),
        capped: true,
        ..parts(PartsBy::Neuron)
    };
    let text = view.text();
    assert!(
        text.contains("less that of <c>") && text.contains("L1 n12  −0.75    2"),
        "{text}"
    );
    assert!(text.contains("⚠ the model caps its logits"));
    let html = view.html().unwrap();
    assert!(html.contains("the 1 neurons of 2,048") && !html.contains("<c>"));
    assert_eq!(view.json().unwrap()["neurons"][0]["activation"], 2.0);
}

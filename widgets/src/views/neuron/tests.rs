use serde_json::json;

use super::*;

fn token(text: &str) -> Token {
    Token {
        text: text.to_owned(),
        id: 5,
        part: None,
    }
}

fn activity() -> NeuronActivity {
    let text = |index, values: &[f32]| NeuronText {
        index,
        tokens: ["1", ".", " Austria"].map(token).to_vec(),
        n_input: 2,
        values: values.to_vec(),
        ..NeuronText::default()
    };
    NeuronActivity {
        site: "mlp_inner".to_owned(),
        layer: Some(2),
        neuron: 117,
        texts: vec![text(0, &[0.5, -0.25]), text(1, &[0.0, 2.0, 1.0])],
    }
}

#[test]
fn the_most_active_text_comes_first() {
    let expected = "L2 n117 of mlp_inner: −0.25 to 2\n\
                        text 1  . 2  ·Austria 1\n\
                        text 0  1 0.5  . −0.25";
    assert_eq!(activity().text(), expected);
    let html = activity().html().unwrap();
    let place = |what: &str| html.find(what).unwrap_or_else(|| panic!("{what} in {html}"));
    assert!(place("text 1, max 2") < place("text 0, max 0.5"));
    assert!(html.contains("style=\"--s:0.25;"), "{html}");
    assert!(
        html.contains("style=\"--s:-0.125;"),
        "one scale for all texts: {html}"
    );
    assert!(
        html.contains("<span class=\"g unread\"><small>2</small>"),
        "no colour for a token that nothing has read"
    );
    let json = activity().json().unwrap();
    assert_eq!(
        (&json["texts"][0]["index"], &json["texts"][0]["values"][2]),
        (&json!(0), &Value::Null)
    );
    assert!(COMPONENT.js.contains("define(\"ecco-neuron\", \"neuron-2\""));
}

#[test]
fn what_is_no_number_is_said() {
    let mut view = activity();
    view.texts[0].values[0] = f32::NAN;
    assert!(view.text().contains("⚠ 1 activations are not finite"));
    view.texts.clear();
    assert!(view.text().contains("no activations") && view.html().unwrap().contains("no tokens"));
}

#[test]
fn a_list_has_bars_and_tokens() {
    let at = |layer, neuron, value, position| ActiveNeuron {
        layer,
        neuron,
        value,
        position,
    };
    let list = NeuronList {
        site: "mlp_inner".to_owned(),
        what: "by their largest activation".to_owned(),
        neurons: vec![at(Some(2), 117, 4.0, 1), at(Some(0), 3, 1.0, 9)],
        tokens: vec![token("<b>"), token(" Austria")],
        ..NeuronList::default()
    };
    let expected = "mlp_inner: the 2 most active neurons by their largest activation\n\
                        L2 n117           4  at ·Austria 1\n\
                        L0 n3             1  at  9";
    assert_eq!(list.text(), expected);
    let html = list.html().unwrap();
    assert!(
        html.contains("width:25.0%") && html.contains("<bdi><i>·</i>Austria</bdi>"),
        "{html}"
    );
}

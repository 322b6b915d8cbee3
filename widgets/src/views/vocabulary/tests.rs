use serde_json::json;

use super::*;

fn token(text: &str, value: f32) -> VocabularyToken {
    let token = Token {
        text: text.to_owned(),
        id: 7,
        part: None,
    };
    VocabularyToken { token, value }
}

fn vocabulary() -> Vocabulary {
    Vocabulary {
        model: None,
        about: "neurons of <layer> 1".to_owned(),
        ends: ["promotes", "suppresses"].map(str::to_owned),
        rows: vec![VocabularyRow {
            label: "neuron 1.5".to_owned(),
            norm: Some(2.0),
            promotes: vec![token(" <b>", 2.0), token("c", 0.5)],
            suppresses: vec![token("d", -1.0)],
        }],
    }
}

#[test]
fn both_ends_everywhere() {
    assert_eq!(
        vocabulary().text(),
        "In the vocabulary · neurons of <layer> 1\nneuron 1.5\n  promotes: ·<b> 2.00  c 0.50\n  suppresses: d −1.00"
    );
    let html = vocabulary().html().unwrap();
    assert!(
        html.contains("&lt;layer&gt;") && !html.contains("<layer>") && !html.contains("<b>&lt;b"),
        "{html}"
    );
    assert!(html.contains("--s:-0.5") && html.contains("--s:1;"), "{html}");
    let json = vocabulary().json().unwrap();
    assert_eq!(json["rows"][0]["promotes"][1]["value"], json!(0.5));
    assert!(vocabulary().svg().unwrap().contains("neuron 1.5"));
}

#[test]
fn nothing_does_not_panic() {
    let none = Vocabulary {
        rows: vec![],
        ..vocabulary()
    };
    assert!(none.svg().is_none() && none.html().unwrap().contains("nothing to show"));
    assert!(none.bundle().data.contains_key("text/plain"));
}

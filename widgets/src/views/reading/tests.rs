use serde_json::json;

use super::*;

fn token(text: &str) -> Token {
    Token {
        text: text.to_owned(),
        id: 7,
        part: None,
    }
}

fn reading(said: Statement) -> Reading {
    Reading {
        model: None,
        text: "a [MASK]".into(),
        tokens: vec![token("a"), token("[MASK]")],
        target: vec![],
        said,
    }
}

fn masked() -> Reading {
    let mut said = Statement::Tokens { places: vec![] };
    said.add_token(1, vec![(token(" b"), 0.75), (token("<c>"), 0.25)]);
    reading(said)
}

#[test]
fn predicted_tokens_are_bars() {
    let view = masked();
    assert_eq!(view.text(), "a [MASK]\nposition 1: ·b 75%, <c> 25%");
    assert_eq!(view.said.best().as_deref(), Some("·b 75%"));
    let html = view.html().unwrap();
    assert!(
        html.contains("<span style=\"--s:1.000\" title=\"id 7\"><small>1</small>"),
        "{html}"
    );
    assert!(html.contains("width:75.0%") && html.contains("&lt;c&gt;") && !html.contains("<c>"));
    assert!(!html.contains('▸'), "nothing follows: the mask is in the text");
    assert_eq!(
        view.json().unwrap()["predictions"][0]["candidates"][1],
        json!({"text": "<c>", "id": 7, "probability": 0.25})
    );
}

#[test]
fn what_follows_is_marked() {
    let mut said = Statement::Tokens { places: vec![] };
    said.add_token(2, vec![(token("b"), 1.0)]);
    assert!(reading(said.clone()).html().unwrap().contains('▸'));
    let mut two = reading(said);
    two.target = vec![token("<s>"), token("x")];
    assert_eq!(two.text(), "a [MASK]\nwritten: <s> x\nposition 2: b 100%");
    let html = two.html().unwrap();
    assert_eq!(html.matches("class=\"flow\"").count(), 2);
}

#[test]
fn replaced_tokens_have_their_probability() {
    let mut said = Statement::Tokens { places: vec![] };
    said.add_replaced(0.02);
    said.add_replaced(0.9);
    let view = reading(said);
    assert!(view.text().contains("a 2.0%, [MASK] 90%"), "{}", view.text());
    assert!(view.html().unwrap().contains("--s:0.900") && view.html().unwrap().contains("90%</em>"));
    assert_eq!(view.json().unwrap()["replaced"], json!([0.02, 0.9]));
}

#[test]
fn labels_are_bars_and_many_are_cut() {
    let mut said = Statement::Tokens { places: vec![] };
    for index in 0..25 {
        said.add_label(&format!("label\u{202e} {index}"), 0.5 / (index + 1) as f32, true);
    }
    let view = reading(said);
    let html = view.html().unwrap();
    assert_eq!(html.matches("<li>").count(), MOST_LABELS);
    assert!(
        html.contains("each label for itself; 5 less probable labels"),
        "{html}"
    );
    assert!(!html.contains('\u{202e}') && !view.text().contains('\u{202e}'));
    assert_eq!(view.json().unwrap()["labels"].as_array().unwrap().len(), 25);
}

#[test]
fn silence_says_why() {
    let view = reading(Statement::Nothing {
        reason: "the text has no [MASK]".into(),
    });
    assert_eq!(view.text(), "a [MASK]\n(the text has no [MASK])");
    assert!(view.html().unwrap().contains("the text has no [MASK]"));
    assert_eq!(view.said.best(), None);
}

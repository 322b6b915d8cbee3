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
    assert_eq!(view.best().as_deref(), Some("·b 75%"));
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
    let page = html.split("<script").next().unwrap();
    assert!(!page.contains('\u{202e}') && !view.text().contains('\u{202e}'));
    assert_eq!(view.json().unwrap()["labels"].as_array().unwrap().len(), 25);
}

#[test]
fn silence_says_why() {
    let view = reading(Statement::Nothing {
        reason: "the text has no [MASK]".into(),
    });
    assert_eq!(view.text(), "a [MASK]\n(the text has no [MASK])");
    assert!(view.html().unwrap().contains("the text has no [MASK]"));
    assert_eq!(view.best(), None);
}

#[test]
fn tokens_have_their_labels_and_things_are_bars() {
    let mut said = Statement::Tokens { places: vec![] };
    said.add_token_label(0, vec![("B-LOC".into(), 0.75), ("O".into(), 0.25)]);
    said.add_token_label(1, vec![("O".into(), 0.5)]);
    let view = reading(said);
    assert_eq!(
        view.text(),
        "a [MASK]\na B-LOC, [MASK] O\na · LOC 75%\n(the most probable label of each token)"
    );
    let html = view.html().unwrap();
    assert!(
        html.contains("--s:0.750") && html.contains("<em>B-LOC 75%</em>"),
        "{html}"
    );
    assert!(
        !html.contains("O 50%"),
        "no label where a token is no part of anything: {html}"
    );
    let json = view.json().unwrap();
    assert_eq!(
        json["token_labels"][0],
        json!({"position": 0, "labels": [{"label": "B-LOC", "probability": 0.75}, {"label": "O", "probability": 0.25}]})
    );
    assert_eq!(read(&json).unwrap(), view);
}

#[test]
fn the_best_answer_is_marked() {
    let mut said = Statement::Tokens { places: vec![] };
    said.add_span(1, 1, "<b>", 0.5);
    said.add_span(0, 1, "a [MASK]", 0.25);
    let view = reading(said);
    assert_eq!(
        view.text(),
        "a [MASK]\nanswers: <b> 50%, a [MASK] 25%\n(where the answer may be)"
    );
    let html = view.html().unwrap();
    assert_eq!(html.matches("--s:1.000").count(), 1);
    assert!(
        html.contains("&lt;b&gt;") && html.contains("width:50.0%"),
        "{html}"
    );
    let json = view.json().unwrap();
    assert_eq!(
        json["spans"][1],
        json!({"start": 0, "end": 1, "text": "a [MASK]", "score": 0.25})
    );
    assert_eq!(read(&json).unwrap(), view);
}

#[test]
fn values_have_no_bar() {
    let mut said = Statement::Tokens { places: vec![] };
    said.add_value("score", -0.5);
    let view = reading(said);
    assert_eq!(
        view.text(),
        "a [MASK]\nscore −0.500\n(a value, not a probability)"
    );
    assert!(!view.html().unwrap().contains("class=\"track\""));
    assert_eq!(read(&view.json().unwrap()).unwrap(), view);
}

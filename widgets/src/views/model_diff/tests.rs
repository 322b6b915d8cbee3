use super::*;

fn token(text: &str, id: u32) -> Token {
    Token {
        text: text.to_owned(),
        id,
        part: None,
    }
}

fn diff() -> ModelDiff {
    let text = DiffText {
        tokens: vec![token("It", 1), token(" <b>", 2)],
        divergences: vec![f32::NAN, 0.5, 1.5],
        predicted: vec![
            None,
            Some((token(" is", 3), token(" is", 3))),
            Some((token(" a", 4), token(" z", 5))),
        ],
        parted: Some(2),
    };
    let weight = |role: &str, layer, relative, norm| WeightChange {
        role: role.to_owned(),
        layer,
        relative,
        norm,
    };
    ModelDiff {
        base: "base".into(),
        tuned: "tuned".into(),
        divergence: 1.0,
        texts: vec![text],
        cosine: vec![1.0, 0.9, 0.5],
        cka: vec![1.0, 0.95, f64::NAN],
        grafts: Some(GraftMap {
            layer: vec![0.75, 0.25],
            attention: vec![1.0, 0.5],
            mlp: vec![0.75, 0.5],
            up_to: vec![0.75, 0.0],
            embedding: 1.0,
            head: 1.2,
        }),
        weights: vec![
            weight("layers.0.attention.query.weight", Some(0), 0.3, 4.0),
            weight("layers.0.attention.key.weight", Some(0), 0.0, 3.0),
            weight("head.weight", None, 0.1, 1.0),
        ],
    }
}

#[test]
fn a_console_shows_where_they_part_and_the_layers() {
    assert_eq!(
        diff().text(),
        "base → tuned · 1 nats apart · another token first in 1 of 1 text · layer 1 alone brings 75%\n\
         text 0 parts at 2: 1.5 nats; most probable: ·a, tuned ·z\n\
         layer      cosine  CKA   layer  attention  MLP  all up to it  attention's weights  MLP's weights\n\
         embedding  1       1     0%\n\
         0          0.9     0.95  25%    0%         25%  25%           0.24\n\
         1          0.5           75%    50%        50%  100%\n\
         head                     −20%"
    );
}

#[test]
fn a_page_has_boxes_and_a_table() {
    let page = diff().html().unwrap();
    assert!(
        page.contains("0.5 nats; both find ·is most probable") && !page.contains(" <b>"),
        "{page}"
    );
    assert!(page.contains("--w:75%"), "{page}");
    let same = ModelDiff {
        divergence: 0.0,
        ..diff()
    };
    assert!(same.text().starts_with("base → tuned · 0 nats apart · another") && !same.text().contains('%'));
    assert!(ModelDiff::default().html().unwrap().contains("no texts to show"));
}

#[test]
fn a_document_is_read_again() {
    let view = crate::view_of(&diff().json().unwrap()).unwrap().unwrap();
    assert_eq!(view.text(), diff().text());
    assert_eq!(view.html(), diff().html());
}

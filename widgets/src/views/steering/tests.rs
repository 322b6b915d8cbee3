use super::*;

#[test]
fn texts_stand_with_their_projections() {
    let view = Steering {
        site: "residual_after".into(),
        layer: 2,
        norm: 1.25,
        typical: 10.0,
        positive: vec![("good <b>".into(), 1.5), ("fine".into(), 0.5)],
        negative: vec![("bad".into(), -1.0)],
        ..Steering::default()
    };
    assert_eq!(
        view.text(),
        "steering vector at residual_after of layer 2: length 1.25, that of the values there 10; 3 of 3 texts on their side\n\
             positive   1.50 good <b>\npositive   0.50 fine\nnegative  −1.00 bad"
    );
    let html = view.html().unwrap();
    assert!(
        html.contains("good &lt;b&gt;") && html.contains("x=\"50.0\" width=\"50.0\""),
        "{html}"
    );
    assert!(html.contains("x=\"16.7\" width=\"33.3\""), "{html}");
}

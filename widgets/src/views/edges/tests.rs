use super::*;

pub(crate) fn edges() -> Edges {
    let edge = |from: &str, to: &str, score: f64, measured: Option<f64>| ScoredEdge {
        from: from.to_owned(),
        to: to.to_owned(),
        score,
        measured,
    };
    Edges {
        model: None,
        method: "edge attribution patching".to_owned(),
        answer: "logit of \" <Paris>\"".to_owned(),
        clean: 3.0,
        corrupted: -1.0,
        n_edges: 3,
        edges: vec![
            edge("m0", "logits", 2.0, Some(1.5)),
            edge("input", "a0.q1", -1.0, None),
            edge("a0.h1", "m0", 0.0, None),
        ],
        correlation: Some(0.5),
        sum: Some(3.5),
    }
}

#[test]
fn the_strongest_come_first_with_what_checks_them() {
    let text = edges().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[0],
        "Edges · edge attribution patching · logit of \" <Paris>\": −1 corrupted, 3 clean"
    );
    assert_eq!(lines[1], "m0 → logits               2    50%   measured 1.5");
    assert_eq!(lines[4], "r = 0.50 with 1 edges patched indeed.");
    assert_eq!(
        lines[5],
        "Edges from the embeddings sum to 3.5 of the difference, which is 4."
    );
    let html = edges().html().unwrap();
    assert!(html.contains("input → a0.q1") && html.contains("&lt;Paris&gt;") && !html.contains("<Paris>"));
    assert!(edges().svg().unwrap().contains("m0 → logits"));
    assert_eq!(edges().json().unwrap()["edges"][0]["measured"], 1.5);
}

#[test]
fn nothing_does_not_panic() {
    let none = Edges {
        edges: vec![],
        n_edges: 0,
        ..edges()
    };
    assert!(none.svg().is_none() && none.html().unwrap().contains("no edges to show"));
    assert!(none.bundle().data.contains_key("text/plain"));
}

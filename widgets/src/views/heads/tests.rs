use serde_json::json;

use super::*;

fn heads() -> Heads {
    Heads {
        model: None,
        about: "5 random tokens <twice>".to_owned(),
        scores: vec!["induction".to_owned(), "relative_entropy".to_owned()],
        by: "induction".to_owned(),
        values: vec![
            vec![vec![0.1, 0.9], vec![-0.5, f32::NAN]],
            vec![vec![0.25, 0.5], vec![0.75, 1.0]],
        ],
    }
}

#[test]
fn the_strongest_come_first_everywhere() {
    let text = heads().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "4 heads · 5 random tokens <twice>");
    assert_eq!(lines[1], "induction        L0 h1 0.90   L0 h0 0.10   L1 h0 −0.50");
    assert_eq!(lines[2], "relative entropy L1 h1 1.00   L1 h0 0.75   L0 h1 0.50");
    assert_eq!(lines[3], "⚠ no number: 1 of the scores");
    let html = heads().html().unwrap();
    let order: Vec<usize> = ["L0 h1", "L0 h0", "L1 h0", "L1 h1"]
        .map(|name| html.find(&format!("<th scope=\"row\">{name}</th>")).unwrap())
        .into();
    assert!(order.is_sorted(), "{html}");
    assert!(html.contains("&lt;twice&gt;") && !html.contains("<twice>"));
    assert_eq!(heads().json().unwrap()["values"][0][1], json!([-0.5, null]));
    assert!(heads().svg().unwrap().contains(">0.90<"));
}

#[test]
fn nothing_does_not_panic() {
    let none = Heads {
        scores: vec![],
        values: vec![],
        ..heads()
    };
    assert!(none.svg().is_none() && none.html().unwrap().contains("no heads to show"));
    assert!(none.bundle().data.contains_key("text/plain"));
}

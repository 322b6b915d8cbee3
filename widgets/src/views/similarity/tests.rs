use serde_json::json;

use super::*;

fn grid() -> SimilarityGrid {
    let names = |n: usize| (0..n).map(|i| i.to_string()).collect();
    SimilarityGrid {
        title: "Similarity of layers".to_owned(),
        about: "unbiased CKA".to_owned(),
        rows: ("layer of <b>".to_owned(), names(2)),
        columns: ("layer".to_owned(), names(3)),
        values: vec![vec![1.0, 0.5, -0.02], vec![0.25, f32::NAN]],
        notes: vec![],
        ..SimilarityGrid::default()
    }
}

#[test]
fn a_table_everywhere() {
    let text = grid().text();
    let mut lines = text.lines();
    let first = "Similarity of layers · unbiased CKA · layer of <b> ↓ layer →";
    assert_eq!(lines.next(), Some(first));
    let rows: Vec<Vec<&str>> = lines.map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        rows,
        [
            vec!["layer", "0", "1", "2"],
            vec!["0", "1.00", "0.50", "−0.02"],
            vec!["1", "0.25", "–", "–"]
        ]
    );
    let html = grid().html().unwrap();
    assert!(
        html.contains("layer of &lt;b&gt;") && !html.contains("layer of <b>"),
        "{html}"
    );
    let cell = "<td style=\"--s:1;background-color:#440154;color:#fff\">1.00</td>";
    assert!(html.contains(cell), "{html}");
    assert!(html.contains("<td>−0.02</td>") && html.contains("<td>–</td>"));
    assert!(grid().svg().unwrap().contains(">0.50<"));
    assert_eq!(grid().json().unwrap()["values"][1], json!([0.25, null]));
    assert!(
        COMPONENT
            .js
            .contains("define(\"ecco-similarity\", \"similarity-2\"")
    );
}

#[test]
fn nothing_does_not_panic() {
    let none = SimilarityGrid {
        rows: (String::new(), vec![]),
        values: vec![],
        ..grid()
    };
    assert!(none.svg().is_none() && none.html().unwrap().contains("nothing to compare"));
    assert!(none.bundle().data.contains_key("text/plain"));
}

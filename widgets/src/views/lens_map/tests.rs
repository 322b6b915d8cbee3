use super::*;

#[test]
fn long_texts_are_cut_on_a_page_and_whole_in_the_data() {
    let token = Token {
        text: " word".into(),
        id: 7,
        part: None,
    };
    let reading = Reading {
        top: vec![(token.clone(), 0.5); 5],
        chosen: Some((3, 0.1)),
        entropy: 2.0,
        divergence: 1.0,
    };
    let column = |position| LensColumn {
        position,
        chosen: Some(token.clone()),
    };
    let view = LensMap {
        model: None,
        columns: (0..2000).map(column).collect(),
        layers: (0..24).map(|layer| layer.to_string()).collect(),
        readings: vec![vec![reading; 2000]; 24],
        raw: false,
        fitted: None,
    };
    let html = view.html().unwrap();
    assert!(html.contains("the first 104 of 2000 columns are shown"));
    assert_eq!(html.matches("<td").count(), 104 * 24);
    assert!(html.len() < 2_000_000, "{} bytes", html.len());
    assert_eq!(
        view.json().unwrap()["readings"][0].as_array().unwrap().len(),
        2000
    );
}

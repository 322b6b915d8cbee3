use super::*;

fn curve() -> CircuitCurve {
    let size = |n: usize, faithfulness: f64, random: &[f64]| CircuitSize {
        n,
        kept: n / 2,
        faithfulness,
        without: 1.0 - faithfulness,
        random: random.to_vec(),
    };
    CircuitCurve {
        model: None,
        method: "edge <patching>".to_owned(),
        answer: "logit of \" Paris\"".to_owned(),
        n_edges: 1200,
        circuits: vec![
            size(10, 0.25, &[0.0, 0.2]),
            size(100, f64::NAN, &[]),
            size(1200, 1.0, &[1.0]),
        ],
    }
}

#[test]
fn sizes_have_a_row_and_a_place_each() {
    let text = curve().text();
    assert!(
        text.starts_with("Circuits by size · edge <patching> · logit of \" Paris\" · 1,200 edges in all"),
        "{text}"
    );
    assert!(
        text.lines()
            .any(|line| line.split_whitespace().eq(["10", "5", "0.25", "0.75", "0.10"])),
        "{text}"
    );
    let html = curve().html().unwrap();
    assert!(html.contains("&lt;patching&gt;") && !html.contains("<patching>"));
    for picture in [html, curve().svg().unwrap()] {
        assert!(picture.contains("class=\"found\" d=\"M40.0"), "{picture}");
    }
    assert!(!curve().svg().unwrap().contains("NaN"));
    assert_eq!(curve().json().unwrap()["circuits"][0]["random"][1], 0.2);
}

#[test]
fn nothing_does_not_panic() {
    let none = CircuitCurve {
        circuits: vec![],
        ..curve()
    };
    assert!(none.svg().is_none() && none.html().unwrap().contains("no sizes to show"));
    assert!(none.bundle().data.contains_key("text/plain"));
}

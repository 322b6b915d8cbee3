use super::*;

fn place(layer: usize, position: &str, accuracy: f64) -> ProbePlace {
    ProbePlace {
        layer: Some(layer),
        position: position.to_owned(),
        accuracy,
        spread: 0.05,
        auc: accuracy,
        calibration_error: (layer == 0).then_some(0.25),
        control: (layer < 2).then_some(0.5),
    }
}

fn probes() -> Probes {
    Probes {
        model: None,
        method: "logistic <regression>".to_owned(),
        states: "residual_after at the last token".to_owned(),
        labels: vec!["city".to_owned(), "person".to_owned()],
        n_texts: vec![30, 20],
        folds: 5,
        majority: 0.6,
        places: vec![place(0, "", 0.6), place(1, "", f64::NAN), place(2, "", 1.0)],
    }
}

#[test]
fn layers_have_a_row_and_a_place_each() {
    let text = probes().text();
    assert!(
        text.starts_with(
            "Probe · logistic <regression> · residual_after at the last token · 30 city and 20 person · 5 parts · the most \
             frequent label: 0.60"
        ),
        "{text}"
    );
    let row = |cells: &[&str]| {
        text.lines()
            .any(|line| line.split_whitespace().eq(cells.iter().copied()))
    };
    assert!(
        row(&["0", "0.60", "±", "0.05", "0.50", "0.10", "0.60", "0.25"]),
        "{text}"
    );
    assert!(row(&["2", "1.00", "±", "0.05", "1.00"]), "{text}");
    let html = probes().html().unwrap();
    assert!(html.contains("&lt;regression&gt;") && !html.contains("<regression>"));
    for picture in [html, probes().svg().unwrap()] {
        // A gap where there is no number; the last layer at the right and at the top.
        assert!(
            picture.contains("class=\"found\" d=\"M34.0 66.0M334.0 18.0\""),
            "{picture}"
        );
        assert!(!picture.contains("=\"NaN"), "{picture}");
    }
    let json = probes().json().unwrap();
    assert_eq!(
        (&json["places"][0]["control"], &json["places"][1]["accuracy"]),
        (&0.5.into(), &Value::Null)
    );
}

#[test]
fn several_labels_are_counted() {
    let labels: Vec<String> = ["a", "b", "<c>", "d", "e", "f"].map(str::to_owned).into();
    let n_texts = vec![1, 2, 3, 4, 5, 6];
    let several = Probes {
        labels,
        n_texts,
        ..probes()
    };
    assert!(
        several.text().contains("· 1 a, 2 b, 3 <c>, 4 d and 2 others ·"),
        "{}",
        several.text()
    );
    let three = Probes {
        labels: several.labels[..3].to_vec(),
        ..several
    };
    assert!(three.html().unwrap().contains("1 a, 2 b and 3 &lt;c&gt;"));
}

#[test]
fn positions_have_a_picture_each() {
    let mut many = probes();
    many.places = vec![
        place(0, "-2", 0.5),
        place(0, "-1", 0.75),
        place(1, "-2", 0.5),
        place(1, "-1", 1.0),
    ];
    assert_eq!(
        many.html().unwrap().matches("<title>Accuracy by layer").count(),
        2
    );
    assert!(many.text().contains("1 · -1"), "{}", many.text());
}

#[test]
fn nothing_does_not_panic() {
    let none = Probes {
        places: vec![],
        ..probes()
    };
    assert!(none.svg().is_none() && none.html().unwrap().contains("no states to probe"));
    assert!(none.bundle().data.contains_key("text/plain"));
    let one = Probes {
        places: vec![place(3, "", 0.5)],
        ..probes()
    };
    assert!(one.svg().unwrap().contains("cx=\"184.0\""));
}

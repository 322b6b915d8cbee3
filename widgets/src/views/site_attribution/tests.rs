use super::*;

fn example() -> SiteAttribution {
    let token = |text: &str| Token {
        text: text.to_owned(),
        id: 7,
        part: None,
    };
    SiteAttribution {
        site: "mlp_output".into(),
        method: "integrated gradients".into(),
        answer: "logit of \" Paris\"".into(),
        value: 4.25,
        layers: vec![0, 3],
        columns: SiteColumns::Positions(vec![token(" France"), token("</script><b>")]),
        contributions: vec![vec![0.5, -1.0], vec![0.25, 0.0]],
        sums: vec![
            LayerSum {
                sum: -0.5,
                promised: Some(-0.502),
            },
            LayerSum {
                sum: 0.25,
                promised: Some(0.5),
            },
        ],
    }
}

#[test]
fn a_console_names_the_strongest_cells_and_what_does_not_add_up() {
    let expected = "contributions of mlp_output (integrated gradients) · 2 layers × 2 positions\n\
                    logit of \" Paris\": 4.25\n\
                    L0 </script><b> 1 contributes −1.00\n\
                    L0 ·France 0 contributes 0.50\n\
                    L3 ·France 0 contributes 0.25\n\
                    ⚠ 1 of 2 layers do not sum to what they should: layer 3 is off by 50 %";
    assert_eq!(example().text(), expected);
}

#[test]
fn layers_have_their_sums_and_nothing_is_markup() {
    let html = example().html().unwrap();
    assert!(html.contains("0.25<small> of 0.50</small>"), "{html}");
    assert!(html.contains(">−0.50</th>") && html.contains(">−1.00</td>"));
    assert!(!html.contains("</script><b>"));
    let plain = SiteAttribution {
        sums: vec![LayerSum {
            sum: 0.1,
            promised: None,
        }],
        columns: SiteColumns::Heads(2),
        ..example()
    };
    assert!(!plain.text().contains('⚠') && plain.text().contains("L0 h1 contributes −1.00"));
    assert!(plain.svg().unwrap().contains("deepest colour: 1.00"));
}

#[test]
fn nothing_and_what_is_no_number_do_not_panic() {
    let mut view = example();
    view.contributions = vec![vec![f32::NAN], vec![]];
    view.sums.clear();
    assert!(
        view.text().contains("⚠ 1 values are not finite"),
        "{}",
        view.text()
    );
    assert!(view.html().is_some() && view.svg().is_some() && view.json().is_some());
    view.layers.clear();
    view.columns = SiteColumns::Neurons(0);
    assert!(view.html().unwrap().contains("nothing stands there") && view.svg().is_none());
}

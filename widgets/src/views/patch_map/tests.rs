use super::*;

fn tokens(texts: &[&str]) -> Vec<Token> {
    let token = |(id, text): (usize, &&str)| Token {
        text: (*text).to_owned(),
        id: id as u32 + text.len() as u32 * 100,
        part: None,
    };
    texts.iter().enumerate().map(token).collect()
}

fn example() -> PatchMap {
    PatchMap {
        site: "mlp_output".into(),
        answer: "logit of \" Paris\"".into(),
        clean: 4.0,
        corrupted: -1.5,
        layers: vec![0, 1],
        heads: None,
        columns: Columns::Positions {
            corrupted: tokens(&["The", " Italy", " is"]),
            clean: tokens(&["The", " France", " is"]),
        },
        restored: vec![vec![0.0, 1.0, 0.25], vec![0.0, -0.128, 0.5]],
        estimate: None,
        pairs: None,
    }
}

#[test]
fn a_console_names_the_strongest_cells() {
    let expected = "activation patching of mlp_output · 2 layers × 3 positions\n\
                        logit of \" Paris\": corrupted −1.5, clean 4\n\
                        L0 ·Italy 1 restores 1.00\n\
                        L1 ·is 2 restores 0.50\n\
                        L0 ·is 2 restores 0.25\n\
                        L1 ·Italy 1 restores −0.13";
    assert_eq!(example().text(), expected);
}

#[test]
fn cells_are_coloured_without_a_script_and_differences_marked() {
    let html = example().html().unwrap();
    assert!(
        html.contains("--s:1.000;background-color:") && html.contains(">1.00</td>"),
        "{html}"
    );
    assert!(html.contains("--s:-0.128;") && html.contains(">−0.13</td>"));
    assert_eq!(html.matches("class=\"differs\"").count(), 1);
    assert!(html.contains("<th scope=\"row\">1</th>") && !html.contains(" id=\""));
    assert!(
        COMPONENT
            .js
            .contains("define(\"ecco-patch-map\", \"patch-map-5\"")
    );
}

#[test]
fn of_large_maps_the_strongest_columns_are_shown() {
    let n = 4000;
    let mut row = vec![0.01; n];
    row[3777] = 0.9;
    let view = PatchMap {
        layers: (0..24).collect(),
        columns: Columns::Heads(n),
        restored: vec![row; 24],
        ..example()
    };
    let html = view.html().unwrap();
    assert!(html.contains("the 250 strongest of 4000 columns") && html.contains(">3777</th>"));
    assert!(html.len() < 1_500_000, "{}", html.len());
    assert!(view.svg().unwrap().len() < 200_000);
}

#[test]
fn nothing_and_what_is_no_number_do_not_panic() {
    let mut view = example();
    view.restored = vec![vec![f32::NAN, f32::INFINITY], vec![]];
    assert!(
        view.text().contains("⚠ 2 values are not finite"),
        "{}",
        view.text()
    );
    assert!(view.html().is_some() && view.svg().is_some() && view.json().is_some());
    view.layers.clear();
    view.restored.clear();
    view.columns = Columns::Heads(0);
    assert!(view.html().unwrap().contains("nothing was patched") && view.svg().is_none());
}

#[test]
fn estimates_stand_beside_what_was_measured() {
    let cell = |row, column, restored| MeasuredCell {
        row,
        column,
        restored,
    };
    let view = PatchMap {
        estimate: Some(PatchEstimate {
            by: "gradients at the corrupted text".into(),
            // The last is of no row.
            measured: vec![cell(1, 2, 0.75), cell(0, 1, 0.9), cell(7, 1, 1.0)],
            correlation: Some(0.987),
        }),
        ..example()
    };
    let text = view.text();
    assert!(
        text.starts_with("attribution patching of mlp_output · 2 layers × 3 positions")
            && text.contains("L0 ·Italy 1 would restore 1.00, measured 0.90\n")
            && text.contains("L0 ·is 2 would restore 0.25\n")
            && text.ends_with("Estimated and measured, 2 cells: r = 0.99"),
        "{text}"
    );
    let html = view.html().unwrap();
    assert_eq!(html.matches("<dt>").count(), 2);
    assert!(html.contains("Attribution patching") && html.contains("would come back, estimated"));
    assert!(view.svg().unwrap().contains("Attribution patching"));
    let plain = example().json().unwrap();
    assert!(plain.get("estimate").is_none() && view.json().unwrap()["estimate"]["measured"][0]["row"] == 1);
}

#[test]
fn a_mean_of_pairs_has_an_interval() {
    let map = PatchMap {
        pairs: Some(PatchPairs {
            n: 3,
            noise_at: None,
            interval: vec![vec![0.25; 9]; 9],
        }),
        ..example()
    };
    let text = map.text();
    assert!(
        text.contains(" ± 0.25") && text.contains("mean of 3 pairs"),
        "{text}"
    );
    assert!(map.html().unwrap().contains("The mean of 3 pairs"));
    assert_eq!(map.json().unwrap()["pairs"]["n"], 3);
    let mut traced = map;
    traced.pairs = traced.pairs.map(|pairs| PatchPairs {
        noise_at: Some("\" <b>\"".to_owned()),
        ..pairs
    });
    assert!(traced.text().starts_with("causal tracing"), "{}", traced.text());
    assert!(traced.text().contains("mean of 3 draws of noise on \" <b>\""));
    let html = traced.html().unwrap();
    assert!(
        html.contains("The mean of 3 draws of noise on &quot; &lt;b&gt;&quot;") && !html.contains("<b>\""),
        "{html}"
    );
}

#[test]
fn rows_are_heads_where_heads_are_patched_at_positions() {
    let n_heads = 60;
    let mut view = PatchMap {
        layers: (0..2 * n_heads).map(|row| row / n_heads).collect(),
        heads: Some((0..2 * n_heads).map(|row| row % n_heads).collect()),
        restored: vec![vec![0.01, 0.0, 0.0]; 2 * n_heads],
        ..example()
    };
    view.restored[n_heads + 7][1] = 0.75;
    let text = view.text();
    assert!(
        text.starts_with("activation patching of mlp_output · 120 heads × 3 positions")
            && text.contains("\nL1 h7 ·Italy 1 restores 0.75")
            && text.contains("⚠ the 40 strongest of 120 heads; `.restored` has all"),
        "{text}"
    );
    let html = view.html().unwrap();
    assert!(html.contains("<th scope=\"row\">L1 h7</th>") && html.contains(">0.75</td>"));
    assert_eq!(html.matches("<th scope=\"row\">").count(), 40);
    assert!(view.svg().unwrap().contains("L1 h7"));
    let json = view.json().unwrap();
    assert_eq!((&json["heads"][67], &json["layers"][67]), (&7.into(), &1.into()));
    assert!(example().json().unwrap().get("heads").is_none());
}

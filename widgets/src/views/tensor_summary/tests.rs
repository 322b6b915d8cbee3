use super::*;

fn summary() -> TensorSummary {
    TensorSummary {
        name: "activations".into(),
        shape: vec![6, 3072, 43],
        axes: ["layer", "neuron", "position"].map(str::to_owned).to_vec(),
        dtype: "float32".into(),
        min: Some(-0.170_040_75),
        max: Some(11.25),
        mean: Some(f64::NAN),
        n_nan: 3,
        n_infinite: 1,
        preview: vec![0.5, -0.125, f32::INFINITY],
        ..TensorSummary::default()
    }
}

#[test]
fn a_tensor_in_a_console() {
    let text = "activations (layer 6 × neuron 3,072 × position 43) float32\nmin -0.17  max 11.25  mean NaN\n3 values are NaN, 1 value is infinite\n[0.5, -0.125, inf, …]";
    assert_eq!(summary().text(), text);
}

#[test]
fn an_empty_one_and_a_scalar() {
    let empty = TensorSummary {
        shape: vec![0],
        axes: vec![],
        min: None,
        max: None,
        mean: None,
        n_nan: 0,
        n_infinite: 0,
        preview: vec![],
        ..summary()
    };
    assert_eq!(empty.text(), "activations (0) float32");
    assert_eq!(
        TensorSummary {
            shape: vec![],
            ..empty
        }
        .text(),
        "activations (scalar) float32"
    );
}

#[test]
fn numbers_that_json_lacks_become_null() {
    let json = summary().json().unwrap();
    assert!(json["mean"].is_null() && json["preview"][2].is_null());
    assert!(summary().html().unwrap().contains("<dt>shape</dt>"));
}

#[test]
fn a_tensor_without_a_name_is_called_one_once() {
    let head = |name: &str| {
        let html = TensorSummary {
            name: name.into(),
            ..summary()
        }
        .html()
        .unwrap();
        html.split("class=\"head\">")
            .nth(1)
            .unwrap()
            .split("</div>")
            .next()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        head("activations"),
        "<b>activations</b> <span>float32 tensor</span>"
    );
    assert_eq!(head("tensor"), "<b>tensor</b> <span>float32</span>");
}

#[test]
fn long_axes_are_shown_at_both_ends() {
    let shown = places(&[6, 3072, 43]);
    let lengths: Vec<usize> = shown.iter().map(Vec::len).collect();
    assert!(lengths.iter().product::<usize>() <= MOST_CELLS);
    assert_eq!(lengths[0], 6);
    assert!(lengths[1].abs_diff(lengths[2]) <= 1, "{lengths:?}");
    assert_eq!((shown[1][0], shown[1][lengths[1] - 1]), (0, 3071));
    assert_eq!(places(&[2, 3]), [vec![0, 1], vec![0, 1, 2]]);
    assert_eq!(places(&[0, 3])[0], [0usize; 0]);
    assert_eq!(places(&[1 << 40])[0].len(), 1024);
    assert_eq!(
        places(&[2; 20]).iter().filter(|places| places.len() == 2).count(),
        13
    );
}

#[test]
fn the_largest_page_is_bounded() {
    let places = places(&[300, 300, 300]);
    let n: usize = places.iter().map(Vec::len).product();
    let tensor = TensorSummary {
        shape: vec![300; 3],
        cells: Some(TensorCells {
            places,
            deepest: 1.0,
            values: Some((0..n).map(|i| ((i * 7919) % 33) as f32 / 16.0 - 1.0).collect()),
            ..TensorCells::default()
        }),
        ..summary()
    };
    let page = tensor.html().unwrap();
    assert!(page.len() < 400_000, "{}", page.len());
    assert!(
        page.contains("neuron 0–10 and 290–299 of 300"),
        "{}",
        &page[page.find("shown:").unwrap()..][..120]
    );
    assert!(
        crate::Explorable::bundle(&tensor)
            .data
            .contains_key("application/pdf")
    );
}

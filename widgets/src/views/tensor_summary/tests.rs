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
        data: None,
        preview: vec![0.5, -0.125, f32::INFINITY],
    }
}

#[test]
fn a_tensor_in_a_console() {
    let text = "activations (layer 6 × neuron 3,072 × position 43) float32\nmin -0.17  max 11.25  mean NaN\n[0.5, -0.125, inf, …]";
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

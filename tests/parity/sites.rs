//! What passes by each site against hooks in transformers.

use ecco_interpreter::unwatched;
use ecco_models::run::{Input, Place, run};
use ecco_tests::{assert_close, fixtures, model, of_all_layers};
use ndarray::{ArrayD, IxDyn};
use safetensors::SafeTensors;

/// From the axes that scripts see to (layer, position, width), heads side by side.
fn as_stored(place: Place, array: ArrayD<f32>) -> ArrayD<f32> {
    let rows = match place.axes() {
        ["layer", "position", _] => array,
        ["layer", "neuron", "position"] => array.permuted_axes(IxDyn(&[0, 2, 1])),
        ["layer", _, "position", "head_dim" | "state" | "value"] => array.permuted_axes(IxDyn(&[0, 2, 1, 3])),
        ["position", _] => array.insert_axis(ndarray::Axis(0)),
        axes => panic!("{axes:?} are not stored"),
    };
    let shape = rows.shape().to_vec();
    let width = shape[2..].iter().product();
    let rows = rows.as_standard_layout().into_owned();
    rows.into_shape_with_order(IxDyn(&[shape[0], shape[1], width]))
        .expect("the same numbers")
}

#[test]
fn every_site_is_transformers() {
    let folder = std::fs::read_dir(fixtures().join("sites")).expect("the fixtures are there");
    let (mut n, mut names) = (0, std::collections::BTreeSet::new());
    for file in folder.map(|entry| entry.expect("readable").path()) {
        let name = file.file_stem().expect("a name").to_string_lossy().into_owned();
        let bytes = std::fs::read(&file).expect("readable");
        let tensors = SafeTensors::deserialize(&bytes).expect("safetensors");
        let stored = |site: &str| {
            let view = tensors.tensor(site).expect("stored");
            let words = view.data().chunks_exact(4);
            let values = words.map(|word| f32::from_le_bytes(word.try_into().expect("4 bytes")));
            ArrayD::from_shape_vec(view.shape(), values.collect()).expect("shape and data agree")
        };
        let ids = |what: &str| stored(what).iter().map(|&id| id as u32).collect::<Vec<_>>();
        let is_family = fixtures().join("families").join(&name).is_dir();
        let model = model(
            &if is_family {
                format!("families/{name}")
            } else {
                name.clone()
            },
            "float32",
        );
        let input = Input::of(&model, ids("ids"), ids("target")).expect("it takes it");
        let run = run(&model, vec![input], 1, &mut unwatched)
            .expect("it runs")
            .remove(0);
        for site in tensors
            .names()
            .into_iter()
            .filter(|site| !["ids", "target"].contains(site))
        {
            let place = Place::parse(site).unwrap_or_else(|| panic!("{site} is no site"));
            let found = of_all_layers(run.records(), place, 0).expect(site);
            assert_close(
                &format!("{name} {site}"),
                &as_stored(place, found),
                &stored(site),
                1e-4,
            );
            names.insert(site.to_owned());
            n += 1;
        }
    }
    // Patterns are compared with the families' fixtures; the rest of what `lm.sites()` has is here.
    assert!(
        n >= 90 && names.len() >= 28,
        "{n} tensors of {} sites",
        names.len()
    );
    for site in [
        "queries",
        "keys",
        "values",
        "head_outputs",
        "attention_output",
        "cross_output",
        "mlp_up",
        "mlp_inner",
        "convolution_input",
        "convolution_output",
        "recurrent_state",
        "recurrent_output",
    ] {
        assert!(names.contains(site), "{site} is not compared");
    }
}

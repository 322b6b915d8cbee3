//! What is found over many texts: probes.

use ecco_widgets::*;

use crate::texts::hostile;

pub(crate) fn views() -> Vec<(&'static str, Box<dyn Explorable>)> {
    let words: Vec<String> = hostile().into_iter().map(|token| token.text).collect();
    let named = |probes: Probes| Probes {
        method: words[0].clone(),
        states: words[1].clone(),
        labels: [words[2].clone(), words[3].clone()],
        places: probes
            .places
            .into_iter()
            .zip(words.iter().cycle())
            .map(|(place, name)| ProbePlace {
                position: name.clone(),
                ..place
            })
            .collect(),
        ..probes
    };
    vec![
        ("probes", Box::new(probes())),
        ("probes-positions", Box::new(positions())),
        ("hostile-probes", Box::new(named(positions()))),
    ]
}

fn place(layer: usize, position: &str, accuracy: f64, control: Option<f64>) -> ProbePlace {
    ProbePlace {
        layer: Some(layer),
        position: position.to_owned(),
        accuracy,
        spread: 0.03 + 0.01 * (layer % 4) as f64,
        auc: (accuracy + 0.04).min(1.0),
        calibration_error: Some(0.18 - 0.12 * accuracy),
        control,
    }
}

/// How well the label is read after so many layers.
fn reached(layer: usize) -> f64 {
    0.54 + 0.43 * (1.0 - (-(layer as f64) / 3.0).exp()) - 0.002 * layer as f64
}

pub(crate) fn probes() -> Probes {
    Probes {
        model: Some("a model".to_owned()),
        method: "logistic regression".to_owned(),
        states: "residual_after at the last token".to_owned(),
        labels: ["person".to_owned(), "city".to_owned()],
        n_texts: [200, 112],
        folds: 5,
        majority: 0.56,
        places: (0..24)
            .map(|layer| {
                let control = 0.5 + 0.03 * (layer as f64 * 1.7).sin();
                place(layer, "", reached(layer), Some(control))
            })
            .collect(),
    }
}

fn positions() -> Probes {
    let of = |position: &'static str, from: usize| {
        let at = move |layer: usize| {
            let accuracy = reached(layer.saturating_sub(from));
            place(layer, position, accuracy, None)
        };
        (0..6).map(at)
    };
    Probes {
        method: "linear discriminant analysis".to_owned(),
        states: "residual_after at 3 tokens".to_owned(),
        places: of("-3", 5).chain(of("-2", 2)).chain(of("-1", 0)).collect(),
        ..probes()
    }
}

//! What the page of a saliency can ask, and a saliency's options as a script would give them.

use ecco_explain::Method;
use ecco_scripting::options::{TargetOption, Word};
use serde_json::{Map, Value, json};

use super::saliency::Saliency;
use super::saliency_options::{SaliencyOptions, UnitName};
use crate::live::Asked;

impl Saliency {
    pub(super) fn asked(&self) -> Asked {
        let names = |names: Vec<&'static str>| names.into_iter().map(Value::from).collect();
        let methods = Method::ALL.iter().map(|method| method.name()).collect();
        let units = UnitName::ALL.iter().map(|unit| unit.name()).collect();
        Asked::new(&self.passage, "saliency", (*self.asked).clone())
            .offering(vec![
                ("method", names(methods)),
                ("by", names(units)),
                ("style", names(vec!["minimal", "detailed"])),
            ])
            .at("position", true)
    }
}

/// The options that are not the defaults, by their names.
pub(super) fn named(options: &SaliencyOptions) -> Map<String, Value> {
    let SaliencyOptions { targets, .. } = options;
    let plain = json!({
        "target": targets.target.as_deref().map(several),
        "contrast": targets.contrast.as_ref().map(word),
        "position": targets.position.as_ref().map(|positions| one_or_many(&positions.0)),
        "of": targets.of.0.name(),
        "method": options.method.map(|method| method.0.name()),
        "n_steps": options.n_steps,
        "n_samples": options.n_samples,
        "noise": options.noise,
        "sigma": options.sigma,
        "window": options.window,
        "seed": options.seed,
        "baseline": options.baseline.as_ref().map(|baseline| &baseline.0),
        "aggregation": options.aggregation.map(|aggregation| aggregation.0.name()),
        "start_token": options.start_token,
        "by": options.by.map(|by| by.0.name()),
        "spans": options.spans.as_ref().map(|spans| {
            spans.iter().map(|span| [span.start, span.end]).collect::<Vec<_>>()
        }),
        "combine": options.combine.0.name(),
        "ignore_tokens": options.ignore_tokens.as_ref().map(|ignored| one_or_many(&ignored.0)),
        "style": options.style.0.name(),
    });
    let usual = json!({
        "of": "probability", "n_steps": 50, "noise": 0.1, "sigma": 0.15, "window": 1, "seed": 0, "start_token": false,
        "combine": "sum", "style": "minimal",
    });
    let Value::Object(plain) = plain else {
        return Map::new();
    };
    let is_told = |(name, value): &(String, Value)| !value.is_null() && usual[name.as_str()] != *value;
    plain.into_iter().filter(is_told).collect()
}

fn word(word: &Word) -> Value {
    match word {
        Word::Text(text) => text.as_str().into(),
        Word::Id(id) => (*id).into(),
    }
}

fn one_or_many(positions: &[usize]) -> Value {
    match positions {
        [one] => (*one).into(),
        many => many.into(),
    }
}

fn several(targets: &[TargetOption]) -> Value {
    let one = |target: &TargetOption| match target {
        TargetOption {
            target: Some(name),
            contrast: None,
            position: None,
        } => word(name),
        target => {
            let entries = [
                ("target", target.target.as_ref().map(word)),
                ("contrast", target.contrast.as_ref().map(word)),
                ("position", target.position.map(Value::from)),
            ];
            let given = entries
                .into_iter()
                .filter_map(|(name, value)| Some((name.to_owned(), value?)));
            Value::Object(given.collect())
        }
    };
    match targets {
        [target] => one(target),
        many => many.iter().map(one).collect(),
    }
}

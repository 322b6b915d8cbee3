//! Whether a saliency says what the model uses: measured when it is first shown or read, once for the same options.

use std::rc::Rc;

use ecco_explain::FaithfulnessOptions;
use ecco_explain::faithfulness::{Check, Figures};
use ecco_interpreter::{Explorable, MimeBundle};
use ecco_widgets::faithfulness::{Figure, Measured};
use ndarray::{ArrayD, IxDyn};
use serde_json::{Map, Value, json};

use super::finding::{Finding, Shown};
use super::saliency::{Saliency, quantity_text};
use super::tensor::Tensor;
use crate::errors::ScriptError;

#[derive(Clone)]
pub struct Faithfulness {
    pub saliency: Saliency,
    pub options: FaithfulnessOptions,
}

impl Faithfulness {
    pub fn measured(&self) -> Result<Rc<ecco_explain::Faithfulness>, ScriptError> {
        let Saliency { subject, options, .. } = &self.saliency;
        subject.faithfulness(&self.saliency.targets()?.list, options, &self.options)
    }

    pub fn view(&self) -> Result<ecco_widgets::Faithfulness, ScriptError> {
        let (measured, names) = (self.measured()?, self.saliency.target_names()?);
        let curve = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
        let target = |(check, target): (&Check, _)| Measured {
            target,
            deletion: curve(&check.found.deletion),
            insertion: curve(&check.found.insertion),
            random: check
                .random
                .as_ref()
                .map(|random| (curve(&random.deletion), curve(&random.insertion))),
        };
        Ok(ecco_widgets::Faithfulness {
            method: self.saliency.options.method.label().to_owned(),
            of: match self.saliency.of()? {
                of @ ecco_explain::Quantity::Entropy => quantity_text(of).to_owned(),
                _ => "probability".to_owned(),
            },
            steps: curve(&measured.steps),
            targets: measured.targets.iter().zip(names).map(target).collect(),
            figures: figures(&measured.figures(), measured.random().as_ref()),
        })
    }
}

/// What the figures measure, in the order of [`Figures::named`].
const ABOUT: [&str; 5] = [
    "what is lost without the highest sources",
    "what is lost with the highest sources alone",
    "how much less probable without the highest sources, as a logarithm",
    "area under the curve while sources go",
    "area under the curve while they come",
];

fn figures(found: &Figures, random: Option<&Figures>) -> Vec<Figure> {
    let random = random.map(Figures::named);
    let figure = |(index, (name, value, more_is_better)): (usize, (&str, f64, bool))| Figure {
        name: name.to_owned(),
        value,
        random: random.map(|random| random[index].1),
        more_is_better,
        about: ABOUT[index].to_owned(),
    };
    found.named().into_iter().enumerate().map(figure).collect()
}

impl Shown for Faithfulness {
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(self.view()?.bundle())
    }

    fn line(&self) -> String {
        format!("faithfulness of the {}", self.saliency.line())
    }
}

impl Finding for Faithfulness {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let measured = self.measured()?;
        let curves = |of: &dyn Fn(&Check) -> Vec<f64>| {
            let rows: Vec<Vec<f64>> = measured.targets.iter().map(of).collect();
            let width = rows.first().map_or(0, Vec::len);
            let values = rows.iter().flatten().map(|&value| value as f32).collect();
            let values = ArrayD::from_shape_vec(IxDyn(&[rows.len(), width]), values).unwrap_or_default();
            Tensor::new(values, &["target", "step"])
        };
        let mut tensors = vec![
            ("deletion", curves(&|check| check.found.deletion.clone())),
            ("insertion", curves(&|check| check.found.insertion.clone())),
        ];
        if measured.targets.iter().all(|check| check.random.is_some()) {
            let random = |check: &Check, of: fn(&ecco_explain::faithfulness::Measurement) -> &Vec<f64>| {
                check
                    .random
                    .as_ref()
                    .map(|random| of(random).clone())
                    .unwrap_or_default()
            };
            tensors.push((
                "random_deletion",
                curves(&|check| random(check, |random| &random.deletion)),
            ));
            tensors.push((
                "random_insertion",
                curves(&|check| random(check, |random| &random.insertion)),
            ));
        }
        Ok(tensors)
    }

    fn about(&self) -> Result<Map<String, Value>, ScriptError> {
        let measured = self.measured()?;
        let numbers = |figures: Figures| -> Map<String, Value> {
            figures
                .named()
                .into_iter()
                .map(|(name, value, _)| (name.to_owned(), json!(value)))
                .collect()
        };
        let mut about = self.saliency.subject.about();
        about.insert("method".into(), self.saliency.options.method.label().into());
        about.insert("targets".into(), json!(self.saliency.target_names()?));
        about.insert("steps".into(), json!(measured.steps));
        about.insert("fractions".into(), json!(self.options.fractions));
        about.insert("figures".into(), numbers(measured.figures()).into());
        about.insert("random".into(), measured.random().map(numbers).into());
        Ok(about)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        match axis {
            "target" => Some(
                self.saliency
                    .target_names()
                    .ok()?
                    .iter()
                    .map(|target| target.line())
                    .collect(),
            ),
            "step" => Some(self.options.steps().iter().map(|step| step.to_string()).collect()),
            _ => None,
        }
    }
}

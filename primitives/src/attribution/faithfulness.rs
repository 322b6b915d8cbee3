//! Whether a saliency says what the model uses: measured when it is first shown or read, once for the same options.

use std::rc::Rc;

use ecco_explain::FaithfulnessOptions;
use ecco_explain::faithfulness::{Check, Figures};
use ecco_widgets::Explorable;
use ecco_widgets::faithfulness::{Figure, Measurement};
use ndarray::{ArrayD, IxDyn};
use rhai::{Dynamic, Map};

use crate::attribution::computed;
use crate::attribution::saliency::{Saliency, quantity_text};
use crate::attribution::saliency_options::BaselineName;
use crate::live::Asking;
use crate::text::results::{OfText, Results};
use crate::text::shown::shown;
use ecco_scripting::live::Live;
use ecco_scripting::options::OneOrMany;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members, options};

options! {
    /// What `faithfulness` can be told.
    pub struct MeasurementOptions {
        /// of the tokens, for comprehensiveness, sufficiency and log-odds
        fractions: Option<OneOrMany<f64>> = "[0.1, 0.2, 0.5]",
        /// steps of the deletion and insertion curves
        n_steps: usize [1..] = 10,
        /// random orders that are measured beside
        n_random: usize = 5,
        /// of the random orders
        seed: u64 = 0,
        /// what stands in for tokens that are taken away
        baseline: Option<BaselineName> = "the saliency's",
    }
}

#[derive(Clone)]
pub(super) struct Faithfulness {
    pub saliency: Saliency,
    pub options: FaithfulnessOptions,
    asked: Option<Asking>,
}

impl Faithfulness {
    /// Nothing is measured yet.
    ///
    /// # Errors
    /// Fractions that are none, a baseline that the model does not have.
    fn new(saliency: &Saliency, options: MeasurementOptions) -> Result<Self, ScriptError> {
        let asked = Asking::new("faithfulness", &options).after(&saliency.asked);
        let fractions = options.fractions.map(|fractions| fractions.0);
        let how = FaithfulnessOptions {
            fractions: fractions.unwrap_or(FaithfulnessOptions::default().fractions),
            n_steps: options.n_steps,
            n_random: options.n_random,
            seed: options.seed,
            baseline: match options.baseline {
                Some(name) => name.baseline(&saliency.passage)?,
                None => saliency.options.baseline.clone(),
            },
        };
        how.check()?;
        Ok(Self {
            saliency: saliency.clone(),
            options: how,
            asked,
        })
    }

    pub(super) fn measured(&self) -> Result<Rc<ecco_explain::Faithfulness>, ScriptError> {
        let Saliency { passage, options, .. } = &self.saliency;
        computed::faithfulness(passage, &self.saliency.targets()?.list, options, &self.options)
    }

    pub(super) fn view(&self) -> Result<ecco_widgets::Faithfulness, ScriptError> {
        let (measured, names) = (self.measured()?, self.saliency.target_names()?);
        let curve = |values: &[f64]| values.iter().map(|&value| value as f32).collect::<Vec<f32>>();
        let target = |(check, target): (&Check, _)| Measurement {
            target,
            deletion: curve(&check.found.deletion),
            insertion: curve(&check.found.insertion),
            random: check
                .random
                .as_ref()
                .map(|random| (curve(&random.deletion), curve(&random.insertion))),
        };
        let passage = &self.saliency.passage;
        Ok(ecco_widgets::Faithfulness {
            model: Some(passage.model().card().name.clone()),
            tokens: shown(passage.tokens()),
            n_input: Some(passage.n_input()),
            method: self.saliency.options.method.label().to_owned(),
            of: match self.saliency.of()? {
                of @ ecco_explain::Quantity::Entropy => quantity_text(of).to_owned(),
                _ => "probability".to_owned(),
            },
            steps: curve(&measured.steps),
            fractions: self.options.fractions.clone(),
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

impl Show for Faithfulness {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()?))
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.asked.as_ref()?.live(&self.saliency.passage)
    }

    fn line(&self) -> String {
        format!("faithfulness of the {}", self.saliency.line())
    }
}

impl Explanation for Faithfulness {
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

impl OfText for Faithfulness {
    const NAME: &'static str = "faithfulness";

    fn figures(&self) -> Result<Vec<(String, Dynamic)>, ScriptError> {
        let measured = self.measured()?;
        let named = |before: &str, figures: &Figures| {
            let name = |name: &str| format!("{before}{}", name.replace('-', "_"));
            let figures = figures
                .named()
                .map(|(of, value, _)| (name(of), Dynamic::from_float(value)));
            figures.into_iter().collect::<Vec<_>>()
        };
        let random = measured.random().map(|random| named("random_", &random));
        Ok([named("", &measured.figures()), random.unwrap_or_default()].concat())
    }
}

/// Figures as a script has them: names without hyphens.
pub(super) fn figure_map(figures: &Figures) -> Map {
    let named = figures.named().into_iter();
    named
        .map(|(name, value, _)| (name.replace('-', "_").into(), Dynamic::from_float(value)))
        .collect()
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Saliency];
        /// Measures whether a saliency says what the model uses: what its targets lose when the tokens that it puts
        /// highest go, and what they keep with those alone, against random orders. It is measured when first shown or
        /// read; from then on the saliency shows it too.
        ///
        /// Example:
        /// ```rhai
        /// output.saliency().faithfulness(#{n_random: 20})
        /// ```
        fn faithfulness(saliency: &Saliency; options: MeasurementOptions) -> Faithfulness {
            Faithfulness::new(saliency, options)
        }
    }
    members! { registry, [Results];
        /// Measures each saliency of a list, as one is measured.
        ///
        /// Example:
        /// ```rhai
        /// lm.attribute(texts).faithfulness().table.group([], #{mean: "comprehensiveness", std: "comprehensiveness"})
        /// ```
        fn faithfulness(results: &Results; options: MeasurementOptions) -> Results {
            results.then(move |saliency: &Saliency| Faithfulness::new(saliency, options.clone()))
        }
    }
    members! { registry, [Faithfulness];
        /// The figures as a map, means over the targets: `comprehensiveness`, `sufficiency`, `log_odds`, `deletion`,
        /// `insertion`.
        get figures(faithfulness: &Faithfulness) -> Map { Ok(figure_map(&faithfulness.measured()?.figures())) }

        /// The same figures of random orders; `()` where none were measured.
        get random(faithfulness: &Faithfulness) -> Dynamic {
            let random = faithfulness.measured()?.random();
            Ok(random.map_or(Dynamic::UNIT, |random| figure_map(&random).into()))
        }
    }
}

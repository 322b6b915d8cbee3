//! Several attribution methods on the same targets: computed when first shown or read.

use std::cell::RefCell;
use std::rc::Rc;

use ecco_explain::agreement::{Agreement, MethodScores, agreement};
use ecco_explain::faithfulness::Figures;
use ecco_explain::{FaithfulnessOptions, Method};
use ecco_interpreter::{Explorable, MimeBundle};
use ecco_widgets::comparison::Compared;
use ndarray::{Array2, ArrayD};
use rhai::{Array, Dynamic};
use serde_json::{Map, Value, json};

use super::attributed::Computed;
use super::finding::{Finding, Shown};
use super::numbers::short;
use super::saliency::{Saliency, quantity_text};
use super::tensor::Tensor;
use crate::errors::{ErrorKind, ScriptError};

#[derive(Clone)]
pub struct Comparison(Rc<Inner>);

struct Inner {
    /// One for each method, of the same text and targets.
    saliencies: Vec<Saliency>,
    referee: usize,
    k: usize,
    /// How faithfulness is measured, where it is.
    faithfulness: Option<FaithfulnessOptions>,
    agreement: RefCell<Option<Rc<Agreement>>>,
}

impl Comparison {
    /// Of saliencies of the same text and targets, the one at `referee` among them.
    pub fn new(
        saliencies: Vec<Saliency>,
        referee: usize,
        k: usize,
        faithfulness: Option<FaithfulnessOptions>,
    ) -> Self {
        Self(Rc::new(Inner {
            saliencies,
            referee,
            k,
            faithfulness,
            agreement: RefCell::default(),
        }))
    }

    fn first(&self) -> Result<&Saliency, ScriptError> {
        let first = self.0.saliencies.first();
        first.ok_or_else(|| ScriptError::new(ErrorKind::Internal, "a comparison of no methods"))
    }

    fn computed(&self) -> Result<Vec<Computed>, ScriptError> {
        self.0.saliencies.iter().map(Saliency::computed).collect()
    }

    pub fn agreement(&self) -> Result<Rc<Agreement>, ScriptError> {
        if let Some(known) = &*self.0.agreement.borrow() {
            return Ok(Rc::clone(known));
        }
        let computed = self.computed()?;
        let scored: Vec<MethodScores> = computed
            .iter()
            .map(|one| MethodScores::new(one.attribution.method.name(), &one.attribution))
            .collect();
        let mut found = agreement(&scored, self.0.referee, self.0.k)?;
        if let Some(how) = &self.0.faithfulness {
            for (index, saliency) in self.0.saliencies.iter().enumerate() {
                let targets = &saliency.targets()?.list;
                let measured = saliency.subject.faithfulness(targets, &saliency.options, how)?;
                found.faithfulness[index] = Some(measured.figures());
                found.random = measured.random();
            }
        }
        let found = Rc::new(found);
        *self.0.agreement.borrow_mut() = Some(Rc::clone(&found));
        Ok(found)
    }

    /// The methods' places in the order of the table: the referee, then as far as they agree with it.
    fn order(&self, agreement: &Agreement) -> Vec<usize> {
        let place = |name: &str| agreement.methods.iter().position(|method| method == name);
        agreement
            .rows()
            .iter()
            .filter_map(|row| place(row.method))
            .collect()
    }

    pub fn view(&self) -> Result<ecco_widgets::Comparison, ScriptError> {
        let (agreement, computed, first) = (self.agreement()?, self.computed()?, self.first()?);
        let mut methods = Vec::new();
        for index in self.order(&agreement) {
            let saliency = &self.0.saliencies[index];
            let view = saliency.view()?;
            methods.push(Compared {
                method: saliency.options.method.label().to_owned(),
                is_referee: index == self.0.referee,
                scale: view.scale,
                scores: view.scores,
                figures: self.figures(&agreement, index, computed[index].seconds),
            });
        }
        Ok(ecco_widgets::Comparison {
            tokens: first.subject.shown(),
            n_input: first.subject.n_input(),
            of: quantity_text(first.of()?).to_owned(),
            targets: first.target_names()?,
            methods,
        })
    }

    fn figures(&self, agreement: &Agreement, index: usize, seconds: f64) -> Vec<(String, String)> {
        let with = |table: &Array2<f64>| table[[index, self.0.referee]];
        let part = |value: f64| match value.is_finite() {
            true => format!("{:.0}%", 100.0 * value),
            false => "–".to_owned(),
        };
        let number = |value: f64| match value.is_finite() {
            true => format!("{value:.2}"),
            false => "–".to_owned(),
        };
        let mut figures = vec![
            ("rank correlation".to_owned(), number(with(&agreement.spearman))),
            (
                format!("top {} in common", agreement.k),
                part(with(&agreement.top_k)),
            ),
            ("same first".to_owned(), part(with(&agreement.first))),
        ];
        if let Some(found) = &agreement.faithfulness[index] {
            figures.push(("comprehensiveness".into(), short(found.comprehensiveness)));
            figures.push(("sufficiency".into(), short(found.sufficiency)));
        }
        figures.push(("seconds".into(), short((seconds * 1000.0).round() / 1000.0)));
        figures
    }

    /// The table as maps.
    pub fn rows(&self) -> Result<Array, ScriptError> {
        let (agreement, computed) = (self.agreement()?, self.computed()?);
        let float = Dynamic::from_float;
        let row = |index: usize| {
            let with = |table: &Array2<f64>| float(table[[index, self.0.referee]]);
            let mut map = rhai::Map::from([
                ("method".into(), agreement.methods[index].clone().into()),
                ("is_referee".into(), (index == self.0.referee).into()),
                ("spearman".into(), with(&agreement.spearman)),
                ("kendall".into(), with(&agreement.kendall)),
                ("top_k".into(), with(&agreement.top_k)),
                ("same_first".into(), with(&agreement.first)),
                ("seconds".into(), float(computed[index].seconds)),
            ]);
            if let Some(found) = &agreement.faithfulness[index] {
                let figures = figure_map(found);
                map.extend(figures);
            }
            Dynamic::from_map(map)
        };
        Ok(self.order(&agreement).into_iter().map(row).collect())
    }
}

/// Faithfulness as a script has it: names without hyphens.
pub fn figure_map(figures: &Figures) -> rhai::Map {
    let named = figures.named().into_iter();
    named
        .map(|(name, value, _)| (name.replace('-', "_").into(), Dynamic::from_float(value)))
        .collect()
}

impl Shown for Comparison {
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(self.view()?.bundle())
    }

    fn line(&self) -> String {
        let names: Vec<&str> = self
            .0
            .saliencies
            .iter()
            .map(|saliency| saliency.options.method.name())
            .collect();
        let of = self
            .0
            .saliencies
            .first()
            .map_or("", |saliency| saliency.subject.line());
        format!("comparison of {} on {of}", names.join(", "))
    }
}

impl Finding for Comparison {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let agreement = self.agreement()?;
        let tensor = |table: &Array2<f64>| {
            let values: ArrayD<f32> = table.mapv(|value| value as f32).into_dyn();
            Tensor::new(values, &["method", "other"])
        };
        Ok(vec![
            ("spearman", tensor(&agreement.spearman)),
            ("kendall", tensor(&agreement.kendall)),
            ("top_k", tensor(&agreement.top_k)),
            ("same_first", tensor(&agreement.first)),
        ])
    }

    fn about(&self) -> Result<Map<String, Value>, ScriptError> {
        let (agreement, first) = (self.agreement()?, self.first()?);
        let seconds: Vec<f64> = self.computed()?.iter().map(|one| one.seconds).collect();
        let figures = agreement.faithfulness.iter().map(|found| {
            let named = found.iter().flat_map(|found| found.named());
            named
                .map(|(name, value, _)| (name.to_owned(), json!(value)))
                .collect::<Map<_, _>>()
        });
        let mut about = first.subject.about();
        about.insert("methods".into(), json!(agreement.methods));
        about.insert("referee".into(), json!(agreement.methods[agreement.referee]));
        about.insert("k".into(), json!(agreement.k));
        about.insert("seconds".into(), json!(seconds));
        about.insert("targets".into(), json!(first.target_names()?));
        about.insert("faithfulness".into(), figures.collect());
        Ok(about)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let names = self
            .0
            .saliencies
            .iter()
            .map(|saliency| saliency.options.method.name().to_owned());
        ["method", "other"].contains(&axis).then(|| names.collect())
    }
}

/// The referee where nothing is said.
pub const REFEREE: Method = Method::Occlusion;

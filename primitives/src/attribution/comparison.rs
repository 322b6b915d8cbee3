//! Several attribution methods on the same targets: computed when first shown or read.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use ecco_explain::agreement::{Agreement, MethodScores, agreement};
use ecco_explain::faithfulness::Figures;
use ecco_explain::{Aggregation, Baseline, FaithfulnessOptions, Method};
use ecco_widgets::Explorable;
use ecco_widgets::comparison::MethodRow;
use ndarray::{Array2, ArrayD};
use rhai::{Array, Dynamic};

use crate::attribution::computed::{self, Computed};
use crate::attribution::faithfulness::figure_map;
use crate::attribution::saliency::{Saliency, quantity_text};
use crate::attribution::saliency_options::{BaselineName, SaliencyOptions, TargetOptions};
use crate::live::Asking;
use crate::text::passage::Passage;
use crate::text::results::OfText;
use crate::text::shown::shown;
use ecco_scripting::live::Live;
use ecco_scripting::options::{Choice, OptionSet};
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError, options};

options! {
    /// How methods are compared.
    pub struct ComparisonOptions {
        /// the method that the others are measured by; it is added where it is missing
        referee: Choice<Method> = Choice(Method::Occlusion),
        /// how many of the highest tokens are held together
        k: usize [1..] = 5,
        /// measure each method by what the model does without the tokens it puts highest
        faithfulness: bool = true,
        /// what stands for nothing, in methods that need it and in the measurement
        baseline: Option<BaselineName> = "\"zero\"",
        /// how the numbers along an embedding become one
        aggregation: Option<Choice<Aggregation>> = "\"l2\"; \"sum\" where there is a contrast",
        /// steps of integrated gradients
        n_steps: usize [1..] = 50,
        /// passes of sampling methods
        n_samples: Option<usize> [1..] = "each method's own",
        /// of what is drawn at random
        seed: u64 = 0,
    }
}

options! {
    /// What is explained, and how methods are compared.
    pub struct OutputComparisonOptions {
        ..targets: TargetOptions,
        ..comparison: ComparisonOptions,
    }
}

/// Clones share what is computed.
#[derive(Clone)]
pub(super) struct Comparison(Rc<Contest>);

/// The methods, and how they are judged.
struct Contest {
    /// One for each method, of the same text and targets.
    saliencies: Vec<Saliency>,
    referee: usize,
    k: usize,
    /// How faithfulness is measured, where it is.
    faithfulness: Option<FaithfulnessOptions>,
    agreement: RefCell<Option<Rc<Agreement>>>,
    asked: Option<Asking>,
}

impl Comparison {
    /// `first` says the text, the targets and the options that all methods share.
    ///
    /// # Errors
    /// One method only.
    fn new(
        first: &Saliency,
        mut methods: Vec<Method>,
        options: &ComparisonOptions,
        asked: Option<Asking>,
    ) -> Result<Self, ScriptError> {
        let Choice(referee) = options.referee;
        if !methods.contains(&referee) {
            methods.push(referee);
        }
        if methods.len() < 2 {
            let message = format!("there is nothing to compare {} with", referee.name());
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("output.compare_methods([\"grad_x_input\", \"integrated_gradients\"])"));
        }
        let place = methods.iter().position(|&method| method == referee).unwrap_or(0);
        let shared = &first.options.baseline;
        let saliency = |&method: &Method| {
            let mut one = first.clone();
            one.options.method = method;
            // Methods without a baseline would refuse one that is meant for the others.
            if !method.has_baseline() {
                one.options.baseline = Baseline::default();
            }
            one
        };
        let measurement = || FaithfulnessOptions {
            seed: first.options.seed,
            baseline: shared.clone(),
            ..FaithfulnessOptions::default()
        };
        Ok(Self(Rc::new(Contest {
            saliencies: methods.iter().map(saliency).collect(),
            referee: place,
            k: options.k,
            faithfulness: options.faithfulness.then(measurement),
            agreement: RefCell::default(),
            asked,
        })))
    }

    pub(super) fn of_output(
        passage: Passage,
        methods: Vec<Method>,
        options: OutputComparisonOptions,
    ) -> Result<Self, ScriptError> {
        let asked = asked(&options, &methods);
        let comparison = options.comparison;
        let shared = SaliencyOptions {
            targets: options.targets,
            ..shared_options(&comparison)
        };
        Self::new(
            &Saliency::new(passage, shared)?,
            methods,
            &comparison,
            Some(asked),
        )
    }

    /// Of several texts of a model: with each method those about equally long side by side, where it allows that.
    pub(super) fn of_outputs(
        passages: &[Passage],
        methods: &[Method],
        options: &OutputComparisonOptions,
    ) -> Result<Vec<Self>, ScriptError> {
        let one = |passage: &Passage| Self::of_output(passage.clone(), methods.to_vec(), options.clone());
        let each = passages.iter().map(one).collect::<Result<Vec<Self>, _>>()?;
        let Some(first) = each.first() else {
            return Ok(each);
        };
        for (at, saliency) in first.0.saliencies.iter().enumerate() {
            let asked = |comparison: &Self| {
                let own = &comparison.0.saliencies[at];
                Ok((own.passage.clone(), own.targets()?.list.clone()))
            };
            let texts = each.iter().map(asked).collect::<Result<Vec<_>, ScriptError>>()?;
            computed::attributions(&texts, &saliency.options)?;
        }
        Ok(each)
    }

    /// Of the text and the targets of a saliency.
    pub(super) fn of_saliency(
        saliency: &Saliency,
        methods: Vec<Method>,
        options: ComparisonOptions,
    ) -> Result<Self, ScriptError> {
        let mut first = Saliency::new(saliency.passage.clone(), shared_options(&options))?;
        first.selection = saliency.selection.clone();
        if options.aggregation.is_none() {
            first.options.aggregation = saliency.options.aggregation;
        }
        if options.baseline.is_none() {
            first.options.baseline = saliency.options.baseline.clone();
        }
        let asked = asked(&options, &methods).after(&saliency.asked);
        Self::new(&first, methods, &options, asked)
    }

    fn first(&self) -> Result<&Saliency, ScriptError> {
        let first = self.0.saliencies.first();
        first.ok_or_else(|| ScriptError::new(ErrorKind::Internal, "a comparison of no methods"))
    }

    fn computed(&self) -> Result<Vec<Computed>, ScriptError> {
        self.0.saliencies.iter().map(Saliency::computed).collect()
    }

    /// All that is compared, as one piece of work.
    fn compute(&self) -> Result<(), ScriptError> {
        let asked = |one: &Saliency| Ok((one.targets()?.list.clone(), one.options.clone()));
        let all = self.0.saliencies.iter().map(asked);
        let all = all.collect::<Result<Vec<_>, ScriptError>>()?;
        computed::all_of(&self.first()?.passage, &all, self.0.faithfulness.as_ref())
    }

    pub(super) fn agreement(&self) -> Result<Rc<Agreement>, ScriptError> {
        if let Some(known) = &*self.0.agreement.borrow() {
            return Ok(Rc::clone(known));
        }
        self.compute()?;
        let computed = self.computed()?;
        let scored: Vec<MethodScores> = computed
            .iter()
            .map(|one| MethodScores::new(one.attribution.method.name(), &one.attribution))
            .collect();
        let mut found = agreement(&scored, self.0.referee, self.0.k)?;
        if let Some(how) = &self.0.faithfulness {
            for (index, saliency) in self.0.saliencies.iter().enumerate() {
                let targets = &saliency.targets()?.list;
                let measured = computed::faithfulness(&saliency.passage, targets, &saliency.options, how)?;
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

    pub(super) fn view(&self) -> Result<ecco_widgets::Comparison, ScriptError> {
        let (agreement, computed, first) = (self.agreement()?, self.computed()?, self.first()?);
        let (order, mut methods) = (self.order(&agreement), Vec::new());
        for &index in &order {
            let saliency = &self.0.saliencies[index];
            let (view, seconds) = (saliency.view()?, computed[index].seconds);
            methods.push(MethodRow {
                method: saliency.options.method.label().to_owned(),
                is_referee: index == self.0.referee,
                scale: view.scale,
                scores: view.scores,
                figures: self.figures(&agreement, index, seconds),
                faithfulness: named_figures(agreement.faithfulness[index].as_ref()),
                seconds: Some(seconds),
            });
        }
        let passage = &first.passage;
        Ok(ecco_widgets::Comparison {
            model: Some(passage.model().card().name.clone()),
            tokens: shown(passage.tokens()),
            n_input: passage.n_input(),
            of: quantity_text(first.of()?).to_owned(),
            targets: first.target_names()?,
            methods,
            k: Some(agreement.k),
            random: named_figures(agreement.random.as_ref()),
            agreement: tables(&agreement, &order),
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
    pub(super) fn rows(&self) -> Result<Array, ScriptError> {
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

fn named_figures(figures: Option<&Figures>) -> BTreeMap<String, f64> {
    let named = figures.into_iter().flat_map(Figures::named);
    named.map(|(name, value, _)| (name.to_owned(), value)).collect()
}

impl Show for Comparison {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()?))
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.0.asked.as_ref()?.live(&self.first().ok()?.passage)
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
            .map_or(String::new(), |saliency| saliency.passage.phrase());
        format!("comparison of {} on {of}", names.join(", "))
    }
}

impl Explanation for Comparison {
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

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let names = self
            .0
            .saliencies
            .iter()
            .map(|saliency| saliency.options.method.name().to_owned());
        ["method", "other"].contains(&axis).then(|| names.collect())
    }
}

impl OfText for Comparison {
    const NAME: &'static str = "comparison";

    /// Of each method but the referee how far it agrees with that, and how faithful it is.
    fn figures(&self) -> Result<Vec<(String, Dynamic)>, ScriptError> {
        let (agreement, referee) = (self.agreement()?, self.0.referee);
        let mut figures = Vec::new();
        for (at, method) in agreement.methods.iter().enumerate() {
            if at != referee {
                let with = agreement.spearman[[at, referee]];
                figures.push((format!("{method}_spearman"), Dynamic::from_float(with)));
            }
            if let Some(found) = &agreement.faithfulness[at] {
                let found = Dynamic::from_float(found.comprehensiveness);
                figures.push((format!("{method}_comprehensiveness"), found));
            }
        }
        Ok(figures)
    }
}

/// How far each method agrees with each, by the name of the number, in the order of the table.
fn tables(agreement: &Agreement, order: &[usize]) -> BTreeMap<String, Vec<Vec<f64>>> {
    let by_method = |table: &Array2<f64>| -> Vec<Vec<f64>> {
        let row = |&one: &usize| order.iter().map(|&other| table[[one, other]]).collect();
        order.iter().map(row).collect()
    };
    let named = [
        ("spearman", &agreement.spearman),
        ("kendall", &agreement.kendall),
        ("top_k", &agreement.top_k),
        ("same_first", &agreement.first),
    ];
    named
        .map(|(name, table)| (name.to_owned(), by_method(table)))
        .into()
}

fn asked<O: OptionSet>(options: &O, methods: &[Method]) -> Asking {
    let names: Vec<&str> = methods.iter().map(|method| method.name()).collect();
    Asking::new("compare_methods", options).with("methods", names)
}

fn shared_options(options: &ComparisonOptions) -> SaliencyOptions {
    SaliencyOptions {
        n_steps: options.n_steps,
        n_samples: options.n_samples,
        seed: options.seed,
        baseline: options.baseline.clone(),
        aggregation: options.aggregation,
        ..SaliencyOptions::default()
    }
}

//! `dictionary.attribute`: what an answer owes to features.

use std::cell::OnceCell;
use std::collections::HashMap;
use std::rc::Rc;

use ecco_explain::Target;
use ecco_explain::dictionary::{FeatureAttribution as Found, attribute_features};
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};
use ecco_widgets::Explorable;
use ndarray::{ArrayD, IxDyn};
use rhai::{Array, Dynamic, FLOAT, INT, Map};

use super::dictionary::Dictionary;
use crate::attribution::one_target::{OneTargetOptions, one_target};
use crate::attribution::saliency_members::completeness_map;
use crate::text::passage::Passage;

options! {
    /// What `attribute` can be told.
    pub struct FeatureAttributionOptions {
        ..of_target: OneTargetOptions,
        /// how many features the page names
        top: usize [1..] = 20,
        /// so many that contribute most are taken out, one by one, and the answer measured
        measure: usize = 0,
    }
}

/// Features that are named, or measured, at most.
const MOST: usize = 1000;

/// An answer by features. Clones share what is computed.
#[derive(Clone)]
pub(crate) struct FeatureAttribution(Rc<Inner>);

struct Inner {
    passage: Passage,
    dictionary: Dictionary,
    target: Target,
    /// The answer for people.
    answer: String,
    top: usize,
    measure: usize,
    found: OnceCell<Found>,
    totals: OnceCell<Vec<(u32, f64)>>,
}

impl FeatureAttribution {
    fn new(
        dictionary: &Dictionary,
        of: &Dynamic,
        options: &FeatureAttributionOptions,
    ) -> Result<Self, ScriptError> {
        for (name, n) in [("top", options.top), ("measure", options.measure)] {
            if n > MOST {
                let message = format!("{name} is {n}: at most {MOST} features are looked at");
                return Err(ScriptError::new(ErrorKind::Value, message).pointing_at(name));
            }
        }
        let passage = dictionary.passage(of)?;
        let (target, answer) = one_target(&passage, &options.of_target)?;
        Ok(Self(Rc::new(Inner {
            passage,
            dictionary: dictionary.clone(),
            target,
            answer,
            top: options.top,
            measure: options.measure,
            found: OnceCell::new(),
            totals: OnceCell::new(),
        })))
    }

    fn found(&self) -> Result<&Found, ScriptError> {
        let inner = &self.0;
        let (input, dictionary) = (inner.passage.input(), &inner.dictionary.loaded);
        inner.passage.found(
            &inner.found,
            |found| found.answer,
            |model, watch| attribute_features(model, input, dictionary, &inner.target, inner.measure, watch),
        )
    }

    /// By feature, largest first.
    fn totals(&self) -> Result<&[(u32, f64)], ScriptError> {
        let found = self.found()?;
        Ok(self.0.totals.get_or_init(|| found.totals()))
    }

    fn ranked(&self, of: fn(&(u32, f64)) -> f64) -> Result<Tensor, ScriptError> {
        let totals = self.totals()?;
        Ok(vector(totals.iter().map(of), "rank"))
    }

    /// A row for each of the features that contribute most, then what else there is.
    fn table(&self) -> Result<Table, ScriptError> {
        let (found, totals) = (self.found()?, self.totals()?);
        let shown = &totals[..totals.len().min(self.0.top)];
        let tokens = self
            .0
            .passage
            .model()
            .loaded()?
            .tokenizer()
            .tokens(self.0.passage.input().spoken());
        let mut where_active: HashMap<u32, (usize, usize, f64)> =
            shown.iter().map(|(feature, _)| (*feature, (0, 0, 0.0))).collect();
        for (position, row) in found.contributions.iter().enumerate() {
            for (feature, value) in row {
                if let Some((n, at, most)) = where_active.get_mut(feature) {
                    *n += 1;
                    if value.abs() >= most.abs() {
                        (*at, *most) = (position, *value);
                    }
                }
            }
        }
        let mut rows: Vec<[Dynamic; 5]> = Vec::new();
        for (feature, total) in shown {
            let (n, position, _) = where_active.get(feature).copied().unwrap_or_default();
            let token = tokens.get(position);
            let measured = found.measured.iter().find(|(of, _)| of == feature);
            rows.push([
                Dynamic::from_int(INT::from(*feature)),
                Dynamic::from_float(*total),
                measured.map_or(Dynamic::UNIT, |(_, value)| Dynamic::from_float(*value)),
                Dynamic::from_int(n as INT),
                token.map_or(Dynamic::UNIT, |token| {
                    Dynamic::from(format!("{position}: {}", token.text))
                }),
            ]);
        }
        let others: f64 = totals[shown.len()..].iter().map(|(_, value)| value).sum();
        let mut ends = vec![("other features".to_owned(), others)];
        let later: f64 = found.later.iter().flatten().map(|(_, value)| value).sum();
        if !found.later.is_empty() {
            ends.push(("by what they write in later layers".into(), -later));
        }
        ends.extend(
            found
                .earlier
                .iter()
                .enumerate()
                .map(|(layer, by_position)| (format!("features of layer {layer}"), by_position.iter().sum())),
        );
        ends.extend([
            ("error".to_owned(), found.error.iter().sum()),
            ("bias".to_owned(), found.rest.iter().sum()),
            ("sum".to_owned(), found.sum()),
        ]);
        for (name, value) in ends {
            let unit = Dynamic::UNIT;
            rows.push([
                name.into(),
                Dynamic::from_float(value),
                unit.clone(),
                unit.clone(),
                unit,
            ]);
        }
        let names = ["feature", "contribution", "measured", "positions", "most at"];
        let column = |at: usize| rows.iter().map(|row| row[at].clone()).collect();
        let columns = names.into_iter().enumerate();
        let columns = columns.filter(|(at, _)| *at != 2 || !found.measured.is_empty());
        Table::new(columns.map(|(at, name)| (name.to_owned(), column(at))).collect())
    }
}

fn vector(values: impl Iterator<Item = f64>, axis: &'static str) -> Tensor {
    let values: Vec<f32> = values.map(|value| value as f32).collect();
    let n = values.len();
    let array = ArrayD::from_shape_vec(IxDyn(&[n]), values);
    Tensor::new(array.unwrap_or_else(|_| ArrayD::zeros(IxDyn(&[0]))), &[axis])
}

impl Show for FeatureAttribution {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.table()?.shown()))
    }

    fn line(&self) -> String {
        let inner = &self.0;
        format!(
            "contributions of features to the {} of {}, by {}",
            inner.answer,
            inner.passage.phrase(),
            inner.dictionary.line()
        )
    }
}

impl Explanation for FeatureAttribution {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let found = self.found()?;
        Ok(vec![
            ("contributions", self.ranked(|total| total.1)?),
            ("features", self.ranked(|total| f64::from(total.0))?),
            ("error", vector(found.error.iter().copied(), "position")),
            ("bias", vector(found.rest.iter().copied(), "position")),
        ])
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Dictionary];
        /// What an answer owes to features: each one's activation times what a unit of what it writes changes of the answer,
        /// summed over positions. What the dictionary leaves out, and what it always adds, stand beside them, so that all of it
        /// sums to the site's value times its gradient. With `measure` the first features are taken out, one at a time, and
        /// what the answer loses is said beside. It is about an output, a run or a text.
        ///
        /// Example:
        /// ```rhai
        /// dictionary.attribute(lm.run("The Eiffel Tower is in"), #{target: " Paris", contrast: " Rome", measure: 10})
        /// ```
        fn attribute(dictionary: &Dictionary, of: Dynamic; options: FeatureAttributionOptions) -> FeatureAttribution {
            FeatureAttribution::new(dictionary, &of, &options)
        }
    }
    members! { registry, [FeatureAttribution];
        /// The features that are active somewhere, by how much they contribute.
        get features(owed: &FeatureAttribution) -> Array {
            Ok(owed.totals()?.iter().map(|(feature, _)| Dynamic::from_int(INT::from(*feature))).collect())
        }

        /// Their contributions in the same order, summed over positions: a tensor (rank).
        get contributions(owed: &FeatureAttribution) -> Tensor { owed.ranked(|total| total.1) }

        /// The contributions at a position, largest first: maps with `feature` and `contribution`.
        fn at(owed: &FeatureAttribution, position: INT) -> Array {
            let found = owed.found()?;
            let row = usize::try_from(position).ok().and_then(|position| found.at(position));
            let row = row.ok_or_else(|| {
                let n = found.contributions.len();
                let message = format!("there is no position {position}: the text has {n}, numbered from 0");
                ScriptError::new(ErrorKind::Index, message)
            })?;
            let one = |(feature, value): &(u32, f64)| Dynamic::from_map(Map::from([
                ("feature".into(), Dynamic::from_int(INT::from(*feature))),
                ("contribution".into(), Dynamic::from_float(*value)),
            ]));
            Ok(row.iter().map(one).collect())
        }

        /// What the first features were measured to carry: maps with `feature`, `contribution` and `measured`, what the answer
        /// loses without it.
        get measured(owed: &FeatureAttribution) -> Array {
            let one = |((feature, total), (_, value)): (&(u32, f64), &(u32, f64))| Dynamic::from_map(Map::from([
                ("feature".into(), Dynamic::from_int(INT::from(*feature))),
                ("contribution".into(), Dynamic::from_float(*total)),
                ("measured".into(), Dynamic::from_float(*value)),
            ]));
            // Those that contribute most were measured, in their order.
            Ok(owed.totals()?.iter().zip(&owed.found()?.measured).map(one).collect())
        }

        /// What the answer owes to the dictionary's error, at all positions together.
        get error(owed: &FeatureAttribution) -> FLOAT { Ok(owed.found()?.error.iter().sum()) }

        /// What it owes to what the dictionary always adds: its bias, and what goes by its features.
        get bias(owed: &FeatureAttribution) -> FLOAT { Ok(owed.found()?.rest.iter().sum()) }

        /// Of a layer of a cross-layer transcoder, what the answer owes to features of each layer below by what they write here:
        /// a tensor (layer).
        get earlier(owed: &FeatureAttribution) -> Tensor {
            let sums = owed.found()?.earlier.iter().map(|by_position| by_position.iter().sum());
            Ok(vector(sums, "layer"))
        }

        /// What of the contributions comes from what features of a cross-layer transcoder write in later layers; the sum is
        /// without it.
        get later(owed: &FeatureAttribution) -> FLOAT {
            Ok(owed.found()?.later.iter().flatten().map(|(_, value)| value).sum())
        }

        /// The answer itself.
        get value(owed: &FeatureAttribution) -> FLOAT { Ok(owed.found()?.answer) }

        /// Whether features, error and bias add up to the site's value times its gradient: `promised`, `error`, `relative`.
        get completeness(owed: &FeatureAttribution) -> Map {
            let found = Some(owed.found()?.completeness());
            Ok(completeness_map(&found).cast())
        }
    }
}

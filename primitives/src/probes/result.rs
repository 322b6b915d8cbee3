//! Probes as scripts hold them: their curve, a table, directions to steer with.

use std::rc::Rc;

use ecco_explain::intervention::steering::{SteeringOptions, TextPosition};
use ecco_explain::probe::{Probe, ProbeKind, ProbeOptions, majority};
use ecco_models::run::Place;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::table::Table;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};
use ecco_widgets::{Explorable, ProbePlace};
use ndarray::{Array, Array1, ArrayD, Axis, IxDyn, stack};
use rhai::{Dynamic, FLOAT, INT, Map};

use super::labels::Labels;
use super::options::PlaceOptions;
use crate::interventions::steering::SteeringVector;

/// Where the states come from.
pub(super) struct Origin {
    pub model: Option<String>,
    /// None of a tensor that was given.
    pub place: Option<Place>,
    /// What the positions are called, at least one.
    pub positions: Vec<String>,
    /// Of a tensor none.
    pub texts: Vec<String>,
}

/// Probes at some layers and positions. Clones share everything.
#[derive(Clone)]
pub(crate) struct Probes(Rc<Found>);

struct Found {
    origin: Origin,
    labels: Labels,
    settings: ProbeOptions,
    /// None where states are of no layer.
    layers: Vec<Option<usize>>,
    /// `[layer][position]`
    probes: Vec<Vec<Probe>>,
}

impl Probes {
    pub(super) fn new(
        origin: Origin,
        labels: Labels,
        settings: ProbeOptions,
        layers: Vec<Option<usize>>,
        probes: Vec<Vec<Probe>>,
    ) -> Self {
        Self(Rc::new(Found {
            origin,
            labels,
            settings,
            layers,
            probes,
        }))
    }

    /// The probe at a layer and position.
    fn at(&self, layer: INT, options: &PlaceOptions) -> Result<&Probe, ScriptError> {
        let found = &self.0;
        let row = found.layers.iter().position(|of| match of {
            Some(number) => i64::try_from(*number) == Ok(layer),
            None => layer == 0,
        });
        let row = row.ok_or_else(|| {
            let known: Vec<String> = found.layers.iter().flatten().map(usize::to_string).collect();
            let message = match known.is_empty() {
                true => format!("there is no layer {layer}: the states are of one, which is 0 here"),
                false => format!("layer {layer} was not probed, only {}", known.join(", ")),
            };
            ScriptError::new(ErrorKind::Index, message)
        })?;
        let of_layer = &found.probes[row];
        of_layer.get(options.position).ok_or_else(|| {
            let message = format!(
                "there is no position {}: {} were probed, numbered from 0",
                options.position,
                of_layer.len()
            );
            ScriptError::new(ErrorKind::Index, message).pointing_at("position")
        })
    }

    /// The number of the label that is meant.
    fn class(&self, options: &PlaceOptions) -> Result<usize, ScriptError> {
        self.0.labels.number(options.label.as_ref())
    }

    fn steering_vector(&self, layer: INT, options: &PlaceOptions) -> Result<SteeringVector, ScriptError> {
        let probe = self.at(layer, options)?;
        let Origin {
            place,
            texts,
            positions,
            ..
        } = &self.0.origin;
        let Some(place) = *place else {
            let message = "these probes are of a tensor, which does not say where in a model it belongs";
            return Err(ScriptError::new(ErrorKind::Value, message).with_hint(
                "lm.probe(texts, labels) knows; or add the direction where you want: #{site: \"residual_after\", layer: 2, \
                 vector: probes.direction(0)}",
            ));
        };
        let Labels { of: labels, .. } = &self.0.labels;
        let class = self.class(options)?;
        let settings = SteeringOptions {
            place,
            layer: usize::try_from(layer).unwrap_or(0),
            at: match positions[options.position.min(positions.len() - 1)].as_str() {
                "mean" => TextPosition::Mean,
                _ => TextPosition::Last,
            },
            unit: false,
        };
        let of = |has: bool| -> Rc<[String]> {
            let texts = texts.iter().zip(labels).filter(|(_, of)| (**of == class) == has);
            texts.map(|(text, _)| text.clone()).collect()
        };
        Ok(SteeringVector {
            asked: None,
            steering: Rc::new(probe.steering(settings, labels, class)),
            positive: of(true),
            negative: of(false),
        })
    }

    /// Every probe, with its layer and the number of its position.
    fn each(&self) -> impl Iterator<Item = (Option<usize>, usize, &Probe)> {
        let rows = self.0.layers.iter().zip(&self.0.probes);
        rows.flat_map(|(layer, row)| row.iter().enumerate().map(|(at, probe)| (*layer, at, probe)))
    }

    fn position_name(&self, at: usize) -> &str {
        self.0.origin.positions.get(at).map_or("", String::as_str)
    }

    fn table(&self) -> Result<Table, ScriptError> {
        let column = |name: &str, of: &dyn Fn(Option<usize>, usize, &Probe) -> Dynamic| {
            let values = self.each().map(|(layer, at, probe)| of(layer, at, probe));
            (name.to_owned(), values.collect::<Vec<Dynamic>>())
        };
        let float = Dynamic::from_float;
        Table::new(vec![
            column("layer", &|layer, _, _| number(layer)),
            column("position", &|_, at, _| self.position_name(at).to_owned().into()),
            column("accuracy", &|_, _, probe| float(probe.accuracy)),
            column("spread", &|_, _, probe| float(probe.spread)),
            column("shuffled", &|_, _, probe| given(probe.control)),
            column("selectivity", &|_, _, probe| {
                given(probe.accuracy - probe.control)
            }),
            column("auc", &|_, _, probe| given(probe.auc)),
            column("calibration_error", &|_, _, probe| {
                probe.calibration_error.map_or(Dynamic::UNIT, float)
            }),
            column("l2", &|_, _, probe| probe.l2.map_or(Dynamic::UNIT, float)),
        ])
    }

    /// The most accurate; of equals the first.
    fn best(&self) -> Map {
        let mut best: Option<(Option<usize>, usize, &Probe)> = None;
        for each in self.each() {
            if best.is_none_or(|(.., probe)| each.2.accuracy > probe.accuracy) {
                best = Some(each);
            }
        }
        let Some((layer, at, probe)) = best else {
            return Map::new();
        };
        Map::from([
            ("layer".into(), number(layer)),
            ("position".into(), Dynamic::from_int(at as INT)),
            ("accuracy".into(), Dynamic::from_float(probe.accuracy)),
        ])
    }

    fn states(&self) -> String {
        let origin = &self.0.origin;
        let site = origin.place.map_or("a tensor".to_owned(), Place::name);
        match origin.positions.as_slice() {
            _ if origin.place.is_none() => site,
            [one] => match one.as_str() {
                "-1" => format!("{site} at the last token"),
                "mean" => format!("{site}, the mean over the tokens"),
                at => format!("{site} at position {at}"),
            },
            many => format!("{site} at {} positions", many.len()),
        }
    }

    /// Of one number of each probe: (layer, position).
    fn numbers(&self, of: impl Fn(&Probe) -> f64) -> Tensor {
        let rows = &self.0.probes;
        let n_positions = rows.first().map_or(0, Vec::len);
        let values = Array::from_shape_fn(IxDyn(&[rows.len(), n_positions]), |at| {
            of(&rows[at[0]][at[1]]) as f32
        });
        Tensor::new(values, &["layer", "position"])
    }

    /// Of several numbers of each probe: (layer, position), then axes of their own, where all layers have as many.
    fn several(&self, of: impl Fn(&Probe) -> ArrayD<f64>, axes: &[&'static str]) -> Option<Tensor> {
        let all: Vec<ArrayD<f64>> = self.each().map(|(.., probe)| of(probe)).collect();
        let own = all.first()?.shape().to_vec();
        if all.iter().any(|values| values.shape() != own) {
            return None;
        }
        let shape = [&[self.0.probes.len(), self.0.probes[0].len()], &own[..]].concat();
        let values = all.iter().flatten().map(|&x| x as f32).collect();
        let values = Array::from_shape_vec(IxDyn(&shape), values).ok()?;
        Some(Tensor::new(values, &[&["layer", "position"], axes].concat()))
    }

    /// The labels that have a plane of their own: of two the second alone.
    fn planes(&self) -> std::ops::Range<usize> {
        match self.0.labels.names.len() {
            2 => 1..2,
            n => 0..n,
        }
    }

    /// Of a vector for each plane: (layer, position, hidden), with the labels before the last axis where there are several.
    fn vectors(&self, of: impl Fn(&Probe, usize) -> Array1<f64>) -> Option<Tensor> {
        if let [class] = self.planes().collect::<Vec<_>>()[..] {
            return self.several(|probe| of(probe, class).into_dyn(), &["hidden"]);
        }
        let rows = |probe: &Probe| {
            let rows: Vec<Array1<f64>> = self.planes().map(|class| of(probe, class)).collect();
            let views: Vec<_> = rows.iter().map(Array1::view).collect();
            // All are as long as the states.
            stack(Axis(0), &views).unwrap_or_default().into_dyn()
        };
        self.several(rows, &["label", "hidden"])
    }

    /// Of a number for each plane: (layer, position), with the labels last where there are several.
    fn levels(&self) -> Option<Tensor> {
        let level = |probe: &Probe, class: usize| probe.classifier.plane(class).1;
        match self.planes().len() {
            1 => Some(self.numbers(|probe| level(probe, 1))),
            _ => self.several(
                |probe| {
                    self.planes()
                        .map(|class| level(probe, class))
                        .collect::<Array1<f64>>()
                        .into_dyn()
                },
                &["label"],
            ),
        }
    }
}

fn number(layer: Option<usize>) -> Dynamic {
    layer.map_or(Dynamic::UNIT, |layer| Dynamic::from_int(layer as INT))
}

/// What is no number was not measured.
fn given(value: f64) -> Dynamic {
    match value.is_nan() {
        true => Dynamic::UNIT,
        false => Dynamic::from_float(value),
    }
}

fn vector(values: &Array1<f64>) -> Tensor {
    Tensor::new(values.mapv(|x| x as f32).into_dyn(), &["hidden"])
}

fn method(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Logistic => "logistic regression",
        ProbeKind::Ridge => "ridge regression",
        ProbeKind::MeanDifference => "difference of means",
        ProbeKind::Lda => "linear discriminant analysis",
        ProbeKind::Pca => "first principal component",
    }
}

impl Show for Probes {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let found = &self.0;
        let one = found.origin.positions.len() == 1;
        let place = |(layer, at, probe): (Option<usize>, usize, &Probe)| ProbePlace {
            layer,
            position: if one {
                String::new()
            } else {
                self.position_name(at).to_owned()
            },
            accuracy: probe.accuracy,
            spread: probe.spread,
            auc: probe.auc,
            calibration_error: probe.calibration_error,
            control: Some(probe.control).filter(|control| !control.is_nan()),
        };
        Ok(Box::new(ecco_widgets::Probes {
            model: found.origin.model.clone(),
            method: method(found.settings.kind).to_owned(),
            states: self.states(),
            labels: found.labels.names.clone(),
            n_texts: found.labels.counts(),
            folds: found.settings.folds,
            majority: majority(&found.labels.of),
            places: self.each().map(place).collect(),
        }))
    }

    fn line(&self) -> String {
        let n = self.each().count();
        let plural = if n == 1 { "" } else { "s" };
        format!(
            "{n} probe{plural} of {} ({})",
            self.states(),
            method(self.0.settings.kind)
        )
    }
}

impl Explanation for Probes {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let mut all = vec![
            ("accuracy", self.numbers(|probe| probe.accuracy)),
            ("spread", self.numbers(|probe| probe.spread)),
            ("shuffled", self.numbers(|probe| probe.control)),
            ("auc", self.numbers(|probe| probe.auc)),
        ];
        let coefficients = self.vectors(|probe, class| probe.classifier.plane(class).0);
        let directions = self.vectors(|probe, class| probe.classifier.direction(class));
        let named = [
            ("intercepts", self.levels()),
            ("coefficients", coefficients),
            ("directions", directions),
        ];
        all.extend(named.into_iter().filter_map(|(name, of)| Some((name, of?))));
        Ok(all)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        match axis {
            "position" => Some(self.0.origin.positions.clone()),
            "label" => Some(self.0.labels.names.clone()),
            "layer" => self
                .0
                .layers
                .iter()
                .map(|layer| layer.map(|layer| layer.to_string()))
                .collect(),
            _ => None,
        }
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Probes];
        /// A row for each layer and position: `accuracy` on texts left out and its `spread` between the parts, accuracy on
        /// `shuffled` labels, `selectivity`, which is the difference of the two, `auc`, `calibration_error` where the
        /// kind has probabilities, and `l2`, the penalty, where it has one.
        ///
        /// Example:
        /// ```rhai
        /// probes.table.sort("selectivity", #{descending: true}).head(3)
        /// ```
        get table(probes: &Probes) -> Table { probes.table() }

        /// Where the accuracy is largest: a map with `layer`, `position` (its number in `at`) and `accuracy`.
        get best(probes: &Probes) -> Map { Ok(probes.best()) }

        /// The share of the label that stands most often: what a probe has to be better than.
        get majority(probes: &Probes) -> FLOAT { Ok(majority(&probes.0.labels.of)) }

        /// The normal of a layer's plane, found with all texts: a tensor (hidden) of length 1, which points to a label, of two
        /// the second.
        ///
        /// Example:
        /// ```rhai
        /// probes.direction(4, #{label: "city"})
        /// ```
        fn direction(probes: &Probes, layer: INT; options: PlaceOptions) -> Tensor {
            Ok(vector(&probes.at(layer, &options)?.classifier.direction(probes.class(&options)?)))
        }

        /// The coefficients of a layer's plane, found with all texts, for values that are scaled by their mean and deviation as
        /// scikit-learn's StandardScaler does it (differences of means are of values as they are): a tensor (hidden).
        fn coefficients(probes: &Probes, layer: INT; options: PlaceOptions) -> Tensor {
            Ok(vector(&probes.at(layer, &options)?.classifier.plane(probes.class(&options)?).0))
        }

        /// The intercept that belongs to the coefficients.
        fn intercept(probes: &Probes, layer: INT; options: PlaceOptions) -> FLOAT {
            Ok(probes.at(layer, &options)?.classifier.plane(probes.class(&options)?).1)
        }

        /// The direction as what can be added where it comes from; its length is the distance of the labels' means along it, of
        /// several labels that of one from the texts of all others.
        ///
        /// Example:
        /// ```rhai
        /// let v = probes.steering_vector(probes.best.layer);
        /// lm.intervene(#{add: [#{vector: v, factor: -2.0}]}).generate("It was", #{generate: 8})
        /// ```
        fn steering_vector(probes: &Probes, layer: INT; options: PlaceOptions) -> SteeringVector {
            probes.steering_vector(layer, &options)
        }
    }
}

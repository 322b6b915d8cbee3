//! Linear probes: whether a label can be read off states by a plane, or by one for each label, and in which direction.
//!
//! Per place (a layer and position) the texts are divided into folds; what a probe says of a fold it learned from the others,
//! and these alone say how values are centred and scaled. Beside each accuracy stands that of the same probe on shuffled
//! labels: what is left of the difference is the probe's selectivity (Hewitt and Liang 2019, 1909.03368).
//!
//! - here: one probe; `folds`: which texts are left out together; `choice`: of a
//!   penalty; `fit`: the classifiers, as scikit-learn has them, `several` of
//!   more than two labels; `measures`: accuracy, AUC, calibration
//!
//! Alain and Bengio 2016 (1610.01644) is the method, Belinkov 2022 (2102.12452) what it does not say.

#[cfg(test)]
mod tests;

mod choice;
mod fit;
mod folds;
mod measures;
mod several;

use std::ops::ControlFlow;

use ecco_interpreter::{Progress, Watch, named};
use ecco_models::device::ensure_room;
use ndarray::{Array1, Array2, ArrayView2, Axis, concatenate};
use tch::Device;

use crate::error::{Result, refuse};
use crate::intervention::steering::{Steering, SteeringOptions};
use crate::random::RandomState;
use crate::states::LayerStates;
pub use choice::PENALTIES;
use fit::{Fitting, Space};
use folds::folds;
pub use folds::rarer;

named! {
/// How the plane is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProbeKind {
    /// Logistic regression: Σ ln(1 + exp(−y f)) + l2/2 ‖w‖² is least.
    #[default]
    Logistic = "logistic",
    /// Least squares on ±1: Σ (y − f)² + l2 ‖w‖² is least.
    Ridge = "ridge",
    /// From the mean of one label's texts to that of the other's, values as they are.
    MeanDifference = "mean_difference" | "mass_mean",
    /// Linear discriminant analysis: Gaussians of one covariance.
    Lda = "lda",
    /// The direction of the largest variance, whatever the labels, which only say which side is which.
    Pca = "pca",
}
}

impl ProbeKind {
    /// Whether large coefficients cost something.
    pub fn is_penalised(self) -> bool {
        matches!(self, Self::Logistic | Self::Ridge)
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct ProbeOptions {
    pub kind: ProbeKind,
    /// Parts that texts are divided into, at least 2.
    pub folds: usize,
    /// Weight of the penalty of large coefficients, for logistic and ridge: above 0. `None` for the best of [`PENALTIES`],
    /// found for each fold among the texts that are learned from.
    pub l2: Option<f64>,
    /// Which texts are in which fold, and which labels shuffling gives.
    pub seed: u64,
    /// How often labels are shuffled; 0 for no control.
    pub n_shuffles: usize,
    /// Of each text its group: those of one are in one fold.
    pub groups: Option<Vec<usize>>,
}

/// Planes: f(x) = Σ coefficient · (x − mean) / deviation + intercept. Of two labels there is one, and f is above 0 on the side
/// of the second; of more, each has one, and a text has that of the largest f.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    /// (plane, feature)
    pub coefficients: Array2<f64>,
    /// One for each plane.
    pub intercepts: Array1<f64>,
    /// Of the texts it learned from; 0 where values are taken as they are.
    pub mean: Array1<f64>,
    /// Of the texts it learned from (divided by their number); 1 where values are taken as they are or do not vary.
    pub deviation: Array1<f64>,
}

/// What a probe at one place says of texts that it has not seen, and the plane that it finds with all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// Share of labels that are right: the mean over the folds, and the deviation between them.
    pub accuracy: f64,
    pub spread: f64,
    /// Probability that a text of the second label is further on that side than one of the first: the mean over the folds. Of
    /// more labels, the mean over each against the others. NaN where no fold has both.
    pub auc: f64,
    /// Expected calibration error over ten bins of the probability, where the kind has probabilities.
    pub calibration_error: Option<f64>,
    /// Accuracy on shuffled labels, the mean over shuffles and folds; NaN without any.
    pub control: f64,
    pub classifier: Classifier,
    /// The penalty that it was found with; `None` of kinds that have none.
    pub l2: Option<f64>,
    /// How far each text reaches along the planes' normals of length 1 (text, plane), and how long texts' values are on average.
    pub reach: Array2<f64>,
    pub typical: f64,
}

/// Probes at every place: `[layer][position]`. Labels are classes, numbered from 0 on.
///
/// # Errors
/// Fewer texts of a label than folds, values that are no numbers, options out of bounds; no room; `watch`'s interruption.
pub fn probes(
    states: &[LayerStates],
    labels: &[usize],
    options: &ProbeOptions,
    watch: &mut Watch,
) -> Result<Vec<Vec<Probe>>> {
    check(labels, options)?;
    let folds = folds(labels, options)?;
    let places: usize = states.iter().map(|layer| layer.values.dim().1).sum();
    let mut done = 0;
    let mut all = Vec::new();
    for of_layer in states {
        let mut row = Vec::new();
        for position in 0..of_layer.values.dim().1 {
            let values = of_layer.values.index_axis(Axis(1), position);
            let mut work = Work {
                watch: &mut *watch,
                done,
                total: (places * (options.folds + 1)) as u64,
            };
            row.push(probe(values, labels, &folds, options, &mut work)?);
            done = work.done;
        }
        all.push(row);
    }
    Ok(all)
}

/// Where the work stands.
pub(crate) struct Work<'a, 'b> {
    pub watch: &'a mut Watch<'b>,
    pub done: u64,
    pub total: u64,
}

impl Work<'_, '_> {
    pub(crate) fn ask(&mut self) -> Result<()> {
        let progress = Progress {
            label: "probing".into(),
            done: self.done,
            total: Some(self.total),
            unit: "fits",
        };
        match (self.watch)(&progress).is_break() {
            true => Err(ecco_models::Error::Interrupted.into()),
            false => Ok(()),
        }
    }
}

fn check(labels: &[usize], options: &ProbeOptions) -> Result<()> {
    let rarer = rarer(labels);
    let n_classes = folds::n_classes(labels);
    if options.kind == ProbeKind::Pca && n_classes > 2 {
        let reason = format!("one direction does not tell {n_classes} labels apart: take another kind");
        return Err(refuse("kind", "pca", reason));
    }
    if rarer < 2 {
        let reason = "each kind has to stand at least twice: one is left out, and learned from another";
        return Err(refuse("labels", format!("{rarer} of one kind"), reason));
    }
    if options.folds < 2 || options.folds > rarer {
        let reason = format!("expected 2 to {rarer}, as often as the rarer label stands");
        return Err(refuse("folds", options.folds, reason));
    }
    match options.l2 {
        Some(l2) if !(l2 > 0.0 && l2.is_finite()) => Err(refuse("l2", l2, "expected a number above 0")),
        None if rarer < 4 => {
            let reason =
                "to choose it, each label has to stand at least 4 times: parts are left out of parts";
            Err(refuse("l2", "\"auto\"", reason))
        }
        _ => Ok(()),
    }
}

/// One place: `values` (text, feature).
fn probe(
    values: ArrayView2<f32>,
    labels: &[usize],
    folds: &[usize],
    options: &ProbeOptions,
    work: &mut Work,
) -> Result<Probe> {
    let (n, width) = values.dim();
    if let Some(((text, feature), value)) = values.indexed_iter().find(|(_, value)| !value.is_finite()) {
        let value = format!("{value} for text {text} at {feature}");
        return Err(refuse("the state", value, "a probe needs finite numbers"));
    }
    // The values, those of a fold, its scaled ones and their products.
    ensure_room(Device::Cpu, (5 * n * width * size_of::<f64>()) as u64, "a probe")?;
    let values = values.mapv(f64::from);
    let shuffled: Vec<Vec<usize>> = (0..options.n_shuffles)
        .map(|at| shuffled(labels, options.seed.wrapping_add(1 + at as u64)))
        .collect();
    let n_classes = folds::n_classes(labels);
    let n_planes = if n_classes == 2 { 1 } else { n_classes };
    let has_probabilities = matches!(options.kind, ProbeKind::Logistic | ProbeKind::Lda);
    let mut told = Array2::zeros((n, n_planes));
    let (mut accuracies, mut aucs, mut controls) = (Vec::new(), Vec::new(), Vec::new());
    for fold in 0..options.folds {
        let (kept, left): (Vec<usize>, Vec<usize>) = (0..n).partition(|&text| folds[text] != fold);
        let space = Space::new(values.select(Axis(0), &kept), options.kind, work)?;
        let unseen = values.select(Axis(0), &left);
        let l2 = choice::penalty(&values, labels, &kept, options, work)?;
        let tell = |labels: &[usize], work: &mut Work| -> Result<(Array2<f64>, Vec<usize>)> {
            let of = |texts: &[usize]| texts.iter().map(|&text| labels[text]).collect::<Vec<usize>>();
            let fitting = Fitting {
                kind: options.kind,
                l2,
                labels: &of(&kept),
                n_classes,
            };
            let classifier = fitting.fit(&space, work)?;
            Ok((classifier.decisions(&unseen), of(&left)))
        };
        let (decisions, truth) = tell(labels, work)?;
        accuracies.push(measures::accuracy(&decisions, &truth));
        aucs.extend(measures::auc(&decisions, &truth, has_probabilities));
        for labels in &shuffled {
            let (decisions, truth) = tell(labels, work)?;
            controls.push(measures::accuracy(&decisions, &truth));
        }
        for (&text, planes) in left.iter().zip(decisions.outer_iter()) {
            told.row_mut(text).assign(&planes);
        }
        work.done += 1;
    }
    let everything: Vec<usize> = (0..n).collect();
    let l2 = choice::penalty(&values, labels, &everything, options, work)?;
    let space = Space::new(values.clone(), options.kind, work)?;
    let fitting = Fitting {
        kind: options.kind,
        l2,
        labels,
        n_classes,
    };
    let classifier = fitting.fit(&space, work)?;
    work.done += 1;
    let (accuracy, spread) = measures::mean_and_deviation(&accuracies);
    Ok(Probe {
        accuracy,
        spread,
        auc: measures::mean_and_deviation(&aucs).0,
        calibration_error: has_probabilities.then(|| measures::calibration_error(&told, labels)),
        control: measures::mean_and_deviation(&controls).0,
        reach: values.dot(&classifier.normals().t()),
        l2: options.kind.is_penalised().then_some(l2),
        typical: values.outer_iter().map(|row| row.dot(&row).sqrt()).sum::<f64>() / n as f64,
        classifier,
    })
}

/// As many of each label, elsewhere.
fn shuffled(labels: &[usize], seed: u64) -> Vec<usize> {
    let order = RandomState::new(seed as u32).shuffled(labels.len());
    order.into_iter().map(|at| labels[at]).collect()
}

/// The share of the label that stands most often.
pub fn majority(labels: &[usize]) -> f64 {
    let most = folds::counts(labels).into_iter().max().unwrap_or(0);
    most as f64 / labels.len() as f64
}

/// The normal of the plane between two sets of texts, (text, feature), which points to the first, and the plane: logistic regression
/// with a penalty.
///
/// # Errors
/// `ask`'s interruption, no room.
pub(crate) fn direction(
    [to, from]: [ArrayView2<f64>; 2],
    l2: f64,
    ask: &mut dyn FnMut() -> ControlFlow<()>,
) -> Result<(Array1<f64>, Classifier)> {
    let labels: Vec<usize> = (0..to.dim().0)
        .map(|_| 1)
        .chain((0..from.dim().0).map(|_| 0))
        .collect();
    // Both are as wide.
    let values = concatenate(Axis(0), &[to, from]).unwrap_or_default();
    let watch = &mut |_: &Progress| ask();
    let mut work = Work {
        watch,
        done: 0,
        total: 1,
    };
    let kind = ProbeKind::Logistic;
    let space = Space::new(values, kind, &mut work)?;
    let fitting = Fitting {
        kind,
        l2,
        labels: &labels,
        n_classes: 2,
    };
    let classifier = fitting.fit(&space, &mut work)?;
    Ok((classifier.direction(1), classifier))
}

impl Classifier {
    /// f of each row of values (text, feature): (text, plane).
    pub fn decisions(&self, values: &Array2<f64>) -> Array2<f64> {
        let weights = &self.coefficients / &self.deviation;
        values.dot(&weights.t()) + (&self.intercepts - &weights.dot(&self.mean))
    }

    /// The planes' normals in the values as they are, of length 1; zeros where there is no plane: (plane, feature).
    fn normals(&self) -> Array2<f64> {
        let mut weights = &self.coefficients / &self.deviation;
        for mut plane in weights.outer_iter_mut() {
            let length = plane.dot(&plane).sqrt();
            if length > 0.0 {
                plane /= length;
            }
        }
        weights
    }

    /// The plane of a class, and on which side of it the class is.
    fn side(&self, class: usize) -> (usize, f64) {
        match (self.intercepts.len(), class) {
            (1, 0) => (0, -1.0),
            (1, _) => (0, 1.0),
            _ => (class, 1.0),
        }
    }

    /// The normal, of length 1, that points to a class.
    pub fn direction(&self, class: usize) -> Array1<f64> {
        let (plane, sign) = self.side(class);
        self.normals().row(plane).to_owned() * sign
    }

    /// The coefficients and the intercept of a class: its f.
    pub fn plane(&self, class: usize) -> (Array1<f64>, f64) {
        let (plane, sign) = self.side(class);
        (
            self.coefficients.row(plane).to_owned() * sign,
            self.intercepts[plane] * sign,
        )
    }
}

impl Probe {
    /// The normal that points to a class as what can be added at its place. Its length is the distance of the class's mean
    /// from that of the other texts along it.
    pub fn steering(&self, options: SteeringOptions, labels: &[usize], class: usize) -> Steering {
        let direction = self.classifier.direction(class).to_vec();
        let (plane, sign) = self.classifier.side(class);
        let reach: Vec<f64> = self
            .reach
            .column(plane)
            .iter()
            .map(|reach| reach * sign)
            .collect();
        let is_class: Vec<bool> = labels.iter().map(|label| *label == class).collect();
        Steering::along(options, &direction, &reach, &is_class, self.typical)
    }
}

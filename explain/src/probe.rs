//! Linear probes: whether a label can be read off states by a plane, and in which direction.
//!
//! Per place (a layer and position) the texts are divided into folds; what a probe says of a fold it learned from the others,
//! and these alone say how values are centred and scaled. Beside each accuracy stands that of the same probe on shuffled
//! labels: what is left of the difference is the probe's selectivity (Hewitt and Liang 2019, 1909.03368).
//!
//! - here: one probe; `folds`: which texts are left out together; `choice`: of a
//!   penalty; `fit`: the classifiers, as scikit-learn has them; `measures`:
//!   accuracy, AUC, calibration
//!
//! Alain and Bengio 2016 (1610.01644) is the method, Belinkov 2022 (2102.12452) what it does not say.

mod choice;
mod fit;
mod folds;
mod measures;

use ecco_interpreter::{Progress, Watch, named};
use ecco_models::device::ensure_room;
use ndarray::{Array1, Array2, ArrayView2, Axis};
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

/// A plane: f(x) = Σ coefficient · (x − mean) / deviation + intercept, above 0 on the side of the label that is true.
#[derive(Debug, Clone, PartialEq)]
pub struct Classifier {
    pub coefficients: Array1<f64>,
    pub intercept: f64,
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
    /// Probability that a text of the true label is further on that side than one of the other: the mean over the folds. NaN
    /// where no fold has both.
    pub auc: f64,
    /// Expected calibration error over ten bins of the probability, where the kind has probabilities.
    pub calibration_error: Option<f64>,
    /// Accuracy on shuffled labels, the mean over shuffles and folds; NaN without any.
    pub control: f64,
    pub classifier: Classifier,
    /// The penalty that it was found with; `None` of kinds that have none.
    pub l2: Option<f64>,
    /// How far each text reaches along the plane's normal of length 1, and how long texts' values are on average.
    pub reach: Vec<f64>,
    pub typical: f64,
}

/// Probes at every place: `[layer][position]`.
///
/// # Errors
/// Fewer texts of a label than folds, values that are no numbers, options out of bounds; no room; `watch`'s interruption.
pub fn probes(
    states: &[LayerStates],
    labels: &[bool],
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

fn check(labels: &[bool], options: &ProbeOptions) -> Result<()> {
    let rarer = rarer(labels);
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
    labels: &[bool],
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
    let shuffled: Vec<Vec<bool>> = (0..options.n_shuffles)
        .map(|at| shuffled(labels, options.seed.wrapping_add(1 + at as u64)))
        .collect();
    let mut told = vec![0.0; n];
    let (mut accuracies, mut aucs, mut controls) = (Vec::new(), Vec::new(), Vec::new());
    for fold in 0..options.folds {
        let (kept, left): (Vec<usize>, Vec<usize>) = (0..n).partition(|&text| folds[text] != fold);
        let space = Space::new(values.select(Axis(0), &kept), options.kind, work)?;
        let unseen = values.select(Axis(0), &left);
        let l2 = choice::penalty(&values, labels, &kept, options, work)?;
        let tell = |labels: &[bool], work: &mut Work| -> Result<(Vec<f64>, Vec<bool>)> {
            let of = |texts: &[usize]| texts.iter().map(|&text| labels[text]).collect::<Vec<bool>>();
            let fitting = Fitting {
                kind: options.kind,
                l2,
                labels: &of(&kept),
            };
            let classifier = fitting.fit(&space, work)?;
            Ok((classifier.decisions(&unseen).to_vec(), of(&left)))
        };
        let (decisions, truth) = tell(labels, work)?;
        accuracies.push(measures::accuracy(&decisions, &truth));
        aucs.extend(measures::auc(&decisions, &truth));
        for labels in &shuffled {
            let (decisions, truth) = tell(labels, work)?;
            controls.push(measures::accuracy(&decisions, &truth));
        }
        for (&text, decision) in left.iter().zip(decisions) {
            told[text] = decision;
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
    };
    let classifier = fitting.fit(&space, work)?;
    work.done += 1;
    let has_probabilities = matches!(options.kind, ProbeKind::Logistic | ProbeKind::Lda);
    let (accuracy, spread) = measures::mean_and_deviation(&accuracies);
    Ok(Probe {
        accuracy,
        spread,
        auc: measures::mean_and_deviation(&aucs).0,
        calibration_error: has_probabilities.then(|| measures::calibration_error(&told, labels)),
        control: measures::mean_and_deviation(&controls).0,
        reach: values.dot(&classifier.direction()).to_vec(),
        l2: options.kind.is_penalised().then_some(l2),
        typical: values.outer_iter().map(|row| row.dot(&row).sqrt()).sum::<f64>() / n as f64,
        classifier,
    })
}

/// As many of each label, elsewhere.
fn shuffled(labels: &[bool], seed: u64) -> Vec<bool> {
    let order = RandomState::new(seed as u32).shuffled(labels.len());
    order.into_iter().map(|at| labels[at]).collect()
}

/// The share of the label that stands most often.
pub fn majority(labels: &[bool]) -> f64 {
    let n_true = labels.iter().filter(|label| **label).count();
    n_true.max(labels.len() - n_true) as f64 / labels.len() as f64
}

impl Classifier {
    /// f of each row of values (text, feature).
    pub fn decisions(&self, values: &Array2<f64>) -> Array1<f64> {
        let weights = &self.coefficients / &self.deviation;
        values.dot(&weights) + (self.intercept - self.mean.dot(&weights))
    }

    /// The plane's normal in the values as they are, of length 1; zeros where there is no plane.
    pub fn direction(&self) -> Array1<f64> {
        let weights = &self.coefficients / &self.deviation;
        let length = weights.dot(&weights).sqrt();
        match length > 0.0 {
            true => weights / length,
            false => weights,
        }
    }
}

impl Probe {
    /// The plane's normal as what can be added at its place. Its length is the distance of the labels' means along it.
    pub fn steering(&self, options: SteeringOptions, labels: &[bool]) -> Steering {
        let direction: Vec<f64> = self.classifier.direction().to_vec();
        Steering::along(options, &direction, &self.reach, labels, self.typical)
    }
}

#[cfg(test)]
mod tests {
    use ecco_interpreter::unwatched;
    use ndarray::Array3;

    use super::*;

    fn options(kind: ProbeKind) -> ProbeOptions {
        ProbeOptions {
            kind,
            folds: 4,
            l2: Some(1.0),
            seed: 0,
            n_shuffles: 20,
            groups: None,
        }
    }

    /// The label stands in three of 12 features, behind noise.
    fn planted(n: usize) -> (Vec<LayerStates>, Vec<bool>) {
        let mut random = RandomState::new(7);
        let labels: Vec<bool> = (0..n).map(|text| text % 3 == 0).collect();
        let values = Array3::from_shape_fn((n, 1, 12), |(text, _, feature)| {
            let sign = if labels[text] { 1.0 } else { -1.0 };
            let noise = random.normal();
            (if (2..5).contains(&feature) {
                3.0 * sign + noise
            } else {
                noise
            }) as f32
        });
        let layer = Some(0);
        (vec![LayerStates { layer, values }], labels)
    }

    #[test]
    fn every_kind_finds_what_is_planted_and_nothing_in_shuffled_labels() {
        let (states, labels) = planted(90);
        for &kind in ProbeKind::ALL {
            let found = probes(&states, &labels, &options(kind), &mut unwatched).unwrap();
            let probe = &found[0][0];
            assert!(probe.accuracy > 0.97 && probe.auc > 0.99, "{kind:?}: {probe:?}");
            assert!(probe.control < 0.75, "{kind:?}: {}", probe.control);
            let direction = probe.classifier.direction();
            let along = direction.slice(ndarray::s![2..5]).sum() / 3f64.sqrt();
            assert!(
                along > 0.6 && (direction.dot(&direction) - 1.0).abs() < 1e-9,
                "{kind:?}: {along}"
            );
            let has = matches!(kind, ProbeKind::Logistic | ProbeKind::Lda);
            assert_eq!(probe.calibration_error.is_some(), has);
        }
        assert!((majority(&labels) - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn texts_of_a_group_are_left_out_together() {
        let (_, labels) = planted(60);
        let groups: Vec<usize> = (0..60).map(|text| text / 6).collect();
        let with = ProbeOptions {
            groups: Some(groups.clone()),
            ..options(ProbeKind::Ridge)
        };
        let folds = folds(&labels, &with).unwrap();
        for group in 0..10 {
            let of: Vec<usize> = (0..60).filter(|&text| groups[text] == group).collect();
            assert!(of.iter().all(|&text| folds[text] == folds[of[0]]));
        }
        let sizes: Vec<usize> = (0..4)
            .map(|fold| folds.iter().filter(|of| **of == fold).count())
            .collect();
        assert_eq!(sizes.iter().sum::<usize>(), 60);
        assert!(sizes.iter().all(|size| (12..=18).contains(size)), "{sizes:?}");
        let few = ProbeOptions {
            groups: Some(vec![0; 60]),
            ..with
        };
        assert!(
            super::folds(&labels, &few)
                .unwrap_err()
                .to_string()
                .contains("groups")
        );
    }

    #[test]
    fn folds_have_shares_like_the_whole() {
        let (_, labels) = planted(90);
        let folds = folds(&labels, &options(ProbeKind::Lda)).unwrap();
        for fold in 0..4 {
            let of: Vec<bool> = labels
                .iter()
                .zip(&folds)
                .filter(|(_, f)| **f == fold)
                .map(|(l, _)| *l)
                .collect();
            let n_true = of.iter().filter(|label| **label).count();
            assert!(
                (22..=23).contains(&of.len()) && (7..=8).contains(&n_true),
                "{}: {n_true}",
                of.len()
            );
        }
    }

    #[test]
    fn what_cannot_be_probed_is_said() {
        let (mut states, labels) = planted(30);
        let error = |states: &[LayerStates], labels: &[bool], options: &ProbeOptions| {
            probes(states, labels, options, &mut unwatched)
                .unwrap_err()
                .to_string()
        };
        let usual = options(ProbeKind::Logistic);
        let many = ProbeOptions {
            folds: 11,
            ..usual.clone()
        };
        assert_eq!(
            error(&states, &labels, &many),
            "folds is 11: expected 2 to 10, as often as the rarer label stands"
        );
        let without = ProbeOptions {
            l2: Some(0.0),
            ..usual.clone()
        };
        assert!(error(&states, &labels, &without).starts_with("l2 is 0"));
        states[0].values[[4, 0, 5]] = f32::NAN;
        assert!(error(&states, &labels, &usual).starts_with("the state is NaN for text 4 at 5"));
    }

    #[test]
    fn an_interrupt_is_heard() {
        let (states, labels) = planted(30);
        let stop = &mut |_: &Progress| std::ops::ControlFlow::Break(());
        for &kind in ProbeKind::ALL {
            assert!(
                probes(&states, &labels, &options(kind), stop).is_err(),
                "{kind:?}"
            );
        }
    }
}

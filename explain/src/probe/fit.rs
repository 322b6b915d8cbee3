//! The classifiers, with the results of scikit-learn's: `LogisticRegression(C=1/l2)`, `Ridge(alpha=l2)` on ±1,
//! `LinearDiscriminantAnalysis()`, on values that `StandardScaler` has scaled.

use ecco_interpreter::Watch;
use ndarray::{Array1, Array2, Axis, concatenate, s};

use super::{Classifier, ProbeKind, Work, several};
use crate::algebra::{solve, svd};
use crate::aside::decomposition;
use crate::error::{Result, refuse};
use crate::linalg;

/// Texts that classifiers learn from.
pub(super) struct Space {
    /// Scaled, or as they are where the kind takes them so: (text, feature).
    values: Array2<f64>,
    mean: Array1<f64>,
    deviation: Array1<f64>,
    /// Where there are fewer texts than features: an orthonormal basis (feature, text) of what the texts span. A penalty on
    /// the length keeps the coefficients in there, so that they are looked for with as many numbers as there are texts.
    basis: Option<Array2<f64>>,
}

/// What is fitted to them.
pub(super) struct Fitting<'a> {
    pub kind: ProbeKind,
    pub l2: f64,
    /// Of each text its class.
    pub labels: &'a [usize],
    pub n_classes: usize,
}

/// Of two classes: whether a text has the second.
struct Two<'a> {
    kind: ProbeKind,
    l2: f64,
    labels: &'a [bool],
}

/// Newton steps at most: each halves the distance several times over, so more would not help.
pub(super) const MOST_STEPS: usize = 100;
/// Gradient at which it ends, for each text.
pub(super) const CLOSE: f64 = 1e-10;
/// Singular values below this count as 0, as scikit-learn's `tol` of the discriminant analysis.
const LEAST: f64 = 1e-4;

impl Space {
    pub(super) fn new(values: Array2<f64>, kind: ProbeKind, work: &mut Work) -> Result<Self> {
        work.ask()?;
        let (n, width) = values.dim();
        if kind == ProbeKind::MeanDifference {
            return Ok(Self {
                values,
                mean: Array1::zeros(width),
                deviation: Array1::ones(width),
                basis: None,
            });
        }
        let mean = values.sum_axis(Axis(0)) / n as f64;
        let mut values = values - &mean;
        let deviation = (&values * &values).sum_axis(Axis(0)) / n as f64;
        // Of equal numbers rounding leaves something, as the mean is not quite one of them.
        let is_none = |value: f64, mean: f64| value <= 10.0 * f64::EPSILON * mean.abs();
        let mut deviation = deviation.mapv(f64::sqrt);
        deviation.zip_mut_with(&mean, |value, &mean| {
            if is_none(*value, mean) {
                *value = 1.0;
            }
        });
        values /= &deviation;
        let basis = match kind.is_penalised() && n < width {
            true => Some(basis(values.t().to_owned(), work.watch)?),
            false => None,
        };
        Ok(Self {
            values,
            mean,
            deviation,
            basis,
        })
    }

    /// The values in the basis, (text, number).
    pub(super) fn coordinates(&self) -> Array2<f64> {
        match &self.basis {
            Some(basis) => self.values.dot(basis),
            None => self.values.clone(),
        }
    }

    /// Coefficients of the features.
    fn of_features(&self, weights: &Array1<f64>) -> Array1<f64> {
        match &self.basis {
            Some(basis) => basis.dot(weights),
            None => weights.clone(),
        }
    }

    /// The same of several planes: (number, plane) to (plane, feature).
    pub(super) fn all_of_features(&self, weights: &Array2<f64>) -> Array2<f64> {
        match &self.basis {
            Some(basis) => basis.dot(weights).reversed_axes(),
            None => weights.t().to_owned(),
        }
    }

    pub(super) fn width(&self) -> usize {
        self.mean.len()
    }

    /// Mean of the texts whose labels are meant.
    pub(super) fn mean_of<L: Copy>(&self, labels: &[L], is_meant: impl Fn(L) -> bool) -> Array1<f64> {
        let texts: Vec<usize> = (0..labels.len()).filter(|&text| is_meant(labels[text])).collect();
        self.values.select(Axis(0), &texts).sum_axis(Axis(0)) / texts.len() as f64
    }

    /// Gaussians of one covariance, as scikit-learn's solver `svd` (since 1.9: before, the variance was divided by n − classes):
    /// (class, feature), and an intercept for each.
    pub(super) fn lda(
        &self,
        labels: &[usize],
        n_classes: usize,
        work: &mut Work,
    ) -> Result<(Array2<f64>, Array1<f64>)> {
        let (n, x) = (labels.len(), &self.values);
        let count = |class: usize| labels.iter().filter(|label| **label == class).count();
        let shares: Vec<f64> = (0..n_classes)
            .map(|class| count(class) as f64 / n as f64)
            .collect();
        let means: Vec<Array1<f64>> = (0..n_classes)
            .map(|class| self.mean_of(labels, |label| label == class))
            .collect();
        let middle = means
            .iter()
            .zip(&shares)
            .fold(Array1::zeros(self.width()), |sum, (mean, share)| {
                sum + mean * *share
            });
        let mut within = x.clone();
        for (mut row, &label) in within.outer_iter_mut().zip(labels) {
            row -= &means[label];
        }
        let mut deviation = ((&within * &within).sum_axis(Axis(0)) / n as f64).mapv(f64::sqrt);
        deviation.mapv_inplace(|value| if value == 0.0 { 1.0 } else { value });
        within = within / &deviation / (n as f64).sqrt();
        let (_, singular, directions) = svd(within, work.watch)?;
        let rank = singular.iter().filter(|value| **value > LEAST).count();
        // (feature, number): values times this have the same variance in every direction.
        let mut scaling = (&directions.slice(s![..rank, ..]) / &deviation).reversed_axes();
        scaling /= &singular.slice(s![..rank]);
        let mut between = Array2::zeros((n_classes, rank));
        for (class, mut row) in between.outer_iter_mut().enumerate() {
            // scikit-learn divides by one less than the classes, which leaves the directions.
            row.assign(&((&means[class] - &middle).dot(&scaling) * (n as f64 * shares[class]).sqrt()));
        }
        let (_, singular, directions) = svd(between, work.watch)?;
        let largest = singular.first().copied().unwrap_or(0.0);
        let rank = singular.iter().filter(|value| **value > LEAST * largest).count();
        let scaling = scaling.dot(&directions.slice(s![..rank, ..]).t());
        let mut coefficients = Array2::zeros((n_classes, self.width()));
        let mut intercepts = Array1::zeros(n_classes);
        for class in 0..n_classes {
            let reach = (&means[class] - &middle).dot(&scaling);
            let of_class = scaling.dot(&reach);
            intercepts[class] = shares[class].ln() - reach.dot(&reach) / 2.0 - middle.dot(&of_class);
            coefficients.row_mut(class).assign(&of_class);
        }
        Ok((coefficients, intercepts))
    }
}

fn basis(columns: Array2<f64>, watch: &mut Watch) -> Result<Array2<f64>> {
    let found = decomposition(columns.dim(), move |_| linalg::orthonormal(columns.view()), watch);
    found.unwrap_or_else(|| Err(ecco_models::Error::Interrupted.into()))
}

impl Fitting<'_> {
    /// # Errors
    /// `work`'s interruption, no room.
    pub(super) fn fit(&self, space: &Space, work: &mut Work) -> Result<Classifier> {
        work.ask()?;
        let (coefficients, intercepts) = match self.n_classes {
            2 => {
                let labels: Vec<bool> = self.labels.iter().map(|label| *label == 1).collect();
                let (kind, l2) = (self.kind, self.l2);
                let two = Two {
                    kind,
                    l2,
                    labels: &labels,
                };
                let (coefficients, intercept) = two.plane(space, work)?;
                (coefficients.insert_axis(Axis(0)), Array1::from_elem(1, intercept))
            }
            _ => several::planes(self, space, work)?,
        };
        Ok(Classifier {
            coefficients,
            intercepts,
            mean: space.mean.clone(),
            deviation: space.deviation.clone(),
        })
    }
}

impl Two<'_> {
    fn plane(&self, space: &Space, work: &mut Work) -> Result<(Array1<f64>, f64)> {
        let n_true = self.labels.iter().filter(|label| **label).count();
        if n_true == 0 || n_true == self.labels.len() {
            // Shuffling may leave one label only: nothing is to be learned but that.
            let side = if n_true == 0 { -1.0 } else { 1.0 };
            return Ok((Array1::zeros(space.width()), side));
        }
        let mean_of = |label: bool| space.mean_of(self.labels, |of| of == label);
        Ok(match self.kind {
            ProbeKind::Logistic => {
                let (weights, intercept) = self.logistic(&space.coordinates(), work)?;
                (space.of_features(&weights), intercept)
            }
            ProbeKind::Ridge => {
                let (weights, intercept) = self.ridge(&space.coordinates(), work)?;
                (space.of_features(&weights), intercept)
            }
            ProbeKind::MeanDifference => self.halfway(space, mean_of(true) - mean_of(false)),
            ProbeKind::Lda => {
                let labels: Vec<usize> = self.labels.iter().map(|label| usize::from(*label)).collect();
                let (planes, levels) = space.lda(&labels, 2, work)?;
                (&planes.row(1) - &planes.row(0), levels[1] - levels[0])
            }
            ProbeKind::Pca => {
                let (_, _, directions) = svd(space.values.clone(), work.watch)?;
                let direction = directions.row(0).to_owned();
                let apart = mean_of(true) - mean_of(false);
                let sign = if apart.dot(&direction) < 0.0 { -1.0 } else { 1.0 };
                self.halfway(space, direction * sign)
            }
        })
    }

    /// The plane between the means of both labels, across a direction.
    fn halfway(&self, space: &Space, direction: Array1<f64>) -> (Array1<f64>, f64) {
        let ends = space.mean_of(self.labels, |of| of) + space.mean_of(self.labels, |of: bool| !of);
        let intercept = -ends.dot(&direction) / 2.0;
        (direction, intercept)
    }

    /// ±1 by label.
    fn signs(&self) -> Array1<f64> {
        self.labels
            .iter()
            .map(|&label| if label { 1.0 } else { -1.0 })
            .collect()
    }

    fn ridge(&self, x: &Array2<f64>, work: &mut Work) -> Result<(Array1<f64>, f64)> {
        let signs = self.signs();
        // The columns have mean 0, so the intercept is the signs' mean.
        let intercept = signs.sum() / signs.len() as f64;
        let mut products = linalg::product(x.t(), x.view(), || work.ask())?;
        products.diag_mut().mapv_inplace(|value| value + self.l2);
        let right = x.t().dot(&(signs - intercept)).insert_axis(Axis(1));
        Ok((
            solve(products, right, work.watch)?.column(0).to_owned(),
            intercept,
        ))
    }

    /// By Newton's method; the intercept, which stands last in `w`, is not penalised.
    fn logistic(&self, x: &Array2<f64>, work: &mut Work) -> Result<(Array1<f64>, f64)> {
        let (n, width) = x.dim();
        let ones = Array2::ones((n, 1));
        // Both have n rows.
        let x = concatenate(Axis(1), &[x.view(), ones.view()]).unwrap_or_default();
        let penalty = Array1::from_shape_fn(width + 1, |at| if at < width { self.l2 } else { 0.0 });
        let signs = self.signs();
        let loss = |w: &Array1<f64>| {
            let margins = x.dot(w) * &signs;
            // ln(1 + e^−m) without overflow.
            let losses = margins.mapv(|m| (-m.abs()).exp().ln_1p() + (-m).max(0.0));
            losses.sum() + (&penalty * w * w).sum() / 2.0
        };
        let mut w = Array1::zeros(width + 1);
        for _ in 0..MOST_STEPS {
            work.ask()?;
            // −y σ(−y f), and σ(f) σ(−f).
            let margins = x.dot(&w) * &signs;
            let unlike = margins.mapv(|m| 1.0 / (1.0 + m.exp()));
            let gradient = &penalty * &w - x.t().dot(&(&signs * &unlike));
            if gradient.iter().all(|slope| slope.abs() <= CLOSE * n as f64) {
                break;
            }
            let weights = unlike.mapv(|p| p * (1.0 - p)).insert_axis(Axis(1));
            let weighted = &x * &weights;
            let mut curvature = linalg::product(x.t(), weighted.view(), || work.ask())?;
            curvature.diag_mut().scaled_add(1.0, &penalty);
            let right = gradient.clone().insert_axis(Axis(1));
            let unsolved = |_| {
                refuse(
                    "l2",
                    self.l2,
                    "the coefficients grow without end: take a larger one",
                )
            };
            let step = match solve(curvature, right, work.watch) {
                Err(error) if !is_interrupt(&error) => Err(unsolved(error)),
                step => step,
            }?;
            let step = step.column(0);
            let (before, falls) = (loss(&w), gradient.dot(&step));
            let mut part = 1.0;
            while part > 1e-8 && loss(&(&w - &(&step * part))) > before - 1e-4 * part * falls {
                part /= 2.0;
            }
            w.scaled_add(-part, &step);
        }
        Ok((w.slice(s![..width]).to_owned(), w[width]))
    }
}

fn is_interrupt(error: &crate::Error) -> bool {
    matches!(error, crate::Error::Model(ecco_models::Error::Interrupted))
}

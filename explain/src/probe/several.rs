//! A plane for each of three classes or more, of which a text has that on whose side it is furthest: scikit-learn's
//! `LogisticRegression`, `RidgeClassifier` and `LinearDiscriminantAnalysis` of several classes, and means against the others'.

use ndarray::{Array1, Array2, Axis, concatenate, s};

use super::fit::{CLOSE, Fitting, MOST_STEPS, Space};
use super::{ProbeKind, Work};
use crate::algebra::solve;
use crate::error::Result;
use crate::linalg;

/// Steps of conjugate gradients for one of Newton's, at most.
const MOST_INNER: usize = 2000;

/// Coefficients (class, feature) for scaled values, and intercepts.
///
/// # Errors
/// `work`'s interruption, no room.
pub(super) fn planes(
    fitting: &Fitting,
    space: &Space,
    work: &mut Work,
) -> Result<(Array2<f64>, Array1<f64>)> {
    let n_classes = fitting.n_classes;
    let is_there = |class: &usize| fitting.labels.contains(class);
    let there: Vec<usize> = (0..n_classes).filter(is_there).collect();
    let mut coefficients = Array2::zeros((n_classes, space.width()));
    // Shuffling may leave out a class: no text is told to have it.
    let mut intercepts = Array1::from_elem(n_classes, f64::NEG_INFINITY);
    let of_there = |label: &usize| there.iter().position(|class| class == label).unwrap_or(0);
    let labels: Vec<usize> = fitting.labels.iter().map(of_there).collect();
    let (found, levels) = match (there.len(), fitting.kind) {
        (1, _) => (Array2::zeros((1, space.width())), Array1::zeros(1)),
        (n, ProbeKind::Logistic) => logistic(fitting.l2, &labels, n, space, work)?,
        (n, ProbeKind::Ridge) => ridge(fitting.l2, &labels, n, space, work)?,
        (n, ProbeKind::Lda) => space.lda(&labels, n, work)?,
        (n, ProbeKind::MeanDifference | ProbeKind::Pca) => means(&labels, n, space),
    };
    for (at, &class) in there.iter().enumerate() {
        coefficients.row_mut(class).assign(&found.row(at));
        intercepts[class] = levels[at];
    }
    Ok((coefficients, intercepts))
}

/// 1 where a text has a class, else `other`: (text, class).
fn indicators(labels: &[usize], n: usize, other: f64) -> Array2<f64> {
    Array2::from_shape_fn(
        (labels.len(), n),
        |(text, class)| if labels[text] == class { 1.0 } else { other },
    )
}

/// From the mean of the others' texts to that of a class, halfway.
fn means(labels: &[usize], n: usize, space: &Space) -> (Array2<f64>, Array1<f64>) {
    let mut coefficients = Array2::zeros((n, space.width()));
    let mut intercepts = Array1::zeros(n);
    for class in 0..n {
        let own = space.mean_of(labels, |label| label == class);
        let others = space.mean_of(labels, |label| label != class);
        let direction = &own - &others;
        intercepts[class] = -(&own + &others).dot(&direction) / 2.0;
        coefficients.row_mut(class).assign(&direction);
    }
    (coefficients, intercepts)
}

/// Least squares on ±1, each class against the others.
fn ridge(
    l2: f64,
    labels: &[usize],
    n: usize,
    space: &Space,
    work: &mut Work,
) -> Result<(Array2<f64>, Array1<f64>)> {
    let x = space.coordinates();
    let signs = indicators(labels, n, -1.0);
    // The columns have mean 0, so the intercepts are the signs' means.
    let intercepts = signs.sum_axis(Axis(0)) / labels.len() as f64;
    let mut products = linalg::product(x.t(), x.view(), || work.ask())?;
    products.diag_mut().mapv_inplace(|value| value + l2);
    let weights = solve(products, x.t().dot(&(signs - &intercepts)), work.watch)?;
    Ok((space.all_of_features(&weights), intercepts))
}

/// Σ −ln softmax(f)\[label\] + l2/2 ‖w‖² is least, by Newton's method; its steps by conjugate gradients, since the curvature has
/// classes × features rows. Intercepts, the last row of `w`, are not penalised.
fn logistic(
    l2: f64,
    labels: &[usize],
    n: usize,
    space: &Space,
    work: &mut Work,
) -> Result<(Array2<f64>, Array1<f64>)> {
    let x = space.coordinates();
    let (n_texts, width) = x.dim();
    let ones = Array2::ones((n_texts, 1));
    // Both have a row for each text.
    let x = concatenate(Axis(1), &[x.view(), ones.view()]).unwrap_or_default();
    let penalty = Array2::from_shape_fn((width + 1, 1), |(at, _)| if at < width { l2 } else { 0.0 });
    let truth = indicators(labels, n, 0.0);
    let loss = |w: &Array2<f64>| {
        let f = x.dot(w);
        let each = f.outer_iter().zip(labels).map(|(row, &label)| {
            let most = row.fold(f64::NEG_INFINITY, |most, value| most.max(*value));
            most + row.mapv(|value| (value - most).exp()).sum().ln() - row[label]
        });
        each.sum::<f64>() + (&penalty * w * w).sum() / 2.0
    };
    let mut w = Array2::zeros((width + 1, n));
    for _ in 0..MOST_STEPS {
        work.ask()?;
        let shares = softmax(x.dot(&w));
        let gradient = x.t().dot(&(&shares - &truth)) + &penalty * &w;
        let steepest = gradient
            .iter()
            .fold(0.0, |most: f64, slope| most.max(slope.abs()));
        if steepest <= CLOSE * n_texts as f64 {
            break;
        }
        let curved = |v: &Array2<f64>| {
            let u = x.dot(v);
            let means = (&shares * &u).sum_axis(Axis(1)).insert_axis(Axis(1));
            x.t().dot(&(&shares * &(u - means))) + &penalty * v
        };
        let step = conjugate(&gradient, curved, work)?;
        let (before, falls) = (loss(&w), (&gradient * &step).sum());
        let mut part = 1.0;
        while part > 1e-8 && loss(&(&w - &(&step * part))) > before - 1e-4 * part * falls {
            part /= 2.0;
        }
        w.scaled_add(-part, &step);
    }
    let weights = w.slice(s![..width, ..]).to_owned();
    Ok((space.all_of_features(&weights), w.row(width).to_owned()))
}

/// Each row's shares, which sum to 1.
pub(super) fn softmax(mut f: Array2<f64>) -> Array2<f64> {
    for mut row in f.outer_iter_mut() {
        let most = row.fold(f64::NEG_INFINITY, |most, value| most.max(*value));
        row.mapv_inplace(|value| (value - most).exp());
        let sum = row.sum();
        row /= sum;
    }
    f
}

/// Where the curvature times it is `right`, nearly: near enough for Newton's method to converge faster and faster.
fn conjugate(
    right: &Array2<f64>,
    curved: impl Fn(&Array2<f64>) -> Array2<f64>,
    work: &mut Work,
) -> Result<Array2<f64>> {
    let square = |v: &Array2<f64>| (v * v).sum();
    let (mut found, mut rest) = (Array2::zeros(right.dim()), right.clone());
    let (mut way, mut left) = (rest.clone(), square(&rest));
    let enough = left * left.clamp(1e-12, 1.0) * 1e-4;
    for _ in 0..MOST_INNER {
        if left <= enough {
            break;
        }
        work.ask()?;
        let turned = curved(&way);
        let bend = (&way * &turned).sum();
        if bend <= 0.0 {
            break;
        }
        let length = left / bend;
        found.scaled_add(length, &way);
        rest.scaled_add(-length, &turned);
        let next = square(&rest);
        way = &rest + &(way * (next / left));
        left = next;
    }
    Ok(found)
}

//! How alike two sets of activations over the same positions are.
//!
//! Captures are matrices (neuron, position); the neurons of the two may be others, and other in number.
//! - `cca`: canonical correlations and what is made of them: [`Method::Cca`], [`Method::Svcca`], [`Method::Pwcca`]
//! - `cka`: centred kernel alignment: [`Method::Cka`]
//! - here: checks, one pair ([`compare`]), all pairs of layers ([`grid`])
//!
//! Everything is float64. What depends on one capture alone is computed once per capture (`Operand`), so that a
//! pair costs one product.

mod cca;
mod cka;

use std::borrow::Cow;
use std::ops::ControlFlow;

use ecco_interpreter::{Diagnostic, Kind, Progress, Watch};
use ndarray::{Array2, ArrayView2};
use thiserror::Error;

use crate::aside::decomposition;

/// How captures are compared.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Method {
    /// The mean of the first canonical correlations, as many as make up 98% of their sum.
    Cca,
    /// The mean canonical correlation of the `dims` strongest principal directions (Raghu et al. 2017, 1706.05806).
    Svcca { dims: usize },
    /// The canonical correlations weighted by how much their directions show in the activations (Morcos et al. 2018,
    /// 1806.05759); with `canonical` directions as in that paper, otherwise as in its published code.
    Pwcca { canonical: bool },
    /// Centred kernel alignment (Kornblith et al. 2019, 1905.00414).
    Cka { kernel: Kernel, unbiased: bool },
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kernel {
    Linear,
    /// exp(−d² / (2 · bandwidth² · median d²))
    Rbf {
        bandwidth: f64,
    },
}

impl Method {
    /// For people.
    pub fn label(self) -> String {
        let cka = |unbiased| if unbiased { "unbiased CKA" } else { "CKA" };
        match self {
            Self::Cca => "CCA".into(),
            Self::Svcca { dims } => format!("SVCCA, {dims} directions"),
            Self::Pwcca { .. } => "PWCCA".into(),
            Self::Cka { kernel, unbiased } => match kernel {
                Kernel::Linear => cka(unbiased).into(),
                Kernel::Rbf { .. } => format!("{} with an RBF kernel", cka(unbiased)),
            },
        }
    }
}

/// What one pair of captures has in common.
#[derive(Debug, Clone, PartialEq)]
pub struct Similarity {
    /// 1 for captures that are the same up to what the method ignores; about 0 for unrelated ones, but see each
    /// method's bias. Unbiased CKA may be a little negative.
    pub score: f64,
    /// The canonical correlations, falling; none for CKA.
    pub coefficients: Vec<f64>,
}

#[derive(Debug, Error)]
pub enum SimilarityError {
    #[error(
        "the captures have other positions: (neuron {}, position {}) and (neuron {}, position {})",
        a.0, a.1, b.0, b.1
    )]
    Positions { a: (usize, usize), b: (usize, usize) },
    #[error("the capture (neuron {neurons}, position {positions}) is empty")]
    Empty { neurons: usize, positions: usize },
    #[error(
        "canonical correlations need more positions than neurons, not (neuron {neurons}, position {positions}): with as \
         many neurons any two captures correlate fully"
    )]
    Neurons { neurons: usize, positions: usize },
    #[error(
        "dims is {dims}: a capture (neuron {neurons}, position {positions}) has 1 to {most} directions to compare"
    )]
    Dims {
        dims: usize,
        most: usize,
        neurons: usize,
        positions: usize,
    },
    #[error("unbiased CKA needs at least 4 positions, not {positions}")]
    TooFew { positions: usize },
    #[error("bandwidth is {bandwidth}: it must be a positive number")]
    Bandwidth { bandwidth: f64 },
    #[error(
        "the activation of neuron {neuron} at position {position} is {value}: it must be a finite number"
    )]
    NotFinite {
        neuron: usize,
        position: usize,
        value: f64,
    },
    #[error(
        "no neuron of the {which} capture changes from position to position, so it has no similarity to anything"
    )]
    Constant { which: &'static str },
    #[error("interrupted")]
    Interrupted,
    #[error(transparent)]
    Explain(#[from] crate::Error),
}

impl Diagnostic for SimilarityError {
    fn hint(&self) -> Option<String> {
        match self {
            Self::Neurons { .. } => Some(
                "take longer texts or several, or SVCCA, which keeps the strongest directions only, or CKA, which \
                 needs no more positions than neurons"
                    .into(),
            ),
            Self::Dims { most, .. } => Some(format!("for example {}", (most / 2).max(1))),
            Self::Positions { .. } => Some("run both on the same text, with the same tokens".into()),
            Self::Explain(error) => error.hint(),
            _ => None,
        }
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Interrupted => Kind::Interrupt,
            Self::Explain(error) => error.kind(),
            _ => Kind::Value,
        }
    }

    fn at(&self) -> Option<&str> {
        match self {
            Self::Dims { .. } => Some("dims"),
            Self::Bandwidth { .. } => Some("bandwidth"),
            Self::Explain(error) => error.at(),
            _ => None,
        }
    }
}

type Result<T> = std::result::Result<T, SimilarityError>;

/// A capture, ready to be compared by one method.
enum Operand {
    Cca(cca::CcaBasis),
    Cka(cka::CkaKernel),
    /// Constant over the positions.
    Nothing,
}

/// The similarity of two captures (neuron, position).
///
/// # Errors
/// Unequal or too few positions, values that are not finite, a capture that does not change; `watch` breaking.
pub fn compare(
    a: ArrayView2<f64>,
    b: ArrayView2<f64>,
    method: Method,
    watch: &mut Watch,
) -> Result<Similarity> {
    let shapes = [a.dim(), b.dim()];
    let (a, b) = (a.to_owned(), b.to_owned());
    let compare = move |watch: &mut Watch| {
        let mut steps = Steps::new(2, watch);
        let a = prepare(a.view(), &shapes, method, &mut steps)?;
        let b = prepare(b.view(), &shapes, method, &mut steps)?;
        match (&a, &b) {
            (Operand::Nothing, _) => Err(SimilarityError::Constant { which: "first" }),
            (_, Operand::Nothing) => Err(SimilarityError::Constant { which: "second" }),
            _ => pair(&a, &b, method),
        }
    };
    decomposition(largest(&shapes), compare, watch).unwrap_or(Err(SimilarityError::Interrupted))
}

/// The longest sides of all captures: the size of what the method decomposes at most.
fn largest(shapes: &[(usize, usize)]) -> (usize, usize) {
    let longest = |most: (usize, usize), shape: &(usize, usize)| (most.0.max(shape.0), most.1.max(shape.1));
    shapes.iter().fold((0, 0), longest)
}

/// The similarity of each capture of `a` with each of `b`: (capture of a, capture of b); NaN where one of them does
/// not change over the positions.
///
/// # Errors
/// As [`compare`].
pub fn grid(
    a: &[ArrayView2<f32>],
    b: &[ArrayView2<f32>],
    method: Method,
    watch: &mut Watch,
) -> Result<Array2<f64>> {
    let shape = |capture: &ArrayView2<f32>| capture.dim();
    let shapes: Vec<(usize, usize)> = a.iter().map(shape).chain(b.iter().map(shape)).collect();
    let owned = |captures: &[ArrayView2<f32>]| captures.iter().map(ArrayView2::to_owned).collect();
    let sides: [Vec<Array2<f32>>; 2] = [owned(a), owned(b)];
    let size = largest(&shapes);
    let compare = move |watch: &mut Watch| grid_of(&sides, &shapes, method, watch);
    decomposition(size, compare, watch).unwrap_or(Err(SimilarityError::Interrupted))
}

fn grid_of(
    [a, b]: &[Vec<Array2<f32>>; 2],
    shapes: &[(usize, usize)],
    method: Method,
    watch: &mut Watch,
) -> Result<Array2<f64>> {
    let mut steps = Steps::new(a.len() + b.len() + a.len() * b.len(), watch);
    let all = |captures: &[Array2<f32>], steps: &mut Steps| -> Result<Vec<Operand>> {
        let prepared = captures
            .iter()
            .map(|capture| prepare(capture.mapv(f64::from).view(), shapes, method, steps));
        prepared.collect()
    };
    let (rows, columns) = (all(a, &mut steps)?, all(b, &mut steps)?);
    let mut grid = Array2::from_elem((a.len(), b.len()), f64::NAN);
    for (i, row) in rows.iter().enumerate() {
        for (j, column) in columns.iter().enumerate() {
            steps.next()?;
            if !matches!((row, column), (Operand::Nothing, _) | (_, Operand::Nothing)) {
                grid[[i, j]] = pair(row, column, method)?.score;
            }
        }
    }
    Ok(grid)
}

/// Checks one capture and computes what depends on it alone. `shapes` are those of all captures that are compared.
fn prepare(
    capture: ArrayView2<f64>,
    shapes: &[(usize, usize)],
    method: Method,
    steps: &mut Steps,
) -> Result<Operand> {
    steps.next()?;
    check(capture, shapes)?;
    let (neurons, positions) = capture.dim();
    let mean = capture.mean_axis(ndarray::Axis(1)).unwrap_or_default();
    let centred = &capture - &mean.view().insert_axis(ndarray::Axis(1));
    let largest = |matrix: ArrayView2<f64>| matrix.iter().fold(0.0f64, |most, value| most.max(value.abs()));
    // What rounding leaves of a constant is no change.
    if largest(centred.view()) <= 1e-12 * largest(capture) {
        return Ok(Operand::Nothing);
    }
    let prepared = match method {
        Method::Cca | Method::Pwcca { .. } => {
            if neurons >= positions {
                return Err(SimilarityError::Neurons { neurons, positions });
            }
            Operand::Cca(cca::prepare(centred, mean.to_vec())?)
        }
        Method::Svcca { dims } => {
            // With as many directions as the centred positions span, any two captures correlate fully.
            let most = neurons.min(positions.saturating_sub(2));
            if !(1..=most).contains(&dims) {
                return Err(SimilarityError::Dims {
                    dims,
                    most,
                    neurons,
                    positions,
                });
            }
            Operand::Cca(cca::prepare(
                cca::strongest(centred.view(), dims)?,
                vec![0.0; dims],
            )?)
        }
        Method::Cka { kernel, unbiased } => {
            if unbiased && positions < 4 {
                return Err(SimilarityError::TooFew { positions });
            }
            if let Kernel::Rbf { bandwidth } = kernel
                && !(bandwidth.is_finite() && bandwidth > 0.0)
            {
                return Err(SimilarityError::Bandwidth { bandwidth });
            }
            let widest = shapes.iter().map(|shape| shape.0).max().unwrap_or(neurons);
            Operand::Cka(cka::prepare(centred, kernel, unbiased, widest, steps)?)
        }
    };
    Ok(prepared)
}

fn pair(a: &Operand, b: &Operand, method: Method) -> Result<Similarity> {
    match (a, b) {
        (Operand::Cca(a), Operand::Cca(b)) => Ok(cca::pair(a, b, method)?),
        (Operand::Cka(a), Operand::Cka(b)) => Ok(Similarity {
            score: cka::pair(a, b),
            coefficients: Vec::new(),
        }),
        _ => Err(SimilarityError::Constant { which: "first" }),
    }
}

fn check(capture: ArrayView2<f64>, shapes: &[(usize, usize)]) -> Result<()> {
    let shape = capture.dim();
    if let Some(&other) = shapes.iter().find(|other| other.1 != shape.1) {
        // In the order they were given.
        let (a, b) = if shapes.first() == Some(&other) {
            (other, shape)
        } else {
            (shape, other)
        };
        return Err(SimilarityError::Positions { a, b });
    }
    if capture.is_empty() {
        let (neurons, positions) = shape;
        return Err(SimilarityError::Empty { neurons, positions });
    }
    match capture.indexed_iter().find(|(_, value)| !value.is_finite()) {
        None => Ok(()),
        Some(((neuron, position), &value)) => Err(SimilarityError::NotFinite {
            neuron,
            position,
            value,
        }),
    }
}

/// Counts what is done, and asks whether to go on.
struct Steps<'a, 'b> {
    done: usize,
    total: usize,
    watch: &'a mut Watch<'b>,
}

impl<'a, 'b> Steps<'a, 'b> {
    fn new(total: usize, watch: &'a mut Watch<'b>) -> Self {
        Self {
            done: 0,
            total,
            watch,
        }
    }

    /// One more is begun.
    fn next(&mut self) -> Result<()> {
        self.ask()?;
        self.done += 1;
        Ok(())
    }

    fn ask(&mut self) -> Result<()> {
        let progress = Progress {
            label: Cow::Borrowed("comparing"),
            done: self.done as u64,
            total: Some(self.total as u64),
            unit: "captures",
        };
        match (self.watch)(&progress) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(SimilarityError::Interrupted),
        }
    }
}

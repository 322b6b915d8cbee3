//! Factors of activations: non-negative ones, principal and independent components.
//!
//! - here: the value that scripts hold, and what it is made from; `view`: how it looks and what is saved of it

mod view;

use std::borrow::Cow;
use std::ops::Range;
use std::rc::Rc;

use ecco_explain::ica::{Ica, IcaOptions, ica};
use ecco_explain::neurons::heaviest;
use ecco_explain::nmf::{Choice, Nmf, NmfOptions, choose, factorize, transform};
use ecco_explain::pca::{Pca, pca};
use ecco_interpreter::{Progress, Watch};
use ecco_models::run::Place;
use ndarray::{Array2, ArrayD, ArrayView2, Axis};
use rhai::{Array, Dynamic, INT, Map};

use crate::live::Asking;
use crate::text::capture::SiteLayers;
use crate::text::passage::Passage;
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, ScriptError};

/// Clones share everything.
#[derive(Clone)]
pub(crate) struct Factorization(pub(super) Rc<Decomposition>);

pub(super) struct Decomposition {
    pub(super) passages: Vec<Passage>,
    pub(super) at: SiteLayers,
    /// The layers' numbers and widths, in the order of the neurons.
    blocks: Vec<(Option<usize>, usize)>,
    /// Positions of each text.
    lengths: Vec<usize>,
    pub(super) fit: Rc<Fit>,
    /// (component, position), of all texts one after the other.
    components: Array2<f32>,
    error: f64,
    relative_error: f64,
    /// Whether the factors were found in other texts.
    pub(super) is_transform: bool,
    /// Whether progress is shown.
    verbose: bool,
    /// Of factors that were found, and not only looked for.
    pub(super) asked: Option<Asking>,
}

/// What was found, where it was found.
pub(super) enum Fit {
    Nmf {
        nmf: Nmf,
        options: NmfOptions,
        choice: Option<Choice>,
    },
    Pca(Pca),
    Ica(Ica, IcaOptions),
}

/// How factors are to be found.
pub(crate) enum Method {
    Nmf {
        options: NmfOptions,
        count: Count,
    },
    Pca(Option<usize>),
    /// `n_components` of the options counts if the other is Some.
    Ica(IcaOptions, Option<usize>),
}

/// How many factors.
pub(crate) enum Count {
    /// Ten, or one per position where there are fewer.
    Usual,
    Exactly(usize),
    /// As held-out neurons and positions say, at most so many.
    Auto(usize),
}

/// Positions between two looks at the interrupt.
const POSITIONS: usize = 64;

/// Components where nothing is said.
const USUAL: usize = 10;

/// Factorizes the activations of all `passages` together.
///
/// # Errors
/// Layers or sites that are not there, a number of components that the texts do not have, an interrupt.
pub(crate) fn run(
    passages: Vec<Passage>,
    at: SiteLayers,
    method: Method,
    asked: Asking,
) -> Result<Factorization, ScriptError> {
    let captures = at.captures(&passages)?;
    let matrix = captures.positions_by_neurons(matches!(method, Method::Nmf { .. }));
    let verbose = passages[0].model().verbose;
    let fit = fit(&passages[0], matrix.view(), method)?;
    let (components, error, relative_error) = match &fit {
        Fit::Nmf { nmf, .. } => (nmf.components.clone(), nmf.error, nmf.relative_error),
        Fit::Pca(pca) => (pca.components.clone(), pca.error, pca.relative_error),
        Fit::Ica(ica, _) => (ica.components.clone(), ica.error, ica.relative_error),
    };
    Ok(Factorization(Rc::new(Decomposition {
        blocks: captures.blocks(),
        lengths: captures.lengths(),
        passages,
        at,
        fit: Rc::new(fit),
        components,
        error,
        relative_error,
        is_transform: false,
        verbose,
        asked: Some(asked),
    })))
}

fn fit(passage: &Passage, matrix: ArrayView2<f32>, method: Method) -> Result<Fit, ScriptError> {
    let (positions, neurons) = matrix.dim();
    passage.watched(|watch| match method {
        Method::Nmf { mut options, count } => {
            let mut choice = None;
            options.n_components = match count {
                Count::Usual => USUAL.min(positions),
                Count::Exactly(asked) if asked > positions => return Err(too_many(asked, positions)),
                Count::Exactly(asked) => asked,
                Count::Auto(most) => {
                    let chosen = choose(matrix, most, &options, watch)?;
                    choice.insert(chosen).n_components
                }
            };
            let nmf = factorize(matrix, &options, watch)?;
            Ok(Fit::Nmf { nmf, options, choice })
        }
        Method::Pca(asked) => {
            let n_components = asked.unwrap_or(USUAL.min(positions).min(neurons));
            Ok(Fit::Pca(pca(matrix, n_components, watch)?))
        }
        Method::Ica(mut options, asked) => {
            let most = USUAL.min(positions.saturating_sub(1)).min(neurons);
            options.n_components = asked.unwrap_or(most);
            Ok(Fit::Ica(ica(matrix, &options, watch)?, options))
        }
    })?
}

fn too_many(asked: usize, positions: usize) -> ScriptError {
    let message =
        format!("n_components is {asked}: there are {positions} positions, and at most one factor for each");
    ScriptError::new(ErrorKind::Value, message)
        .with_hint("take fewer, or longer or more texts")
        .pointing_at("n_components")
}

impl Fit {
    /// (component, neuron)
    pub(super) fn neurons(&self) -> &Array2<f32> {
        match self {
            Self::Nmf { nmf, .. } => &nmf.neurons,
            Self::Pca(pca) => &pca.neurons,
            Self::Ica(ica, _) => &ica.neurons,
        }
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Nmf { .. } => "NMF",
            Self::Pca(_) => "PCA",
            Self::Ica(..) => "ICA",
        }
    }
}

/// What a component weighs, layer by layer; a site behind all layers has no number.
pub(crate) type Blocks = Vec<(Option<usize>, Vec<f32>)>;

impl Factorization {
    pub(crate) fn method(&self) -> &'static str {
        self.0.fit.method()
    }

    /// (component, position)
    pub(crate) fn components(&self) -> Tensor {
        tensor(&self.0.components, &["component", "position"])
    }

    /// The site, and of each component its weights by layer; a site behind all layers has no number.
    pub(crate) fn by_layer(&self) -> (Place, Vec<Blocks>) {
        let of = |row: ndarray::ArrayView1<f32>| {
            let mut start = 0;
            let block = |&(number, width): &(Option<usize>, usize)| {
                let values = row.slice(ndarray::s![start..start + width]).to_vec();
                start += width;
                (number, values)
            };
            self.0.blocks.iter().map(block).collect()
        };
        let rows = self.0.fit.neurons().outer_iter().map(of);
        (self.0.at.place, rows.collect())
    }

    /// (component, neuron)
    pub(crate) fn neurons(&self) -> Tensor {
        tensor(self.0.fit.neurons(), &["component", "neuron"])
    }

    pub(crate) fn n_components(&self) -> usize {
        self.0.components.nrows()
    }

    pub(crate) fn error(&self) -> f64 {
        self.0.error
    }

    pub(crate) fn relative_error(&self) -> f64 {
        self.0.relative_error
    }

    /// Sweeps or steps; None for what is computed directly.
    pub(crate) fn n_iter(&self) -> Option<usize> {
        match &*self.0.fit {
            Fit::Nmf { nmf, .. } => Some(nmf.n_iter),
            Fit::Pca(_) => None,
            Fit::Ica(ica, _) => Some(ica.n_iter),
        }
    }

    /// Shares of the variance; only principal components have them.
    pub(crate) fn explained_variance_ratio(&self) -> Option<&[f64]> {
        match &*self.0.fit {
            Fit::Pca(pca) => Some(&pca.explained_variance_ratio),
            _ => None,
        }
    }

    /// What was tried to choose the number of components.
    pub(crate) fn choice(&self) -> Option<&Choice> {
        match &*self.0.fit {
            Fit::Nmf { choice, .. } => choice.as_ref(),
            _ => None,
        }
    }

    /// The same factors in other texts.
    ///
    /// # Errors
    /// Texts of another model; as of [`run`].
    pub(crate) fn transform(&self, passages: Vec<Passage>) -> Result<Self, ScriptError> {
        let captures = self.0.at.captures(&passages)?;
        if captures.blocks() != self.0.blocks {
            let words = |blocks: &[(Option<usize>, usize)]| {
                let width: usize = blocks.iter().map(|(_, width)| width).sum();
                format!("{} layers of {width} neurons together", blocks.len())
            };
            let message = format!(
                "the factors were found in {}, the text has {}",
                words(&self.0.blocks),
                words(&captures.blocks())
            );
            return Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("factors belong to one model: take a text that it has read"));
        }
        let matrix = captures.positions_by_neurons(matches!(&*self.0.fit, Fit::Nmf { .. }));
        let state = passages[0].model().state()?;
        let found = |watch: &mut Watch| -> Result<_, ScriptError> {
            let components = match &*self.0.fit {
                Fit::Nmf { nmf, options, .. } => {
                    transform(matrix.view(), nmf.neurons.view(), options, watch)?
                }
                Fit::Pca(pca) => pca.transform(matrix.view(), watch)?,
                Fit::Ica(ica, _) => ica.transform(matrix.view(), watch)?,
            };
            let (error, norm) = self.left(&matrix, &components, watch)?;
            Ok((components, error, norm))
        };
        let (components, error, norm) = watched(&state, self.0.verbose, found)?;
        Ok(Self(Rc::new(Decomposition {
            blocks: captures.blocks(),
            lengths: captures.lengths(),
            passages,
            at: self.0.at.clone(),
            fit: Rc::clone(&self.0.fit),
            components,
            error,
            relative_error: if norm > 0.0 { error / norm } else { 0.0 },
            is_transform: true,
            verbose: self.0.verbose,
            asked: None,
        })))
    }

    /// The norm of what the components leave of a matrix (position, neuron), and of the matrix; without the mean that
    /// the method takes off.
    ///
    /// # Errors
    /// An interrupt.
    fn left(
        &self,
        matrix: &Array2<f32>,
        components: &Array2<f32>,
        watch: &mut Watch,
    ) -> Result<(f64, f64), ScriptError> {
        let mean = match &*self.0.fit {
            Fit::Nmf { .. } => None,
            Fit::Pca(pca) => Some(&pca.mean),
            Fit::Ica(ica, _) => Some(&ica.mean),
        };
        let squares = |matrix: &Array2<f32>| {
            let squares = matrix.iter().map(|&value| f64::from(value).powi(2));
            squares.sum::<f64>()
        };
        let (mut rest, mut whole) = (0.0, 0.0);
        let parts = matrix.axis_chunks_iter(Axis(0), POSITIONS);
        for (part, (rows, values)) in parts
            .zip(components.axis_chunks_iter(Axis(1), POSITIONS))
            .enumerate()
        {
            let progress = Progress {
                label: Cow::Borrowed("measuring what is left"),
                done: (part * POSITIONS) as u64,
                total: Some(matrix.nrows() as u64),
                unit: "positions",
            };
            if watch(&progress).is_break() {
                return Err(ScriptError::interrupted());
            }
            let rows = mean.map_or_else(|| rows.to_owned(), |mean| &rows - mean);
            whole += squares(&rows);
            rest += squares(&(rows - values.t().dot(self.0.fit.neurons())));
        }
        Ok((rest.sqrt(), whole.sqrt()))
    }

    /// The `n` neurons that weigh most in a factor.
    fn heaviest(&self, factor: usize, n: usize) -> Vec<(Option<usize>, usize, f32)> {
        let row = self.0.fit.neurons().row(factor);
        let place = |(column, weight)| {
            let (layer, neuron) = self.place(column);
            (layer, neuron, weight)
        };
        heaviest(row, n).into_iter().map(place).collect()
    }

    /// The layer and neuron of a column.
    fn place(&self, column: usize) -> (Option<usize>, usize) {
        let mut before = 0;
        for &(layer, width) in &self.0.blocks {
            if column < before + width {
                return (layer, column - before);
            }
            before += width;
        }
        (None, column)
    }

    /// The neurons that weigh most in a factor, as maps.
    ///
    /// # Errors
    /// A factor that is not there.
    pub(crate) fn top_neurons(&self, factor: INT, n: usize) -> Result<Array, ScriptError> {
        let factor = self.factor(factor)?;
        let map = |(layer, neuron, weight): (Option<usize>, usize, f32)| {
            let layer = layer.map_or(Dynamic::UNIT, |layer| Dynamic::from_int(layer as INT));
            Dynamic::from_map(Map::from([
                ("layer".into(), layer),
                ("neuron".into(), Dynamic::from_int(neuron as INT)),
                ("weight".into(), Dynamic::from_float(f64::from(weight))),
            ]))
        };
        Ok(self.heaviest(factor, n).into_iter().map(map).collect())
    }

    /// The tokens where a factor is strongest, as maps.
    ///
    /// # Errors
    /// A factor that is not there.
    pub(crate) fn top_tokens(&self, factor: INT, n: usize) -> Result<Array, ScriptError> {
        let factor = self.factor(factor)?;
        let view = self.view()?;
        let mut strongest = heaviest(ndarray::ArrayView1::from(&view.components[factor]), n);
        strongest.retain(|(_, value)| value.is_finite());
        let map = |(place, value): (usize, f32)| {
            let text = view
                .texts
                .iter()
                .rposition(|text| text.start <= place)
                .unwrap_or(0);
            let position = place - view.texts[text].start;
            Dynamic::from_map(Map::from([
                ("text".into(), Dynamic::from_int(text as INT)),
                ("position".into(), Dynamic::from_int(position as INT)),
                ("token".into(), view.tokens[place].text.clone().into()),
                ("value".into(), Dynamic::from_float(f64::from(value))),
            ]))
        };
        Ok(strongest.into_iter().map(map).collect())
    }

    fn factor(&self, factor: INT) -> Result<usize, ScriptError> {
        let n = self.n_components();
        let index = usize::try_from(factor).ok().filter(|&factor| factor < n);
        index.ok_or_else(|| {
            let message = format!("there is no factor {factor}: there are factors 0 to {}", n - 1);
            ScriptError::new(ErrorKind::Index, message)
        })
    }
}

/// The rows of each text in a matrix over all.
fn ranges(lengths: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let mut from = 0;
    lengths.iter().map(move |length| {
        from += length;
        from - length..from
    })
}

fn tensor(array: &Array2<f32>, axes: &[&'static str]) -> Tensor {
    let array: ArrayD<f32> = array.clone().into_dyn();
    Tensor::new(array, axes)
}

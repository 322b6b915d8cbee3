//! Neuron factors of an output's activations.

use std::rc::Rc;

use ecco_explain::nmf::{Nmf, NmfOptions, factorize};
use ecco_widgets::{Explorable, Factors, MimeBundle};
use ndarray::{Array2, ArrayD, Axis, Ix3};
use serde_json::{Map, Value};

use super::finding::{Finding, Shown};
use super::generation::{Generation, Recorded};
use super::numbers::short;
use super::tensor::Tensor;
use crate::errors::{ErrorKind, ScriptError};
use crate::watch::watched;

#[derive(Clone)]
pub struct Factorization {
    output: Generation,
    nmf: Rc<Nmf>,
}

/// Factorizes the activations of layers `from..to`: layers and neurons merged, negatives clipped to 0.
///
/// # Errors
/// A range without recorded layers, an unloaded model whose activations were not recorded, an interrupt.
pub fn run(
    output: &Generation,
    from_layer: Option<usize>,
    to_layer: Option<usize>,
    options: &NmfOptions,
) -> Result<Factorization, ScriptError> {
    let rows = layer_rows(output, from_layer, to_layer)?;
    let activations = output.recorded(Recorded::Activations)?;
    let matrix = positions_by_neurons(&activations, &rows)?;
    let state = output.model().state()?;
    let nmf = watched(&state, output.model().verbose, |watch| {
        factorize(matrix.view(), options, watch)
    })?;
    Ok(Factorization {
        output: output.clone(),
        nmf: Rc::new(nmf),
    })
}

/// The rows of the activations that belong to layers `from..to`.
fn layer_rows(
    output: &Generation,
    from: Option<usize>,
    to: Option<usize>,
) -> Result<Vec<usize>, ScriptError> {
    let n_layers = output.model().card().n_layers;
    let (from, to) = (from.unwrap_or(0), to.unwrap_or(n_layers));
    if from >= to || to > n_layers {
        let message = format!(
            "there are no layers {from}..{to}: the model has layers 0 to {}",
            n_layers - 1
        );
        let word = if to > n_layers { "to_layer" } else { "from_layer" };
        return Err(ScriptError::new(ErrorKind::Value, message)
            .with_hint("from_layer is the first layer, to_layer the first one left out")
            .pointing_at(word));
    }
    let layers = output.activation_layers();
    let rows = layers
        .iter()
        .enumerate()
        .filter(|(_, layer)| (from..to).contains(*layer));
    let rows: Vec<usize> = rows.map(|(row, _)| row).collect();
    match rows.is_empty() {
        false => Ok(rows),
        true => {
            let message = format!("none of the layers {from}..{to} was recorded, only {layers:?}");
            Err(ScriptError::new(ErrorKind::Value, message)
                .with_hint("activations_layer_nums at load says which layers are recorded"))
        }
    }
}

/// (position, layer × neuron), not negative.
fn positions_by_neurons(activations: &Tensor, rows: &[usize]) -> Result<Array2<f32>, ScriptError> {
    let all = activations.view().into_dimensionality::<Ix3>();
    let all = all.map_err(|error| ScriptError::new(ErrorKind::Internal, error.to_string()))?;
    let (_, n_neurons, n_positions) = all.dim();
    let mut matrix = Array2::zeros((n_positions, rows.len() * n_neurons));
    for (block, &row) in rows.iter().enumerate() {
        let layer = all.index_axis(Axis(0), row); // (neuron, position)
        let columns = ndarray::s![.., block * n_neurons..(block + 1) * n_neurons];
        matrix
            .slice_mut(columns)
            .zip_mut_with(&layer.t(), |to, &from| *to = from.max(0.0));
    }
    Ok(matrix)
}

impl Factorization {
    pub fn nmf(&self) -> &Nmf {
        &self.nmf
    }

    /// (component, position)
    pub fn components(&self) -> Tensor {
        tensor(&self.nmf.components, &["component", "position"])
    }

    /// (component, neuron)
    pub fn neurons(&self) -> Tensor {
        tensor(&self.nmf.neurons, &["component", "neuron"])
    }

    /// One value per token: for an input its own response, for an output what was active where it was
    /// predicted, one position before it. So the last input's value stands twice.
    pub fn view(&self) -> Factors {
        let sequence = self.output.view();
        let n_input = sequence.n_input;
        let shifted = self.output.n_positions() < sequence.tokens.len();
        let rows = self.nmf.components.outer_iter().map(|row| {
            let mut values = row.to_vec();
            if shifted && n_input > 0 && n_input <= values.len() {
                values.insert(n_input, values[n_input - 1]);
            }
            values
        });
        Factors {
            components: rows.collect(),
            tokens: sequence.tokens,
            n_input,
            error: self.nmf.error,
            relative_error: self.nmf.relative_error,
        }
    }
}

impl Shown for Factorization {
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(self.view().bundle())
    }

    fn line(&self) -> String {
        let (n_components, n_positions) = self.nmf.components.dim();
        let error = short(self.nmf.error);
        format!(
            "{n_components} factors of {} neurons at {n_positions} positions, reconstruction error {error}",
            self.nmf.neurons.ncols()
        )
    }
}

impl Finding for Factorization {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![
            ("components", self.components()),
            ("neurons", self.neurons()),
        ])
    }

    fn about(&self) -> Result<Map<String, Value>, ScriptError> {
        let mut about = self.output.about();
        about.insert("error".into(), self.nmf.error.into());
        about.insert("relative_error".into(), self.nmf.relative_error.into());
        Ok(about)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        (axis == "position").then(|| self.output.token_texts())
    }
}

fn tensor(array: &Array2<f32>, axes: &[&'static str]) -> Tensor {
    let array: ArrayD<f32> = array.clone().into_dyn();
    Tensor::new(array, axes)
}

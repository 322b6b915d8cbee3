//! Neuron factors (NMF): one sparkline per factor, tokens coloured by the factor in focus.

use serde::Serialize;

use crate::tokens::Token;

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Factors {
    pub tokens: Vec<Token>,
    pub n_input: usize,
    /// `components[factor][position]`, not negative; one value per token.
    pub components: Vec<Vec<f32>>,
    /// Frobenius norm of the residual, as scikit-learn's `reconstruction_err_`.
    pub error: f64,
    /// The same relative to the norm of the matrix.
    pub relative_error: f64,
}

//! How factors look.

use ecco_widgets::{FactorNeuron, FactorText, Factors, HeldOut};

use super::{Factorization, Fit, ranges};
use ecco_scripting::errors::ScriptError;

/// Neurons named beside a factor.
const N_NEURONS: usize = 5;

impl Factorization {
    /// One value per token: for an input its own response, for an output what was active where it was predicted, one
    /// position before it.
    pub fn view(&self) -> Result<Factors, ScriptError> {
        let inner = &*self.0;
        let (mut tokens, mut texts) = (Vec::new(), Vec::new());
        let mut components = vec![Vec::new(); self.n_components()];
        for (source, range) in inner.sources.iter().zip(ranges(&inner.lengths)) {
            let shown = source.shown_at(inner.at.place)?;
            texts.push(FactorText {
                start: tokens.len(),
                n_input: shown.n_input,
            });
            for (values, row) in components.iter_mut().zip(inner.components.outer_iter()) {
                let of_text = row.slice(ndarray::s![range.clone()]).to_vec();
                values.extend(shown.values(&of_text));
            }
            tokens.extend(shown.tokens);
        }
        let neuron = |(layer, neuron, weight)| FactorNeuron {
            layer,
            neuron,
            weight,
        };
        let neurons = (0..self.n_components())
            .map(|factor| self.heaviest(factor, N_NEURONS).into_iter().map(neuron).collect());
        let held_out = self.choice().map_or(&[][..], |choice| &choice.curve);
        Ok(Factors {
            method: self.method().to_owned(),
            signed: !matches!(&*inner.fit, Fit::Nmf { .. }),
            neurons: neurons.collect(),
            shares: self.explained_variance_ratio().unwrap_or_default().to_vec(),
            held_out: held_out
                .iter()
                .map(|held| HeldOut {
                    n_components: held.n_components,
                    error: held.error,
                    spread: held.spread,
                })
                .collect(),
            tokens,
            texts,
            components,
            error: inner.error,
            relative_error: inner.relative_error,
            ..Factors::default()
        })
    }
}

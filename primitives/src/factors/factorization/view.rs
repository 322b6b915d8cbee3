//! How factors look, and what is saved of them.

use std::rc::Rc;

use ecco_widgets::Explorable;
use ecco_widgets::{FactorLayer, FactorNeuron, FactorText, Factors, Holdout};

use super::{Factorization, Fit, ranges, tensor};
use ecco_scripting::ScriptError;
use ecco_scripting::live::Live;
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;

/// Weights in a document, which stands beside every page: about 200 kB of them.
const MOST_WEIGHTS: usize = 1 << 14;
/// Neurons named beside a factor.
const N_NEURONS: usize = 5;

impl Factorization {
    /// One value per token that was read, none for one that was not: the last of an output.
    pub(crate) fn view(&self) -> Result<Factors, ScriptError> {
        let inner = &*self.0;
        let (mut tokens, mut texts) = (Vec::new(), Vec::new());
        let mut components = vec![Vec::new(); self.n_components()];
        for (passage, range) in inner.passages.iter().zip(ranges(&inner.lengths)) {
            let shown = passage.read(inner.at.place)?;
            texts.push(FactorText {
                start: tokens.len(),
                n_input: shown.n_input,
                n_read: range.len(),
            });
            let n_unread = shown.tokens.len().saturating_sub(range.len());
            for (values, row) in components.iter_mut().zip(inner.components.outer_iter()) {
                values.extend(row.slice(ndarray::s![range.clone()]));
                values.extend(std::iter::repeat_n(f32::NAN, n_unread));
            }
            tokens.extend(shown.tokens);
        }
        let layers = inner.blocks.iter();
        let [weights, unmixing, mean] = self.matrices();
        Ok(Factors {
            model: Some(inner.passages[0].model().card().name.clone()),
            site: inner.at.place.name(),
            layers: layers
                .map(|&(layer, neurons)| FactorLayer { layer, neurons })
                .collect(),
            weights,
            unmixing,
            mean: mean.concat(),
            method: self.method().to_owned(),
            signed: !matches!(&*inner.fit, Fit::Nmf { .. }),
            neurons: self.named_neurons(),
            shares: self.explained_variance_ratio().unwrap_or_default().to_vec(),
            held_out: self.held_out(),
            tokens,
            texts,
            components,
            error: inner.error,
            relative_error: inner.relative_error,
        })
    }

    /// By factor, those that weigh most.
    fn named_neurons(&self) -> Vec<Vec<FactorNeuron>> {
        let neuron = |(layer, neuron, weight)| FactorNeuron {
            layer,
            neuron,
            weight,
        };
        let of_factor = |factor| self.heaviest(factor, N_NEURONS).into_iter().map(neuron).collect();
        (0..self.n_components()).map(of_factor).collect()
    }

    /// All weights, what gives values from activations, and the mean (in one row) that was taken away before; nothing
    /// of them where that is too much for a document.
    fn matrices(&self) -> [Vec<Vec<f32>>; 3] {
        let fit = &*self.0.fit;
        let (unmixing, mean) = match fit {
            Fit::Nmf { .. } => (None, None),
            Fit::Pca(pca) => (None, Some(&pca.mean)),
            Fit::Ica(ica, _) => (Some(&ica.unmixing), Some(&ica.mean)),
        };
        let mean = mean.map(|mean| mean.view().insert_axis(ndarray::Axis(0)));
        let all = [
            Some(fit.neurons().view()),
            unmixing.map(|found| found.view()),
            mean,
        ];
        if all.iter().flatten().map(|matrix| matrix.len()).sum::<usize>() > MOST_WEIGHTS {
            return Default::default();
        }
        let rows = |matrix: ndarray::ArrayView2<f32>| matrix.outer_iter().map(|row| row.to_vec()).collect();
        all.map(|matrix| matrix.map_or(vec![], rows))
    }

    /// What was tried to choose the number of components.
    fn held_out(&self) -> Vec<Holdout> {
        let curve = self.choice().map_or(&[][..], |choice| &choice.curve);
        let held = curve.iter().map(|held| Holdout {
            n_components: held.n_components,
            error: held.error,
            spread: held.spread,
        });
        held.collect()
    }
}

impl Show for Factorization {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()?))
    }

    /// Of one text.
    fn live(&self) -> Option<Rc<dyn Live>> {
        match &self.0.passages[..] {
            [passage] => self.0.asked.as_ref()?.live(passage),
            _ => None,
        }
    }

    fn line(&self) -> String {
        let (n_components, n_positions) = self.0.components.dim();
        let what = match &*self.0.fit {
            Fit::Nmf { .. } => "factors",
            Fit::Pca(_) => "principal components",
            Fit::Ica(..) => "independent components",
        };
        let found = if self.0.is_transform {
            ", found in other texts"
        } else {
            ""
        };
        format!(
            "{n_components} {what} of {} neurons at {n_positions} positions{found}, reconstruction error {}",
            self.0.fit.neurons().ncols(),
            short(self.0.error)
        )
    }
}

impl Explanation for Factorization {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let mut tensors = vec![("components", self.components()), ("neurons", self.neurons())];
        let by_component = |values: &[f64]| {
            let values = values.iter().map(|&value| value as f32).collect();
            Tensor::new(ndarray::Array1::from_vec(values).into_dyn(), &["component"])
        };
        match &*self.0.fit {
            Fit::Nmf { .. } => {}
            Fit::Pca(pca) => {
                let ratio = by_component(&pca.explained_variance_ratio);
                tensors.push(("explained_variance_ratio", ratio));
                tensors.push(("mean", Tensor::new(pca.mean.clone().into_dyn(), &["neuron"])));
            }
            Fit::Ica(ica, _) => {
                tensors.push(("unmixing", tensor(&ica.unmixing, &["component", "neuron"])));
                tensors.push(("mean", Tensor::new(ica.mean.clone().into_dyn(), &["neuron"])));
            }
        }
        Ok(tensors)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        if axis != "position" {
            return None;
        }
        let mut labels = Vec::new();
        for (passage, &length) in self.0.passages.iter().zip(&self.0.lengths) {
            let tokens = passage.read(self.0.at.place).ok()?.tokens;
            labels.extend(tokens.into_iter().take(length).map(|token| token.text));
        }
        Some(labels)
    }
}

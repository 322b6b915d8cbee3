//! Input saliency of an output: computed when first shown or read, once per method.

use std::rc::Rc;

use ecco_explain::{Attribution, AttributionOptions};
use ecco_widgets::{Explorable, MimeBundle, SaliencyStyle};
use ndarray::{ArrayD, IxDyn};
use rhai::{Array, Dynamic};

use super::generation::Generation;
use super::tensor::Tensor;
use crate::errors::ScriptError;

#[derive(Clone)]
pub struct Saliency {
    pub output: Generation,
    pub options: AttributionOptions,
    pub style: SaliencyStyle,
}

impl Saliency {
    pub fn attribution(&self) -> Result<Rc<Attribution>, ScriptError> {
        self.output.attribution(&self.options)
    }

    pub fn view(&self) -> Result<ecco_widgets::Saliency, ScriptError> {
        let sequence = self.output.view();
        Ok(ecco_widgets::Saliency {
            tokens: sequence.tokens,
            n_input: sequence.n_input,
            style: self.style,
            method: self.options.method.label().to_owned(),
            scores: self.attribution()?.scores.clone(),
        })
    }

    pub fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(self.view()?.bundle())
    }

    /// (generated token, position): zero where a position comes after the token.
    pub fn tensor(&self) -> Result<Tensor, ScriptError> {
        let attribution = self.attribution()?;
        let width = attribution.scores.last().map_or(0, Vec::len);
        let mut scores = ArrayD::zeros(IxDyn(&[attribution.scores.len(), width]));
        for (row, values) in attribution.scores.iter().enumerate() {
            for (column, &value) in values.iter().enumerate() {
                scores[[row, column]] = value;
            }
        }
        Ok(Tensor::new(scores, &["generated", "position"]))
    }

    /// Row k has as many values as there are tokens before generated token k.
    pub fn rows(&self) -> Result<Array, ScriptError> {
        let row = |values: &Vec<f32>| {
            let values = values.iter().map(|&value| Dynamic::from_float(f64::from(value)));
            Dynamic::from_array(values.collect())
        };
        Ok(self.attribution()?.scores.iter().map(row).collect())
    }

    pub fn line(&self) -> String {
        format!(
            "saliency ({}) of an {}",
            self.options.method.label(),
            self.output.line()
        )
    }
}

//! Input saliency of an output: computed when first shown or read, once per method.

use std::rc::Rc;

use ecco_explain::{Attribution, AttributionOptions};
use ecco_widgets::{Explorable, MimeBundle, SaliencyStyle};
use ndarray::{ArrayD, IxDyn};
use rhai::Array;
use serde_json::{Map, Value};

use super::finding::{Finding, Shown, ragged};
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
            ..ecco_widgets::Saliency::default()
        })
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
}

impl Shown for Saliency {
    fn bundle(&self) -> Result<MimeBundle, ScriptError> {
        Ok(self.view()?.bundle())
    }

    fn line(&self) -> String {
        format!(
            "saliency ({}) of an {}",
            self.options.method.label(),
            self.output.line()
        )
    }
}

impl Finding for Saliency {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![("scores", self.tensor()?)])
    }

    fn about(&self) -> Result<Map<String, Value>, ScriptError> {
        let mut about = self.output.about();
        about.insert("method".into(), self.options.method.label().into());
        Ok(about)
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        match axis {
            "generated" => Some(self.output.token_texts().split_off(self.output.n_input())),
            "position" => Some(self.output.token_texts()),
            _ => None,
        }
    }

    /// Row k has as many values as there are tokens before generated token k.
    fn to_array(&self) -> Result<Array, ScriptError> {
        Ok(ragged(&self.attribution()?.scores))
    }
}

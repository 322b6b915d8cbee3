//! A direction from contrasting texts.

use std::rc::Rc;

use ecco_explain::intervention::steering::Steering;
use ecco_interpreter::{Explorable, MimeBundle};
use ndarray::{ArrayD, IxDyn};
use serde_json::{Map, Value};

use ecco_scripting::errors::ScriptError;
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;

#[derive(Clone)]
pub struct SteeringVector {
    pub steering: Rc<Steering>,
    pub positive: Rc<[String]>,
    pub negative: Rc<[String]>,
}

impl SteeringVector {
    pub fn tensor(&self) -> Tensor {
        let vector = self.steering.vector.clone();
        let axis = match self.steering.options.place.axes() {
            [.., "neuron", "position"] => "neuron",
            _ => "hidden",
        };
        Tensor::new(column(vector), &[axis])
    }

    pub fn view(&self) -> ecco_widgets::Steering {
        let of = |texts: &[String], projections: &[f64]| {
            let pairs = texts.iter().cloned().zip(projections.iter().copied());
            pairs.collect()
        };
        let Steering {
            options,
            norm,
            typical,
            projections: [above, below],
            ..
        } = &*self.steering;
        ecco_widgets::Steering {
            site: options.place.name(),
            layer: options.layer,
            norm: *norm,
            typical: *typical,
            positive: of(&self.positive, above),
            negative: of(&self.negative, below),
            ..ecco_widgets::Steering::default()
        }
    }
}

fn column(values: Vec<f32>) -> ArrayD<f32> {
    let n = values.len();
    ArrayD::from_shape_vec(IxDyn(&[n]), values).unwrap_or_else(|_| ArrayD::zeros(IxDyn(&[0])))
}

impl Show for SteeringVector {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()))
    }

    fn line(&self) -> String {
        let options = &self.steering.options;
        format!(
            "steering vector at {} of layer {}, length {}",
            options.place.name(),
            options.layer,
            short(self.steering.norm)
        )
    }
}

impl Explanation for SteeringVector {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let projections = |of: &[f64]| Tensor::new(column(of.iter().map(|&x| x as f32).collect()), &["text"]);
        let [positive, negative] = &self.steering.projections;
        Ok(vec![
            ("vector", self.tensor()),
            ("positive_projections", projections(positive)),
            ("negative_projections", projections(negative)),
        ])
    }
}

//! A direction from contrasting texts: `lm.steering_vector`.

use std::rc::Rc;

use ecco_explain::intervention::steering::{Steering, SteeringOptions, TextPosition, steering};
use ecco_models::Site;
use ecco_models::run::Input;
use ecco_widgets::Explorable;
use ndarray::{ArrayD, IxDyn};
use rhai::{Array, FLOAT, INT};
use serde_json::json;

use super::asking::AskedCall;
use crate::models::model::Model;
use crate::text::capture::place_in;
use crate::text::chat::TextOrChat;
use crate::text::reading;
use ecco_scripting::live::Live;
use ecco_scripting::options::{Choice, OptionSet};
use ecco_scripting::result::numbers::short;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members, options};

options! {
    /// What `steering_vector` can be told.
    pub struct ContrastOptions {
        /// where the texts are compared: one of lm.sites()
        site: Option<String> = "\"residual_after\"",
        /// at which layer
        layer: Option<usize> = "the one in the middle",
        /// the last token of each text, or the mean over all of its tokens
        at: Choice<TextPosition> = Choice(TextPosition::Last),
        /// a vector of length 1, in place of the difference itself
        unit: bool = false,
    }
}

#[derive(Debug, Clone)]
pub(crate) struct SteeringVector {
    pub steering: Rc<Steering>,
    pub positive: Rc<[String]>,
    pub negative: Rc<[String]>,
    /// Where a line of script spells its options out.
    pub asked: Option<Rc<AskedCall>>,
}

impl SteeringVector {
    /// From lists of texts.
    ///
    /// # Errors
    /// Lists with something else in them, a site or layer that is not there.
    fn new(
        lm: &Model,
        positive: &Array,
        negative: &Array,
        options: &ContrastOptions,
    ) -> Result<Self, ScriptError> {
        let (loaded, state) = (lm.loaded()?, lm.state()?);
        let (positive, negative) = (TextOrChat::all(lm, positive)?, TextOrChat::all(lm, negative)?);
        let read = |texts: &[TextOrChat]| -> Result<Vec<Input>, ScriptError> {
            let read = |text: &TextOrChat| reading::input(lm, text.prompt(), None);
            texts.iter().map(read).collect()
        };
        let settings = SteeringOptions {
            place: place_in(lm, options.site.as_deref(), Site::ResidualAfter)?,
            layer: options.layer.unwrap_or((lm.card().n_layers - 1) / 2),
            at: options.at.0,
            unit: options.unit,
        };
        let (above, below) = (read(&positive)?, read(&negative)?);
        let steering = watched(&state, lm.verbose, |watch| {
            steering(&loaded, &above, &below, &settings, watch)
        })?;
        // A line of script can say strings alone.
        let are_strings = |texts: &[TextOrChat]| texts.iter().all(|text| matches!(text, TextOrChat::Text(_)));
        let told = options.told.given();
        let told = told.filter(|_| are_strings(&positive) && are_strings(&negative));
        let [positive, negative] = [positive, negative].map(|texts| -> Vec<String> {
            let text = |text: &TextOrChat| text.prompt().text().to_owned();
            texts.iter().map(text).collect()
        });
        let asked = told.map(|options| AskedCall {
            model: lm.plain(),
            member: "steering_vector",
            arguments: [&positive, &negative].map(|texts| json!(texts)).to_vec(),
            options,
            rows: vec![ContrastOptions::rows()],
            pieces: vec![],
        });
        Ok(Self {
            asked: asked.map(Rc::new),
            steering: Rc::new(steering),
            positive: positive.into(),
            negative: negative.into(),
        })
    }

    pub(crate) fn tensor(&self) -> Tensor {
        let vector = self.steering.vector.clone();
        let axis = match self.steering.options.place.axes() {
            [.., "neuron", "position"] => "neuron",
            _ => "hidden",
        };
        Tensor::new(column(vector), &[axis])
    }

    pub(crate) fn view(&self) -> ecco_widgets::Steering {
        let of = |texts: &[String], projections: &[f64]| {
            let pairs = texts.iter().cloned().zip(projections.iter().copied());
            pairs.collect()
        };
        let Steering {
            options,
            norm,
            typical,
            projections: [above, below],
            vector,
            ..
        } = &*self.steering;
        ecco_widgets::Steering {
            site: options.place.name(),
            layer: options.layer,
            vector: vector.clone(),
            norm: *norm,
            typical: *typical,
            positive: of(&self.positive, above),
            negative: of(&self.negative, below),
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

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.asked.clone().map(|asked| asked as Rc<dyn Live>)
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

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// The direction in which texts differ from others: the mean of what a site holds at their last token, less
        /// the mean for the others. It can be added: `lm.intervene(#{add: [#{vector: v, factor: 2.0}]})` adds it where it
        /// comes from.
        ///
        /// Example:
        /// ```rhai
        /// let v = lm.steering_vector(["It was good", "I love it"], ["It was bad", "I hate it"], #{layer: 2, unit: true});
        /// lm.intervene(#{add: [#{vector: v, factor: 4.0}]}).generate("It was", #{generate: 8})
        /// ```
        volatile fn steering_vector(lm: &Model, positive: Array, negative: Array; options: ContrastOptions) -> SteeringVector {
            SteeringVector::new(lm, &positive, &negative, &options)
        }
    }
    members! { registry, [SteeringVector];
        /// The vector: a tensor (hidden), or (neuron).
        get vector(vector: &SteeringVector) -> Tensor { Ok(vector.tensor()) }

        /// The length of the difference between the texts' means.
        get norm(vector: &SteeringVector) -> FLOAT { Ok(vector.steering.norm) }

        /// The mean length of what the site holds, for choosing a factor.
        get typical_norm(vector: &SteeringVector) -> FLOAT { Ok(vector.steering.typical) }

        /// The site it comes from.
        get site(vector: &SteeringVector) -> String { Ok(vector.steering.options.place.name()) }

        /// The layer it comes from.
        get layer(vector: &SteeringVector) -> INT { Ok(vector.steering.options.layer as INT) }
    }
}

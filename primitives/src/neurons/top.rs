//! The most active neurons of a text: `top_neurons` of outputs and runs.

use std::rc::Rc;

use ecco_explain::neurons::{RankedNeuron, Reduction, most_active};
use ecco_models::Site;
use ecco_models::run::Place;
use ecco_widgets::Explorable;
use ecco_widgets::{ActiveNeuron, NeuronList};
use ndarray::{Array1, ArrayView2};
use rhai::{Array, Dynamic, INT};

use crate::live::Asking;
use crate::text::capture::{Layers, NeuronSite, SiteLayers, place_named};
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::run::Run;
use ecco_scripting::live::Live;
use ecco_scripting::options::Choice;
use ecco_scripting::result::{Explanation, Room, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members, options};

options! {
    /// What `top_neurons` can be told.
    pub struct TopOptions {
        /// how many neurons
        n: usize [1..] = 10,
        /// look at one position only; from the end if negative
        position: Option<i64> = "all positions",
        /// look at one layer only, counted from 0
        layer: Option<usize> = "all layers",
        /// what is compared over all positions
        by: Choice<Reduction> = Choice(Reduction::Max),
        /// where activations are taken: one of lm.sites() with a value at each position
        site: Option<NeuronSite> = "\"mlp_inner\"",
    }
}

/// The most active neurons of a text.
#[derive(Clone)]
pub(crate) struct TopNeurons(Rc<Ranking>);

struct Ranking {
    passage: Passage,
    place: Place,
    by: Reduction,
    /// The one position that was looked at; all if None.
    position: Option<usize>,
    /// By rank, with the number of the layer.
    neurons: Vec<(Option<usize>, RankedNeuron)>,
    asked: Asking,
}

impl TopNeurons {
    /// The `n` most active neurons at a site, at one position (from the end if negative) or over all.
    ///
    /// # Errors
    /// A position or layer that is not there; what recording says.
    pub(crate) fn new(passage: Passage, options: TopOptions) -> Result<Self, ScriptError> {
        let site = options.site.as_ref().map(|site| site.0.as_str());
        let place = place_named(site, Site::MlpInner, &passage)?;
        let layers = SiteLayers::new(place, Layers::one(options.layer))?.capture(&passage)?;
        let views: Vec<ArrayView2<f32>> = layers.iter().map(|layer| layer.values.view()).collect();
        let length = views.first().map_or(0, |view| view.ncols());
        let position = options
            .position
            .map(|position| checked_position(position, length));
        let position = position.transpose()?;
        let range = position.map_or(0..length, |position| position..position + 1);
        let by = options.by.0;
        let active = most_active(&views, range, by, options.n).into_iter();
        let neurons = active.map(|active| (layers[active.layer].number, active));
        Ok(Self(Rc::new(Ranking {
            neurons: neurons.collect(),
            asked: Asking::new("top_neurons", &options),
            passage,
            place,
            by,
            position,
        })))
    }

    fn maps(&self) -> Result<Array, ScriptError> {
        let tokens = self.0.passage.read(self.0.place)?.tokens;
        let int = |value: usize| Dynamic::from_int(value as INT);
        let map = |(layer, active): &(Option<usize>, RankedNeuron)| {
            let token = tokens.get(active.position).map(|token| token.text.clone());
            Dynamic::from_map(rhai::Map::from([
                ("layer".into(), layer.map_or(Dynamic::UNIT, int)),
                ("neuron".into(), int(active.neuron)),
                ("value".into(), Dynamic::from_float(f64::from(active.value))),
                ("position".into(), int(active.position)),
                ("token".into(), token.unwrap_or_default().into()),
            ]))
        };
        Ok(self.0.neurons.iter().map(map).collect())
    }

    fn what(&self) -> String {
        match (self.0.position, self.0.by) {
            (Some(position), _) => format!("at position {position}"),
            (None, Reduction::Max) => "by their largest activation".to_owned(),
            (None, Reduction::Mean) => "by their mean activation".to_owned(),
        }
    }
}

impl Show for TopNeurons {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        let shown = self.0.passage.read(self.0.place)?;
        let neuron = |(layer, active): &(Option<usize>, RankedNeuron)| ActiveNeuron {
            layer: *layer,
            neuron: active.neuron,
            value: active.value,
            position: active.position,
        };
        let view = NeuronList {
            model: Some(self.0.passage.model().card().name.clone()),
            site: self.0.place.name(),
            what: self.what(),
            neurons: self.0.neurons.iter().map(neuron).collect(),
            tokens: shown.tokens,
        };
        Ok(Box::new(view))
    }

    fn live(&self) -> Option<Rc<dyn Live>> {
        self.0.asked.live(&self.0.passage)
    }

    fn line(&self) -> String {
        let n = self.0.neurons.len();
        format!(
            "the {n} most active neurons of {} {}",
            self.0.place.name(),
            self.what()
        )
    }
}

impl Explanation for TopNeurons {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        let column = |value: fn(&(Option<usize>, RankedNeuron)) -> f32| {
            let values: Array1<f32> = self.0.neurons.iter().map(value).collect();
            Tensor::new(values.into_dyn(), &["rank"])
        };
        Ok(vec![
            ("value", column(|(_, active)| active.value)),
            (
                "layer",
                column(|(layer, _)| layer.map_or(f32::NAN, |layer| layer as f32)),
            ),
            ("neuron", column(|(_, active)| active.neuron as f32)),
            ("position", column(|(_, active)| active.position as f32)),
        ])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        let label = |(layer, active): &(Option<usize>, RankedNeuron)| match layer {
            Some(layer) => format!("layer {layer} neuron {}", active.neuron),
            None => format!("neuron {}", active.neuron),
        };
        (axis == "rank").then(|| self.0.neurons.iter().map(label).collect())
    }

    /// Maps: a neuron is no single number.
    fn to_array(&self, _: Room) -> Result<Array, ScriptError> {
        self.maps()
    }
}

fn checked_position(position: INT, length: usize) -> Result<usize, ScriptError> {
    let from_start = if position < 0 {
        position + length as INT
    } else {
        position
    };
    let valid = usize::try_from(from_start).ok().filter(|&at| at < length);
    valid.ok_or_else(|| {
        let message = format!("there is no activation at position {position}");
        ScriptError::new(ErrorKind::Index, message)
            .with_hint(format!(
                "valid are 0 to {} and, from the end, -1 to -{length}; the model has not read the last generated token",
                length.saturating_sub(1)
            ))
            .pointing_at("position")
    })
}

pub(crate) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// The neurons that are most active, by their largest or mean activation over the positions, or at one position.
        ///
        /// Example:
        /// ```rhai
        /// output.top_neurons(#{position: 5, layer: 2})
        /// ```
        fn top_neurons(passage: Passage; options: TopOptions) -> TopNeurons { TopNeurons::new(passage, options) }
    }
}

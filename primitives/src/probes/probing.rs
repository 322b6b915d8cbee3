//! `lm.probe` and `ecco::probe`: states of texts, and what is read off them.

use std::rc::Rc;

use ecco_explain::probe::probes;
use ecco_explain::states::{LayerStates, Positions, states};
use ecco_models::Site;
use ecco_models::run::Input;
use ecco_scripting::session::{State, watched};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::tensor::work::Work;
use ecco_scripting::{ErrorKind, Registry, ScriptError, functions, members};
use ndarray::Axis;
use rhai::Array;

use super::labels::Labels;
use super::options::{FitOptions, MOST_SHUFFLES, ModelProbeOptions};
use super::result::{Origin, Probes};
use crate::models::model::Model;
use crate::text::capture::place_in;
use crate::text::chat::TextOrChat;
use crate::text::reading;
use crate::text::run::of_text;

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Model];
        /// Whether a label can be read off what a site holds of a text, layer by layer: a plane is looked for that has the
        /// texts of one label on one side. Judged by texts that it has not seen, beside the same on shuffled labels and
        /// the share of the most frequent label. Labels are `true` and `false`, numbers or strings. Of two the plane's
        /// direction points to the second in order; of more, each has a plane of its own.
        ///
        /// Example:
        /// ```rhai
        /// let table = ecco::read("statements.csv");
        /// let probes = lm.probe(table.column("text"), table.column("is_true"), #{layers: [2, 4], groups: table.column("topic")});
        /// lm.intervene(#{add: [#{vector: probes.steering_vector(4), factor: 2.0}]})
        /// ```
        volatile fn probe(lm: &Model, texts: Array, labels: Array; options: ModelProbeOptions) -> Probes {
            of_texts(lm, &texts, &labels, options)
        }
    }
    functions! { registry, "ecco";
        /// The same of states that are there already: a tensor (text, hidden), or with layers, positions or both between
        /// these two.
        ///
        /// Example:
        /// ```rhai
        /// let states = ecco::stack(lm.run(texts).map(|run| run.hidden_states.mean("position")), "text");
        /// ecco::probe(states, labels, #{kind: "lda"})
        /// ```
        fn probe(state, states: Tensor, labels: Array; options: FitOptions) -> Probes {
            of_tensor(&state, &states, &labels, options)
        }
    }
}

fn check(options: &FitOptions) -> Result<(), ScriptError> {
    match options.shuffles <= MOST_SHUFFLES {
        true => Ok(()),
        false => {
            let message = format!(
                "shuffles is {}: at most {MOST_SHUFFLES} are made",
                options.shuffles
            );
            Err(ScriptError::new(ErrorKind::Value, message).pointing_at("shuffles"))
        }
    }
}

fn of_texts(
    lm: &Model,
    texts: &Array,
    labels: &Array,
    options: ModelProbeOptions,
) -> Result<Probes, ScriptError> {
    let (loaded, state) = (lm.loaded()?, lm.state()?);
    check(&options.fit)?;
    let labels = Labels::new(labels, texts.len())?;
    let site = options.site.as_ref().map(|site| site.0.as_str());
    let place = place_in(lm, site, Site::ResidualAfter)?;
    let texts = TextOrChat::all(lm, texts)?;
    let mut inputs: Vec<Input> = Vec::new();
    for (index, text) in texts.iter().enumerate() {
        state.check_interrupt()?;
        let input = reading::input(lm, text.prompt(), None);
        inputs.push(input.map_err(|error| of_text(error, index))?);
    }
    let settings = options.fit.settings(&labels.of);
    let (layers, positions) = (options.layers.as_deref(), options.at.0);
    let (found, numbers) = watched(&state, lm.verbose, |watch| {
        let states = states(&loaded, &inputs, place, layers, &positions, watch)?;
        let found = probes(&states, &labels.of, &settings, watch)?;
        let numbers: Vec<Option<usize>> = states.iter().map(|states| states.layer).collect();
        Ok::<_, ScriptError>((found, numbers))
    })?;
    let origin = Origin {
        model: Some(lm.card().name.clone()),
        place: Some(place),
        positions: match &positions {
            Positions::Mean => vec!["mean".to_owned()],
            Positions::Each(all) => all.iter().map(i64::to_string).collect(),
        },
        texts: texts.iter().map(|text| text.prompt().text().to_owned()).collect(),
    };
    Ok(Probes::new(origin, labels, settings, numbers, found))
}

fn of_tensor(
    state: &Rc<State>,
    tensor: &Tensor,
    labels: &Array,
    options: FitOptions,
) -> Result<Probes, ScriptError> {
    check(&options)?;
    Work::new(Rc::clone(state)).room(tensor.shape(), 2 * size_of::<f32>())?;
    let states = layers(tensor)?;
    let n_texts = states.first().map_or(0, |layer| layer.values.dim().0);
    let labels = Labels::new(labels, n_texts)?;
    let settings = options.settings(&labels.of);
    let found = watched(state, true, |watch| probes(&states, &labels.of, &settings, watch))?;
    let n_positions = states.first().map_or(0, |layer| layer.values.dim().1);
    let origin = Origin {
        model: None,
        place: None,
        positions: (0..n_positions).map(|at| at.to_string()).collect(),
        texts: vec![],
    };
    let numbers = states.iter().map(|states| states.layer).collect();
    Ok(Probes::new(origin, labels, settings, numbers, found))
}

/// A tensor (text, …, hidden) by layer: of the axes between, the one called `position`, or the last of two, has positions.
fn layers(tensor: &Tensor) -> Result<Vec<LayerStates>, ScriptError> {
    let wrong = || {
        let message = format!("states are a tensor (text, hidden), not {}", tensor.shape_text());
        ScriptError::new(ErrorKind::Value, message)
            .with_hint("between these two there may be layers and positions: (text, layer, position, hidden)")
    };
    let (n_axes, axes) = (tensor.shape().len(), tensor.axes());
    if !(2..=4).contains(&n_axes) || tensor.shape().contains(&0) {
        return Err(wrong());
    }
    let place = |name: &str, other: usize| axes.iter().position(|axis| *axis == name).unwrap_or(other);
    let text = place("text", 0);
    let feature = (0..n_axes).rev().find(|axis| *axis != text).ok_or_else(wrong)?;
    let between: Vec<usize> = (0..n_axes)
        .filter(|axis| ![text, feature].contains(axis))
        .collect();
    let mut data = tensor.data();
    let (layer, position) = match between.as_slice() {
        [] => (None, None),
        [one] if axes[*one] == "position" => (None, Some(*one)),
        [one] => (Some(*one), None),
        [one, other] if axes[*one] == "position" || axes[*other] == "layer" => (Some(*other), Some(*one)),
        [one, other] => (Some(*one), Some(*other)),
        _ => return Err(wrong()),
    };
    // (text, layer, position, hidden), with axes of length 1 where there are none.
    let mut order = vec![text];
    for axis in [layer, position] {
        match axis {
            Some(axis) => order.push(axis),
            None => {
                data.insert_axis_inplace(Axis(data.ndim()));
                order.push(data.ndim() - 1);
            }
        }
    }
    order.push(feature);
    let data = data.permuted_axes(order);
    let of = |at: usize| {
        let values = data.index_axis(Axis(1), at).to_owned().into_dimensionality();
        Ok(LayerStates {
            layer: layer.map(|_| at),
            values: values.map_err(|_| wrong())?,
        })
    };
    (0..data.len_of(Axis(1))).map(of).collect()
}

#[cfg(test)]
mod tests {
    use ndarray::ArrayD;

    use super::*;

    fn shapes(shape: &[usize], axes: &[&'static str]) -> Result<Vec<(usize, usize, usize)>, String> {
        let tensor = Tensor::new(ArrayD::zeros(shape), axes);
        let found = layers(&tensor).map_err(|error| error.message)?;
        Ok(found.iter().map(|layer| layer.values.dim()).collect())
    }

    #[test]
    fn axes_are_found_by_name_and_place() {
        assert_eq!(shapes(&[5, 7], &["", ""]), Ok(vec![(5, 1, 7)]));
        assert_eq!(
            shapes(&[2, 5, 7], &["layer", "text", "hidden"]),
            Ok(vec![(5, 1, 7); 2])
        );
        assert_eq!(
            shapes(&[5, 3, 7], &["text", "position", "hidden"]),
            Ok(vec![(5, 3, 7)])
        );
        assert_eq!(shapes(&[5, 2, 7], &["", "", ""]), Ok(vec![(5, 1, 7); 2]));
        assert_eq!(shapes(&[5, 2, 3, 7], &["", "", "", ""]), Ok(vec![(5, 3, 7); 2]));
        assert_eq!(
            shapes(&[5, 3, 2, 7], &["text", "position", "layer", "hidden"]),
            Ok(vec![(5, 3, 7); 2])
        );
        assert_eq!(shapes(&[7, 5], &["hidden", "text"]), Ok(vec![(5, 1, 7)]));
        for shape in [&[5][..], &[0, 7], &[1, 2, 3, 4, 5]] {
            assert!(
                shapes(shape, &[])
                    .unwrap_err()
                    .starts_with("states are a tensor (text, hidden)")
            );
        }
    }

    #[test]
    fn values_keep_their_places() {
        let data = ArrayD::from_shape_fn(vec![2, 5, 3], |at| (100 * at[0] + 10 * at[1] + at[2]) as f32);
        let found = layers(&Tensor::new(data, &["layer", "text", "hidden"])).unwrap();
        assert_eq!((found[1].layer, found[1].values[[4, 0, 2]]), (Some(1), 142.0));
    }
}

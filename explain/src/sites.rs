//! What an answer owes to what stands inside the model: gradients at any site, and what is made of them.
//!
//! - [`gradient`]: of a target's value, at every layer's value of a site or at one's
//! - [`attribute_site`]: contributions of a site's positions, heads or neurons, layer by layer
//! - [`SiteAxis`]: what counts as one part
//! - `pass`: a pass that is differentiated by what stood at a site

mod attribution;
mod axis;
pub(crate) mod pass;

use ecco_interpreter::Watch;
use ecco_models::device::ensure_room;
use ecco_models::guard::guard;
use ecco_models::host;
use ecco_models::run::{self, Input, Place, Records};
use ecco_models::{Model, Rule};
use tch::Tensor;

use crate::attribution::work::Work;
use crate::attribution::{Objective, Target};
use crate::error::{Result, refuse};
use pass::{Look, Seen, Start, pass};

pub use attribution::{SiteAttribution, SiteMethod, SiteOptions, attribute_site};
pub use axis::SiteAxis;

/// The gradient of an answer at a site.
pub struct Gradient {
    /// The answer itself.
    pub answer: f64,
    /// By layer, as the site's own values are recorded: [`Records::array`].
    pub gradients: Records,
}

/// ∂ answer / ∂ value, at all layers that have the place or at some of them: one pass and one back.
///
/// # Errors
/// For a place or layer that the model does not have, and a target that it does not say of this text.
pub fn gradient(
    model: &Model,
    input: &Input,
    target: &Target,
    place: Place,
    layers: Option<&[usize]>,
    watch: &mut Watch,
) -> Result<Gradient> {
    let explained = Objective::new(model, input, std::slice::from_ref(target))?;
    let layers = existing(model, place, layers)?;
    ensure_room_for(&explained, 1, "gradients at a site")?;
    let answer = |states: &Tensor| target.of_states(model, states, Rule::Gradient);
    let look = Look {
        answer: &answer,
        place,
        layers: Some(&layers),
        rule: Rule::Gradient,
    };
    let found = guard(|| {
        let mut work = Work::new(watch, format!("gradients at {}", place.name()), "passes", 1);
        let start = Start::Texts(std::slice::from_ref(input));
        let (answers, seen) = pass(model, start, &look, &[], &mut work)?;
        let gradients = seen
            .into_iter()
            .map(|Seen { layer, gradient, .. }| (layer, gradient));
        Ok(Gradient {
            answer: host::number(&answers),
            gradients: Records::of_place(place, gradients.collect(), input),
        })
    });
    Ok(found?)
}

/// Where a place is.
pub(crate) fn at_layers(place: Place, layers: &[usize]) -> String {
    let site = place.name();
    match layers {
        [first, .., last] if last - first + 1 == layers.len() => {
            format!("{site} is at layers {first} to {last}")
        }
        [one] => format!("{site} is at layer {one} alone"),
        _ => format!("{site} is at layers {layers:?} alone"),
    }
}

/// Those of the layers that have a place, all or the ones that are named.
///
/// # Errors
/// Where there is none, and where a named one is not among them.
pub(crate) fn existing(model: &Model, place: Place, named: Option<&[usize]>) -> Result<Vec<usize>> {
    let all = run::probe(model)?.layers(place);
    let missing = |layer| ecco_models::Error::NoSite {
        site: place.name(),
        layer,
    };
    if all.is_empty() {
        return Err(missing(None).into());
    }
    let Some(named) = named else { return Ok(all) };
    match named.iter().find(|layer| !all.contains(layer)) {
        _ if place.axes()[0] != "layer" => {
            let reason = format!(
                "{} stands behind all layers, so none is to be named",
                place.name()
            );
            Err(refuse("layer", format!("{named:?}"), reason))
        }
        Some(&layer) => Err(refuse("layer", layer, at_layers(place, &all))),
        None => Ok(named.to_vec()),
    }
}

/// Steps of a path that are made at most.
const MOST_STEPS: usize = 10_000;

/// # Errors
/// For more steps than that.
pub(crate) fn check_steps(n_steps: usize) -> Result<()> {
    match n_steps <= MOST_STEPS {
        true => Ok(()),
        false => Err(refuse(
            "n_steps",
            n_steps,
            format!("at most {MOST_STEPS} are made"),
        )),
    }
}

/// For passes over so many texts side by side whose graph is kept, and for what comes of them on the host.
pub(crate) fn ensure_room_for(explained: &Objective, n_texts: usize, what: &str) -> Result<()> {
    let needed = explained.bytes_per_text() * (n_texts as u64 + 1);
    let n = explained.input().ids.len() + explained.input().target.len();
    let what = format!("{what} of a text of {n} tokens (a shorter one takes less)");
    Ok(ensure_room(explained.device(), needed, &what)?)
}

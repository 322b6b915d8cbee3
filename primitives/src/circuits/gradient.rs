//! `run.gradient`: how an answer depends on what stood at a site.

use ecco_explain::sites::gradient;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members, options};

use crate::attribution::one_target::{OneTargetOptions, one_target};
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::reading;
use crate::text::run::Run;

options! {
    /// What `gradient` can be told.
    pub struct GradientOptions {
        ..of_target: OneTargetOptions,
        /// this layer alone, counted from 0
        layer: Option<usize> = "all layers",
    }
}

fn gradient_of(passage: &Passage, site: &str, options: &GradientOptions) -> Result<Tensor, ScriptError> {
    let place = passage.place(site)?;
    let (target, _) = one_target(passage, &options.of_target)?;
    let loaded = passage.model().loaded()?;
    let layers = options.layer.as_ref().map(std::slice::from_ref);
    let found =
        passage.watched(|watch| gradient(&loaded, passage.input(), &target, place, layers, watch))??;
    reading::about_numbers(passage.model(), found.answer.is_finite())?;
    let axes = place.axes().iter().copied();
    let axes: Vec<&'static str> = axes
        .filter(|axis| options.layer.is_none() || *axis != "layer")
        .collect();
    let array = found.gradients.array(place, options.layer, 0)?;
    Ok(Tensor::new(array, &axes))
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// How an answer depends on what stands at one of the model's sites: the gradient of a logit, probability … there, with
        /// the axes that `run.at(site)` has. It says by how much the answer would change with each number, the rest of the pass
        /// following; times what stands there it is a contribution (see `site_attribution`). Without options it is the logit of
        /// the first generated token; of a run that of what the model says.
        ///
        /// Example:
        /// ```rhai
        /// let slope = run.gradient("residual_after", #{target: " Paris", contrast: " Rome"});
        /// (run.at("residual_after") * slope).sum("hidden")
        /// ```
        fn gradient(passage: Passage, site: &str; options: GradientOptions) -> Tensor {
            gradient_of(&passage, site, &options)
        }
    }
}

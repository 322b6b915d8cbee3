//! `run.site_attribution`: what an answer owes to what stands at a site, layer by layer.

use std::cell::OnceCell;
use std::rc::Rc;

use ecco_explain::sites::{SiteAttribution as Found, SiteAxis, SiteMethod, SiteOptions, attribute_site};
use ecco_interpreter::named;
use ecco_models::Site;
use ecco_widgets::{Explorable, LayerSum, SiteColumns, Token};
use rhai::{Array, Dynamic, FLOAT};

use crate::attribution::one_target::{OneTargetOptions, one_target};
use crate::attribution::saliency_members::completeness_map;
use crate::text::capture::place_named;
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::run::Run;
use crate::text::shown::token_sequence;
use ecco_scripting::options::Choice;
use ecco_scripting::result::{Explanation, Show};
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{Registry, ScriptError, members, options};

named! {
    /// What contributions are summed by: one axis.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum OneAxis {
        Position = "position",
        Head = "head",
        Neuron = "neuron",
    }
}

impl From<OneAxis> for SiteAxis {
    fn from(by: OneAxis) -> Self {
        match by {
            OneAxis::Position => Self::Position,
            OneAxis::Head => Self::Head,
            OneAxis::Neuron => Self::Neuron,
        }
    }
}

options! {
    /// What `site_attribution` can be told.
    pub struct SiteAttributionOptions {
        ..of_target: OneTargetOptions,
        /// how contributions are computed
        method: Choice<SiteMethod> = Choice(SiteMethod::Gradient),
        /// steps of integrated gradients
        n_steps: usize [1..] = 50,
        /// what has one number; `elements` has them number by number
        by: Option<Choice<OneAxis>> = "\"head\" where a site has heads, else \"position\"",
        /// these layers, counted from 0
        layers: Option<Vec<usize>> = "all layers",
    }
}

/// What stands at a site, by what it contributes. Clones share what is computed.
#[derive(Clone)]
pub(crate) struct SiteAttribution(Rc<Inner>);

struct Inner {
    passage: Passage,
    options: SiteOptions,
    /// The answer for people.
    answer: String,
    /// One for each position of the site.
    tokens: Vec<Token>,
    found: OnceCell<Found>,
}

impl SiteAttribution {
    fn new(passage: Passage, site: &str, options: SiteAttributionOptions) -> Result<Self, ScriptError> {
        let place = place_named(Some(site), Site::HeadOutputs, &passage)?;
        let (target, answer) = one_target(&passage, &options.of_target)?;
        let ids = match place.encoder {
            true => &passage.input().ids,
            false => passage.input().spoken(),
        };
        let tokens = passage.model().loaded()?.tokenizer().tokens(ids);
        Ok(Self(Rc::new(Inner {
            options: SiteOptions {
                place,
                layers: options.layers,
                target,
                method: options.method.0,
                n_steps: options.n_steps,
                by: options
                    .by
                    .map_or_else(|| SiteAxis::usual(place), |by| by.0.into()),
            },
            answer,
            tokens: token_sequence(&tokens, tokens.len(), false).tokens,
            passage,
            found: OnceCell::new(),
        })))
    }

    fn found(&self) -> Result<&Found, ScriptError> {
        let Inner {
            passage,
            options,
            found,
            ..
        } = &*self.0;
        passage.found(
            found,
            |found| found.answer,
            |model, watch| attribute_site(model, passage.input(), options, watch),
        )
    }

    fn contributions(&self) -> Result<Tensor, ScriptError> {
        let table = self.found()?.contributions.mapv(|x| x as f32).into_dyn();
        Ok(Tensor::new(table, &["layer", self.0.options.by.name()]))
    }

    fn elements(&self) -> Result<Tensor, ScriptError> {
        let place = self.0.options.place;
        Ok(Tensor::new(
            self.found()?.elements.array(place, None, 0)?,
            place.axes(),
        ))
    }

    /// `gradient × activation`
    fn method(&self) -> &'static str {
        match self.0.options.method {
            SiteMethod::Gradient => "gradient × activation",
            SiteMethod::IntegratedGradients => "integrated gradients",
            SiteMethod::LayerwiseRelevance => "layer-wise relevance",
        }
    }

    fn view(&self) -> Result<ecco_widgets::SiteAttribution, ScriptError> {
        let (inner, found) = (&self.0, self.found()?);
        let rows = found.contributions.outer_iter();
        let row = |row: ndarray::ArrayView1<f64>| row.iter().map(|&x| x as f32).collect();
        let sums = rows.clone().zip(&found.completeness);
        let n = found.contributions.ncols();
        Ok(ecco_widgets::SiteAttribution {
            site: inner.options.place.name(),
            method: self.method().to_owned(),
            answer: inner.answer.clone(),
            value: found.answer,
            layers: found.layers.clone(),
            columns: match inner.options.by {
                // By both it is refused.
                SiteAxis::Position | SiteAxis::HeadPosition => SiteColumns::Positions(inner.tokens.clone()),
                SiteAxis::Head => SiteColumns::Heads(n),
                SiteAxis::Neuron => SiteColumns::Neurons(n),
            },
            contributions: rows.map(row).collect(),
            sums: sums
                .map(|(row, completeness)| LayerSum {
                    sum: row.sum(),
                    promised: completeness.map(|found| found.promised),
                })
                .collect(),
        })
    }
}

impl Show for SiteAttribution {
    fn view(&self) -> Result<Box<dyn Explorable>, ScriptError> {
        Ok(Box::new(self.view()?))
    }

    fn line(&self) -> String {
        let inner = &self.0;
        format!(
            "contributions of {} by {} ({}) to the {} of {}",
            inner.options.place.name(),
            inner.options.by.name(),
            self.method(),
            inner.answer,
            inner.passage.phrase()
        )
    }
}

impl Explanation for SiteAttribution {
    fn tensors(&self) -> Result<Vec<(&'static str, Tensor)>, ScriptError> {
        Ok(vec![
            ("contributions", self.contributions()?),
            ("elements", self.elements()?),
        ])
    }

    fn labels(&self, axis: &str) -> Option<Vec<String>> {
        match axis {
            "layer" => Some(self.found().ok()?.layers.iter().map(usize::to_string).collect()),
            "position" => Some(self.0.tokens.iter().map(|token| token.text.clone()).collect()),
            _ => None,
        }
    }
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// What an answer owes to what stands at a site of each layer: its positions, heads or neurons. By `method`
        /// "gradient" the value times its gradient; "integrated_gradients" on the way from 0, so that a layer sums to what the
        /// answer loses with the site set to 0 there; "layerwise_relevance" with attention patterns, norms' deviations and
        /// gates held, so that a layer sums to all that passes through it. Nothing is computed before one looks.
        ///
        /// Example:
        /// ```rhai
        /// run.site_attribution("head_outputs", #{target: " Paris", contrast: " Rome"})
        /// run.site_attribution("mlp_inner", #{by: "neuron", method: "integrated_gradients"}).contributions
        /// ```
        fn site_attribution(passage: Passage, site: &str; options: SiteAttributionOptions) -> SiteAttribution {
            SiteAttribution::new(passage, site, options)
        }
    }
    members! { registry, [SiteAttribution];
        /// In the units of the answer: a tensor (layer, position), (layer, head) or (layer, neuron).
        get contributions(attribution: &SiteAttribution) -> Tensor { attribution.contributions() }

        /// The same number by number: a tensor with the axes of the site.
        get elements(attribution: &SiteAttribution) -> Tensor { attribution.elements() }

        /// The answer itself.
        get value(attribution: &SiteAttribution) -> FLOAT { Ok(attribution.found()?.answer) }

        /// Whether a layer's contributions add up to what the method promises: for each layer a map with `promised`, `error`
        /// and `relative`; `()` where it promises nothing.
        get completeness(attribution: &SiteAttribution) -> Array {
            let found = attribution.found()?;
            Ok(found.completeness.iter().map(completeness_map).collect::<Vec<Dynamic>>())
        }
    }
}

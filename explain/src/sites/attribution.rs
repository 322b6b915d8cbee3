//! Contributions of what stands at a site, layer by layer.

use ecco_interpreter::{Watch, named};
use ecco_models::guard::guard;
use ecco_models::run::{self, Input, Known, Place, Records};
use ecco_models::{Model, Rule, host};
use ndarray::Array2;
use tch::{Kind, Tensor};

use super::pass::{Change, Look, Seen, Start, pass};
use super::{SiteAxis, check_steps, ensure_room_for, existing};
use crate::attribution::work::{Work, WorkTap};
use crate::attribution::{Completeness, Objective, Quantity, Target};
use crate::error::{Result, refuse};
use crate::quadrature::gauss_legendre;

named! {
    /// How contributions are computed. With a what stands at the site of one layer, and f the answer:
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    pub enum SiteMethod {
        /// a ∂f/∂a.
        #[default]
        Gradient = "gradient",
        /// a ∫ ∂f/∂(αa) dα, the layer's site alone being scaled (1703.01365): sums to f less f with the site set to 0.
        IntegratedGradients = "integrated_gradients",
        /// a ∂f/∂a with attention patterns, deviations of norms and gates held, activations as their value over their input:
        /// sums to f less what this affine map gives with the site set to 0.
        LayerwiseRelevance = "layerwise_relevance",
    }
}

#[derive(Debug, Clone, PartialEq)]
pub struct SiteOptions {
    pub place: Place,
    /// All that have the place without.
    pub layers: Option<Vec<usize>>,
    pub target: Target,
    pub method: SiteMethod,
    /// Of integrated gradients.
    pub n_steps: usize,
    pub by: SiteAxis,
}

pub struct SiteAttribution {
    pub options: SiteOptions,
    /// The rows.
    pub layers: Vec<usize>,
    /// The answer itself.
    pub answer: f64,
    /// (layer, part)
    pub contributions: Array2<f64>,
    /// The same number by number, as the site's own values are recorded: [`Records::array`].
    pub elements: Records,
    /// By layer, where the method promises a sum.
    pub completeness: Vec<Option<Completeness>>,
}

/// # Errors
/// For a place or layer that the model does not have, one that is not divided so, and a target that it does not say of
/// this text.
pub fn attribute_site(
    model: &Model,
    input: &Input,
    options: &SiteOptions,
    watch: &mut Watch,
) -> Result<SiteAttribution> {
    let explained = Objective::new(model, input, std::slice::from_ref(&options.target))?;
    check_steps(options.n_steps)?;
    if options.by == SiteAxis::HeadPosition {
        let reason = "contributions are summed by one axis; `.elements` has them number by number";
        return Err(refuse("by", options.by.name(), reason));
    }
    let layers = existing(model, options.place, options.layers.as_deref())?;
    let sizes = run::probe(model)?;
    for &layer in &layers {
        let size = sizes.size(options.place, layer).unwrap_or_default();
        options.by.n_parts(options.place, &size, 1)?;
    }
    let at_once = match options.method {
        SiteMethod::Gradient => 1,
        SiteMethod::LayerwiseRelevance => 2,
        SiteMethod::IntegratedGradients => (explained.rows_at_once() as usize).max(2),
    };
    ensure_room_for(&explained, at_once, "contributions of a site")?;
    let total = match options.method {
        SiteMethod::Gradient => 1,
        _ => layers.len() * options.steps().len(),
    };
    let label = format!("contributions of {}", options.place.name());
    let work = &mut Work::new(watch, label, "passes", total as u64);
    let found = guard(|| {
        let found = match options.method {
            SiteMethod::Gradient => at_the_text(model, input, options, &layers, work)?,
            _ => on_the_way(model, input, options, &layers, at_once, work)?,
        };
        found.summed(options, input, layers)
    });
    Ok(found?)
}

impl SiteOptions {
    fn rule(&self) -> Rule {
        match self.method {
            SiteMethod::LayerwiseRelevance => Rule::Frozen,
            _ => Rule::Gradient,
        }
    }

    /// By what the site is multiplied, and with what weight the gradient there counts: first all of it and nothing of it,
    /// whose answers differ by what contributions should sum to.
    fn steps(&self) -> Vec<(f64, f64)> {
        match self.method {
            SiteMethod::IntegratedGradients => {
                let ends = [(1.0, 0.0), (0.0, 0.0)].into_iter();
                ends.chain(gauss_legendre(self.n_steps)).collect()
            }
            _ => vec![(1.0, 1.0), (0.0, 0.0)],
        }
    }

    /// The frozen map leads to the logits; whatever is made of them has slopes.
    fn promises(&self) -> bool {
        match self.method {
            SiteMethod::Gradient => false,
            SiteMethod::IntegratedGradients => true,
            SiteMethod::LayerwiseRelevance => self.target.of == Quantity::Logit,
        }
    }
}

/// Contributions by layer as a pass has the site, `[1, …]` in double precision, and the answers to the text and without the
/// site, `[2]`; of the plain gradient to the text alone.
struct Found {
    elements: Vec<Tensor>,
    answers: Vec<Tensor>,
}

impl Found {
    fn summed(
        self,
        options: &SiteOptions,
        input: &Input,
        layers: Vec<usize>,
    ) -> ecco_models::error::Result<SiteAttribution> {
        let sums: Vec<Tensor> = self.elements.iter().map(|x| options.by.sums(x)).collect();
        let all: Vec<&Tensor> = self.answers.iter().chain(&sums).collect();
        let mut answers = host::numbers_of_all(&all);
        let rows = answers.split_off(self.answers.len());
        let sums = rows.iter().map(|row| row.iter().sum::<f64>());
        let promised = |at: usize| match answers.get(at).map(Vec::as_slice) {
            Some([whole, without]) if options.promises() => Some(whole - without),
            _ => None,
        };
        let completeness = sums
            .enumerate()
            .map(|(at, sum)| Some(Completeness::of_sum(sum, promised(at)?)));
        let completeness = completeness.collect();
        let width = rows.first().map_or(0, Vec::len);
        if rows.iter().any(|row| row.len() != width) {
            return Err(ecco_models::Error::Widths {
                site: options.place.name(),
            });
        }
        let contributions = Array2::from_shape_fn((rows.len(), width), |(row, part)| rows[row][part]);
        let elements = layers.iter().copied().zip(self.elements).collect();
        Ok(SiteAttribution {
            options: options.clone(),
            answer: answers.first().map_or(f64::NAN, |answers| answers[0]),
            contributions,
            completeness,
            elements: Records::of_place(options.place, elements, input),
            layers,
        })
    }
}

fn product(value: &Tensor, gradient: &Tensor) -> Tensor {
    value.to_kind(Kind::Double) * gradient.to_kind(Kind::Double)
}

/// All layers in one pass.
fn at_the_text(
    model: &Model,
    input: &Input,
    options: &SiteOptions,
    layers: &[usize],
    work: &mut Work,
) -> ecco_models::error::Result<Found> {
    let answer = |states: &Tensor| options.target.of_states(model, states, Rule::Gradient);
    let look = Look {
        answer: &answer,
        place: options.place,
        layers: Some(layers),
        rule: Rule::Gradient,
    };
    let start = Start::Texts(std::slice::from_ref(input));
    let (answers, seen) = pass(model, start, &look, &[], work)?;
    work.advance(1)?;
    let elements = seen.iter().map(|seen| product(&seen.value, &seen.gradient));
    Ok(Found {
        elements: elements.collect(),
        answers: vec![answers],
    })
}

/// Layer by layer, the site being scaled there alone.
fn on_the_way(
    model: &Model,
    input: &Input,
    options: &SiteOptions,
    layers: &[usize],
    at_once: usize,
    work: &mut Work,
) -> ecco_models::error::Result<Found> {
    // What is changed before a layer would be changed once more where a pass goes on from there.
    let known = match options.place.encoder || model.stack().is_edited() {
        true => None,
        false => Some(run::known(model, input, &mut WorkTap(work))?.0),
    };
    let way = Way {
        model,
        input,
        known,
        options,
    };
    let steps = options.steps();
    let (mut elements, mut answers) = (Vec::new(), Vec::new());
    for &layer in layers {
        let mut chunks = steps.chunks(at_once);
        // The first two steps are the ends, and the first is the value as it is.
        let first = way.part(layer, chunks.next().unwrap_or_default(), work)?;
        let mut sum = first.weighted;
        for steps in chunks {
            let _ = sum.g_add_(&way.part(layer, steps, work)?.weighted);
        }
        elements.push(product(&first.value.narrow(0, 0, 1), &sum));
        answers.push(first.answers.narrow(0, 0, 2));
    }
    Ok(Found { elements, answers })
}

/// Passes in which a layer's site is scaled.
struct Way<'a> {
    model: &'a Model,
    input: &'a Input,
    /// The pass over the text, where others can go on from it.
    known: Option<Known>,
    options: &'a SiteOptions,
}

/// What some of the steps gave.
struct Part {
    /// `[step]`
    answers: Tensor,
    /// `[step, …]`
    value: Tensor,
    /// Gradients, each by its weight: `[1, …]` in double precision.
    weighted: Tensor,
}

impl Way<'_> {
    /// Steps side by side.
    fn part(&self, layer: usize, steps: &[(f64, f64)], work: &mut Work) -> ecco_models::error::Result<Part> {
        let (place, n) = (self.options.place, steps.len());
        let column = |of: fn(&(f64, f64)) -> f64, like: &Tensor| {
            let size = [vec![n as i64], vec![1; like.dim() - 1]].concat();
            let values: Vec<f64> = steps.iter().map(of).collect();
            host::tensor(&values, like.device()).reshape(size)
        };
        let make = |x: &Tensor| x * column(|step| step.0, x).to_kind(x.kind());
        let change = Change {
            place,
            layer,
            make: &make,
        };
        let (target, rule) = (&self.options.target, self.options.rule());
        let answer = |states: &Tensor| target.of_states(self.model, states, rule);
        let look = Look {
            answer: &answer,
            place,
            layers: Some(&[layer]),
            rule,
        };
        let inputs = vec![self.input.clone(); n];
        let start = match &self.known {
            Some(known) => Start::Layer(known, layer, n),
            None => Start::Texts(&inputs),
        };
        let (answers, mut seen) = pass(self.model, start, &look, &[change], work)?;
        work.advance(n as u64)?;
        let Some(Seen { value, gradient, .. }) = seen.pop() else {
            let (site, layer) = (place.name(), Some(layer));
            return Err(ecco_models::Error::NoSite { site, layer });
        };
        let weighted = gradient.to_kind(Kind::Double) * column(|step| step.1, &gradient);
        Ok(Part {
            answers,
            value,
            weighted: weighted.sum_dim_intlist(0, true, Kind::Double),
        })
    }
}

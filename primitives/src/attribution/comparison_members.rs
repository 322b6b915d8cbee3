//! `compare_methods` of an output, of a saliency, and of lists of these.

use ecco_explain::Method;
use ecco_scripting::result::show;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};
use rhai::Array;

use super::comparison::{Comparison, ComparisonOptions, OutputComparisonOptions};
use super::saliency::Saliency;
use crate::text::generation::Generation;
use crate::text::outputs::Outputs;
use crate::text::passage::Passage;
use crate::text::results::Results;

/// Each once, in order.
fn methods_of(names: &Array) -> Result<Vec<Method>, ScriptError> {
    let mut all = Vec::new();
    for name in names {
        let Ok(text) = name.as_immutable_string_ref() else {
            return show::expected("an array of methods' names", name);
        };
        let method = Method::parse(&text).ok_or_else(|| {
            let message = format!("there is no method \"{}\"", &*text);
            let error = ScriptError::new(ErrorKind::Value, message)
                .with_nearest(&text, Method::ALL_NAMES.iter().copied());
            match error.hint {
                Some(_) => error,
                None => error.with_hint(format!("methods are {}", Method::ALL_NAMES.join(", "))),
            }
        })?;
        if !all.contains(&method) {
            all.push(method);
        }
    }
    Ok(all)
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Generation];
        /// Compares gradient × input and integrated gradients with occlusion.
        fn compare_methods(passage: Passage) -> Comparison {
            let methods = vec![Method::GradXInput, Method::IntegratedGradients];
            Comparison::of_output(passage, methods, OutputComparisonOptions::default())
        }

        /// Compares attribution methods on the same targets: how far each agrees with the referee, how faithful it is,
        /// what it costs.
        ///
        /// Example:
        /// ```rhai
        /// output.compare_methods(["gradient", "lime"], #{target: " Denmark", contrast: " Iceland"})
        /// ```
        fn compare_methods(passage: Passage, methods: Array; options: OutputComparisonOptions) -> Comparison {
            Comparison::of_output(passage, methods_of(&methods)?, options)
        }
    }
    members! { registry, [Saliency];
        /// Compares methods on a saliency's own text and targets.
        ///
        /// Example:
        /// ```rhai
        /// lm.attribute("It was good.").compare_methods(["gradient", "ig"])
        /// ```
        fn compare_methods(saliency: &Saliency, methods: Array; options: ComparisonOptions) -> Comparison {
            Comparison::of_saliency(saliency, methods_of(&methods)?, options)
        }
    }
    members! { registry, [Outputs];
        /// Compares methods on each output, as on one: a list, computed when it is first shown or read.
        ///
        /// Example:
        /// ```rhai
        /// lm.score(texts).compare_methods(["gradient", "ig"], #{faithfulness: false}).table
        /// ```
        fn compare_methods(outputs: &Outputs, methods: Array; options: OutputComparisonOptions) -> Results {
            let methods = methods_of(&methods)?;
            Results::of_outputs_together(outputs, move |passages| {
                Comparison::of_outputs(passages, &methods, &options)
            })
        }
    }
    members! { registry, [Results];
        /// Compares methods on the text and targets of each saliency of a list.
        fn compare_methods(results: &Results, methods: Array; options: ComparisonOptions) -> Results {
            let methods = methods_of(&methods)?;
            results.then(move |saliency: &Saliency| Comparison::of_saliency(saliency, methods.clone(), options.clone()))
        }
    }
    members! { registry, [Comparison];
        /// The table as an array of maps, the referee first: `method`, `spearman`, `kendall`, `top_k`, `same_first` with
        /// the referee, `seconds`, and the figures of faithfulness where they were measured.
        get rows(comparison: &Comparison) -> Array { comparison.rows() }
    }
}

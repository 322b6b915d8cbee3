//! How factors are found: `run_nmf`, `run_pca`, `run_ica` of an output or a run, `ecco::nmf` and so on of several.

use ecco_explain::ica::IcaOptions;
use ecco_explain::nmf::NmfOptions;
use rhai::{Array, Dynamic};

use super::factorization::{self, Count, Factorization, Method};
use crate::live::Asking;
use crate::text::capture::CaptureOptions;
use crate::text::generation::Generation;
use crate::text::passage::Passage;
use crate::text::run::Run;
use ecco_scripting::options::{OptionKind, OptionValue};
use ecco_scripting::{Registry, ScriptError, functions, members, options};

options! {
    /// What non-negative factors can be told.
    pub struct FactorOptions {
        /// how many factors, at most one per position; "auto" takes the number that predicts held-out neurons and
        /// positions best
        n_components: Option<ComponentCount> = "10",
        /// with "auto": no more than these are tried
        max_components: usize [1..] = 32,
        ..capture: CaptureOptions,
        /// sweeps at most
        max_iter: usize [1..] = 500,
        /// of the random start; the same as scikit-learn's random_state
        seed: u64 = 0,
    }
}

options! {
    /// What principal components can be told.
    pub struct PrincipalOptions {
        /// how many components, at most one per position
        n_components: Option<usize> [1..] = "10",
        ..capture: CaptureOptions,
    }
}

options! {
    /// What independent components can be told.
    pub struct IndependentOptions {
        /// how many components, at most one less than positions
        n_components: Option<usize> [1..] = "10",
        ..capture: CaptureOptions,
        /// steps at most
        max_iter: usize [1..] = 200,
        /// of the random start; the same as scikit-learn's random_state
        seed: u64 = 0,
    }
}

/// A number of factors, or the best one.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum ComponentCount {
    Exactly(usize),
    Auto,
}

impl OptionValue for ComponentCount {
    const KIND: OptionKind = OptionKind::CountOr(&["auto"]);

    fn of(value: &Dynamic) -> Option<Self> {
        match value.as_immutable_string_ref() {
            Ok(text) => (text.as_str() == "auto").then_some(Self::Auto),
            Err(_) => usize::of(value).filter(|&count| count > 0).map(Self::Exactly),
        }
    }
}

fn nmf(passages: Vec<Passage>, options: FactorOptions) -> Result<Factorization, ScriptError> {
    let asked = Asking::new("run_nmf", &options);
    let at = options.capture.site_layers(&passages[0])?;
    let count = match options.n_components {
        Some(ComponentCount::Exactly(count)) => Count::Exactly(count),
        Some(ComponentCount::Auto) => Count::Auto(options.max_components),
        None => Count::Usual,
    };
    let options = NmfOptions {
        max_iter: options.max_iter,
        seed: options.seed,
        device: passages[0].model().loaded()?.stack().device(),
        ..NmfOptions::default()
    };
    factorization::run(passages, at, Method::Nmf { options, count }, asked)
}

fn pca(passages: Vec<Passage>, options: PrincipalOptions) -> Result<Factorization, ScriptError> {
    let asked = Asking::new("run_pca", &options);
    let at = options.capture.site_layers(&passages[0])?;
    factorization::run(passages, at, Method::Pca(options.n_components), asked)
}

fn ica(passages: Vec<Passage>, options: IndependentOptions) -> Result<Factorization, ScriptError> {
    let asked = Asking::new("run_ica", &options);
    let at = options.capture.site_layers(&passages[0])?;
    let settings = IcaOptions {
        max_iter: options.max_iter,
        seed: options.seed,
        ..IcaOptions::default()
    };
    factorization::run(passages, at, Method::Ica(settings, options.n_components), asked)
}

pub(super) fn register(registry: &mut Registry) {
    members! { registry, [Generation, Run];
        /// Groups the neurons into factors that fire together: non-negative matrix factorization of the activations, with
        /// what is negative taken as 0.
        ///
        /// Example:
        /// ```rhai
        /// let nmf = output.run_nmf(#{n_components: 10});
        /// nmf.explore()
        /// ```
        fn run_nmf(passage: Passage; options: FactorOptions) -> Factorization { nmf(vec![passage], options) }

        /// The principal components of the activations: the directions along which they vary most from position to
        /// position. Components have signs.
        ///
        /// Example:
        /// ```rhai
        /// output.run_pca(#{n_components: 5}).explained_variance_ratio
        /// ```
        fn run_pca(passage: Passage; options: PrincipalOptions) -> Factorization { pca(vec![passage], options) }

        /// The independent components of the activations (FastICA): signals over the positions that are as far from a normal
        /// distribution as possible. Components have signs; these and their order mean nothing.
        ///
        /// Example:
        /// ```rhai
        /// output.run_ica(#{n_components: 5})
        /// ```
        fn run_ica(passage: Passage; options: IndependentOptions) -> Factorization { ica(vec![passage], options) }
    }
    functions! { registry, "ecco";
        /// Non-negative factors of several texts together: outputs of `lm.generate` or runs of `lm.run`, of one model. A
        /// factor that is active in two of them is the same group of neurons.
        ///
        /// Example:
        /// ```rhai
        /// let nmf = ecco::nmf([output_1, output_2], #{n_components: "auto", layers: [1, 2]});
        /// nmf.held_out
        /// ```
        fn nmf(_state, outputs: Array; options: FactorOptions) -> Factorization {
            nmf(Passage::all(&outputs)?, options)
        }

        /// Principal components of several texts together.
        fn pca(_state, outputs: Array; options: PrincipalOptions) -> Factorization {
            pca(Passage::all(&outputs)?, options)
        }

        /// Independent components of several texts together.
        fn ica(_state, outputs: Array; options: IndependentOptions) -> Factorization {
            ica(Passage::all(&outputs)?, options)
        }
    }
}

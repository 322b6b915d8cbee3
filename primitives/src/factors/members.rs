//! What scripts read of factors.

use ecco_widgets::Explorable;
use rhai::{Array, Dynamic, FLOAT, INT, Map};

use super::factorization::Factorization;
use crate::text::passage::Passage;
use ecco_scripting::result::rich::Rich;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, members};

pub(super) fn register(registry: &mut Registry) {
    of_fit(registry);
    members! { registry, [Factorization];
        /// Shows the factors: where each one is active, which tokens it belongs to, and the neurons it consists of.
        fn explore(factors: &Factorization) -> Rich { Ok(Rich::new(factors.view()?.bundle())) }

        /// How many factors there are.
        get n_components(factors: &Factorization) -> INT { Ok(factors.n_components() as INT) }

        /// Where each factor is active: a tensor (component, position), texts one after the other.
        get components(factors: &Factorization) -> Tensor { Ok(factors.components()) }

        /// Which neurons a factor consists of: a tensor (component, neuron), layers one after the other.
        get neurons(factors: &Factorization) -> Tensor { Ok(factors.neurons()) }

        /// The `n` neurons that weigh most in a factor, as maps with `layer`, `neuron` and `weight`.
        ///
        /// Example:
        /// ```rhai
        /// nmf.top_neurons(3, 10)
        /// ```
        fn top_neurons(factors: &Factorization, factor: INT, n: INT) -> Array {
            factors.top_neurons(factor, count(n)?)
        }

        /// The `n` tokens where a factor is strongest, as the view shows them, as maps with `text` (which of several),
        /// `position`, `token` and `value`.
        ///
        /// Example:
        /// ```rhai
        /// nmf.top_tokens(3, 10)
        /// ```
        fn top_tokens(factors: &Factorization, factor: INT, n: INT) -> Array {
            factors.top_tokens(factor, count(n)?)
        }

        /// The same factors in another output or run, or in several: which neurons belong to a factor stays, where it is
        /// active is found anew.
        ///
        /// Example:
        /// ```rhai
        /// nmf.transform(lm.run("another text"))
        /// ```
        fn transform(factors: &Factorization, output: Dynamic) -> Factorization {
            factors.transform(Passage::some(&output)?)
        }
    }
}

/// How they were found, and how well.
fn of_fit(registry: &mut Registry) {
    members! { registry, [Factorization];
        /// How the factors were found: `NMF`, `PCA` or `ICA`.
        get method(factors: &Factorization) -> String { Ok(factors.method().to_owned()) }

        /// The reconstruction error: the Frobenius norm of what the factors leave unexplained.
        get error(factors: &Factorization) -> FLOAT { Ok(factors.error()) }

        /// The reconstruction error relative to the norm of the activations: 0 exact, 1 nothing explained.
        get relative_error(factors: &Factorization) -> FLOAT { Ok(factors.relative_error()) }

        /// Sweeps or steps that were done; `()` for principal components.
        get n_iter(factors: &Factorization) -> Dynamic {
            let n_iter = factors.n_iter();
            Ok(n_iter.map_or(Dynamic::UNIT, |n_iter| Dynamic::from_int(n_iter as INT)))
        }

        /// Each principal component's share of the whole variance; `()` for other factors.
        get explained_variance_ratio(factors: &Factorization) -> Dynamic {
            let array = |shares: &[f64]| shares.iter().map(|&share| Dynamic::from_float(share)).collect();
            let shares = factors.explained_variance_ratio();
            Ok(shares.map_or(Dynamic::UNIT, |shares| Dynamic::from_array(array(shares))))
        }

        /// With `n_components: "auto"`, the error of predicting held-out neurons at held-out positions for each number that
        /// was tried, as maps with `n_components`, `error` (relative, squared) and `spread` (its standard error); else `()`.
        get held_out(factors: &Factorization) -> Dynamic { Ok(held_out(factors)) }
    }
}

fn held_out(factors: &Factorization) -> Dynamic {
    factors.choice().map_or(Dynamic::UNIT, |choice| {
        let tried = choice.curve.iter().map(|held| {
            Dynamic::from_map(Map::from([
                ("n_components".into(), Dynamic::from_int(held.n_components as INT)),
                ("error".into(), Dynamic::from_float(held.error)),
                ("spread".into(), Dynamic::from_float(held.spread)),
            ]))
        });
        Dynamic::from_array(tried.collect())
    })
}

fn count(n: INT) -> Result<usize, ScriptError> {
    usize::try_from(n).ok().filter(|&n| n > 0).ok_or_else(|| {
        let message = format!("n is {n}: ask for at least 1");
        ScriptError::new(ErrorKind::Value, message)
    })
}

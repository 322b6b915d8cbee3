//! The similarity of two captures, a number: `ecco::cca`, `ecco::svcca`, `ecco::pwcca`, `ecco::cka`.

use ecco_explain::similarity::{Kernel, Method, compare};
use ecco_interpreter::named;
use ndarray::{ArcArray2, Ix2};
use rhai::FLOAT;

use ecco_scripting::options::Choice;
use ecco_scripting::session::State;
use ecco_scripting::session::watched;
use ecco_scripting::tensor::Tensor;
use ecco_scripting::{ErrorKind, Registry, ScriptError, functions, options};

named! {
    /// How two captures are compared.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum MethodName {
        Cka = "cka",
        Cca = "cca",
        Svcca = "svcca",
        Pwcca = "pwcca",
    }
}

named! {
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub enum KernelName {
        Linear = "linear",
        Rbf = "rbf",
    }
}

options! {
    /// What SVCCA can be told.
    pub struct SvccaOptions {
        /// SVCCA: how many of the strongest directions are compared
        dims: usize [1..] = 20,
    }
}

options! {
    /// What PWCCA can be told.
    pub struct PwccaOptions {
        /// PWCCA: weigh by the canonical directions, as the paper says, and not by those of its published code
        canonical: bool = false,
    }
}

options! {
    /// What CKA can be told.
    pub struct CkaOptions {
        /// CKA: by the unbiased estimator, whose mean is 0 for unrelated captures
        unbiased: bool = false,
        /// CKA: how two positions are compared
        kernel: Choice<KernelName> = Choice(KernelName::Linear),
        /// CKA with the RBF kernel: its width, in units of the median distance
        bandwidth: f64 = 1.0,
    }
}

impl SvccaOptions {
    pub(crate) fn method(&self) -> Method {
        Method::Svcca { dims: self.dims }
    }
}

impl PwccaOptions {
    pub(crate) fn method(&self) -> Method {
        Method::Pwcca {
            canonical: self.canonical,
        }
    }
}

impl CkaOptions {
    pub(crate) fn method(&self) -> Method {
        let kernel = match self.kernel.0 {
            KernelName::Linear => Kernel::Linear,
            KernelName::Rbf => Kernel::Rbf {
                bandwidth: self.bandwidth,
            },
        };
        Method::Cka {
            kernel,
            unbiased: self.unbiased,
        }
    }
}

/// The similarity of two tensors (neuron, position).
///
/// # Errors
/// Tensors of other axes, unequal positions, and what the method says.
fn of_two(state: &State, a: &Tensor, b: &Tensor, method: Method) -> Result<f64, ScriptError> {
    let (a, b) = (capture(a)?, capture(b)?);
    let wide = |matrix: ArcArray2<f32>| matrix.mapv(f64::from);
    let (a, b) = (wide(a), wide(b));
    let similarity = watched(state, true, |watch| compare(a.view(), b.view(), method, watch))?;
    Ok(similarity.score)
}

/// A tensor of two axes as (neuron, position): names say which is which; without names the first are neurons.
fn capture(tensor: &Tensor) -> Result<ArcArray2<f32>, ScriptError> {
    let axes = tensor.axes().to_vec();
    let matrix = tensor.data().into_dimensionality::<Ix2>();
    let matrix = matrix.map_err(|_| {
        let message = format!(
            "a capture has two axes, (neuron, position), not {}",
            tensor.shape_text()
        );
        ScriptError::new(ErrorKind::Value, message)
            .with_hint("take one layer: output.activations[2]; ecco::similarity compares all of them")
    })?;
    Ok(if axes[0] == "position" {
        matrix.reversed_axes()
    } else {
        matrix
    })
}

pub(super) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// How alike two captures are by canonical correlation: the mean of the first correlations, as many as make up 98%
        /// of their sum. Captures are tensors (neuron, position) over the same positions; where a tensor's axes have names,
        /// (position, hidden) is understood too. There must be more positions than neurons.
        ///
        /// Example:
        /// ```rhai
        /// ecco::cca(run_1.at("residual_after", 0), run_2.at("residual_after", 0))
        /// ```
        fn cca(state, a: Tensor, b: Tensor) -> FLOAT { of_two(&state, &a, &b, Method::Cca) }

        /// Canonical correlation of the strongest directions of each capture (SVCCA), 20 of them unless told: the mean
        /// correlation.
        ///
        /// Example:
        /// ```rhai
        /// ecco::svcca(output_1.activations[0], output_2.activations[0], #{dims: 5})
        /// ```
        fn svcca(state, a: Tensor, b: Tensor; options: SvccaOptions) -> FLOAT {
            of_two(&state, &a, &b, options.method())
        }

        /// Canonical correlation, weighted by how much each direction shows in the activations (PWCCA). By the published
        /// code, which the Python library uses.
        ///
        /// Example:
        /// ```rhai
        /// ecco::pwcca(a, b, #{canonical: true})
        /// ```
        fn pwcca(state, a: Tensor, b: Tensor; options: PwccaOptions) -> FLOAT {
            of_two(&state, &a, &b, options.method())
        }

        /// How alike two captures are by centred kernel alignment (CKA). It needs no more positions than neurons, but the
        /// usual estimate is far above 0 for unrelated captures of many neurons: see `unbiased`.
        ///
        /// Example:
        /// ```rhai
        /// ecco::cka(output_1.activations[0], output_2.activations[0], #{unbiased: true})
        /// ```
        fn cka(state, a: Tensor, b: Tensor; options: CkaOptions) -> FLOAT {
            of_two(&state, &a, &b, options.method())
        }
    }
}

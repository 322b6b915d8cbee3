//! `ecco::rand`, `ecco::randn`: numpy's random numbers.

use std::rc::Rc;

use ecco_explain::algebra::random;
use ecco_scripting::options::{Choice, OneOrMany};
use ecco_scripting::session::State;
use ecco_scripting::tensor::work::Work;
use ecco_scripting::tensor::{Precision, Tensor, lengths, named};
use ecco_scripting::{ErrorKind, Registry, ScriptError, functions, options};
use ndarray::{ArrayD, IxDyn};
use rhai::Array;

options! {
    /// What a random tensor can be told.
    struct RandomOptions {
        /// the same seed makes the same numbers, those of numpy's `RandomState(seed)`
        seed: u64 = 0,
        /// how exact its values are
        dtype: Choice<Precision> = Choice(Precision::Float32),
        /// the names of its axes
        axes: Option<OneOrMany<String>> = "none",
    }
}

pub(super) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// Random numbers, evenly between 0 and 1, of a shape such as `[2, 3]`.
        ///
        /// Example:
        /// ```rhai
        /// ecco::rand([2, 3], #{seed: 7})
        /// ```
        fn rand(state, shape: Array; options: RandomOptions) -> Tensor { drawn(state, &shape, options, false) }

        /// Random numbers of a normal distribution with mean 0 and variance 1, of a shape such as `[2, 3]`.
        ///
        /// Example:
        /// ```rhai
        /// ecco::randn([2, 3], #{seed: 7})
        /// ```
        fn randn(state, shape: Array; options: RandomOptions) -> Tensor { drawn(state, &shape, options, true) }
    }
}

/// Numbers between two looks at the interrupt.
const PIECE: usize = 1 << 20;

fn drawn(
    state: Rc<State>,
    shape: &Array,
    options: RandomOptions,
    is_normal: bool,
) -> Result<Tensor, ScriptError> {
    let seed = u32::try_from(options.seed).map_err(|_| {
        let message = format!("seed is {}: at most {}", options.seed, u32::MAX);
        ScriptError::new(ErrorKind::Value, message).pointing_at("seed")
    })?;
    let (work, shape) = (Work::new(state), lengths(shape)?);
    work.room(&shape, 2 * size_of::<f64>())?;
    let n = shape.iter().product();
    let mut next = random(seed, is_normal);
    let mut values = Vec::with_capacity(n);
    while values.len() < n {
        let piece = PIECE.min(n - values.len());
        values.extend((0..piece).map(|_| next()));
        work.check()?;
    }
    let array = ArrayD::from_shape_vec(IxDyn(&shape), values);
    let array = array.map_err(|error| ScriptError::new(ErrorKind::Internal, error.to_string()))?;
    named(
        Tensor::exact(array, &[]).to_precision(options.dtype.0),
        options.axes,
    )
}

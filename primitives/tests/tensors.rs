//! Decompositions, systems and random numbers are numpy's.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

#[path = "../../scripting/tests/common/tensors.rs"]
mod tensors;

use common::on_session_thread;
use ecco_primitives::register;

#[test]
fn they_are_numpys() {
    on_session_thread(|| {
        for (dtype, tolerance) in [("float64", 1e-10), ("float32", 2e-5)] {
            let (n, wrong) = tensors::differences("algebra", dtype, tolerance);
            assert!(n >= 25, "{n} cases");
            assert!(
                wrong.is_empty(),
                "{dtype}: {} of {n}\n{}",
                wrong.len(),
                wrong.join("\n")
            );
        }
    });
}

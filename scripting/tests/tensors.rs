//! Tensors compute what numpy does, and say what is wrong with which shapes.

#[allow(dead_code)]
mod common;

#[path = "common/tensors.rs"]
mod tensors;

use common::on_session_thread;
use ecco_scripting::Registry;

fn register(_: &mut Registry) {}

#[test]
fn they_are_numpys() {
    on_session_thread(|| {
        for (dtype, tolerance) in [("float64", 1e-12), ("float32", 1e-5)] {
            let (n, wrong) = tensors::differences("tensors", dtype, tolerance);
            assert!(n >= 200, "{n} cases");
            assert!(
                wrong.is_empty(),
                "{dtype}: {} of {n}\n{}",
                wrong.len(),
                wrong.join("\n")
            );
        }
    });
}

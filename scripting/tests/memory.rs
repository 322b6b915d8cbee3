//! Alone in its process, since it measures the process.

#[allow(dead_code)]
mod common;

use common::{Notebook, on_session_thread};

fn register(_: &mut ecco_scripting::Registry) {}

#[test]
fn a_cell_that_is_run_again_and_again_takes_no_more_memory() {
    on_session_thread(|| {
        let mut notebook = Notebook::in_folder(
            std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts/imports"),
        );
        // All that a cell can leave behind: a variable, a function, a closure, an import, an output.
        let code = "import \"helpers\" as h; let big = []; big.pad(100, 1); fn f(x) { x + 1 } \
            let g = |y| y + big.len(); display(big, \"id\"); g.call(f(h::twice(0)))";
        let mut allocated_after = |runs: usize| {
            for _ in 0..runs {
                notebook.run(code).result.expect("it runs");
            }
            ecco_scripting::allocated_bytes()
        };
        let first = allocated_after(500);
        let last = allocated_after(3_000);
        let grown = last.saturating_sub(first);
        assert!(grown < 33_000, "3,000 runs took {grown} bytes");
    });
}

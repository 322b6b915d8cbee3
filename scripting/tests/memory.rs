//! Alone in its process, since it measures the process.

#[allow(dead_code)]
mod common;

use common::{Notebook, on_session_thread};

#[test]
fn a_cell_that_is_run_again_and_again_takes_no_more_memory() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let code =
            "let big = []; big.pad(1000, 1); fn f(x) { x + 1 } let g = |y| y + big.len(); g.call(f(1))";
        let resident = || {
            let status = std::fs::read_to_string("/proc/self/statm").expect("statm");
            status
                .split(' ')
                .nth(1)
                .and_then(|pages| pages.parse::<usize>().ok())
                .expect("pages")
                * 4096
        };
        for _ in 0..500 {
            assert_eq!(notebook.text(code), "1002");
        }
        let before = resident();
        for _ in 0..2000 {
            notebook.run(code).result.expect("it runs");
        }
        let grown = resident().saturating_sub(before);
        assert!(grown < 8 << 20, "2,000 runs took {grown} bytes");
    });
}

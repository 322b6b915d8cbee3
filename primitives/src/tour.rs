//! `ecco::tour()`: where to begin.

use ecco_scripting::result::rich::Rich;
use ecco_scripting::{Registry, functions};

/// Cells to copy, with what they show.
const TOUR: &str = include_str!("tour.md");

pub(super) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// Six cells to copy, one for each kind of question, to begin with.
        ///
        /// Example:
        /// ```rhai
        /// ecco::tour()
        /// ```
        fn tour(_state) -> Rich {
            // Front ends colour Rust; of Rhai they know nothing.
            Ok(Rich::of("text/markdown", &TOUR.replace("```rhai\n", "```rust\n"), TOUR))
        }
    }
}

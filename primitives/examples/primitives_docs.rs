//! Writes `docs/primitives.md` from the primitives' documentation.

use std::path::Path;

use ecco_interpreter::Interrupt;

fn main() -> std::io::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    std::fs::create_dir_all(&docs)?;
    let page = ecco_primitives::session(Interrupt::default()).primitives_page();
    std::fs::write(docs.join("primitives.md"), page)
}

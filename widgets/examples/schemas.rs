//! Writes the JSON Schema of every result's document, and the page that tells its fields.
//!
//! `cargo run --release -p ecco-widgets --example schemas`; a test fails when what is written is stale.

use std::path::Path;
use std::{fs, io};

fn main() -> io::Result<()> {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let folder = docs.join("schemas");
    fs::create_dir_all(&folder)?;
    for old in fs::read_dir(&folder)? {
        fs::remove_file(old?.path())?;
    }
    for (name, text) in ecco_widgets::reference::files() {
        fs::write(docs.join(name), text)?;
    }
    Ok(())
}

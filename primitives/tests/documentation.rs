//! `docs/primitives.md` says what the code says.

use std::path::Path;

use ecco_interpreter::Interrupt;

#[test]
fn the_page_of_primitives_is_fresh() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/primitives.md");
    let written = std::fs::read_to_string(path).expect("docs/primitives.md can be read");
    let current = ecco_primitives::session(Interrupt::default()).primitives_page();
    assert!(written == current, "stale: make bless");
}

#[test]
fn every_primitive_is_documented() {
    let page = ecco_primitives::session(Interrupt::default()).primitives_page();
    let sections: Vec<&str> = page.split("\n### ").skip(1).collect();
    assert!(
        sections.len() > 40,
        "only {} primitives on the page",
        sections.len()
    );
    for section in sections {
        let (name, body) = section.split_once('\n').expect("a name and a body");
        let text = body.split("```\n").skip(1).collect::<String>();
        assert!(
            text.chars().filter(|c| c.is_alphabetic()).count() > 10,
            "{name} has no documentation"
        );
    }
}

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
fn nothing_is_said_twice() {
    let page = ecco_primitives::session(Interrupt::default()).primitives_page();
    // Code and the rows of options may be alike.
    let prose: Vec<&str> = page.split("```").step_by(2).collect();
    let lines = prose.iter().flat_map(|part| part.split("\n\n"));
    let paragraphs = lines.filter(|part| !part.trim_start().starts_with(['|', '#']));
    let mut seen = std::collections::HashSet::new();
    for paragraph in paragraphs {
        let text = paragraph.split_whitespace().collect::<Vec<_>>().join(" ");
        for sentence in text.split_inclusive(". ").filter(|sentence| sentence.len() > 40) {
            assert!(seen.insert(sentence.trim().to_owned()), "twice: {sentence}");
        }
    }
    assert!(seen.len() > 200, "only {} sentences", seen.len());
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

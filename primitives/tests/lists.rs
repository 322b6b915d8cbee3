//! Lists of results: each is what its text has alone, whatever is read beside it.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use common::{Notebook, on_session_thread};
use ecco_primitives::register;

const OUTPUTS: &str = r#"
let lm = ecco::from_pretrained("demo", #{verbose: false});
let texts = ["The countries are:\n1.", "It", "1. Austria\n2. Belgium\n3.", "The capital of France is", "I have been to Italy and to Spain.", "A"];
let outputs = lm.generate(texts, #{generate: 3, do_sample: false});
let scored = lm.score(texts.map(|text| text + " and more of it"));
fn far(a, b) { (ecco::tensor(a) - ecco::tensor(b)).abs().max() }
"#;

#[test]
fn each_is_what_its_text_has_alone() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook.run(OUTPUTS).result.expect("the demo model runs");
        for (list, alone) in [
            ("outputs.lens()", "outputs[i].lens()"),
            (
                "outputs.lens(#{topk: 2, raw: true})",
                "outputs[i].lens(#{topk: 2, raw: true})",
            ),
            ("scored.lens()", "scored[i].lens()"),
            (
                "outputs.candidates(-1)",
                "outputs[i].candidates(outputs[i].token_ids.len() - 1)",
            ),
            ("scored.candidates(2)", "scored[i].candidates(2)"),
            ("outputs.saliency()", "outputs[i].saliency()"),
            ("lm.attribute(texts)", "lm.attribute(texts[i])"),
            ("lm.predict(texts)", "lm.predict(texts[i])"),
        ] {
            notebook.run(&format!("let list = {list};")).result.expect(list);
            for at in (0..6).rev() {
                let alone = alone.replace("[i]", &format!("[{at}]"));
                notebook
                    .run(&format!("let one = {alone}; let same = list[{at}];"))
                    .result
                    .expect(&alone);
                let what = format!("{list}, {alone}");
                assert_eq!(
                    notebook.text("one.to_string() == same.to_string()"),
                    "true",
                    "{what}"
                );
                match list.contains("candidates") || list.contains("predict") {
                    true => {
                        let ids = notebook.text("one.to_array().map(|row| row.token_id) == same.to_array().map(|row| row.token_id)");
                        assert_eq!(ids, "true", "{what}");
                        let far: f64 = notebook
                            .text("far(one.to_array().map(|row| row.probability), same.to_array().map(|row| row.probability))")
                            .parse()
                            .expect("a number");
                        assert!(far < 1e-5, "{what}: {far}");
                    }
                    false => {
                        // Rows of saliencies end where their targets stand.
                        let far = notebook.text(match list.contains("lens") {
                            true => "far(one.to_array(), same.to_array())",
                            false => "(one.scores - same.scores).abs().max()",
                        });
                        let far: f64 = far.parse().expect("a number");
                        assert!(far < 1e-5, "{what}: {far}");
                    }
                }
                if list.contains("lens") {
                    assert_eq!(
                        notebook.text("one.top_tokens == same.top_tokens"),
                        "true",
                        "{what}"
                    );
                }
            }
            assert_eq!(notebook.text("list.table.len()"), "6", "{list}");
        }
    });
}

/// A text that cannot be asked does not spoil those beside it, and is named.
#[test]
fn the_text_that_is_wrong_is_named() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook.run(OUTPUTS).result.expect("the demo model runs");
        notebook
            .run("let list = outputs.candidates(9);")
            .result
            .expect("made");
        let error = notebook.error("list.table");
        let told = common::plain(&error);
        assert!(error.name == "IndexError" && told.contains("text "), "{told}");
        // The longest has that position.
        assert_eq!(notebook.text("list[4].to_array().len()"), "10");
        assert!(
            notebook
                .error("list[1]")
                .value
                .contains("nothing is predicted at position 9")
        );
    });
}

//! Results of models that say no numbers, whose input changes nothing, or whose probabilities underflow.

use ecco_interpreter::MimeBundle;

use crate::calls::{self, VALUES};
use crate::common::{Event, Notebook, on_session_thread};
use crate::{alone, models};

const TEXT: &str = "ab cd ef ab cd";

/// Every method of attribution.
fn methods(notebook: &Notebook) -> Vec<&'static str> {
    let options = notebook
        .session
        .catalog()
        .options("Generation.saliency")
        .expect("options");
    let method = options
        .iter()
        .find(|option| option.name == "method")
        .expect("a method");
    method.kind.names().to_vec()
}

/// What a page must not say, and why it is wrong.
fn faults(bundle: &MimeBundle) -> Vec<String> {
    let mut faults = Vec::new();
    for (media_type, data) in &bundle.data {
        let data = data.to_string();
        for wrong in ["NaN%", "NaN px", "NaNpx", "inf%", "width:NaN"] {
            if data.contains(wrong) {
                faults.push(format!("{media_type} has {wrong:?}"));
            }
        }
        let ranked = data.match_indices("rank 1").filter(|(at, found)| {
            let after = data[at + found.len()..].chars().next();
            !after.is_some_and(|c| c.is_ascii_digit() || c == ',')
        });
        if ranked.count() > 0 {
            faults.push(format!("{media_type} has a rank of 1"));
        }
    }
    faults
}

/// Says that there are no numbers, once in a cell.
fn notices(events: &[Event]) -> usize {
    let says = |event: &&Event| matches!(event, Event::Stderr(text) if text.contains("does not say numbers"));
    events.iter().filter(says).count()
}

#[test]
fn a_model_that_overflows_has_no_ranks_and_says_so() {
    let _alone = alone();
    on_session_thread(|| {
        let folder = models::changed("gpt2-tiny", |name, numbers| {
            if name.ends_with("ln_f.weight") {
                numbers.values.fill(3e38);
            }
        });
        let mut notebook = Notebook::in_folder(folder.path());
        let missing = calls::define(&mut notebook, folder.path(), TEXT);
        // What needs a number says that there is none.
        let expected = [
            ("PatchMap", "ArithmeticError"),
            ("PatchMaps", "ArithmeticError"),
            ("AttributionPatching", "ArithmeticError"),
            ("Edges", "ArithmeticError"),
            // Asked of edges that are not there.
            ("Circuit", ""),
            ("Curve", ""),
            ("SteeringVector", ""),
        ];
        for (of, error) in &missing {
            let known = expected.iter().find(|(name, _)| name == of);
            let kind = known.unwrap_or_else(|| panic!("{of}: {error}")).1;
            assert!(
                error.starts_with(kind) && !error.contains("InternalError"),
                "{of}: {error}"
            );
        }
        for (of, variable, make) in VALUES {
            let ran = notebook.run(&format!("let {variable} = {make}; {variable}"));
            match ran.result {
                Ok(Some(bundle)) => {
                    let found = faults(&bundle);
                    assert!(found.is_empty(), "{of}: {found:?}\n{:?}", bundle.text());
                }
                Ok(None) => {}
                Err(error) => assert!(
                    missing.iter().any(|(name, _)| name == of),
                    "{of}: {}",
                    error.value
                ),
            }
            // What speaks of what the model says, tells what that is.
            let speaks = [
                "Run",
                "Saliency",
                "Comparison",
                "Faithfulness",
                "Lens",
                "LogitAttribution",
                "Candidates",
                "TopK",
            ];
            if speaks.contains(of) {
                assert_eq!(notices(&ran.events), 1, "{of}: {:?}", ran.events);
            }
        }
        let ranks = notebook.text("output.ranks.filter(|rank| rank != ()).len");
        assert_eq!(ranks, "0", "{}", notebook.text("output.ranks"));
        let scores = notebook.text("saliency.scores.to_array()[0][0]");
        assert_eq!(scores, "NaN");
        for (code, kind) in [
            ("lm.generate(text, #{generate: 3})", "ArithmeticError"),
            (
                "lm.generate(text, #{generate: 3, do_sample: true})",
                "ArithmeticError",
            ),
            (
                "lm.generate(text, #{generate: 3, beam_size: 2})",
                "ArithmeticError",
            ),
            (
                "lm.generate(text, #{generate: 3, beam_size: 2, do_sample: true})",
                "ArithmeticError",
            ),
        ] {
            let error = notebook.error(code);
            assert_eq!(error.name, kind, "{code}: {}", error.value);
            assert!(error.value.contains("is no number"), "{code}: {}", error.value);
        }
        for method in methods(&notebook) {
            let code = format!("let s = output.saliency(#{{method: \"{method}\", position: 4}}); s");
            let bundle = notebook
                .run(&code)
                .result
                .unwrap_or_else(|error| panic!("{method}: {}", error.value));
            let found = faults(&bundle.expect("a view"));
            assert!(found.is_empty(), "{method}: {found:?}");
            assert_eq!(notebook.text("s.scores.to_array()[0][0]"), "NaN", "{method}");
        }
    });
}

#[test]
fn an_input_that_changes_nothing_has_no_shares() {
    let _alone = alone();
    on_session_thread(|| {
        let folder = models::changed("gpt2-tiny", |name, numbers| match name {
            "transformer.ln_f.weight" => numbers.values.fill(0.0),
            "transformer.ln_f.bias" => numbers.values.fill(0.5),
            _ => {}
        });
        let mut notebook = Notebook::in_folder(folder.path());
        calls::define(&mut notebook, folder.path(), TEXT);
        // What attention says does not depend on what the model says.
        let of_attention = ["attention", "attention_rollout", "value_zeroing", "rollout"];
        let methods = methods(&notebook);
        for method in methods
            .iter()
            .filter(|method| !of_attention.iter().any(|name| method.contains(name)))
        {
            let code = format!("let s = output.saliency(#{{method: \"{method}\", position: 4}}); s");
            let bundle = notebook
                .run(&code)
                .result
                .unwrap_or_else(|error| panic!("{method}: {}", error.value));
            let found = faults(&bundle.expect("a view"));
            assert!(found.is_empty(), "{method}: {found:?}");
            assert_eq!(
                notebook.text("[s.scores.max(), s.scores.min()]"),
                "[0.0, 0.0]",
                "{method}"
            );
        }
        notebook
            .run("let c = output.compare_methods([\"grad_x_input\", \"ig\"], #{position: 4});")
            .result
            .expect("a comparison");
        for row in ["spearman", "kendall", "top_k", "same_first"] {
            let beside = notebook.text(&format!(
                "c.rows.filter(|row| !row.is_referee).map(|row| row.{row}.is_nan())"
            ));
            assert!(!beside.contains("false"), "{row}: {beside}");
        }
        let figures = "output.saliency(#{method: \"ig\", position: 4}).faithfulness(#{n_random: 1}).figures";
        let text = notebook.text(figures);
        assert_eq!(text.matches("NaN").count(), 5, "{text}");
    });
}

#[test]
fn probabilities_that_underflow_keep_their_order() {
    let _alone = alone();
    on_session_thread(|| {
        let folder = models::changed("gpt2-tiny", |name, numbers| {
            if name.ends_with("ln_f.weight") {
                numbers.values.iter_mut().for_each(|value| *value *= 1e4);
            }
        });
        let mut notebook = Notebook::in_folder(folder.path());
        let missing = calls::define(&mut notebook, folder.path(), TEXT);
        for (of, variable, _) in VALUES {
            let bundle = notebook
                .run(variable)
                .result
                .unwrap_or_else(|error| panic!("{of}: {}", error.value));
            let data = bundle.map(|bundle| bundle.data).unwrap_or_default();
            for (media_type, data) in data {
                let data = data.to_string();
                assert!(
                    !data.contains("NaN%") && !data.contains("width:NaN"),
                    "{of}: {media_type}"
                );
            }
        }
        // Both texts have the same answer.
        let of_pairs = [
            "PatchMap",
            "PatchMaps",
            "AttributionPatching",
            "Edges",
            "Circuit",
            "Curve",
        ];
        assert!(missing.iter().all(|(of, _)| of_pairs.contains(of)), "{missing:?}");
        // The rank of a token of probability 0 is by its logit.
        let ranks = notebook.text("output.ranks.filter(|rank| rank == () || rank < 1).len");
        assert_eq!(ranks, "0");
        let order = "let c = output.candidates(4, #{topk: 20}).to_array(); c.map(|row| row.rank)";
        assert!(notebook.text(order).starts_with("[1, 2, 3, 4, 5"));
    });
}

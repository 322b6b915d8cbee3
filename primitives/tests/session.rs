//! Streaming, interruption, memory, panics: what a transcript cannot show.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use common::{Event, Notebook, interrupted, on_session_thread};
use ecco_interpreter::MimeBundle;
use ecco_primitives::register;

const README_PROMPT: &str =
    r#""The countries of the European Union are:\n1. Austria\n2. Belgium\n3. Bulgaria\n4.""#;

#[test]
fn tokens_stream_and_the_output_is_shown_once() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook
            .run("let lm = ecco::from_pretrained(\"demo\");")
            .result
            .expect("the demo loads");
        let ran = notebook.run(&format!("lm.generate({README_PROMPT}, #{{generate: 20}})"));
        let Some(Event::Display(first, Some(id))) = ran.events.first() else {
            panic!("no display: {:?}", ran.events);
        };
        assert!(
            first.text().is_some_and(|text| text.ends_with('▌')),
            "the first display is finished"
        );
        let Some(Event::Update(last, last_id)) = ran.events.last() else {
            panic!("no update: {:?}", ran.events);
        };
        assert_eq!(id, last_id);
        assert!(
            last.text()
                .is_some_and(|text| text.contains('│') && !text.ends_with('▌'))
        );
        assert!(last.data.contains_key("text/html"));
        assert_eq!(ran.result, Ok(None), "the output is shown twice");
        let again = notebook.run("lm.last_output").result.expect("it is reachable");
        assert_eq!(again.as_ref().and_then(MimeBundle::text), last.text());
    });
}

#[test]
fn the_example_shows_its_widgets() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let load = "let lm = ecco::from_pretrained(\"demo\", #{activations: true});";
        notebook.run(load).result.expect("the demo loads");
        notebook
            .run(&format!(
                "let output = lm.generate({README_PROMPT}, #{{generate: 20, do_sample: true}});"
            ))
            .result
            .expect("it generates");
        for code in [
            "output",
            "output.saliency()",
            "output.saliency(#{style: \"detailed\"})",
            "let nmf_1 = output.run_nmf(#{n_components: 10}); nmf_1.explore()",
        ] {
            let bundle = notebook.run(code).result.expect(code).expect("a value");
            let media_types: Vec<&String> = bundle.data.keys().collect();
            for kind in ["plain", "html", "json"] {
                assert!(
                    media_types.iter().any(|name| name.ends_with(kind)),
                    "{code}: {media_types:?}"
                );
            }
        }
        let text = notebook.text("output.activations");
        assert!(text.starts_with("tensor (layer "), "{text}");
    });
}
#[test]
fn an_interrupted_generation_keeps_its_tokens() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        notebook
            .run("let lm = ecco::from_pretrained(\"demo\");")
            .result
            .expect("the demo loads");
        let code = format!("let output = lm.generate({README_PROMPT}, #{{generate: 60}});");
        let (events, traceback) = interrupted(&mut notebook, &code);
        assert!(traceback.contains("lm.last_output"), "{traceback}");
        assert!(matches!(events.last(), Some(Event::Update(bundle, _))
            if bundle.text().is_some_and(|text| !text.ends_with('▌'))));
        assert_eq!(notebook.text("lm.last_output.finish"), "\"interrupted\"");
        let made = notebook.text("let made = lm.last_output; made.tokens.len() - made.n_input_tokens < 60");
        assert_eq!(made, "true");
        assert_eq!(notebook.text("made.activations.shape.len()"), "3");
    });
}

/// Forty texts of lengths of their own, which are written one after the other.
#[test]
fn texts_that_are_done_before_an_interrupt_are_kept() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let setup = "let lm = ecco::from_pretrained(\"demo\"); let texts = []; let text = \"One\"; \
                     for i in 0..40 { text += \" two\"; texts.push(text); }";
        notebook.run(setup).result.expect("the demo loads");
        let code = "lm.generate(texts, #{generate: 100})";
        let (events, traceback) = interrupted(&mut notebook, code);
        assert!(traceback.contains("lm.last_outputs"), "{traceback}");
        assert!(matches!(events.first(), Some(Event::Display(bundle, _))
            if bundle.text().is_some_and(|text| text.contains("texts generated"))));
        let n = "let n = lm.last_outputs.len(); n > 0 && n < 40";
        assert_eq!(notebook.text(n), "true");
        let same = "lm.last_outputs[0].token_ids == lm.generate(texts[0], #{generate: 100}).token_ids";
        assert_eq!(notebook.text(same), "true");
    });
}

/// A list of results goes on from where it was interrupted.
#[test]
fn results_that_are_done_before_an_interrupt_are_kept() {
    on_session_thread(|| {
        let mut notebook = Notebook::new();
        let setup = "let lm = ecco::from_pretrained(\"demo\"); let texts = []; let text = \"One\"; \
                     for i in 0..60 { text += \" two\"; texts.push(text); } \
                     let found = lm.attribute(texts, #{method: \"ig\", n_steps: 400});";
        notebook.run(setup).result.expect("the demo loads");
        let (events, traceback) = interrupted(&mut notebook, "found.table");
        assert!(traceback.contains("what is done is kept"), "{traceback}");
        let shown: Vec<&str> = events
            .iter()
            .filter_map(|event| match event {
                Event::Display(bundle, _) => bundle.text(),
                _ => None,
            })
            .collect();
        assert!(
            matches!(shown.as_slice(), [one] if one.contains("of 60 texts")),
            "{shown:?}"
        );
        let same = "found[0].scores == lm.attribute(texts[0], #{method: \"ig\", n_steps: 400}).scores";
        assert_eq!(notebook.text(same), "true");
    });
}

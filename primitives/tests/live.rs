//! What the pages of results ask, and that an answer is what its line gives.

#[allow(dead_code)]
#[path = "../../scripting/tests/common/mod.rs"]
mod common;

use common::{Notebook, on_session_thread};
use ecco_interpreter::Interpreter;
use ecco_primitives::register;
use serde_json::{Value, json};

fn prepared() -> Notebook {
    let mut notebook = Notebook::new();
    let code = "let lm = ecco::from_pretrained(\"demo\", #{verbose: false});
        let text = lm.generate(\"The countries are:\\n1.\", #{generate: 4});";
    notebook.run(code).result.expect("it runs");
    notebook
}

/// The page that a cell shows, and the id in it.
fn shown(notebook: &mut Notebook, code: &str) -> (String, String) {
    let bundle = notebook.run(code).result.expect("it runs").expect("a value");
    let page = bundle.data["text/html"].as_str().unwrap().to_owned();
    let (before, rest) = page.split_once(" data-live=\"").expect("an id");
    let (id, after) = rest.split_once('"').unwrap();
    // The page names the cell's call; an answer has its line beside it.
    let (before, call) = before.split_once(" data-call=\"").expect("a call");
    assert_eq!(call.replace("&quot;", "\""), format!("{code}\""));
    let (_, after) = after.split_once(" data-text=\"").expect("the text's number");
    let (_, after) = after.split_once('"').unwrap();
    (format!("{before}{after}"), id.to_owned())
}

fn ask(notebook: &mut Notebook, id: &str, call: Value) -> Value {
    let question = json!({"result": id, "call": call});
    let answer = notebook.session.ask(&question);
    answer.unwrap_or_else(|error| panic!("{question}: {}", error.value))
}

fn refused(notebook: &mut Notebook, question: Value) -> String {
    notebook.session.ask(&question).expect_err("an error").value
}

#[test]
fn an_answer_is_what_its_line_gives() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let cells = [
            "text.saliency()",
            "text.lens()",
            "lm.run(\"1. Austria\").saliency(#{method: \"ig\"})",
        ];
        let calls = [
            json!({"options": {"method": "occlusion", "position": 7, "target": " Belgium", "contrast": " Austria"}}),
            json!({"options": {"raw": true, "positions": [7, 8]}}),
            json!({"text": {"read": "The \"rivers\" are:\n1.", "generate": 3}, "options": {}}),
            json!({"text": {"read": "The countries", "written": " are"}, "options": {}}),
            json!({}),
        ];
        for cell in cells {
            let (_, id) = shown(&mut notebook, cell);
            for call in &calls {
                let fits = !(cell.contains("lens") && call["options"]["method"].is_string())
                    && (cell.contains("lens") || !call["options"]["raw"].is_boolean())
                    && (cell.starts_with("text") || call["options"]["contrast"].is_null());
                if fits {
                    let answer = ask(&mut notebook, &id, call.clone());
                    let line = answer["line"].as_str().unwrap();
                    let (page, _) = shown(&mut notebook, line);
                    assert_eq!(answer["html"], page, "{line}");
                }
            }
        }
    });
}

#[test]
fn views_of_every_kind_are_asked() {
    let cases = [
        (
            "text.score()",
            json!({"text": {"read": "1. Austria", "written": ""}}),
            "lm.score(\"1. Austria\").score()",
        ),
        (
            "text.layer_predictions(#{topk: 3})",
            json!({"options": {"position": 8}}),
            "text.layer_predictions(#{position: 8})",
        ),
        (
            "text.rankings()",
            json!({"options": {"raw": true}}),
            "text.rankings(#{raw: true})",
        ),
        (
            "text.rankings_watch(#{watch: \" is\"})",
            json!({}),
            "text.rankings_watch(#{watch: \" is\"})",
        ),
        (
            "text.logit_attribution()",
            json!({"options": {"by": "head"}}),
            "text.logit_attribution(#{by: \"head\"})",
        ),
        (
            "text.attention()",
            json!({"options": {"layer": 1, "head": 2}}),
            "text.attention(#{layer: 1, head: 2})",
        ),
        (
            "text.neuron(1, 2)",
            json!({"arguments": [2, 3]}),
            "text.neuron(2, 3)",
        ),
        (
            "text.run_pca(#{n_components: 2})",
            json!({}),
            "text.run_pca(#{n_components: 2})",
        ),
        (
            "text.saliency(#{method: \"ig\"}).faithfulness(#{n_random: 1})",
            json!({"options": {"n_steps": 3}}),
            "text.saliency(#{method: \"ig\"}).faithfulness(#{n_steps: 3})",
        ),
        (
            "text.compare_methods([\"gradient\", \"grad_x_input\"], #{faithfulness: false})",
            json!({"options": {"faithfulness": false, "k": 2}}),
            "text.compare_methods([\"gradient\", \"grad_x_input\"], #{faithfulness: false, k: 2})",
        ),
        (
            "lm.patch_map(\"1. Austria\", \"2. Austria\")",
            json!({"options": {"site": "mlp_output"}}),
            "lm.patch_map(\"1. Austria\", \"2. Austria\", #{site: \"mlp_output\"})",
        ),
        (
            "text.candidates(5)",
            json!({"arguments": [6], "options": {"topk": 3}}),
            "text.candidates(6, #{topk: 3})",
        ),
        (
            "text.top_neurons(#{n: 3})",
            json!({"options": {"n": 2, "layer": 1}}),
            "text.top_neurons(#{n: 2, layer: 1})",
        ),
        (
            "lm.run(\"1. Austria\")",
            json!({"text": {"read": "2. Austria", "written": ""}}),
            "lm.run(\"2. Austria\")",
        ),
        (
            "lm.steering_vector([\"a b\"], [\"c d\", \"e f\"])",
            json!({"options": {"unit": true}}),
            "lm.steering_vector([\"a b\"], [\"c d\", \"e f\"], #{unit: true})",
        ),
        (
            "lm.compare(\"1. Austria\", #{intervene: #{ablate: [#{layer: 0, head: 0}]}, generate: 2})",
            json!({"text": {"read": "2. Austria"}, "options": {"generate": 3, "intervene": {"ablate": [{"layer": 1, "head": 0}]}}}),
            "lm.compare(\"2. Austria\", #{intervene: #{ablate: [#{layer: 1, head: 0}]}, generate: 3})",
        ),
    ];
    on_session_thread(move || {
        let mut notebook = prepared();
        for (cell, call, expected) in &cases {
            let (_, id) = shown(&mut notebook, cell);
            let answer = ask(&mut notebook, &id, call.clone());
            let line = answer["line"].as_str().unwrap();
            assert_eq!(line, *expected);
            // What took how many seconds is said there.
            if !cell.contains("compare") {
                assert_eq!(answer["html"], shown(&mut notebook, line).0, "{line}");
            }
        }
    });
}

#[test]
fn what_follows_is_a_view_of_its_own() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let (_, id) = shown(&mut notebook, "text.saliency()");
        let lines = [
            (
                json!({"next": "logit_attribution", "options": {"position": 8}}),
                "text.logit_attribution(#{position: 8})",
            ),
            (
                json!({"next": "candidates", "arguments": [8]}),
                "text.candidates(8)",
            ),
            (
                json!({"next": "faithfulness", "options": {"method": "gradient"}}),
                "text.saliency(#{method: \"gradient\"}).faithfulness()",
            ),
            (
                json!({"next": "compare", "options": {"intervene": {"ablate": [{"layer": 0, "head": 1}]}}}),
                "lm.compare(\"The countries are:\\n1.\", #{intervene: #{ablate: [#{layer: 0, head: 1}]}, generate: 4})",
            ),
        ];
        for (call, line) in lines {
            let answer = ask(&mut notebook, &id, call);
            assert_eq!(answer["line"], line);
            notebook.run(line).result.expect("it is a line of script");
            let page = answer["html"].as_str().unwrap();
            if let Some((_, rest)) = page.split_once(" data-live=\"") {
                let (own, _) = rest.split_once('"').unwrap();
                let said = notebook.session.ask(&json!({"result": own})).unwrap()["line"].clone();
                // The same call: a map that was read has its entries in the order of their names.
                let letters = |line: &str| {
                    let mut letters: Vec<char> = line.chars().collect();
                    letters.sort_unstable();
                    letters
                };
                assert_eq!(letters(said.as_str().unwrap()), letters(line), "{said}");
            }
        }
        let (_, id) = shown(&mut notebook, "lm.patch_map(\"1. Austria\", \"2. Austria\")");
        let answer = ask(
            &mut notebook,
            &id,
            json!({"next": "compare", "options": {"layer": 1, "positions": 0}}),
        );
        let line = "lm.compare(\"2. Austria\", #{intervene: #{patch: [#{layer: 1, positions: 0, site: \"residual_before\", from: lm.run(\"1. Austria\")}]}, generate: 5})";
        assert_eq!(answer["line"], line);
        notebook.run(line).result.expect("it is a line of script");
    });
}

#[test]
fn lines_name_what_the_reader_has() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let line = |notebook: &mut Notebook, id: &str, call: Value| {
            ask(notebook, id, call)["line"].as_str().unwrap().to_owned()
        };
        let (_, id) = shown(
            &mut notebook,
            "text.saliency(#{n_steps: 20, method: \"ig\", ignore_tokens: [0]})",
        );
        assert_eq!(
            notebook.session.ask(&json!({"result": id})).unwrap()["line"],
            "text.saliency(#{n_steps: 20, method: \"ig\", ignore_tokens: [0]})"
        );
        let edited = json!({"text": {"read": "a", "written": " b"}, "options": {"by": "word"}});
        assert_eq!(
            line(&mut notebook, &id, edited.clone()),
            "lm.score(\"a\", \" b\").saliency(#{by: \"word\"})"
        );
        // A number of a token is its text, where that names it.
        let austria = ask(
            &mut notebook,
            &id,
            json!({"next": "candidates", "arguments": [7], "options": {"topk": 8}, "json": true}),
        )["json"]["places"][0]["candidates"][0]
            .clone();
        let target = json!({"options": {"position": 7, "target": austria["id"]}});
        assert_eq!(
            line(&mut notebook, &id, target),
            format!(
                "text.saliency(#{{position: 7, target: \"{}\"}})",
                austria["label"].as_str().unwrap()
            )
        );
        // Without the output its text is read again; what was only given is explained by the model.
        notebook.run("text = ();").result.unwrap();
        assert!(
            line(&mut notebook, &id, json!({"options": {}}))
                .starts_with("lm.score(\"The countries are:\\n1.\", \"")
        );
        let (_, id) = shown(&mut notebook, "lm.attribute(\"The countries\")");
        assert_eq!(
            line(&mut notebook, &id, json!({})),
            "lm.attribute(\"The countries\")"
        );
        assert_eq!(
            line(
                &mut notebook,
                &id,
                json!({"text": {"read": "a b"}, "options": {"by": "word"}})
            ),
            "lm.attribute(\"a b\", #{by: \"word\"})"
        );
        assert_eq!(
            line(
                &mut notebook,
                &id,
                json!({"next": "candidates", "arguments": [1]})
            ),
            "lm.run(\"The countries\").candidates(1)"
        );
    });
}

#[test]
fn choices_say_what_can_be_asked() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let (_, id) = shown(&mut notebook, "text.saliency()");
        let choices = notebook.session.ask(&json!({"result": id})).unwrap();
        assert_eq!(
            (&choices["n_input"], &choices["can_edit"], &choices["writes"]),
            (&json!(7), &json!(true), &json!(true))
        );
        assert_eq!(choices["tokens"][1], " countries");
        let offers = choices["offers"].as_array().unwrap();
        let method = offers.iter().find(|offer| offer["name"] == "method").unwrap();
        assert!(method["values"].as_array().unwrap().len() > 10);
        assert_eq!(
            (&method["default"], &method["values"][0]),
            (&json!("grad_x_input"), &json!("grad_x_input"))
        );
        assert_eq!(
            (&choices["options"], &choices["line"]),
            (&json!({}), &json!("text.saliency()"))
        );
        // Of another text those of that text.
        let call = json!({"text": {"read": "1.", "written": " Austria"}, "options": {}});
        let other = ask(&mut notebook, &id, call)["choices"].clone();
        assert_eq!(
            (&other["tokens"], &other["n_input"]),
            (&json!(["1", ".", " Austria"]), &json!(2))
        );
        assert_eq!(
            notebook.session.ask(&json!({"result": "0-1"})).unwrap(),
            json!({"gone": true})
        );
        assert_eq!(notebook.session.ask(&json!({})).unwrap(), json!({"gone": true}));
    });
}

#[test]
fn questions_leave_no_trace_and_bad_ones_are_refused() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let (_, id) = shown(&mut notebook, "text.saliency()");
        let (before, _) = shown(&mut notebook, "lm.last_output.saliency()");
        ask(
            &mut notebook,
            &id,
            json!({"text": {"read": "1.", "generate": 2}, "options": {}}),
        );
        assert_eq!(shown(&mut notebook, "lm.last_output.saliency()").0, before);
        let call = |call: Value| json!({"result": id, "call": call});
        let refusals = [
            (call(json!({"options": {"methd": "ig"}})), "methd"),
            (call(json!({"options": {"a\"b": 1}})), "cannot be understood"),
            (call(json!({"options": [1]})), "cannot be understood"),
            (
                call(json!({"options": {"target": [[[[[["x"]]]]]]}})),
                "cannot be understood",
            ),
            (call(json!({"text": {"written": "x"}})), "cannot be understood"),
            (call(json!({"options": {"method": "ig\"}); loop {} //"}})), "ig"),
            (
                call(json!({"text": {"read": "x ".repeat(3000), "written": "y"}})),
                "token",
            ),
            (
                call(json!({"next": "candidates", "arguments": [10_000]})),
                "10000",
            ),
            (
                call(json!({"next": "save", "arguments": ["x.html"]})),
                "nothing that can be asked",
            ),
            (
                call(json!({"next": "candidates", "arguments": {"a": 1}})),
                "cannot be understood",
            ),
        ];
        for (question, expected) in refusals {
            let message = refused(&mut notebook, question.clone());
            assert!(message.contains(expected), "{question}: {message}");
        }
        notebook.run("lm.unload();").result.unwrap();
        assert!(refused(&mut notebook, call(json!({}))).contains("unloaded"));
    });
}

#[test]
fn an_interrupted_question_ends_and_the_next_is_answered() {
    on_session_thread(|| {
        let mut notebook = prepared();
        let (_, id) = shown(&mut notebook, "text.saliency()");
        notebook.interrupt.request();
        let question =
            json!({"result": id, "call": {"options": {"method": "kernel_shap", "n_samples": 100_000}}});
        assert_eq!(refused(&mut notebook, question), "interrupted");
        ask(&mut notebook, &id, json!({"options": {"method": "gradient"}}));
    });
}

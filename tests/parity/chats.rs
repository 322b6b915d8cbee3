//! Conversations against transformers' `apply_chat_template`: templates as the well-known models have them.

use std::fs;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use ecco_models::chat::ChatTemplate;
use ecco_models::files::TokenizerFiles;
use ecco_models::run::Input;
use ecco_models::{ChatOptions, GenerateOptions, Prompt, Tokenizer, generate};
use ecco_tests::{fixtures, integers, model};
use serde_json::{Value, json};

/// Opens the files of a folder that has a tokenizer, and a template in either of the places where models keep it.
fn files(template: &str, is_beside: bool) -> TokenizerFiles {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let folder = std::env::temp_dir().join(format!("ecco-chats-{}-{number}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let from = fixtures().join("tokenizers/byte_fallback");
    fs::copy(from.join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let mut config: Value =
        serde_json::from_slice(&fs::read(from.join("tokenizer_config.json")).unwrap()).unwrap();
    match is_beside {
        true => fs::write(folder.join("chat_template.jinja"), template).unwrap(),
        false => {
            config["chat_template"] = json!([
                {"name": "rag", "template": "another"}, {"name": "default", "template": template},
            ])
        }
    }
    fs::write(folder.join("tokenizer_config.json"), config.to_string()).unwrap();
    let files = TokenizerFiles::open(&folder).unwrap();
    fs::remove_dir_all(&folder).unwrap();
    files
}

fn options(case: &Value) -> ChatOptions {
    let mut variables = case["options"].as_object().unwrap().clone();
    let mut flag = |name: &str| {
        variables
            .remove(name)
            .and_then(|flag| flag.as_bool())
            .unwrap_or_default()
    };
    ChatOptions {
        template: None,
        add_generation_prompt: flag("add_generation_prompt"),
        continue_final_message: flag("continue_final_message"),
        variables,
    }
}

#[test]
fn conversations_become_the_text_and_the_ids_that_transformers_gives() {
    let path = fixtures().join("tokenizers/chats.json");
    let stored: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for (number, case) in stored["cases"].as_array().unwrap().iter().enumerate() {
        let name = case["template"].as_str().unwrap();
        let files = files(stored["templates"][name].as_str().unwrap(), number % 2 == 0);
        let template = ChatTemplate::read(&files).unwrap().expect("there is a template");
        let rendered = template.render(&case["messages"], &options(case));
        match case.get("error") {
            None => {
                let chat = rendered.unwrap_or_else(|error| panic!("{name} {number}: {error}"));
                assert_eq!(chat.text, case["text"], "{name} {number}");
                let ids = Prompt::from(&chat)
                    .ids(&Tokenizer::read(&files, "").unwrap())
                    .unwrap();
                assert_eq!(ids, integers(&case["ids"]), "{name} {number}");
            }
            Some(reason) => {
                let error = rendered
                    .expect_err(&format!("{name} {number}: {reason}"))
                    .to_string();
                let raised = !reason.as_str().unwrap().contains("has no attribute");
                assert!(
                    !raised || error.ends_with(reason.as_str().unwrap()),
                    "{name} {number}: {error}"
                );
            }
        }
    }
}

/// As transformers chooses among templates with names, wherever they are.
#[test]
fn the_template_for_tools_is_meant_where_tools_are_given() {
    let folder = std::env::temp_dir().join(format!("ecco-named-templates-{}", std::process::id()));
    let beside = folder.join("additional_chat_templates");
    fs::create_dir_all(&beside).unwrap();
    let from = fixtures().join("tokenizers/byte_fallback");
    fs::copy(from.join("tokenizer.json"), folder.join("tokenizer.json")).unwrap();
    let named = json!({"chat_template": [
        {"name": "default", "template": "plain{{ messages | length }}"},
        {"name": "tool_use", "template": "{{ tools | length }} tools"},
        {"name": "rag", "template": "rag"},
    ]});
    let said = |name: Option<&str>, tools: Value| {
        let template = ChatTemplate::read(&TokenizerFiles::open(&folder).unwrap())
            .unwrap()
            .unwrap();
        let options = ChatOptions {
            template: name.map(str::to_owned),
            variables: [("tools".to_owned(), tools)].into_iter().collect(),
            ..ChatOptions::default()
        };
        let messages = json!([{"role": "user", "content": "hi"}]);
        template
            .render(&messages, &options)
            .map_or_else(|error| error.to_string(), |chat| chat.text)
    };
    let check = || {
        assert_eq!(said(None, Value::Null), "plain1");
        assert_eq!(said(None, json!([{"type": "function"}])), "1 tools");
        assert_eq!(said(None, json!([])), "0 tools");
        assert_eq!(said(Some("rag"), json!([{}])), "rag");
        assert_eq!(said(Some("default"), json!([{}])), "plain1");
        let refused = r#"chat_template is "other": the model has "default", "rag", "tool_use""#;
        assert_eq!(said(Some("other"), Value::Null), refused);
    };
    fs::write(folder.join("tokenizer_config.json"), named.to_string()).unwrap();
    check();
    // Files win over what tokenizer_config.json has.
    fs::write(
        folder.join("tokenizer_config.json"),
        r#"{"chat_template": "old"}"#,
    )
    .unwrap();
    assert_eq!(said(None, json!([{}])), "old");
    fs::write(folder.join("chat_template.jinja"), "plain{{ messages | length }}").unwrap();
    fs::write(beside.join("tool_use.jinja"), "{{ tools | length }} tools").unwrap();
    fs::write(beside.join("rag.jinja"), "rag").unwrap();
    fs::write(beside.join("notes.txt"), "no template").unwrap();
    check();
    fs::remove_file(folder.join("chat_template.jinja")).unwrap();
    assert!(
        said(None, Value::Null).starts_with(r#"chat_template is "default": the model has "rag", "tool_use""#)
    );
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn templates_have_the_filters_of_transformers_with_all_their_arguments() {
    let path = fixtures().join("tokenizers/templates.json");
    let stored: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let options = ChatOptions {
        variables: stored["data"].as_object().unwrap().clone(),
        ..ChatOptions::default()
    };
    let messages = json!([{"role": "user", "content": "hi"}]);
    let mut failed = Vec::new();
    let cases = stored["cases"].as_array().unwrap();
    for case in cases {
        let template = case["template"].as_str().unwrap();
        let read = ChatTemplate::read(&files(template, true)).unwrap().unwrap();
        let found = read.render(&messages, &options).map(|chat| chat.text);
        match (found, case["text"].as_str()) {
            (Ok(found), Some(expected)) if found == expected => {}
            (Err(_), None) => {}
            (found, _) => failed.push(format!("{template}\n  found    {found:?}\n  expected {case}")),
        }
    }
    let (n, of) = (failed.len(), cases.len());
    assert!(failed.is_empty(), "{n} of {of}:\n{}", failed.join("\n"));
}

#[test]
fn a_model_answers_as_in_transformers() {
    let stored: Value =
        serde_json::from_slice(&fs::read(fixtures().join("runs/chat.json")).unwrap()).unwrap();
    let model = model("runs/chat", "float32");
    let chat = model.chat(&stored["messages"], &ChatOptions::default()).unwrap();
    assert_eq!(chat.text, stored["text"]);
    let options = GenerateOptions {
        generate: Some(8),
        ..Default::default()
    };
    let output = generate(&model, &chat, &options, &mut |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(output.ids()[..output.n_input], integers(&stored["ids"]));
    assert_eq!(output.ids()[output.n_input..], integers(&stored["generated"]));
    // The same text as a plain one gets its first token twice.
    assert_eq!(model.tokenizer().encode(&chat.text).unwrap()[..2], [1, 1]);
    let run = Input::new(&model, &chat, None).unwrap();
    assert_eq!(run.ids, integers(&stored["ids"]));
}

#[test]
fn what_are_no_messages_is_refused() {
    let template = ChatTemplate::read(&files("{{ messages[0].content }}", true))
        .unwrap()
        .unwrap();
    let error = |messages: Value| {
        template
            .render(&messages, &ChatOptions::default())
            .unwrap_err()
            .to_string()
    };
    assert_eq!(
        error(json!([])),
        "messages is []: expected a list of at least one message"
    );
    assert!(error(json!([{"content": "hi"}])).contains("message 0 has no role"));
    assert!(error(json!([{"role": "user", "content": "a"}, "b"])).contains("message 1 has no role"));
}

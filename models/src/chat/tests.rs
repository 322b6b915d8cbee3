use super::*;
use std::time::Instant;

fn template(source: &str) -> ChatTemplate {
    let source = Source {
        file: FILE.to_owned(),
        text: without_generation_tags(source),
    };
    ChatTemplate {
        sources: [(DEFAULT.to_owned(), source)].into(),
        special: Map::new(),
    }
}

fn render(source: &str) -> Result<String> {
    let messages = json!([{"role": "user", "content": "hi"}]);
    template(source)
        .render(&messages, &ChatOptions::default())
        .map(|chat| chat.text)
}

fn refusal(source: &str) -> String {
    render(source).unwrap_err().to_string()
}

#[test]
fn values_are_written_as_python_writes_them() {
    assert_eq!(
        render("{{ none }} {{ true }} {{ 1.0 }}").unwrap(),
        "None True 1.0"
    );
    let json = r#"{{ {"a": [1, "é<"], "b": {}} | tojson }}"#;
    assert_eq!(render(json).unwrap(), r#"{"a": [1, "é<"], "b": {}}"#);
    let year = render("{{ strftime_now('%Y') }}").unwrap();
    assert!(year.parse::<u32>().unwrap() > 2024);
    let date = render("{{ strftime_now('%d %b %Y, %-d %B, 100%%') }}").unwrap();
    assert!(date.ends_with(", 100%") && date.contains(&year), "{date}");
    assert!(refusal("{{ strftime_now('%Q') }}").contains("is not a pattern"));
    assert!(refusal("{{ strftime_now('%Y' * 200) }}").contains("256 bytes"));
}

#[test]
fn what_has_items_is_a_sequence() {
    let are = "{{ messages[0].content is sequence }} {{ {} is sequence }} {{ (1, 2) is sequence }} \
               {{ 1 is sequence }} {{ none is sequence }} {{ nothing is sequence }}";
    // Jinja2 says so of each; what is not defined has a length of 0 there.
    assert_eq!(render(are).unwrap(), "True True True False False True");
}

#[test]
fn functions_of_jinja_are_there() {
    let cycler = "{% set c = cycler('a', 1) %}{{ c.current }}{{ c.next() }}{{ c.next() }}{{ c.next() }}{{ c.reset() }}{{ c.current }}";
    assert_eq!(render(cycler).unwrap(), "aa1aNonea");
    let joiner = "{% set j = joiner('|') %}{{ j() }}{{ j() }}{{ joiner()() }}";
    assert_eq!(render(joiner).unwrap(), "|");
    let callable = "{% macro m() %}{% endmacro %}{{ m is callable }} {{ range is callable }} {{ joiner() is callable }} \
                    {{ cycler(1) is callable }} {{ 'a' is callable }} {{ [] is callable }}";
    assert_eq!(render(callable).unwrap(), "True True True False False False");
    let random = "{{ [1, 2]|random in [1, 2] }}{{ []|random }}";
    assert_eq!(render(random).unwrap(), "True");
    let chosen = "{% for n in range(20) %}{{ 'abcdefgh'|random }}{% endfor %}";
    assert_eq!(render(chosen).unwrap(), render(chosen).unwrap());
    assert!(refusal("{{ cycler() }}").contains("at least one item"));
}

/// As Jinja2 3.1 wraps them.
#[test]
fn long_lines_are_wrapped() {
    for (call, expected) in [
        ("'  a b'|wordwrap(2)", "a\nb"),
        ("'aa bb cc'|wordwrap(5, wrapstring='<')", "aa bb<cc"),
        ("'ab cd'|wordwrap(width=2, break_long_words=false)", "ab\ncd"),
        ("'abcdefg hi\n\nj'|wordwrap(3)", "abc\ndef\ng\nhi\n\nj"),
        ("'aa  bbbbbb'|wordwrap(3, false)", "aa\nbbbbbb"),
        ("'a-b c'|wordwrap", "a-b c"),
    ] {
        assert_eq!(render(&format!("{{{{ {call} }}}}")).unwrap(), expected, "{call}");
    }
    assert!(refusal("{{ 'a'|wordwrap(0) }}").contains("a width from 1"));
}

#[test]
fn the_last_message_goes_on() {
    let messages = json!([{"role": "user", "content": "hi"}, {"role": "assistant", "content": "I am "}]);
    let of = |source: &str, messages: &Value| {
        let options = ChatOptions {
            continue_final_message: true,
            ..Default::default()
        };
        template(source).render(messages, &options).map(|chat| chat.text)
    };
    let plain = "{% for m in messages %}<{{ m.role }}>{{ m.content }}</>{% endfor %}{% if add_generation_prompt %}!{% endif %}";
    assert_eq!(of(plain, &messages).unwrap(), "<user>hi</><assistant>I am ");
    let trims = "{% for m in messages %}<{{ m.role }}>{{ m.content | trim }}</>{% endfor %}";
    assert_eq!(of(trims, &messages).unwrap(), "<user>hi</><assistant>I am");
    let error = of("{{ messages[0].content }}", &messages)
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        "the chat template leaves out parts of the last message, so it cannot be continued"
    );
    let parts = json!([{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}]}]);
    assert_eq!(of("{{ messages[0].content[0].text }}.", &parts).unwrap(), "a");
    let error = of(plain, &json!([{"role": "user"}])).unwrap_err().to_string();
    assert!(error.contains("the last message has no text"), "{error}");
}

#[test]
fn what_was_thought_has_the_names_that_templates_read() {
    let template = template("{{ messages[0] | tojson }}");
    let of = |message: Value| {
        template
            .render(&json!([message]), &ChatOptions::default())
            .unwrap()
            .text
    };
    // As transformers 5.24 writes them.
    assert_eq!(
        of(json!({"role": "assistant", "reasoning": "so"})),
        r#"{"thinking": "so", "role": "assistant", "reasoning": "so", "reasoning_content": "so"}"#
    );
    assert_eq!(
        of(json!({"role": "a", "reasoning_content": null, "thinking": "x"})),
        r#"{"thinking": "x", "role": "a", "reasoning_content": "x"}"#
    );
    assert_eq!(
        of(json!({"role": "a", "content": "b"})),
        r#"{"role": "a", "content": "b"}"#
    );
}

#[test]
fn what_marks_generated_text_is_left_out() {
    assert_eq!(
        render("a {%- generation -%} b {%- endgeneration %}c").unwrap(),
        "abc"
    );
}

#[test]
fn a_template_that_never_ends_is_stopped() {
    let loops = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    assert_eq!(refusal(loops), "the chat template takes more than 2000000 steps");
    let writes = "{% set x = 'xxxxxxxxxxxxxxxx' * 99999 %}{% for a in range(99) %}{{ x }}{% endfor %}";
    let doubles =
        "{% set n = namespace(x='x') %}{% for a in range(50) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
    for source in [writes, doubles] {
        assert_eq!(refusal(source), "the chat template takes more than 2000000 steps");
    }
    let recursion = "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}";
    assert!(refusal(recursion).contains("recursion"), "{}", refusal(recursion));
    assert_eq!(
        refusal("{{ raise_exception('only users') }}"),
        "the chat template refuses these messages: only users"
    );
    let unreadable = "the chat template in chat_template.jinja cannot be read";
    assert!(
        refusal("{% if %}").starts_with(unreadable),
        "{}",
        refusal("{% if %}")
    );
}

/// Where values lead into themselves, however the engine is made to walk them.
#[test]
fn a_value_that_holds_itself_is_an_error() {
    let itself = "{% set n = namespace() %}{% set n.x = n %}{% set m = namespace() %}{% set m.x = m %}";
    let walks = [
        "{{ n }}",
        "{{ n|tojson }}",
        "{{ n|string }}",
        "{{ [n] }}",
        "{{ [n]|join }}",
        "{{ n|pprint }}",
        "{{ n == m }}",
        "{{ n in [m] }}",
        "{{ [n, m]|sort }}",
        "{{ [n, m]|unique|list }}",
        "{{ [n, m]|min }}",
        "{{ {'a': n}|dictsort(by='value') }}",
        "{{ '%s'|format(n) }}",
        "{{ n.y.z }}{{ raise_exception(n) }}",
        "{{ n ~ '' }}",
    ];
    for walk in walks {
        let text = refusal(&format!("{itself}{walk}"));
        assert!(text.starts_with("the chat template "), "{walk}: {text}");
        assert!(!text.contains("defect"), "{walk}: {text}");
    }
    let text = refusal(&format!("{itself}{{{{ n }}}}"));
    assert_eq!(
        text,
        "the chat template in chat_template.jinja nests values too deeply"
    );
}

/// Few lists that are 2⁴⁰ when they are written or compared.
#[test]
fn a_value_that_grows_without_end_is_an_error_or_interrupted() {
    let doubled = "{% set n = namespace(x=[1], y=[1]) %}{% for a in range(40) %}{% set n.x = [n.x, n.x] %}\
                   {% set n.y = [n.y, n.y] %}{% endfor %}";
    for walk in [
        "{{ n.x }}",
        "{{ n.x|tojson }}",
        "{{ n.x == n.y }}",
        "{{ n.x|string|length }}",
    ] {
        let interrupt = ecco_interpreter::Interrupt::default();
        let _scope = interrupt.enter();
        let (request, start) = (interrupt.clone(), Instant::now());
        std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(300));
            request.request();
        });
        let error = render(&format!("{doubled}{walk}")).unwrap_err();
        let is_ended = matches!(error, Error::Interrupted | Error::ChatTemplate { .. });
        assert!(is_ended, "{walk}: {error}");
        assert!(
            start.elapsed() < Duration::from_millis(1300),
            "{walk}: {:?}",
            start.elapsed()
        );
    }
}

#[test]
fn what_the_engine_cannot_take_names_the_file() {
    for damaged in [
        "{# never ends",
        "{{ '",
        "{% raw %}",
        "{% for",
        "{{ 1 // 0 }}{% endif %}",
    ] {
        let text = refusal(damaged);
        let starts = "the chat template in chat_template.jinja cannot be read";
        assert!(text.starts_with(starts), "{damaged}: {text}");
    }
}

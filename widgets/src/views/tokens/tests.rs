use super::*;

fn token(text: &str) -> Token {
    Token {
        text: text.to_owned(),
        id: 7,
        part: None,
    }
}

fn sequence(texts: &[&str], n_input: usize, in_progress: bool) -> TokenSequence {
    TokenSequence {
        tokens: texts.iter().map(|text| token(text)).collect(),
        n_input,
        in_progress,
        ..TokenSequence::default()
    }
}

#[test]
fn text_is_the_text_with_a_mark_before_what_was_generated() {
    assert_eq!(
        sequence(&["1", ".", " Austria", "\n"], 2, false).text(),
        "1.│ Austria\n"
    );
    assert_eq!(sequence(&["1", "."], 2, true).text(), "1.▌");
}

#[test]
fn text_shows_a_split_character_once_and_no_escape_sequences() {
    let part = |n: u8| Token {
        text: "👩".into(),
        id: n.into(),
        part: Some((n, 4)),
    };
    let tokens = vec![token("a"), part(1), part(2), part(3), part(4), token("\u{1b}[2J")];
    let sequence = TokenSequence {
        tokens,
        n_input: 9,
        ..TokenSequence::default()
    };
    assert_eq!(sequence.text(), "a👩\\x1b[2J");
}

#[test]
fn boxes_have_positions_marks_and_breaks() {
    let html = sequence(&["1", ".", " Austria", "\n"], 2, false).html().unwrap();
    assert!(
        html.contains("<span title=\"id 7\"><small>0</small> <bdi>1</bdi></span>"),
        "{html}"
    );
    let marker = html.find('▸').unwrap();
    assert!(
        html.find("<small>1</small>").unwrap() < marker && marker < html.find("<small>2</small>").unwrap()
    );
    assert!(
        html.contains("<span class=\"g\" title=\"id 7\"><small>2</small> <bdi><i>·</i>Austria</bdi></span>")
    );
    assert!(html.contains("<bdi><i>\\n</i></bdi></span>\n<br>"));
}

#[test]
fn a_stream_stays_light() {
    let many = vec![" word"; 5000];
    let html = sequence(&many, 10, true).html().unwrap();
    assert!(html.contains("4600 earlier tokens") && html.contains("caret"));
    assert!(html.len() < 42_000, "{} bytes", html.len());
    let done = sequence(&many, 10, false).html().unwrap();
    assert_eq!(done.matches("<bdi>").count(), 5000);
}

#[test]
fn nothing_to_show_is_said() {
    assert!(sequence(&[], 0, false).html().unwrap().contains("no tokens"));
}

#[test]
fn markup_stays_text() {
    let html = sequence(&["</script><img src=x onerror=alert(1)>", "<!--", "\"'"], 1, true)
        .html()
        .unwrap();
    assert!(!html.contains("<img") && !html.contains("<!--"));
}

#[test]
fn json_has_every_token() {
    let json = sequence(&["a", " b"], 1, false).json().unwrap();
    assert_eq!(json["tokens"][1], serde_json::json!({"text": " b", "id": 7}));
    assert_eq!(json["n_input"], 1);
}

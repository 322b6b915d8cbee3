use super::*;
use crate::TokenSequence;

fn results() -> Results {
    let row = |text: &str, value: f64, page: Option<&str>| ResultRow {
        text: text.to_owned(),
        figures: vec![TableCell::Number(value), TableCell::Nothing(())],
        result: None,
        page: page.map(str::to_owned),
    };
    Results {
        model: Some("tiny".into()),
        about: "saliency".into(),
        columns: vec!["value".into(), "off".into()],
        rows: vec![row("one <b>", 0.25, Some("<p>first</p>")), row("two", 0.5, None)],
    }
}

#[test]
fn a_console_shows_a_row_for_each() {
    assert_eq!(
        results().text(),
        "saliency of 2 texts\n   text     value  off\n0  one <b>  0.25\n1  two      0.5"
    );
    assert_eq!(Results::default().rows.len(), 0);
}

#[test]
fn a_row_opens_its_page_and_texts_are_inert() {
    let page = results().html().unwrap();
    assert!(
        page.contains("one &lt;b&gt;") && page.contains("<p>first</p>"),
        "{page}"
    );
    assert_eq!(page.matches("<details>").count(), 1);
    assert!(page.contains("the first 1 can be opened here"), "{page}");
}

#[test]
fn a_script_is_sent_once() {
    let page =
        "<ecco-a data-view=\"a-1\"><div class=\"ecco\"></div><script>(()=>{define()})()</script></ecco-a>";
    let mut known = HashSet::new();
    assert_eq!(once(page, &mut known), page);
    let second = once(page, &mut known);
    assert!(
        second.contains("eccoViews.upgrade") && !second.contains("define()"),
        "{second}"
    );
    assert!(second.ends_with("</script></ecco-a>"), "{second}");
    let still = TokenSequence::default().html().unwrap();
    assert_eq!(once(&still, &mut known), still);
}

#[test]
fn a_document_has_the_results_own() {
    let mut list = results();
    list.rows[0].result = Some(serde_json::json!({"type": "saliency"}));
    let document = list.json().unwrap();
    assert_eq!(document["type"], "results");
    assert_eq!(document["rows"][0]["result"]["type"], "saliency");
    assert_eq!(document["rows"][0]["figures"], serde_json::json!([0.25, null]));
    assert!(document["rows"][0].get("page").is_none());
}

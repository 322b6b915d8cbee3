use super::*;

fn token(text: &str) -> Token {
    Token {
        text: text.to_owned(),
        id: 7,
        part: None,
    }
}

/// Two heads of one layer; the second looks at the first token only.
fn attention(head: Option<usize>) -> Attention {
    let weights = [
        vec![1.0, 0.5, 0.5, 0.25, 0.5, 0.25],
        vec![1.0, 1.0, 0.0, 1.0, 0.0, 0.0],
    ];
    let mut map = Map::new(1, 2, 3, 3);
    for weights in &weights {
        map.add(&thumbnail(weights, 3, 3, true, map.size()));
    }
    let patterns = weights.into_iter().enumerate();
    let patterns = patterns.map(|(head, weights)| Pattern {
        layer: 0,
        head,
        weights,
    });
    Attention {
        model: None,
        what: "self-attention".into(),
        keys: ["a", " b", "c"].map(token).to_vec(),
        n_input: 3,
        queries: None,
        causal: true,
        map,
        layer: 0,
        head,
        patterns: patterns.collect(),
        first_query: 0,
        hint: None,
    }
}

#[test]
fn a_console_names_what_is_looked_at() {
    let expected = "attention · self-attention · L0 h0\n\
                        0 a ← a₀ 100%\n\
                        1 ·b ← a₀ 50%, ·b₁ 50%\n\
                        2 c ← ·b₁ 50%, a₀ 25%, c₂ 25%";
    assert_eq!(attention(Some(0)).text(), expected);
    assert!(
        attention(None)
            .text()
            .ends_with("mean of heads\n0 a ← a₀ 100%\n1 ·b ← a₀ 75%, ·b₁ 25%\n2 c ← a₀ 62%, ·b₁ 25%, c₂ 12%")
    );
}

#[test]
fn rows_from_a_later_query_on() {
    let mut view = attention(Some(0));
    view.first_query = 1;
    view.patterns
        .iter_mut()
        .for_each(|pattern| pattern.weights.truncate(6));
    for pattern in &mut view.patterns {
        pattern.weights.remove(0);
    }
    assert_eq!(view.row(1), [0.5, 0.5]);
    assert_eq!(view.row(2), [0.25, 0.5, 0.25]);
    assert!(view.row(0).is_empty());
    assert!(view.text().contains("only queries from position 1 on"));
    view.patterns.pop();
    view.hint = Some("output.attention(#{layer: 1})".into());
    assert!(
        view.html()
            .unwrap()
            .contains("1 of 2 heads are here in full: output.attention")
    );
}

#[test]
fn two_texts_have_a_row_of_boxes_each() {
    let mut view = attention(Some(0));
    view.causal = false;
    view.queries = Some(vec![token("x"), token("y")]);
    view.patterns[0].weights = vec![0.5, 0.25, 0.25, 0.0, 0.0, 1.0];
    assert_eq!(view.row(1), [0.0, 0.0, 1.0]);
    let html = view.html().unwrap();
    assert!(html.contains("class=\"flow keys\"") && html.contains("class=\"flow queries\""));
    assert!(html.contains("data:image/png;base64,"));
}

#[test]
fn nothing_does_not_panic() {
    let view = Attention {
        keys: vec![],
        patterns: vec![],
        ..attention(Some(5))
    };
    assert!(view.html().unwrap().contains("no tokens") && view.svg().is_none());
    assert!(attention(Some(5)).svg().is_some());
}

#[test]
fn a_document_is_read_again_as_it_was() {
    let whole = attention(Some(1));
    let mut some = whole.clone();
    some.patterns.pop();
    let mut late = attention(None);
    late.first_query = 1;
    late.patterns.iter_mut().for_each(|pattern| {
        pattern.weights.remove(0);
    });
    for view in [whole.clone(), some, late] {
        let document = view.json().unwrap();
        let is_whole = view == whole;
        assert_eq!(document.get("thumbnails").is_none(), is_whole);
        assert_eq!(read(&document).unwrap(), view);
        for (field, wrong) in [
            ("thumbnails", serde_json::json!("AAAA")),
            ("n_heads", serde_json::json!(4_294_967_295_u64)),
            ("n_layers", serde_json::json!(0)),
            ("keys", serde_json::json!([])),
        ] {
            let mut other = document.clone();
            other[field] = wrong;
            assert!(read(&other).is_err(), "{field}");
        }
    }
    let mut none = whole.json().unwrap();
    none["patterns"] = serde_json::json!([]);
    assert!(read(&none).is_err());
}

use super::*;

fn circuit() -> Circuit {
    let node = |name: &str, row: usize| CircuitNode {
        name: name.to_owned(),
        row,
    };
    let edge = |from: usize, to: usize, by: &str, score: f64| CircuitEdge {
        from,
        to,
        by: by.to_owned(),
        score,
    };
    Circuit {
        model: None,
        chosen: "4 edges by <hand>".to_owned(),
        answer: "logit of \" Paris\"".to_owned(),
        faithfulness: 0.9,
        without: -0.05,
        nodes: vec![
            node("input", 0),
            node("a0.h1", 1),
            node("m0", 2),
            node("logits", 5),
        ],
        edges: vec![
            edge(0, 1, "v", 2.0),
            edge(1, 3, "", -1.5),
            edge(2, 3, "", f64::NAN),
            edge(7, 3, "", 1.0),
        ],
    }
}

#[test]
fn it_says_what_it_does_and_draws_what_is_there() {
    let text = circuit().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Circuit · 4 edges by <hand> · logit of \" Paris\"");
    assert_eq!(
        lines[1],
        "faithfulness 0.90 · without it −0.05 of the difference is left · 4 parts, 4 edges"
    );
    assert_eq!(lines[2], "input → a0.h1.v           2");
    let html = circuit().html().unwrap();
    assert!(html.contains("&lt;hand&gt;") && !html.contains("<hand>"));
    for picture in [html, circuit().svg().unwrap()] {
        assert_eq!(picture.matches("class=\"more\"").count(), 2);
        assert_eq!(picture.matches("class=\"less\"").count(), 1);
        assert_eq!(picture.matches("class=\"node\"").count(), 4);
        assert!(picture.contains("a0.h1 → logits −1.5"), "{picture}");
    }
    assert_eq!(circuit().json().unwrap()["nodes"][1]["name"], "a0.h1");
}

#[test]
fn nothing_does_not_panic() {
    let none = Circuit {
        nodes: vec![],
        edges: vec![],
        ..circuit()
    };
    assert!(none.svg().is_none() && none.html().unwrap().contains("no edges to show"));
    assert!(none.bundle().data.contains_key("text/plain"));
}

#[test]
fn very_many_edges_are_not_all_drawn() {
    let edge = circuit().edges[0].clone();
    let many = Circuit {
        edges: vec![edge; 2_000],
        ..circuit()
    };
    for picture in [many.html().unwrap(), many.svg().unwrap()] {
        assert_eq!(picture.matches("class=\"more\"").count(), 500);
    }
    assert!(
        many.html()
            .unwrap()
            .contains("the first 500 of 2000 edges are drawn")
    );
    assert_eq!(many.json().unwrap()["edges"].as_array().unwrap().len(), 2_000);
}

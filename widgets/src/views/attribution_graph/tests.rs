use super::*;

fn node(kind: GraphNodeKind, name: &str, row: usize, position: usize, score: f64) -> GraphNode {
    GraphNode {
        kind,
        name: name.to_owned(),
        index: Some(7),
        label: None,
        row,
        position,
        value: 1.5,
        score,
        others: 0.25,
        constant: 0.5,
        influence: score.abs() / 4.0,
        measured: None,
        promotes: vec![" <Paris>".to_owned()],
        suppresses: vec![],
    }
}

fn graph() -> AttributionGraph {
    let token = |text: &str| Token {
        text: text.to_owned(),
        id: 3,
        part: None,
    };
    let edge = |from: usize, to: usize, weight: f64| GraphEdge { from, to, weight };
    AttributionGraph {
        model: Some("small".to_owned()),
        answer: "logit of \" <Paris>\"".to_owned(),
        value: 4.0,
        tokens: vec![token("The"), token(" <b>")],
        nodes: vec![
            node(GraphNodeKind::Token, "The", 0, 0, 1.0),
            node(GraphNodeKind::Token, " <b>", 0, 1, -0.5),
            node(GraphNodeKind::Head, "L0 h1", 1, 1, 2.0),
            node(GraphNodeKind::Neuron, "L1 n120", 4, 1, 3.0),
            node(GraphNodeKind::Answer, "logit of \" <Paris>\"", 5, 1, 4.0),
        ],
        edges: vec![
            edge(0, 2, 1.0),
            edge(1, 2, -0.5),
            edge(2, 3, 2.0),
            edge(3, 4, 3.0),
            edge(2, 4, f64::NAN),
            edge(9, 4, 1.0),
        ],
        groups: vec![GraphGroup {
            name: "capital".to_owned(),
            nodes: vec![2, 3],
        }],
        n_parts: 4_608,
        kept: 0.9,
        completeness: 0.93,
        replacement: 0.81,
        error: None,
        correlation: Some(0.97),
    }
}

#[test]
fn it_says_what_it_is_made_of() {
    let text = graph().text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "Attribution graph · logit of \" <Paris>\" = 4");
    assert_eq!(
        lines[1],
        "2 of 4,608 parts carry 90% of the scores · completeness 0.93 · replacement 0.81 · scores and measured effects: r = 0.97"
    );
    assert!(
        lines[2].starts_with("of the answer ")
            && lines[2].ends_with("0.25 from other parts, 0.5 from biases and positions")
    );
    assert_eq!(
        lines[4],
        "L1 n120 at ·<b>                      +3.0     75%   <Paris>"
    );
    assert_eq!(lines.len(), 8);
}

#[test]
fn errors_are_told_drawn_and_in_the_viewers_file() {
    let mut features = graph();
    features.error = Some(0.12);
    features.nodes[3] = node(GraphNodeKind::Feature, "L1 f120", 4, 1, 3.0);
    features
        .nodes
        .insert(4, node(GraphNodeKind::Error, "L1 error", 4, 1, -1.0));
    assert!(features.text().contains("replacement 0.81 · errors 0.12 ·"));
    assert!(!graph().text().contains("errors"));
    // Two tokens are squares; the error is a triangle, as no other node is.
    let triangles = |graph: &AttributionGraph| graph.svg().unwrap().matches("Z\"").count();
    assert_eq!(triangles(&features), triangles(&graph()) + 1);
    let file = features.to_viewer("x");
    assert_eq!(file["nodes"][3]["feature_type"], "cross layer transcoder");
    assert_eq!(file["nodes"][4]["feature_type"], "mlp reconstruction error");
    assert_eq!(file["nodes"][4]["layer"], "1");
    let read = AttributionGraph::from_viewer(&file).unwrap();
    let names: Vec<&str> = read.nodes.iter().map(|node| node.name.as_str()).collect();
    assert!(
        names.contains(&"L1 f7") && names.contains(&"L1 error"),
        "{names:?}"
    );
    let document = features.json().unwrap();
    assert_eq!(document["error"], 0.12);
}

#[test]
fn it_draws_what_is_there_and_no_markup() {
    let html = graph().html().unwrap();
    assert!(!html.contains("<Paris>") && !html.contains("\" <b>"));
    assert!(graph().bundle().data.contains_key("application/pdf"));
    for picture in [html, graph().svg().unwrap()] {
        assert_eq!(picture.matches("class=\"node ").count(), 5);
        assert_eq!(
            picture.matches("class=\"less\"").count(),
            1,
            "edges that are drawn"
        );
    }
}

#[test]
fn nothing_and_far_places_do_not_panic() {
    let none = AttributionGraph {
        nodes: vec![],
        ..graph()
    };
    assert!(none.svg().is_none() && none.html().unwrap().contains("nothing to draw"));
    let mut far = graph();
    far.nodes[3].position = usize::MAX;
    far.nodes[3].row = usize::MAX;
    far.tokens.clear();
    assert!(far.svg().is_some() && far.bundle().data.contains_key("text/html"));
}

#[test]
fn the_common_viewer_reads_it_and_is_read() {
    let file = graph().to_viewer("a-graph");
    assert_eq!(file["nodes"][2]["node_id"], "0_h7_1");
    assert_eq!(file["nodes"][3]["node_id"], "1_7_1");
    assert_eq!(file["nodes"][0]["node_id"], "E_7_0");
    assert_eq!(
        file["metadata"]["prompt_tokens"],
        serde_json::json!(["The", " <b>"])
    );
    assert_eq!(
        file["qParams"]["supernodes"][0],
        serde_json::json!(["capital", "0_h7_1", "1_7_1"])
    );
    assert_eq!(file["links"][3]["weight"], 3.0);
    let read = AttributionGraph::from_viewer(&file).unwrap();
    assert_eq!(read.nodes.len(), 5);
    assert_eq!(read.nodes[3].name, "L1 f7");
    assert_eq!(read.nodes[3].label.as_deref(), Some("L1 n120"));
    assert_eq!(read.groups, graph().groups);
    assert_eq!(
        read.edges[2],
        GraphEdge {
            from: 2,
            to: 3,
            weight: 2.0
        }
    );
    for (field, value, says) in [
        ("nodes", serde_json::json!({}), "`nodes`"),
        ("links", Value::Null, "`links`"),
        (
            "nodes",
            serde_json::json!([{"node_id": "a", "feature_type": "logit", "ctx_idx": 5}]),
            "node 0 (a): `ctx_idx` is 5",
        ),
        (
            "nodes",
            serde_json::json!([{"node_id": 3}]),
            "node 0 has no `node_id`",
        ),
    ] {
        let mut wrong = file.clone();
        wrong[field] = value;
        let error = AttributionGraph::from_viewer(&wrong).unwrap_err();
        assert!(error.0.contains(says), "{error:?}");
    }
}

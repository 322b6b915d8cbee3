//! The files of the viewer that circuit-tracer and Neuronpedia share, to and from.

use std::collections::HashMap;

use serde_json::{Value, json};

use super::{AttributionGraph, GraphEdge, GraphGroup, GraphNode, GraphNodeKind};
use crate::kit::Token;

/// Nodes and links of a file that was made elsewhere, at most.
const MOST_NODES: usize = 20_000;
const MOST_LINKS: usize = 2_000_000;

/// Why a file is no graph of that viewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable(pub String);

impl AttributionGraph {
    /// The graph as that viewer has it: neurons stand where it has features, heads as its attention features.
    pub fn to_viewer(&self, name: &str) -> Value {
        let ids: Vec<String> = self.nodes.iter().map(|node| self.id(node)).collect();
        let tokens: Vec<&str> = self.tokens.iter().map(|token| token.text.as_str()).collect();
        let node = |(at, node): (usize, &GraphNode)| {
            let is_answer = node.kind == GraphNodeKind::Answer;
            json!({
                "node_id": ids[at],
                "feature": node.index,
                "layer": match node.kind {
                    GraphNodeKind::Token => "E".to_owned(),
                    _ => self.layer(node).to_string(),
                },
                "ctx_idx": node.position,
                "feature_type": match node.kind {
                    GraphNodeKind::Token => "embedding",
                    GraphNodeKind::Head => "lorsa",
                    GraphNodeKind::Neuron | GraphNodeKind::Feature => "cross layer transcoder",
                    GraphNodeKind::Error => "mlp reconstruction error",
                    GraphNodeKind::Answer => "logit",
                },
                "token_prob": 0.0,
                "is_target_logit": is_answer,
                "run_idx": 0,
                "reverse_ctx_idx": 0,
                "jsNodeId": format!("{}-0", ids[at]),
                "clerp": node.label.as_ref().unwrap_or(if is_answer { &self.answer } else { &node.name }),
                "influence": node.influence,
                "activation": node.value,
            })
        };
        let links = self.edges.iter().filter_map(|edge| {
            let (from, to) = (ids.get(edge.from)?, ids.get(edge.to)?);
            Some(json!({"source": from, "target": to, "weight": edge.weight}))
        });
        let group = |group: &GraphGroup| {
            let members = group.nodes.iter().filter_map(|&at| ids.get(at));
            let row: Vec<&String> = std::iter::once(&group.name).chain(members).collect();
            json!(row)
        };
        json!({
            "metadata": {
                "slug": name,
                "scan": self.model,
                "prompt_tokens": tokens,
                "prompt": tokens.concat(),
                "node_threshold": self.kept,
                "schema_version": 1,
                "info": {"generator": {"name": "ecco-kernel"}},
            },
            "qParams": {
                "linkType": "both",
                "pinnedIds": [],
                "clickedId": "",
                "supernodes": self.groups.iter().map(group).collect::<Vec<_>>(),
                "sg_pos": "",
            },
            "nodes": self.nodes.iter().enumerate().map(node).collect::<Vec<_>>(),
            "links": links.collect::<Vec<_>>(),
        })
    }

    fn layer(&self, node: &GraphNode) -> usize {
        node.row.saturating_sub(1) / 2
    }

    fn id(&self, node: &GraphNode) -> String {
        let (layer, index, at) = (self.layer(node), node.index.unwrap_or(0), node.position);
        match node.kind {
            GraphNodeKind::Token => format!("E_{index}_{at}"),
            GraphNodeKind::Head => format!("{layer}_h{index}_{at}"),
            GraphNodeKind::Error => format!("0_{layer}_{at}"),
            _ => format!("{layer}_{index}_{at}"),
        }
    }

    /// A graph of that viewer. It tells no scores, so a node's influence stands in their place, and no constants.
    ///
    /// # Errors
    /// For what is no such file, with the field that is not as it should be.
    pub fn from_viewer(file: &Value) -> Result<Self, Unreadable> {
        let wrong = |what: String| Unreadable(what);
        let list = |name: &str, most: usize| {
            let list = file[name].as_array();
            let list = list.ok_or_else(|| wrong(format!("it has no list `{name}`")))?;
            match list.len() <= most {
                true => Ok(list),
                false => Err(wrong(format!(
                    "`{name}` has {} entries, and at most {most} are read",
                    list.len()
                ))),
            }
        };
        let (nodes, links) = (list("nodes", MOST_NODES)?, list("links", MOST_LINKS)?);
        let told = file["metadata"]["prompt_tokens"].as_array();
        let texts = told.map_or(&[][..], Vec::as_slice).iter().take(MOST_NODES);
        let tokens: Vec<Token> = texts
            .map(|text| Token {
                text: text.as_str().unwrap_or("").to_owned(),
                id: 0,
                part: None,
            })
            .collect();
        let mut read = Vec::new();
        for (at, node) in nodes.iter().enumerate() {
            let id = node["node_id"]
                .as_str()
                .ok_or_else(|| wrong(format!("node {at} has no `node_id`")))?;
            read.push((
                id,
                read_node(node, id, tokens.len())
                    .map_err(|what| wrong(format!("node {at} ({id}): {what}")))?,
            ));
        }
        // The answer stands above all layers, whatever their number is there.
        let top = read.iter().filter(|(_, node)| node.kind != GraphNodeKind::Answer);
        let top = top.map(|(_, node)| node.row + 1).max().unwrap_or(1);
        for (_, node) in &mut read {
            if node.kind == GraphNodeKind::Answer {
                node.row = top;
            }
        }
        read.sort_by_key(|(_, node)| node.row);
        let number: HashMap<&str, usize> = read.iter().enumerate().map(|(at, (id, _))| (*id, at)).collect();
        let edge = |link: &Value| {
            let end = |name: &str| link[name].as_str().and_then(|id| number.get(id)).copied();
            let edge = GraphEdge {
                from: end("source")?,
                to: end("target")?,
                weight: link["weight"].as_f64()?,
            };
            (edge.weight != 0.0).then_some(edge)
        };
        let group = |row: &Value| {
            let row = row.as_array()?;
            let name = row.first()?.as_str()?.to_owned();
            let nodes = row[1..].iter().filter_map(|id| number.get(id.as_str()?).copied());
            Some(GraphGroup {
                name,
                nodes: nodes.collect(),
            })
        };
        let groups = file["qParams"]["supernodes"].as_array();
        let groups = groups.map_or(&[][..], Vec::as_slice).iter().take(MOST_NODES);
        let edges: Vec<GraphEdge> = links.iter().filter_map(edge).collect();
        let answer = read
            .iter()
            .rev()
            .find(|(_, node)| node.kind == GraphNodeKind::Answer);
        let answer = answer.map_or_else(|| "an answer".to_owned(), |(_, node)| node.name.clone());
        let score = |name: &str| file["metadata"]["scores"][name].as_f64().unwrap_or(f64::NAN);
        Ok(Self {
            model: file["metadata"]["scan"].as_str().map(str::to_owned),
            answer,
            value: f64::NAN,
            groups: groups.filter_map(group).collect(),
            nodes: read.into_iter().map(|(_, node)| node).collect(),
            tokens,
            edges,
            n_parts: 0,
            kept: f64::NAN,
            completeness: score("completeness_score"),
            replacement: score("replacement_score"),
            error: None,
            correlation: None,
        })
    }
}

fn read_node(node: &Value, id: &str, n_columns: usize) -> Result<GraphNode, String> {
    let kind = match node["feature_type"].as_str() {
        Some("embedding") => GraphNodeKind::Token,
        Some("logit") => GraphNodeKind::Answer,
        Some("lorsa") => GraphNodeKind::Head,
        Some(kind) if kind.ends_with("error") => GraphNodeKind::Error,
        Some(_) => GraphNodeKind::Feature,
        None => return Err("it has no `feature_type`".to_owned()),
    };
    let position = node["ctx_idx"].as_u64().ok_or("`ctx_idx` is no position")? as usize;
    if position >= n_columns {
        return Err(format!(
            "`ctx_idx` is {position}, and the prompt has {n_columns} tokens"
        ));
    }
    let layer = match &node["layer"] {
        Value::String(layer) => layer.parse::<usize>().ok(),
        layer => layer.as_u64().map(|layer| layer as usize),
    };
    let layer = layer.unwrap_or(0).min(MOST_NODES);
    let called = node["clerp"].as_str().filter(|called| !called.is_empty());
    let influence = node["influence"].as_f64().unwrap_or(0.0);
    // The number within its layer stands in the id; `feature` may be a pairing of both.
    let index = id
        .split('_')
        .nth(1)
        .and_then(|index| index.trim_start_matches('h').parse().ok());
    let name = match (kind, index) {
        (GraphNodeKind::Answer, _) => called.unwrap_or(id).to_owned(),
        (GraphNodeKind::Head, Some(index)) => format!("L{layer} h{index}"),
        (GraphNodeKind::Feature, Some(index)) => format!("L{layer} f{index}"),
        (GraphNodeKind::Error, _) => format!("L{layer} error"),
        _ => id.to_owned(),
    };
    let is_named = kind == GraphNodeKind::Feature || kind == GraphNodeKind::Head;
    Ok(GraphNode {
        kind,
        index,
        label: called
            .filter(|called| is_named && *called != name)
            .map(str::to_owned),
        name,
        row: match kind {
            GraphNodeKind::Token => 0,
            GraphNodeKind::Head => 2 * layer + 1,
            _ => 2 * layer + 2,
        },
        position,
        value: node["activation"].as_f64().unwrap_or(f64::NAN),
        score: influence,
        others: 0.0,
        constant: 0.0,
        influence,
        measured: None,
        promotes: vec![],
        suppresses: vec![],
    })
}

//! As much XML as our pictures have: elements, attributes, text, five entities.

/// An element and what is in it.
pub(super) struct Element {
    pub name: String,
    attributes: Vec<(String, String)>,
    pub children: Vec<Node>,
}

pub(super) enum Node {
    Element(Element),
    Text(String),
}

impl Element {
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.attributes.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    pub(super) fn number(&self, name: &str) -> Option<f64> {
        self.get(name)?.parse().ok()
    }

    pub(super) fn text(&self) -> String {
        let text = |node: &Node| match node {
            Node::Text(text) => text.clone(),
            Node::Element(element) => element.text(),
        };
        self.children.iter().map(text).collect()
    }
}

/// Deeper pictures are none of ours.
const DEEPEST: usize = 32;

/// The outermost element; `None` where the text is no XML of this kind.
pub(super) fn parse(text: &str) -> Option<Element> {
    let (element, _) = element(text.trim_start().strip_prefix('<')?, DEEPEST)?;
    Some(element)
}

/// An element, behind its `<`, and what comes after it.
fn element(text: &str, depth: usize) -> Option<(Element, &str)> {
    let depth = depth.checked_sub(1)?;
    let end = text.find(|c: char| c.is_whitespace() || c == '>' || c == '/')?;
    let mut found = Element {
        name: text[..end].to_owned(),
        attributes: Vec::new(),
        children: Vec::new(),
    };
    let mut rest = text[end..].trim_start();
    while !rest.starts_with(['>', '/']) {
        let (name, value) = rest.split_once("=\"")?;
        let (value, after) = value.split_once('"')?;
        found.attributes.push((name.to_owned(), decoded(value)));
        rest = after.trim_start();
    }
    if let Some(after) = rest.strip_prefix("/>") {
        return Some((found, after));
    }
    let mut rest = rest.strip_prefix('>')?;
    loop {
        let (before, after) = rest.split_once('<')?;
        if !before.is_empty() {
            found.children.push(Node::Text(decoded(before)));
        }
        if let Some(closing) = after.strip_prefix('/') {
            let (name, after) = closing.split_once('>')?;
            return (name == found.name).then_some((found, after));
        }
        let (child, after) = element(after, depth)?;
        found.children.push(Node::Element(child));
        rest = after;
    }
}

fn decoded(text: &str) -> String {
    let named = [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#39;", "'"),
        ("&amp;", "&"),
    ];
    named.iter().fold(text.to_owned(), |text, (name, character)| {
        text.replace(name, character)
    })
}

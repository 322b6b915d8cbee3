//! What surrounds a view in a page: its style, its data and its script.

use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::document::{self, Document};

const BASE_CSS: &str = include_str!("base.css");
const ELEMENT_JS: &str = include_str!("element.js");

/// An interactive view: static content in a custom element, with its data and the script that upgrades it.
pub struct Component {
    pub tag: &'static str,
    /// Name and revision; the script defines the same. An element waits for the script of its own revision,
    /// so outputs of older versions of this crate live on the same page.
    pub view: &'static str,
    pub css: &'static str,
    pub js: &'static str,
}

impl Component {
    pub fn render<D: Document>(&self, content: &Markup, result: &D) -> String {
        let element = html! {
            (style(self.css))
            // A sanitiser drops the custom element and keeps this: the style of another view on the page fits
            // it too.
            div class="ecco-root" { (content) }
            script type="application/json" { (PreEscaped(island(&document::packed(result)))) }
            script { (PreEscaped("(()=>{")) (PreEscaped(ELEMENT_JS)) (PreEscaped(self.js)) (PreEscaped("})()")) }
        };
        let (tag, view) = (self.tag, self.view);
        format!(
            "<{tag} class=\"ecco-root\" data-view=\"{view}\">{}</{tag}>",
            element.into_string()
        )
    }
}

/// A view without a script.
pub fn still(css: &str, content: &Markup) -> String {
    html! { div class="ecco-root" { (style(css)) (content) } }.into_string()
}

fn style(css: &str) -> Markup {
    html! { style { (PreEscaped(BASE_CSS)) (PreEscaped(css)) } }
}

/// JSON that cannot end its script element, nor break a script's line.
fn island(data: &Value) -> String {
    data.to_string()
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// A line that says what could not be shown.
pub fn note(text: &str) -> Markup {
    html! { p class="note" { "⚠ " (text) } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn data_cannot_leave_its_script() {
        let data = json!({"token": "</script><!--<script>\u{2028}]]>"});
        let island = island(&data);
        assert!(!island.contains('<') && !island.contains('\u{2028}'), "{island}");
        assert_eq!(serde_json::from_str::<Value>(&island).unwrap(), data);
    }

    #[test]
    fn assets_cannot_leave_their_elements() {
        for asset in [
            BASE_CSS,
            ELEMENT_JS,
            include_str!("../views/saliency/view.js"),
            include_str!("../views/saliency/view.css"),
            include_str!("../views/comparison/view.js"),
            include_str!("../views/comparison/view.css"),
            include_str!("../views/faithfulness/view.js"),
            include_str!("../views/faithfulness/view.css"),
            include_str!("../views/score/view.js"),
            include_str!("../views/score/view.css"),
            include_str!("../views/factors/view.js"),
            include_str!("../views/factors/view.css"),
            include_str!("../views/neuron/view.js"),
            include_str!("../views/neuron/view.css"),
            include_str!("../views/similarity/view.js"),
            include_str!("../views/tokens/view.css"),
            include_str!("../views/progress/view.css"),
            include_str!("card.css"),
            include_str!("../views/side_by_side/view.js"),
            include_str!("../views/side_by_side/view.css"),
            include_str!("../views/patch_map/view.js"),
            include_str!("../views/patch_map/view.css"),
            include_str!("../views/steering/view.css"),
            include_str!("../views/reading/view.css"),
            include_str!("grid.css"),
            include_str!("grid.js"),
            include_str!("../views/layer_predictions/view.css"),
            include_str!("../views/layer_predictions/view.js"),
            include_str!("../views/rank_map/view.css"),
            include_str!("../views/rank_map/view.js"),
            include_str!("../views/lens_map/view.js"),
            include_str!("../views/parts/view.css"),
            include_str!("../views/parts/view.js"),
            include_str!("../views/candidates/view.css"),
            include_str!("../views/attention/view.css"),
            include_str!("../views/attention/view.js"),
        ] {
            assert!(!asset.contains("</") && !asset.contains("<!--"));
            for outside in [
                "http:",
                "https:",
                "import(",
                "@import",
                "fetch(",
                "currentScript",
                "getElementById",
            ] {
                let allowed = outside == "http:"
                    && asset.matches("http:").count() == asset.matches("http://www.w3.org/").count();
                assert!(allowed || !asset.contains(outside), "{outside}");
            }
        }
    }
}

//! What surrounds a view in a page: its style, its data and its script.

use std::collections::HashMap;
use std::io::Read;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use base64::{Engine, engine::general_purpose::STANDARD};
use flate2::Compression;
use flate2::read::DeflateEncoder;
use maud::{Markup, PreEscaped, html};
use serde_json::Value;

use super::document::{self, Document};
use super::theme;

const BASE_CSS: &str = include_str!("base.css");
const PAINT_CSS: &str = include_str!("paint.css");
const LIVE_CSS: &str = include_str!("live.css");
const ELEMENT_JS: &str = concat!(
    include_str!("element.js"),
    include_str!("picture.js"),
    include_str!("long.js"),
    include_str!("pins.js"),
    include_str!("live.js")
);
const UNPACK_JS: &str = include_str!("unpack.js");
/// Where the script of an interactive view begins, which ends its page.
pub(crate) const SCRIPT: &str = "<script>(()=>{";

/// Classes of a view's root. The last two tell MathJax 3 and 2 to leave it alone: a model's `$` is no formula.
const ROOT: &str = "ecco-root mathjax_ignore tex2jax_ignore";

/// An interactive view: static content in a custom element, with its data and the script that upgrades it.
pub(crate) struct Component {
    pub tag: &'static str,
    /// Name and revision; the script defines the same. An element waits for the script of its own revision,
    /// so outputs of older versions of this crate live on the same page.
    pub view: &'static str,
    pub css: &'static str,
    pub js: &'static str,
}

impl Component {
    pub(crate) fn render<D: Document>(&self, content: &Markup, result: &D) -> String {
        let element = html! {
            (style(&[&theme::GROUNDS, &theme::SCALES, BASE_CSS, PAINT_CSS, LIVE_CSS, self.css]))
            // A sanitiser drops the custom element and keeps this: the style of another view on the page fits
            // it too.
            div class=(ROOT) { (content) }
            script type="application/json" { (PreEscaped(island(&document::packed(result)))) }
            (PreEscaped(SCRIPT)) (PreEscaped(self.script())) (PreEscaped("})()</script>"))
        };
        let (tag, view) = (self.tag, self.view);
        format!(
            "<{tag} class=\"{ROOT}\" data-view=\"{view}\">{}</{tag}>",
            element.into_string()
        )
    }

    /// Its script in a third of the bytes, and what unpacks it. The same for every output, so it is made once.
    fn script(&self) -> Arc<str> {
        static MADE: LazyLock<Mutex<HashMap<&str, Arc<str>>>> = LazyLock::new(Mutex::default);
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let script = made.entry(self.view).or_insert_with(|| {
            let code = format!("(()=>{{{}{}}})()", compact(ELEMENT_JS), compact(self.js));
            let mut deflated = Vec::new();
            // Memory takes all that is written to it, so that there are no errors.
            let _ = DeflateEncoder::new(code.as_bytes(), Compression::best()).read_to_end(&mut deflated);
            let packed = STANDARD.encode(deflated);
            format!("{}unpack(\"{}\",\"{packed}\")", compact(UNPACK_JS), self.view).into()
        });
        Arc::clone(script)
    }
}

/// A script without indentation and lines of comment: every output brings its own copy. No script has a text of several lines.
fn compact(script: &str) -> String {
    let lines = script.lines().map(str::trim);
    let code = lines.filter(|line| !line.is_empty() && !line.starts_with("//"));
    code.flat_map(|line| [line, "\n"]).collect()
}

/// A page with something that its element says of itself, as `data-NAME`: the id by which the kernel's session knows the result
/// (`live`), the call that made it (`call`). Pages without a script stay as they are.
pub fn with_data(page: &str, name: &str, value: &str) -> String {
    let end = |rest: &str| rest.find([' ', '>']);
    match page.strip_prefix("<ecco-").and_then(end) {
        Some(end) => {
            let (tag, rest) = page.split_at("<ecco-".len() + end);
            let value = html! { (value) }.into_string().replace('"', "&quot;");
            format!("{tag} data-{name}=\"{value}\"{rest}")
        }
        None => page.to_owned(),
    }
}

/// A view without a script.
pub(crate) fn still(css: &str, content: &Markup) -> String {
    html! { div class=(ROOT) { (style(&[&theme::GROUNDS, BASE_CSS, css])) (content) } }.into_string()
}

fn style(sheets: &[&str]) -> Markup {
    html! { style { @for sheet in sheets { (PreEscaped(sheet)) } } }
}

/// JSON that cannot end its script element, nor break a script's line.
fn island(data: &Value) -> String {
    data.to_string()
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

/// Style of what has a drawing in it whose letters have a size of their own: pages that strip drawings leave their letters behind, one
/// after the other, and these are then not seen.
pub(crate) const DRAWN: &str = "font-size:0px";

/// A line that says what could not be shown.
pub(crate) fn note(text: &str) -> Markup {
    html! { p class="note" { "⚠ " (text) } }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use serde_json::json;

    use super::*;

    #[test]
    fn a_page_with_a_script_carries_an_id_and_its_call() {
        assert_eq!(
            with_data("<ecco-lens class=\"a\"></ecco-lens>", "live", "1-2"),
            "<ecco-lens data-live=\"1-2\" class=\"a\"></ecco-lens>"
        );
        assert_eq!(
            with_data("<ecco-lens></ecco-lens>", "call", "a(\"<b>\")"),
            "<ecco-lens data-call=\"a(&quot;&lt;b&gt;&quot;)\"></ecco-lens>"
        );
        assert_eq!(with_data("<div></div>", "live", "1-2"), "<div></div>");
    }

    #[test]
    fn data_cannot_leave_its_script() {
        let data = json!({"token": "</script><!--<script>\u{2028}]]>"});
        let island = island(&data);
        assert!(!island.contains('<') && !island.contains('\u{2028}'), "{island}");
        assert_eq!(serde_json::from_str::<Value>(&island).unwrap(), data);
    }

    #[test]
    fn scripts_are_sent_without_what_is_for_people() {
        assert_eq!(
            compact("// why\n\n  let a = 1; // so\n    f(a);\n"),
            "let a = 1; // so\nf(a);\n"
        );
        for (path, script) in assets(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src")) {
            let is_script = path.extension().is_some_and(|name| name == "js");
            assert!(
                !is_script
                    || !script.contains('`')
                    || !script
                        .lines()
                        .any(|line| line.matches('`').count() % 2 == 1 && !line.trim().starts_with("//")),
                "{}",
                path.display()
            );
        }
    }

    /// Every style and script of the crate.
    fn assets(folder: &Path) -> Vec<(PathBuf, String)> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let of = |path: PathBuf| match path.extension() {
            _ if path.is_dir() => assets(&path),
            Some(name) if name == "js" || name == "css" => {
                let text = fs::read_to_string(&path).unwrap();
                vec![(path, text)]
            }
            _ => vec![],
        };
        entries.flat_map(of).collect()
    }

    #[test]
    fn assets_cannot_leave_their_elements() {
        let assets = assets(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"));
        assert!(assets.len() > 30, "{}", assets.len());
        for (path, asset) in &assets {
            assert!(
                !asset.contains("</") && !asset.contains("<!--"),
                "{}",
                path.display()
            );
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
                assert!(
                    allowed || !asset.contains(outside),
                    "{}: {outside}",
                    path.display()
                );
            }
        }
    }
}

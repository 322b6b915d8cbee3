//! An executed notebook as one page, which works without a network.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use pulldown_cmark::{Event, Options, Parser};
use serde_json::Value;

use super::{is_code, joined, source};
use crate::exec::plain;

const STYLE: &str = include_str!("page.css");

pub(super) fn page(cells: &[Value], title: &str) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body { main { @for cell in cells { (of_cell(cell)) } } }
        }
    };
    page.into_string()
}

fn of_cell(cell: &Value) -> Markup {
    let kind = cell.get("cell_type").and_then(Value::as_str);
    let text = source(cell);
    match kind {
        Some("markdown") => html! { section { (markdown(&text)) } },
        _ if text.trim().is_empty() => html! {},
        _ if is_code(cell) => {
            let outputs = cell.get("outputs").and_then(Value::as_array);
            let outputs = outputs.map(Vec::as_slice).unwrap_or_default();
            html! {
                section {
                    pre.code tabindex="0" { code { (text) } }
                    @for shown in outputs { (output(shown)) }
                }
            }
        }
        _ => html! { section { pre { (text) } } },
    }
}

/// Markup in the text stays text: a page shows what the notebook says and runs nothing of it but its outputs.
fn markdown(text: &str) -> Markup {
    let options = Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH | Options::ENABLE_FOOTNOTES;
    let events = Parser::new_ext(text, options).map(|event| match event {
        Event::Html(markup) | Event::InlineHtml(markup) => Event::Text(markup),
        event => event,
    });
    let mut page = String::new();
    pulldown_cmark::html::push_html(&mut page, events);
    PreEscaped(page)
}

/// The richest form of an output that a page can show.
fn output(output: &Value) -> Markup {
    if let Some(traceback) = output.get("traceback").and_then(Value::as_array) {
        let lines: Vec<&str> = traceback.iter().filter_map(Value::as_str).collect();
        return html! { pre.error { (plain(&lines.join("\n"))) } };
    }
    if let Some(text) = output.get("text") {
        let is_error = output.get("name").is_some_and(|name| name == "stderr");
        return html! { pre.stderr[is_error] { (plain(&joined(text))) } };
    }
    let data = |media_type: &str| output.get("data")?.get(media_type).map(joined);
    if let Some(page) = data("text/html") {
        return html! { div.shown { (PreEscaped(page)) } };
    }
    if let Some(text) = data("text/markdown") {
        return markdown(&text);
    }
    if let Some(picture) = data("image/svg+xml") {
        return html! { div.shown { (PreEscaped(picture)) } };
    }
    for kind in ["png", "jpeg"] {
        if let Some(base64) = data(&format!("image/{kind}")) {
            return html! { img alt="" src=(format!("data:image/{kind};base64,{}", base64.replace('\n', ""))); };
        }
    }
    data("text/plain").map_or(html! {}, |text| html! { pre { (text) } })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_stay_texts() {
        let cells = [
            json!({"cell_type": "markdown", "source": "# A <script>x()</script>\n\n<img src=x onerror=y>\n\n| a |\n|---|\n| `b` |"}),
            json!({"cell_type": "code", "source": ["print(\"<b>\")\n", "1"], "outputs": [
                {"output_type": "stream", "name": "stdout", "text": "<b>\n"},
                {"output_type": "execute_result", "data": {"text/plain": "1", "text/html": "<em>1</em>"}},
                {"output_type": "error", "traceback": ["\u{1b}[31mNo\u{1b}[0m <i>"]},
            ]}),
        ];
        let page = page(&cells, "</title><script>");
        assert!(!page.contains("<script>") && !page.contains("<img"), "{page}");
        for part in [
            "<h1>A ",
            "<td><code>b</code></td>",
            "&lt;b&gt;\n</pre>",
            "<em>1</em>",
            "No &lt;i&gt;",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
    }
}

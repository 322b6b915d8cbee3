//! What every view can do.

use base64::Engine;
use base64::prelude::BASE64_STANDARD as BASE64;
use ecco_interpreter::{DATA, MimeBundle};
use serde_json::Value;

use super::pdf;

/// Anything that can be shown. Every representation comes from the same value.
pub trait Explorable {
    /// Reads well in a console.
    fn text(&self) -> String;
    /// A picture of the same thing, where one says something by itself.
    fn svg(&self) -> Option<String> {
        None
    }
    /// Static content first, a web component on top; needs no network.
    fn html(&self) -> Option<String> {
        None
    }
    /// The data.
    fn json(&self) -> Option<Value> {
        None
    }

    /// What a screen reader says of the picture.
    fn alt_text(&self) -> Option<String> {
        None
    }

    fn bundle(&self) -> MimeBundle {
        let bundle = assemble(self);
        match self.alt_text() {
            Some(text) => bundle.with_alt_text(&text),
            None => bundle,
        }
    }
}

/// Every representation a view has.
fn assemble<E: Explorable + ?Sized>(view: &E) -> MimeBundle {
    let mut bundle = MimeBundle::from_text(view.text());
    if let Some(picture) = view.svg() {
        // With it LaTeX has a picture; of SVG alone nbconvert makes one with Inkscape, or ends where there is none.
        if let Some(file) = pdf::from_svg(&picture) {
            bundle = bundle.with("application/pdf", BASE64.encode(file));
        }
        bundle = bundle.with("image/svg+xml", picture);
    }
    if let Some(page) = view.html() {
        bundle = bundle.with("text/html", page);
    }
    let has_page = bundle.data.contains_key("text/html");
    match view.json() {
        Some(json) => bundle.with(if has_page { DATA } else { "application/json" }, json),
        None => bundle,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Map, json};

    struct View {
        page: bool,
    }

    impl Explorable for View {
        fn text(&self) -> String {
            "text".into()
        }
        fn html(&self) -> Option<String> {
            self.page.then(|| "<p>text</p>".to_owned())
        }
        fn json(&self) -> Option<Value> {
            Some(json!({"a": 1}))
        }
        fn alt_text(&self) -> Option<String> {
            self.page.then(|| "a page".to_owned())
        }
    }

    #[test]
    fn data_never_displaces_a_page() {
        let bundle = View { page: true }.bundle();
        assert_eq!(
            bundle.data.keys().collect::<Vec<_>>(),
            ["text/plain", "text/html", DATA]
        );
        assert_eq!(bundle.data[DATA], json!({"a": 1}));
    }

    struct Picture;

    impl Explorable for Picture {
        fn text(&self) -> String {
            "text".into()
        }
        fn svg(&self) -> Option<String> {
            Some("<svg width=\"2\" height=\"2\"><rect width=\"1\" height=\"1\"></rect></svg>".into())
        }
    }

    #[test]
    fn a_picture_goes_as_pdf_too() {
        let bundle = Picture.bundle();
        let file = BASE64
            .decode(bundle.data["application/pdf"].as_str().unwrap())
            .unwrap();
        assert!(file.starts_with(b"%PDF-1.4"));
        assert!(bundle.data.contains_key("image/svg+xml"));
    }

    #[test]
    fn a_view_may_say_what_its_picture_shows() {
        assert_eq!(
            View { page: true }.bundle().metadata["vscode_altText"],
            json!("a page")
        );
        assert_eq!(View { page: false }.bundle().metadata, Map::new());
    }

    #[test]
    fn data_without_a_page_is_plain_json() {
        assert_eq!(
            View { page: false }.bundle().data["application/json"],
            json!({"a": 1})
        );
    }
}

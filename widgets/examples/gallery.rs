//! Writes every view, and hard cases of them, into a folder: one page per case, its picture and its text
//! beside it.
//!
//! `cargo run --release -p ecco-widgets --example gallery -- FOLDER`; the browser tests read what it wrote.

use std::path::Path;
use std::time::Instant;
use std::{env, fs, io};

use ecco_interpreter::DATA;
use ecco_widgets::Explorable;
use ecco_widgets::SaliencyStyle;

#[path = "gallery/attention.rs"]
mod attention;
#[path = "gallery/attribution.rs"]
mod attribution;
#[path = "gallery/circuits.rs"]
mod circuits;
#[path = "gallery/factors.rs"]
mod factors;
#[path = "gallery/inside.rs"]
mod inside;
#[path = "gallery/interventions.rs"]
mod interventions;
#[path = "gallery/many.rs"]
mod many;
#[path = "gallery/no_numbers.rs"]
mod no_numbers;
#[path = "gallery/results.rs"]
mod results;
#[path = "gallery/saliency.rs"]
mod saliency;
#[path = "gallery/small.rs"]
mod small;
#[path = "gallery/tables.rs"]
mod tables;
#[path = "gallery/texts.rs"]
mod texts;

fn main() -> io::Result<()> {
    let folder = env::args().nth(1).unwrap_or_else(|| "gallery".to_owned());
    let folder = Path::new(&folder);
    fs::create_dir_all(folder)?;
    let mut index = String::new();
    for (name, view) in views() {
        let start = Instant::now();
        let bundle = view.bundle();
        let milliseconds = start.elapsed().as_secs_f64() * 1e3;
        let get = |key: &str| {
            bundle
                .data
                .get(key)
                .and_then(|value| value.as_str())
                .unwrap_or_default()
        };
        let (html, svg, text) = (get("text/html"), get("image/svg+xml"), get("text/plain"));
        let json = bundle
            .data
            .get(DATA)
            .map(|json| json.to_string())
            .unwrap_or_default();
        println!(
            "{name:<20} {milliseconds:>7.1} ms  html {:>8}  svg {:>7}  json {:>8}  text {:>7} bytes",
            html.len(),
            svg.len(),
            json.len(),
            text.len()
        );
        fs::write(folder.join(format!("{name}.html")), page(name, html))?;
        fs::write(folder.join(format!("{name}.pdf")), get("application/pdf"))?;
        fs::write(folder.join(format!("{name}.txt")), text)?;
        fs::write(folder.join(format!("{name}.json")), json)?;
        if !svg.is_empty() {
            fs::write(folder.join(format!("{name}.svg")), svg)?;
        }
        if !name.starts_with("long") && !name.starts_with("none") {
            index.push_str(&format!("<h2>{name}</h2>{html}"));
        }
    }
    let twice = saliency::saliency(SaliencyStyle::Minimal)
        .html()
        .unwrap_or_default()
        .repeat(2);
    fs::write(folder.join("twice.html"), page("twice", &twice))?;
    fs::write(folder.join("index.html"), page("gallery", &index))
}

fn page(title: &str, content: &str) -> String {
    format!(
        "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport content=\"width=device-width\">\
         <title>{title}</title><style>body{{font-family:sans-serif;margin:16px}}\
         @media (prefers-color-scheme:dark){{body{{background:#0d0f12;color:#ddd}}}}</style><body>{content}"
    )
}

/// Every example, topic by topic.
fn views() -> impl Iterator<Item = (&'static str, Box<dyn Explorable>)> {
    [
        small::views(),
        saliency::views(),
        attribution::views(),
        factors::views(),
        inside::views(),
        attention::views(),
        circuits::views(),
        interventions::views(),
        many::views(),
        no_numbers::views(),
        results::views(),
        tables::views(),
    ]
    .into_iter()
    .flatten()
}

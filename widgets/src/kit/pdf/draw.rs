//! Elements of a picture as what PDF draws.

use std::fmt::Write;

use super::POINTS;
use super::shapes::{as_rectangle, circle, numbers, outlines, placed, rectangle, transformed};
use super::xml::{Element, Node};

/// What an element has from those around it.
#[derive(Clone)]
pub(super) struct Style {
    fill: Option<[f64; 3]>,
    stroke: Option<[f64; 3]>,
    line: f64,
    /// Lengths of dashes and gaps; empty where the line is whole.
    dash: String,
    size: f64,
    bold: bool,
    /// As PDF has it: `[a b c d e f]`.
    matrix: [f64; 6],
}

impl Default for Style {
    fn default() -> Self {
        Self {
            fill: Some([0.0; 3]),
            stroke: None,
            line: 1.0,
            dash: String::new(),
            size: 16.0,
            bold: false,
            matrix: [1.0, 0.0, 0.0, 1.0, 0.0, 0.0],
        }
    }
}

/// What is drawn, and the rules of the picture's style sheet.
pub(super) struct Canvas {
    pub content: String,
    rules: Vec<(String, String)>,
}

impl Canvas {
    /// Pixels from the top, as SVG counts, on a page that counts points from below.
    pub(super) fn new(height: f64) -> Self {
        Self {
            content: format!("{POINTS} 0 0 -{POINTS} 0 {} cm\n", number(height * POINTS)),
            rules: Vec::new(),
        }
    }

    pub(super) fn element(&mut self, element: &Element, around: &Style) -> Option<()> {
        let style = self.style(element, around)?;
        match element.name.as_str() {
            "title" | "desc" => Some(()),
            "style" => {
                self.rules.extend(rules(&element.text()));
                Some(())
            }
            "svg" | "g" => self.children(element, &style),
            "rect" => self.shape(&rectangle(element)?, true, &style),
            "circle" => self.shape(&circle(element)?, true, &style),
            "path" => {
                for (points, closed) in outlines(element.get("d")?)? {
                    self.outline(&points, closed, &style);
                }
                self.paint(&style)
            }
            "text" => self.text(element, &style),
            _ => None,
        }
    }

    fn children(&mut self, element: &Element, style: &Style) -> Option<()> {
        for child in &element.children {
            match child {
                Node::Element(child) => self.element(child, style)?,
                Node::Text(text) if text.trim().is_empty() => {}
                Node::Text(_) => return None,
            }
        }
        Some(())
    }

    /// What applies to an element: of those around it, the style sheet's, its own.
    fn style(&self, element: &Element, around: &Style) -> Option<Style> {
        let mut style = around.clone();
        for name in PROPERTIES {
            if let Some(value) = element.get(name) {
                style.set(name, value)?;
            }
        }
        let class = element
            .get("class")
            .map(|class| format!("{}.{class}", element.name));
        let of_sheet = self
            .rules
            .iter()
            .filter(|(selector, _)| *selector == element.name || Some(selector) == class.as_ref());
        let own = element.get("style").into_iter();
        for declarations in of_sheet.map(|(_, declarations)| declarations.as_str()).chain(own) {
            for declaration in declarations.split(';').filter(|text| !text.trim().is_empty()) {
                let (name, value) = declaration.split_once(':')?;
                style.set(name.trim(), value.trim())?;
            }
        }
        if let Some(transform) = element.get("transform") {
            style.matrix = transformed(style.matrix, transform)?;
        }
        Some(style)
    }

    fn shape(&mut self, points: &[(f64, f64)], closed: bool, style: &Style) -> Option<()> {
        self.outline(points, closed, style);
        self.paint(style)
    }

    /// Colours come before an outline in PDF, so the outline is kept until they are known.
    fn outline(&mut self, points: &[(f64, f64)], closed: bool, style: &Style) {
        if !self.content.ends_with(' ') {
            if let Some(fill) = style.fill {
                let _ = write!(self.content, "{} rg ", colour(fill));
            }
            if let Some(stroke) = style.stroke {
                let width = style.line * style.matrix[0].abs().max(style.matrix[1].abs());
                let _ = write!(self.content, "{} RG {} w ", colour(stroke), number(width));
                if !style.dash.is_empty() {
                    let _ = write!(self.content, "[{}] 0 d ", style.dash.trim_end());
                }
            }
        }
        if let (Some(rectangle), true) = (as_rectangle(points, style.matrix), closed) {
            let _ = write!(self.content, "{} re ", rectangle.map(number).join(" "));
            return;
        }
        for (at, &point) in points.iter().enumerate() {
            let (x, y) = placed(style.matrix, point);
            let command = if at == 0 { "m" } else { "l" };
            let _ = write!(self.content, "{} {} {command} ", number(x), number(y));
        }
        if closed {
            self.content.push_str("h ");
        }
    }

    fn paint(&mut self, style: &Style) -> Option<()> {
        self.content.push_str(match (style.fill, style.stroke) {
            (Some(_), None) => "f\n",
            (None, Some(_)) => "S\n",
            (Some(_), Some(_)) => "B\n",
            (None, None) => "n\n",
        });
        if !style.dash.is_empty() {
            self.content.push_str("[] 0 d\n");
        }
        Some(())
    }

    fn text(&mut self, element: &Element, style: &Style) -> Option<()> {
        let mut spans: Vec<(f64, String, Style)> = Vec::new();
        for child in &element.children {
            match child {
                Node::Text(text) => spans.push((0.0, text.clone(), style.clone())),
                Node::Element(span) if span.name == "tspan" => {
                    let style = self.style(span, style)?;
                    spans.push((span.number("dx").unwrap_or(0.0), span.text(), style));
                }
                Node::Element(_) => return None,
            }
        }
        let total: f64 = spans
            .iter()
            .map(|(dx, text, style)| dx + width(text, style))
            .sum();
        let start = match element.get("text-anchor") {
            Some("end") => -total,
            Some("middle") => -total / 2.0,
            _ => 0.0,
        };
        let (mut x, y) = (
            element.number("x").unwrap_or(0.0) + start,
            element.number("y").unwrap_or(0.0),
        );
        for (dx, text, style) in &spans {
            x += dx;
            self.span(text, (x, y), style);
            x += width(text, style);
        }
        Some(())
    }

    fn span(&mut self, text: &str, (mut x, y): (f64, f64), style: &Style) {
        let Some(fill) = style.fill else { return };
        let [a, b, c, d, ..] = style.matrix;
        let (font, size) = (u8::from(style.bold), number(style.size));
        let _ = writeln!(self.content, "{} rg BT /F{font} {size} Tf", colour(fill));
        for piece in text.split_inclusive(|c| code(c).is_none()) {
            let known = piece.trim_end_matches(|c| code(c).is_none());
            let (at_x, at_y) = placed(style.matrix, (x, y));
            let matrix = [a, b, -c, -d, at_x, at_y].map(number).join(" ");
            let _ = writeln!(self.content, "{matrix} Tm ({}) Tj", escaped(known));
            x += width(piece, style);
        }
        self.content.push_str("ET\n");
        self.boxes(text, (x - width(text, style), y), style);
    }

    /// An empty box for each letter that the font lacks.
    fn boxes(&mut self, text: &str, (mut x, y): (f64, f64), style: &Style) {
        let outline = Style {
            fill: None,
            stroke: style.fill,
            line: 0.5,
            ..style.clone()
        };
        for c in text.chars() {
            let advance = width(c.encode_utf8(&mut [0; 4]), style);
            if code(c).is_none() && advance > 0.0 {
                let (left, right) = (x + 0.1 * advance, x + 0.9 * advance);
                let top = y - 0.7 * style.size;
                // Nothing is unknown in a box.
                let _ = self.shape(
                    &[(left, y), (right, y), (right, top), (left, top)],
                    true,
                    &outline,
                );
            }
            x += advance;
        }
    }
}

const PROPERTIES: [&str; 7] = [
    "fill",
    "stroke",
    "stroke-width",
    "stroke-dasharray",
    "font-size",
    "font-weight",
    "opacity",
];

impl Style {
    fn set(&mut self, name: &str, value: &str) -> Option<()> {
        match name {
            "fill" => self.fill = paint(value)?,
            "stroke" => self.stroke = paint(value)?,
            "stroke-width" => self.line = value.parse().ok()?,
            "stroke-dasharray" => {
                self.dash = numbers(value)?
                    .iter()
                    .map(|&length| number(length) + " ")
                    .collect()
            }
            "font-size" => self.size = value.trim_end_matches("px").parse().ok()?,
            "font-weight" => self.bold = value.parse().map_or(value == "bold", |weight: u32| weight >= 600),
            // Over white, which our pictures stand on.
            "opacity" => {
                let opacity: f64 = value.parse().ok()?;
                let over = |colour: [f64; 3]| colour.map(|part| 1.0 + (part - 1.0) * opacity);
                (self.fill, self.stroke) = (self.fill.map(over), self.stroke.map(over));
            }
            _ => {}
        }
        Some(())
    }
}

/// `None` inside where nothing is painted.
#[allow(clippy::option_option)]
fn paint(value: &str) -> Option<Option<[f64; 3]>> {
    if value == "none" {
        return Some(None);
    }
    if value == "currentColor" {
        return Some(Some([0.0; 3]));
    }
    let digits = value.strip_prefix('#')?;
    let part = |at: usize| match digits.len() {
        3 => u8::from_str_radix(digits.get(at..=at)?, 16)
            .ok()
            .map(|part| part * 17),
        6 => u8::from_str_radix(digits.get(2 * at..2 * at + 2)?, 16).ok(),
        _ => None,
    };
    let parts = [part(0)?, part(1)?, part(2)?];
    Some(Some(parts.map(|part| f64::from(part) / 255.0)))
}

/// `path.b{stroke:#f00}` as selector and declarations.
fn rules(sheet: &str) -> Vec<(String, String)> {
    let rules = sheet.split('}').filter_map(|rule| rule.split_once('{'));
    rules
        .map(|(selector, declarations)| (selector.trim().to_owned(), declarations.to_owned()))
        .collect()
}

/// At most two decimals, and none that are zero.
fn number(value: f64) -> String {
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

fn colour(colour: [f64; 3]) -> String {
    let parts = colour.map(|part| {
        let text = format!("{part:.3}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    });
    parts.join(" ")
}

/// The character's code in the encoding of Windows, which the fonts have.
fn code(c: char) -> Option<u8> {
    const OTHERS: [(char, u8); 20] = [
        ('€', 0x80),
        ('…', 0x85),
        ('†', 0x86),
        ('‡', 0x87),
        ('‰', 0x89),
        ('‹', 0x8b),
        ('‘', 0x91),
        ('’', 0x92),
        ('“', 0x93),
        ('”', 0x94),
        ('•', 0x95),
        ('–', 0x96),
        ('—', 0x97),
        ('™', 0x99),
        ('›', 0x9b),
        ('−', 0x96),
        ('▁', b'_'),
        ('▸', b'>'),
        ('∅', 0xd8),
        ('←', 0xab),
    ];
    match c {
        ' '..='~' => Some(c as u8),
        '\u{a0}'..='\u{ff}' => u8::try_from(u32::from(c)).ok(),
        '→' => Some(0xbb),
        _ => OTHERS
            .iter()
            .find(|(other, _)| *other == c)
            .map(|(_, code)| *code),
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for code in text.chars().filter_map(code) {
        match code {
            b'(' | b')' | b'\\' => escaped.extend(['\\', char::from(code)]),
            b' '..=b'~' => escaped.push(char::from(code)),
            _ => escaped.push_str(&format!("\\{code:03o}")),
        }
    }
    escaped
}

/// How wide Helvetica's characters are, from the space on, in thousandths of its size.
const WIDTHS: [u16; 95] = [
    278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556,
    556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015, 667, 667, 722, 722, 667, 611, 778, 722, 278,
    500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469,
    556, 333, 556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500,
    278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584,
];

fn width(text: &str, style: &Style) -> f64 {
    let of = |c: char| match code(c) {
        Some(code @ b' '..=b'~') => f64::from(WIDTHS[usize::from(code - b' ')]),
        Some(0xb7) => 278.0,
        Some(0x85 | 0x97 | 0x99) => 1000.0,
        Some(_) => 556.0,
        None => 700.0,
    };
    let bold = if style.bold { 1.06 } else { 1.0 };
    text.chars().map(of).sum::<f64>() / 1000.0 * style.size * bold
}

//! A picture of ours, which is SVG, as PDF: what LaTeX takes without another program's help.
//!
//! It knows what our pictures are made of (rectangles, circles, paths of straight lines, text, groups with transforms)
//! and none of the rest: of a picture with anything else there is no PDF. Text is set in Helvetica, which every reader
//! of PDF has and no file needs to carry; a letter that it lacks is an empty box.

mod draw;
mod shapes;
mod xml;

use self::draw::Canvas;

/// The picture as a document of one page; `None` where something in it is not known here.
pub(crate) fn from_svg(svg: &str) -> Option<Vec<u8>> {
    let root = xml::parse(svg)?;
    if root.name != "svg" {
        return None;
    }
    let (width, height) = (root.number("width")?, root.number("height")?);
    let mut canvas = Canvas::new(height);
    canvas.element(&root, &draw::Style::default())?;
    Some(document(width, height, &canvas.content))
}

/// Points in a pixel of CSS.
const POINTS: f64 = 0.75;

fn document(width: f64, height: f64, content: &str) -> Vec<u8> {
    let (width, height) = (width * POINTS, height * POINTS);
    let font = |name: &str| format!("<</Type/Font/Subtype/Type1/BaseFont/{name}/Encoding/WinAnsiEncoding>>");
    let objects = [
        "<</Type/Catalog/Pages 2 0 R>>".to_owned(),
        "<</Type/Pages/Kids[3 0 R]/Count 1>>".to_owned(),
        format!(
            "<</Type/Page/Parent 2 0 R/MediaBox[0 0 {width:.2} {height:.2}]/Contents 4 0 R\
             /Resources<</Font<</F0 5 0 R/F1 6 0 R>>>>>>"
        ),
        format!("<</Length {}>>stream\n{content}\nendstream", content.len()),
        font("Helvetica"),
        font("Helvetica-Bold"),
    ];
    let mut file = "%PDF-1.4\n".to_owned();
    let mut offsets = Vec::new();
    for (at, object) in objects.iter().enumerate() {
        offsets.push(file.len());
        file.push_str(&format!("{} 0 obj\n{object}\nendobj\n", at + 1));
    }
    let (start, n) = (file.len(), objects.len() + 1);
    file.push_str(&format!("xref\n0 {n}\n0000000000 65535 f \n"));
    for offset in offsets {
        file.push_str(&format!("{offset:010} 00000 n \n"));
    }
    file.push_str(&format!(
        "trailer<</Size {n}/Root 1 0 R>>\nstartxref\n{start}\n%%EOF\n"
    ));
    file.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PICTURE: &str = "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"100\" height=\"50\" fill=\"#1f2328\" \
        font-size=\"10\"><title>T</title><style>path.b{fill:none;stroke:#f00;stroke-dasharray:4 3}</style>\
        <rect width=\"100\" height=\"50\" fill=\"#fff\"></rect>\
        <g transform=\"translate(10 5) scale(2 3)\"><path fill=\"#00ff00\" d=\"M0 0h1v1h-1z\"></path></g>\
        <path class=\"b\" d=\"M1 2L3 4V5\"></path>\
        <text x=\"10\" y=\"20\">a (&lt;b&gt;) · é 名<tspan dx=\"8\" font-weight=\"600\">c</tspan></text></svg>";

    fn drawn(svg: &str) -> String {
        let file = from_svg(svg).unwrap();
        // The numbers of the table of objects are right.
        let text = String::from_utf8(file).unwrap();
        for (at, line) in text
            .lines()
            .filter(|line| line.ends_with(" 00000 n "))
            .enumerate()
        {
            let offset: usize = line[..10].parse().unwrap();
            assert!(text[offset..].starts_with(&format!("{} 0 obj", at + 1)));
        }
        text
    }

    #[test]
    fn what_a_picture_is_made_of_is_drawn() {
        let text = drawn(PICTURE);
        assert!(text.contains("/MediaBox[0 0 75.00 37.50]"), "{text}");
        assert!(text.contains("1 1 1 rg 0 0 100 50 re f"), "{text}");
        // Two by three times as large, and moved.
        assert!(text.contains("0 1 0 rg 10 5 2 3 re f"), "{text}");
        // The rule of its class, and no area.
        assert!(
            text.contains("1 0 0 RG 1 w [4 3] 0 d 1 2 m 3 4 l 3 5 l S\n[] 0 d"),
            "{text}"
        );
        assert!(text.contains("(a \\(<b>\\) \\267 \\351 ) Tj"), "{text}");
        assert!(text.contains("/F1 10 Tf") && text.contains("(c) Tj"), "{text}");
    }

    #[test]
    fn text_ends_where_it_is_anchored() {
        let text = drawn(
            "<svg width=\"9\" height=\"9\"><text x=\"100\" y=\"5\" font-size=\"10\" text-anchor=\"end\">iiii</text></svg>",
        );
        // Four times 0.222 of the size.
        assert!(text.contains("1 0 0 -1 91.12 5 Tm"), "{text}");
    }

    #[test]
    fn a_picture_with_something_else_is_none() {
        for svg in [
            "<svg width=\"1\" height=\"1\"><foreignObject></foreignObject></svg>",
            "<svg width=\"1\" height=\"1\"><path d=\"M0 0C1 1 2 2 3 3\"></path></svg>",
            "<svg width=\"1\" height=\"1\"><g transform=\"skewX(3)\"></g></svg>",
            "<svg width=\"1\" height=\"1\"><g>",
            "<p></p>",
            "",
        ] {
            assert!(from_svg(svg).is_none(), "{svg}");
        }
    }
}

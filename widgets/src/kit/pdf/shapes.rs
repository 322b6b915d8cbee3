//! Shapes of SVG as points: paths, rectangles, circles, and what a transform makes of them.

use super::xml::Element;

pub(super) fn transformed(mut matrix: [f64; 6], transform: &str) -> Option<[f64; 6]> {
    for step in transform.split(')').filter(|step| !step.trim().is_empty()) {
        let (name, numbers) = step.split_once('(')?;
        let numbers = self::numbers(numbers)?;
        let [a, b, c, d, e, f] = match (name.trim(), numbers.as_slice()) {
            ("translate", &[x, y]) => [1.0, 0.0, 0.0, 1.0, x, y],
            ("scale", &[x, y]) => [x, 0.0, 0.0, y, 0.0, 0.0],
            ("rotate", &[degrees]) => {
                let (sin, cos) = degrees.to_radians().sin_cos();
                [cos, sin, -sin, cos, 0.0, 0.0]
            }
            _ => return None,
        };
        let (x, y) = placed(matrix, (e, f));
        let [ma, mb, mc, md, ..] = matrix;
        matrix = [
            ma * a + mc * b,
            mb * a + md * b,
            ma * c + mc * d,
            mb * c + md * d,
            x,
            y,
        ];
    }
    Some(matrix)
}

pub(super) fn numbers(text: &str) -> Option<Vec<f64>> {
    let texts = text.split([' ', ',']).filter(|text| !text.is_empty());
    texts.map(|text| text.parse().ok()).collect()
}

/// Corner, width and height of an outline that is a rectangle on the page too: most are, and are said shorter so.
pub(super) fn as_rectangle(points: &[(f64, f64)], matrix: [f64; 6]) -> Option<[f64; 4]> {
    let &[a, b, c, d] = points else { return None };
    let is_straight = matrix[1] == 0.0 && matrix[2] == 0.0;
    let is_rectangle = a.1 == b.1 && b.0 == c.0 && c.1 == d.1 && d.0 == a.0;
    let ((x, y), (right, bottom)) = (placed(matrix, a), placed(matrix, c));
    (is_straight && is_rectangle).then_some([x, y, right - x, bottom - y])
}

pub(super) fn placed([a, b, c, d, e, f]: [f64; 6], (x, y): (f64, f64)) -> (f64, f64) {
    (a * x + c * y + e, b * x + d * y + f)
}

pub(super) fn rectangle(element: &Element) -> Option<Vec<(f64, f64)>> {
    let (x, y) = (
        element.number("x").unwrap_or(0.0),
        element.number("y").unwrap_or(0.0),
    );
    let (width, height) = (element.number("width")?, element.number("height")?);
    Some(vec![
        (x, y),
        (x + width, y),
        (x + width, y + height),
        (x, y + height),
    ])
}

/// With sides so short that it looks round.
pub(super) fn circle(element: &Element) -> Option<Vec<(f64, f64)>> {
    let (x, y, r) = (element.number("cx")?, element.number("cy")?, element.number("r")?);
    let side = |n: i32| {
        let (sin, cos) = (f64::from(n) / 24.0 * std::f64::consts::TAU).sin_cos();
        (x + r * cos, y + r * sin)
    };
    Some((0..24).map(side).collect())
}

/// The points of each outline of a path, and whether it is closed.
#[allow(clippy::type_complexity)]
pub(super) fn outlines(path: &str) -> Option<Vec<(Vec<(f64, f64)>, bool)>> {
    let mut found: Vec<(Vec<(f64, f64)>, bool)> = Vec::new();
    let mut at = (0.0, 0.0);
    for (command, numbers) in commands(path)? {
        let relative = command.is_ascii_lowercase();
        let from = if relative { at } else { (0.0, 0.0) };
        let step = |x: f64, y: f64| (from.0 + x, from.1 + y);
        match (command.to_ascii_uppercase(), numbers.as_slice()) {
            ('M', &[x, y]) => {
                at = step(x, y);
                found.push((vec![at], false));
                continue;
            }
            ('L', &[x, y]) => at = step(x, y),
            ('H', &[x]) => at.0 = from.0 + x,
            ('V', &[y]) => at.1 = from.1 + y,
            ('Z', []) => {
                let (points, closed) = found.last_mut()?;
                *closed = true;
                at = *points.first()?;
                continue;
            }
            _ => return None,
        }
        found.last_mut()?.0.push(at);
    }
    Some(found)
}

pub(super) fn commands(path: &str) -> Option<Vec<(char, Vec<f64>)>> {
    let mut commands: Vec<(char, Vec<f64>)> = Vec::new();
    let mut rest = path.trim_start();
    while let Some(command) = rest.chars().next() {
        if !command.is_ascii_alphabetic() {
            return None;
        }
        rest = &rest[1..];
        let end = rest.find(|c: char| c.is_ascii_alphabetic()).unwrap_or(rest.len());
        let numbers = rest[..end].replace('-', " -");
        let numbers = numbers.split([' ', ',']).filter(|text| !text.is_empty());
        commands.push((
            command,
            numbers.map(|text| text.parse().ok()).collect::<Option<_>>()?,
        ));
        rest = rest[end..].trim_start();
    }
    Some(commands)
}

//! Sparklines: as an SVG path, and as block characters.

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// `▁▂▃` for values in 0..=1.
pub(crate) fn blocks(values: &[f32]) -> String {
    values
        .iter()
        .map(|v| BLOCKS[(v.clamp(0.0, 1.0) * 7.0).round() as usize])
        .collect()
}

/// Steps over the values in 0..=1, one unit wide and `height` high, down to the axis and closed.
pub(crate) fn area(values: &[f32], height: f32) -> String {
    steps(values, 0.0, height)
}

/// The same for values in -1..=1, around a line in the middle.
pub(crate) fn signed_area(values: &[f32], height: f32) -> String {
    steps(values, -1.0, height / 2.0)
}

/// Steps over the values in `least..=1`, around an axis this far below where a 1 is drawn.
fn steps(values: &[f32], least: f32, axis: f32) -> String {
    let mut path = format!("M0 {axis}");
    let mut last = f32::NAN;
    for (x, value) in values.iter().enumerate() {
        // What is no number stands on the axis.
        let value = if value.is_nan() {
            0.0
        } else {
            value.clamp(least, 1.0)
        };
        let y = ((1.0 - value) * axis * 10.0).round() / 10.0;
        if y != last {
            path.push_str(&if x == 0 {
                format!("V{y}")
            } else {
                format!("H{x}V{y}")
            });
            last = y;
        }
    }
    path.push_str(&format!("H{}V{axis}z", values.len()));
    path
}

/// `▁▄█` for values in -1..=1: the middle is 0.
pub(crate) fn signed_blocks(values: &[f32]) -> String {
    let halves: Vec<f32> = values.iter().map(|value| (value + 1.0) / 2.0).collect();
    blocks(&halves)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blocks_span_the_range() {
        assert_eq!(blocks(&[0.0, 0.5, 1.0, 7.0]), "▁▅██");
    }

    #[test]
    fn signs_are_above_and_below_the_middle() {
        assert_eq!(signed_area(&[0.0, 1.0, -1.0], 20.0), "M0 10V10H1V0H2V20H3V10z");
        assert_eq!(signed_blocks(&[-1.0, 0.0, 1.0]), "▁▅█");
    }

    #[test]
    fn an_area_is_closed_and_skips_plateaus() {
        assert_eq!(area(&[0.0, 1.0, 1.0, 0.25], 20.0), "M0 20V20H1V0H3V15H4V20z");
        assert_eq!(area(&[], 20.0), "M0 20H0V20z");
        assert_eq!(area(&[f32::NAN, 1.0, f32::INFINITY], 20.0), "M0 20V20H1V0H3V20z");
    }
}

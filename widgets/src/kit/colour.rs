//! Colours: viridis, dark for strong, fading into the page, for saliency; one hue per factor.
//!
//! On dark pages the scale runs the other way (bright for strong); that half lives in `base.css` alone,
//! because only the style sheet knows the theme. The inline colours made here are what remains where style
//! sheets are stripped.

/// A scale from nothing to strong. A style sheet (`base.css`, that of the ranks) lists the same stops under its name.
pub(crate) struct Ramp {
    pub name: &'static str,
    /// Place, red, green, blue, opacity.
    stops: &'static [(f32, [u8; 3], f32)],
    /// From here on white text reads better than black.
    white_from: f32,
}

/// Viridis reversed: shares, probabilities.
pub(crate) const VIRIDIS: Ramp = Ramp {
    name: "scale",
    stops: &[
        (0.0, [253, 231, 37], 0.0),
        (0.12, [205, 225, 50], 0.45),
        (0.28, [122, 209, 81], 0.8),
        (0.45, [53, 183, 121], 1.0),
        (0.62, [33, 145, 140], 1.0),
        (0.8, [59, 82, 139], 1.0),
        (1.0, [68, 1, 84], 1.0),
    ],
    white_from: 0.63,
};

/// In the manner of ColorBrewer's RdPu: ranks of the tokens that were written.
pub(crate) const WARM: Ramp = Ramp {
    name: "warm",
    stops: &[
        (0.0, [253, 224, 221], 0.0),
        (0.25, [252, 197, 192], 0.8),
        (0.5, [247, 104, 161], 1.0),
        (0.75, [205, 40, 145], 1.0),
        (1.0, [154, 1, 123], 1.0),
    ],
    white_from: 0.66,
};

/// In the manner of its GnBu: ranks of watched tokens.
pub(crate) const COOL: Ramp = Ramp {
    name: "cool",
    stops: &[
        (0.0, [224, 243, 219], 0.0),
        (0.25, [186, 228, 188], 0.8),
        (0.5, [123, 204, 196], 1.0),
        (0.75, [67, 162, 202], 1.0),
        (1.0, [26, 123, 181], 1.0),
    ],
    white_from: 0.94,
};

/// Against and for: blue, nothing, red-orange. `base.css` lists the same stops, from -1 on as 0% to 1 as 100%.
pub(crate) const DIVERGING: [(f32, [u8; 3], f32); 7] = [
    (-1.0, [8, 69, 148], 1.0),
    (-0.6, [33, 113, 181], 1.0),
    (-0.3, [107, 174, 214], 0.75),
    (0.0, [255, 255, 255], 0.0),
    (0.3, [253, 174, 107], 0.75),
    (0.6, [205, 62, 0], 1.0),
    (1.0, [140, 30, 4], 1.0),
];

/// From here on, either way, white text reads better than black.
const WHITE_ON_DIVERGING_FROM: f32 = 0.55;

/// Okabe and Ito's colours that show on white and on black, and four more of their kind.
const HUES: [[u8; 3]; 10] = [
    [0, 114, 178],
    [222, 143, 5],
    [0, 158, 115],
    [204, 121, 167],
    [213, 94, 0],
    [66, 165, 226],
    [123, 91, 214],
    [148, 137, 10],
    [166, 86, 50],
    [112, 128, 144],
];

impl Ramp {
    /// Over a white page at `strength` in 0..=1.
    pub(crate) fn at(&self, strength: f32) -> [u8; 3] {
        over_white(self.stops, strength.clamp(0.0, 1.0))
    }

    pub(crate) fn text(&self, strength: f32) -> &'static str {
        if strength < self.white_from {
            "#222"
        } else {
            "#fff"
        }
    }
}

/// Viridis over a white page at `strength` in 0..=1.
pub(crate) fn scale(strength: f32) -> [u8; 3] {
    VIRIDIS.at(strength)
}

/// Signed strength, in -1..=1, over a white page.
pub(crate) fn diverging(strength: f32) -> [u8; 3] {
    over_white(&DIVERGING, strength.clamp(-1.0, 1.0))
}

fn over_white(stops: &[(f32, [u8; 3], f32)], strength: f32) -> [u8; 3] {
    let upper = stops
        .iter()
        .position(|stop| stop.0 >= strength)
        .unwrap_or(stops.len() - 1)
        .max(1);
    let (low, high) = (stops[upper - 1], stops[upper]);
    let t = (strength - low.0) / (high.0 - low.0);
    let mix = |a: f32, b: f32| a + (b - a) * t;
    let opacity = mix(low.2, high.2);
    std::array::from_fn(|i| {
        let colour = mix(f32::from(low.1[i]), f32::from(high.1[i]));
        (255.0 + (colour - 255.0) * opacity).round() as u8
    })
}

pub(crate) fn text_on_scale(strength: f32) -> &'static str {
    VIRIDIS.text(strength)
}

pub(crate) fn text_on_diverging(strength: f32) -> &'static str {
    if strength.abs() < WHITE_ON_DIVERGING_FROM {
        "#222"
    } else {
        "#fff"
    }
}

/// Colour of factor `k`; beyond ten by the golden angle, so that neighbours stay apart.
pub(crate) fn factor(k: usize) -> [u8; 3] {
    match HUES.get(k) {
        Some(hue) => *hue,
        None => hsl(
            (k as f32 * 137.508) % 360.0,
            0.55,
            if k.is_multiple_of(2) { 0.42 } else { 0.58 },
        ),
    }
}

/// A factor's colour at `strength` over a white page, where nothing knows the theme.
pub(crate) fn wash([r, g, b]: [u8; 3], strength: f32) -> [u8; 3] {
    [r, g, b].map(|c| (255.0 + (f32::from(c) - 255.0) * strength.clamp(0.0, 1.0) * 0.6).round() as u8)
}

pub(crate) fn hex([r, g, b]: [u8; 3]) -> String {
    format!("#{r:02x}{g:02x}{b:02x}")
}

fn hsl(hue: f32, saturation: f32, lightness: f32) -> [u8; 3] {
    let a = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|n| {
        let k = (n + hue / 30.0) % 12.0;
        (255.0 * (lightness - a * (k - 3.0).min(9.0 - k).clamp(-1.0, 1.0))).round() as u8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Relative luminance (WCAG 2).
    fn luminance(colour: [u8; 3]) -> f32 {
        let linear = colour.map(|c| {
            let c = f32::from(c) / 255.0;
            if c <= 0.04045 {
                c / 12.92
            } else {
                ((c + 0.055) / 1.055).powf(2.4)
            }
        });
        0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    }

    const RAMPS: [Ramp; 3] = [VIRIDIS, WARM, COOL];

    #[test]
    fn scales_fade_to_white_and_darken() {
        assert_eq!(scale(1.0), [68, 1, 84]);
        assert_eq!(scale(f32::INFINITY), scale(1.0));
        for ramp in RAMPS {
            assert_eq!(ramp.at(0.0), [255; 3]);
            let lightness: Vec<f32> = (0..=100).map(|i| luminance(ramp.at(i as f32 / 100.0))).collect();
            let darkens = lightness.windows(2).all(|pair| pair[1] <= pair[0]);
            assert!(darkens, "{}: a stronger value is never lighter", ramp.name);
        }
    }

    fn contrast(text: &str, ground: [u8; 3]) -> f32 {
        let text = if text == "#fff" { 1.0 } else { luminance([0x22; 3]) };
        let ground = luminance(ground);
        (text.max(ground) + 0.05) / (text.min(ground) + 0.05)
    }

    #[test]
    fn text_on_the_scales_is_readable() {
        for i in -100..=100 {
            let strength = i as f32 / 100.0;
            let size = strength.abs();
            let grounds = RAMPS.map(|ramp| (ramp.text(size), ramp.at(size)));
            let signed = (text_on_diverging(strength), diverging(strength));
            for (text, ground) in grounds.into_iter().chain([signed]) {
                let contrast = contrast(text, ground);
                assert!(
                    contrast >= 3.8,
                    "contrast {contrast} at {strength}: {text} on {ground:?}"
                );
            }
        }
    }

    #[test]
    fn against_is_blue_and_for_is_red() {
        assert_eq!(diverging(0.0), [255; 3]);
        let ([r, _, b], [r2, _, b2]) = (diverging(-0.8), diverging(0.8));
        assert!(b > r && r2 > b2);
        for sign in [-1.0, 1.0] {
            let lightness = (0..=100).map(|i| luminance(diverging(sign * i as f32 / 100.0)));
            let lightness: Vec<f32> = lightness.collect();
            assert!(lightness.windows(2).all(|pair| pair[1] <= pair[0]));
        }
    }

    #[test]
    fn the_style_sheet_has_the_same_scales() {
        let css = concat!(
            include_str!("base.css"),
            include_str!("../views/rank_map/view.css")
        );
        for ramp in RAMPS {
            assert!(css.contains(&format!("--ecco-{}:", ramp.name)));
            for (place, [r, g, b], opacity) in ramp.stops {
                let stop = format!("rgb({r} {g} {b}/{opacity}) {:.0}%", place * 100.0);
                assert!(css.contains(&stop), "{stop} is missing");
            }
        }
        for (place, [r, g, b], opacity) in DIVERGING {
            let stop = format!("rgb({r} {g} {b}/{opacity}) {:.0}%", (place + 1.0) * 50.0);
            assert!(css.contains(&stop), "{stop} is missing");
        }
    }

    #[test]
    fn factors_differ() {
        let colours: std::collections::HashSet<_> = (0..40).map(factor).collect();
        assert_eq!(colours.len(), 40);
    }
}

//! Colours: viridis, dark for strong, fading into the page; two hues by the sign; one hue per factor.
//!
//! On dark pages the scales run the other way (bright for strong). The style sheet of every page has both: `theme` writes
//! it from the tables here. The inline colours made here are what remains where style sheets are stripped.

/// Place in 0..=1, red, green, blue, opacity.
pub(crate) type Stop = (f32, [u8; 3], f32);
/// The stops of every scale, the ends included.
pub(crate) const N_STOPS: usize = 7;

/// A scale on light and on dark pages. Where the opacity is 0 stands the ground of a box.
pub(crate) struct Ramp {
    pub light: [Stop; N_STOPS],
    pub dark: [Stop; N_STOPS],
}

/// Viridis, reversed on light pages: shares, probabilities, ranks.
pub(crate) const SEQUENTIAL: Ramp = Ramp {
    light: [
        (0.0, [253, 231, 37], 0.0),
        (0.12, [205, 225, 50], 0.45),
        (0.28, [122, 209, 81], 0.8),
        (0.45, [53, 183, 121], 1.0),
        (0.62, [33, 145, 140], 1.0),
        (0.8, [59, 82, 139], 1.0),
        (1.0, [68, 1, 84], 1.0),
    ],
    dark: [
        (0.0, [72, 36, 117], 0.0),
        (0.15, [72, 36, 117], 0.75),
        (0.35, [62, 79, 138], 1.0),
        (0.55, [38, 131, 143], 1.0),
        (0.7, [31, 161, 135], 1.0),
        (0.86, [122, 209, 81], 1.0),
        (1.0, [253, 231, 37], 1.0),
    ],
};

/// Against and for: blue, nothing, orange. Its places are those of −1..=1.
pub(crate) const DIVERGING: Ramp = Ramp {
    light: [
        (0.0, [8, 69, 148], 1.0),
        (0.2, [33, 113, 181], 1.0),
        (0.35, [107, 174, 214], 0.75),
        (0.5, [255, 255, 255], 0.0),
        (0.65, [253, 174, 107], 0.75),
        (0.8, [205, 62, 0], 1.0),
        (1.0, [140, 30, 4], 1.0),
    ],
    dark: [
        (0.0, [147, 205, 255], 1.0),
        (0.2, [66, 146, 214], 1.0),
        (0.35, [29, 90, 150], 0.9),
        (0.5, [29, 90, 150], 0.0),
        (0.65, [160, 62, 14], 0.9),
        (0.8, [236, 112, 36], 1.0),
        (1.0, [255, 196, 138], 1.0),
    ],
};

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

/// Viridis over a white page at `strength` in 0..=1.
pub(crate) fn scale(strength: f32) -> [u8; 3] {
    at(&SEQUENTIAL.light, strength.clamp(0.0, 1.0), [255; 3])
}

/// Signed strength, in -1..=1, over a white page.
pub(crate) fn diverging(strength: f32) -> [u8; 3] {
    at(
        &DIVERGING.light,
        (strength.clamp(-1.0, 1.0) + 1.0) / 2.0,
        [255; 3],
    )
}

/// The colour at a place of a scale over a ground. Between two stops colours count by their opacity, as they do in a
/// style sheet's `color-mix`.
pub(crate) fn at(stops: &[Stop; N_STOPS], place: f32, ground: [u8; 3]) -> [u8; 3] {
    let upper = stops
        .iter()
        .position(|stop| stop.0 >= place)
        .unwrap_or(N_STOPS - 1)
        .max(1);
    let (low, high) = (stops[upper - 1], stops[upper]);
    let t = (place - low.0) / (high.0 - low.0);
    let mix = |a: f32, b: f32| a + (b - a) * t;
    let opacity = mix(low.2, high.2);
    std::array::from_fn(|i| {
        let colour = mix(f32::from(low.1[i]) * low.2, f32::from(high.1[i]) * high.2);
        (colour + f32::from(ground[i]) * (1.0 - opacity)).round() as u8
    })
}

pub(crate) fn text_on_scale(strength: f32) -> &'static str {
    ink(scale(strength))
}

pub(crate) fn text_on_diverging(strength: f32) -> &'static str {
    ink(diverging(strength))
}

/// Black or white, whichever is read better on a ground: never less than 4.58 to 1.
pub(crate) fn ink(ground: [u8; 3]) -> &'static str {
    if luminance(ground) < EQUAL { "#fff" } else { "#000" }
}

/// The luminance on which black and white are read equally well: (1 + 0.05) / (L + 0.05) = (L + 0.05) / 0.05.
pub(crate) const EQUAL: f32 = 0.179_13;

/// Relative luminance (WCAG 2).
pub(crate) fn luminance(colour: [u8; 3]) -> f32 {
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

/// Colour of factor `k`; beyond ten by the golden angle, so that neighbours stay apart.
pub(crate) fn factor(k: usize) -> [u8; 3] {
    match HUES.get(k) {
        Some(hue) => *hue,
        None => hsl(
            (k as f32 * 137.508) % 360.0,
            0.45,
            // Such that ink on them is read in either theme.
            if k.is_multiple_of(2) { 0.44 } else { 0.52 },
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

    #[test]
    fn scales_fade_to_white_and_darken() {
        assert_eq!(scale(1.0), [68, 1, 84]);
        assert_eq!(scale(f32::INFINITY), scale(1.0));
        assert_eq!(scale(0.0), [255; 3]);
        let lightness: Vec<f32> = (0..=100).map(|i| luminance(scale(i as f32 / 100.0))).collect();
        assert!(
            lightness.windows(2).all(|pair| pair[1] <= pair[0]),
            "a stronger value is never lighter"
        );
    }

    #[test]
    fn text_on_the_scales_is_readable() {
        let contrast = |text: &str, ground: [u8; 3]| {
            let text = if text == "#fff" { 1.0 } else { 0.0f32 };
            let ground = luminance(ground);
            (text.max(ground) + 0.05) / (text.min(ground) + 0.05)
        };
        for i in -1000..=1000 {
            let strength = i as f32 / 1000.0;
            let size = strength.abs();
            for (text, ground) in [
                (text_on_scale(size), scale(size)),
                (text_on_diverging(strength), diverging(strength)),
            ] {
                let contrast = contrast(text, ground);
                assert!(
                    contrast >= 4.5,
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
    fn factors_differ() {
        let colours: std::collections::HashSet<_> = (0..40).map(factor).collect();
        assert_eq!(colours.len(), 40);
    }
}

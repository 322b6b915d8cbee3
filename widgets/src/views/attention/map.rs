//! All heads at once: one picture of small patterns.
//!
//! It is a PNG of 256 opacities of one hue, so that it shows on light and on dark pages, also where scripts are
//! stripped. A PNG may hold its bytes uncompressed, which takes a page of code.

use base64::{Engine, engine::general_purpose::STANDARD};
use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Serialize;

/// Small patterns, row by row of the layers.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
pub struct Map {
    /// Layers of the stack.
    pub n_layers: usize,
    /// Heads of each layer.
    pub n_heads: usize,
    #[serde(skip)]
    height: usize,
    #[serde(skip)]
    width: usize,
    /// Opacities, thumbnail after thumbnail.
    #[serde(skip)]
    bytes: Vec<u8>,
}

/// Points of a small pattern's longer side; fewer where there are many.
const SIDE: usize = 24;
const SIDE_OF_MANY: usize = 12;
const MANY: usize = 400;

impl Map {
    pub fn new(n_layers: usize, n_heads: usize, n_queries: usize, n_keys: usize) -> Self {
        let side = if n_layers.saturating_mul(n_heads) > MANY {
            SIDE_OF_MANY
        } else {
            SIDE
        };
        Self {
            n_layers,
            n_heads,
            height: n_queries.clamp(1, side),
            width: n_keys.clamp(1, side),
            bytes: Vec::new(),
        }
    }

    /// Height and width of a thumbnail.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// The next head's thumbnail.
    pub fn add(&mut self, thumbnail: &[u8]) {
        self.bytes.extend_from_slice(thumbnail);
    }

    /// The thumbnails for a document.
    pub(super) fn encoded(&self) -> String {
        STANDARD.encode(&self.bytes)
    }

    /// Takes in what [`Map::encoded`] gave; `None` of what are not as many thumbnails.
    pub(super) fn decoded(mut self, text: &str) -> Option<Self> {
        self.bytes = STANDARD.decode(text).ok()?;
        let (height, width) = self.size();
        let n_heads = self.n_layers.checked_mul(self.n_heads)?;
        (Some(self.bytes.len()) == n_heads.checked_mul(height * width)).then_some(self)
    }

    pub(super) fn image(&self) -> Markup {
        let alt = format!(
            "Patterns of {} heads in each of {} layers",
            self.n_heads, self.n_layers
        );
        let width = (self.n_heads * WIDEST_HEAD).min(WIDEST);
        html! {
            div class="heads" style={ "width:" (width) "px" } {
                div class="across" { (numbers(self.n_heads)) }
                div class="down" { (numbers(self.n_layers)) }
                img class="map" alt=(alt) width=(width) src={ "data:image/png;base64," (STANDARD.encode(self.png())) } {}
            }
        }
    }

    /// One point between thumbnails.
    fn png(&self) -> Vec<u8> {
        let (width, height) = (
            self.n_heads * (self.width + 1) + 1,
            self.n_layers * (self.height + 1) + 1,
        );
        let mut points = vec![GAP; width * height];
        let size = self.width * self.height;
        for (index, thumbnail) in self
            .bytes
            .chunks_exact(size.max(1))
            .take(self.n_layers * self.n_heads)
            .enumerate()
        {
            let left = index % self.n_heads * (self.width + 1) + 1;
            let top = index / self.n_heads * (self.height + 1) + 1;
            for (y, row) in thumbnail.chunks_exact(self.width).enumerate() {
                let start = (top + y) * width + left;
                points[start..start + self.width].copy_from_slice(row);
            }
        }
        png(width, height, &points)
    }
}

/// Pixels of a head, and of the whole map.
const WIDEST_HEAD: usize = 110;
const WIDEST: usize = 440;
/// So many numbers stand at a side at most.
const MOST_NUMBERS: usize = 16;

/// Those of heads or layers, at equal distances; of many only each so-manieth is written.
fn numbers(n: usize) -> Markup {
    let step = n.div_ceil(MOST_NUMBERS).max(1);
    html! { @for i in 0..n { span { @if i % step == 0 { (i) } } " " } }
}

/// From the middle of the scale, to be seen on light and dark pages; a script has the whole scale.
const HUE: [u8; 3] = [33, 145, 140];
/// Opacity between thumbnails.
const GAP: u8 = 36;

/// A pattern in `height × width` points: the square root of the largest weight under each, so that small ones show, counted
/// from what each key would get if a query looked at all of them alike: that is the ground.
/// `weights` are row by row; causal ones have query + 1 keys in a row.
pub fn thumbnail(
    weights: &[f32],
    n_queries: usize,
    n_keys: usize,
    causal: bool,
    (height, width): (usize, usize),
) -> Vec<u8> {
    let mut points = vec![0.0f32; height * width];
    let mut start = 0;
    for query in 0..n_queries {
        let n = if causal { (query + 1).min(n_keys) } else { n_keys };
        let row = weights.get(start..start + n).unwrap_or(&[]);
        let y = query * height / n_queries;
        let alike = 1.0 / n as f32;
        for (key, weight) in row.iter().enumerate().filter(|_| n > 1) {
            let point = &mut points[y * width + key * width / n_keys];
            *point = point.max((weight - alike) / (1.0 - alike));
        }
        start += n;
    }
    let opacity = |weight: f32| (weight.clamp(0.0, 1.0).sqrt() * 255.0).round() as u8;
    points.into_iter().map(opacity).collect()
}

fn png(width: usize, height: usize, points: &[u8]) -> Vec<u8> {
    let mut header = Vec::new();
    header.extend((width as u32).to_be_bytes());
    header.extend((height as u32).to_be_bytes());
    header.extend([8, 3, 0, 0, 0]); // 8 bits of a palette
    let palette: Vec<u8> = (0..=255).flat_map(|_: u8| HUE).collect();
    let opacities: Vec<u8> = (0..=255).collect();
    let rows: Vec<u8> = points
        .chunks_exact(width)
        .flat_map(|row| [0].into_iter().chain(row.iter().copied()))
        .collect();
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    for (name, data) in [
        (b"IHDR", header),
        (b"PLTE", palette),
        (b"tRNS", opacities),
        (b"IDAT", stored(&rows)),
        (b"IEND", vec![]),
    ] {
        file.extend((data.len() as u32).to_be_bytes());
        let start = file.len();
        file.extend(name);
        file.extend(data);
        let check = crc32(&file[start..]);
        file.extend(check.to_be_bytes());
    }
    file
}

/// zlib's format with nothing compressed.
fn stored(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let blocks = bytes.chunks(65535);
    let n = blocks.len();
    for (index, block) in blocks.enumerate() {
        out.push(u8::from(index + 1 == n));
        out.extend((block.len() as u16).to_le_bytes());
        out.extend((!(block.len() as u16)).to_le_bytes());
        out.extend(block);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65521;
        b = (b + a) % 65521;
    }
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| match crc & 1 {
            1 => (crc >> 1) ^ 0xedb8_8320,
            _ => crc >> 1,
        })
    };
    !bytes.iter().fold(!0, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checks_are_those_of_the_formats() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32(b"IEND"), 0xae42_6082);
        // zlib.compress(b"Wikipedia", 0)
        assert_eq!(stored(b"Wikipedia")[2..7], [1, 9, 0, 246, 255]);
        assert_eq!(stored(b"Wikipedia")[16..], 0x11e6_0398u32.to_be_bytes());
    }

    #[test]
    fn small_patterns_keep_the_largest_weight() {
        let weights = [1.0, 0.25, 0.75, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0];
        let found = thumbnail(&weights, 4, 4, true, (2, 2));
        assert_eq!(found, [180, 0, 0, 255]);
        let found = thumbnail(&[0.25, 0.75], 1, 2, false, (1, 2));
        assert_eq!(found, [0, 180]);
        assert_eq!(thumbnail(&[], 2, 2, false, (2, 2)), [0; 4]);
    }

    #[test]
    fn a_picture_has_all_heads() {
        let mut map = Map::new(2, 3, 5, 100);
        assert_eq!(map.size(), (5, SIDE));
        (0..6).for_each(|head| map.add(&[head; 5 * SIDE]));
        let file = map.png();
        let (width, height) = (3 * (SIDE + 1) + 1, 2 * 6 + 1);
        assert_eq!(file[16..24], [0, 0, 0, width as u8, 0, 0, 0, height as u8]);
        let data = file.windows(4).position(|window| window == b"IDAT").unwrap() + 4 + 2 + 5;
        let point = |x: usize, y: usize| file[data + y * (width + 1) + 1 + x];
        assert_eq!(
            [point(0, 0), point(1, 1), point(SIDE + 2, 1), point(1, 7)],
            [GAP, 0, 1, 3]
        );
        assert_eq!(Map::new(40, 40, 99, 99).size(), (SIDE_OF_MANY, SIDE_OF_MANY));
    }
}

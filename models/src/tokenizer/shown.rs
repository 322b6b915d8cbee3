//! What each token looks like to a person: whole characters, which part of a split one it is, and where they
//! stand in the text.

use std::ops::Range;

use super::pieces::Piece;

/// One unit of a text: a character, or a byte that is part of none.
struct Unit {
    bytes: Range<usize>,
    text: String,
    /// Of the character in the decoded text. Bytes that begin a character and do not end it share one, U+FFFD.
    position: usize,
}

/// What a token shows, which part of a split character it is, and its characters' positions.
pub(super) type Shown = (String, Option<(u8, u8)>, Range<usize>);

/// The text of the pieces; bytes that are no character become U+FFFD.
pub(super) fn text(pieces: &[Piece]) -> String {
    let mut text = String::new();
    for stretch in stretches(pieces) {
        match stretch {
            Piece::Byte(_) => text.push(char::REPLACEMENT_CHARACTER),
            Piece::Text(bytes) => text.push_str(&String::from_utf8_lossy(&bytes)),
        }
    }
    text
}

/// For each piece: its characters, the part it is of a split one, and the characters' positions.
pub(super) fn split_into_characters(pieces: &[Piece]) -> Vec<Shown> {
    let units = units(pieces);
    let mut ends = Vec::with_capacity(pieces.len());
    let mut shown: Vec<Shown> = Vec::with_capacity(pieces.len());
    let (mut start, mut first) = (0, 0);
    for piece in pieces {
        let end = start + piece.bytes().len();
        while units.get(first).is_some_and(|unit| unit.bytes.end <= start) {
            first += 1;
        }
        let covered: Vec<&Unit> = units[first..]
            .iter()
            .take_while(|unit| unit.bytes.start < end && start < end)
            .collect();
        let span = match (covered.first(), covered.last()) {
            (Some(first), Some(last)) => first.position..last.position + 1,
            _ => position_at(&units, first),
        };
        let text = covered.iter().map(|unit| unit.text.as_str()).collect();
        shown.push((text, None, span));
        ends.push(start..end);
        start = end;
    }
    for unit in units.iter().filter(|unit| unit.bytes.len() > 1) {
        mark_parts(unit, &ends, &mut shown);
    }
    shown
}

/// No characters, before the unit of this index.
fn position_at(units: &[Unit], index: usize) -> Range<usize> {
    let position = match units.get(index) {
        Some(unit) => unit.position,
        None => units.last().map_or(0, |unit| unit.position + 1),
    };
    position..position
}

/// Neighbouring texts as one, as characters may be split among them.
fn stretches(pieces: &[Piece]) -> Vec<Piece> {
    let mut stretches = Vec::new();
    for piece in pieces {
        match (stretches.last_mut(), piece) {
            (Some(Piece::Text(stretch)), Piece::Text(bytes)) => stretch.extend(bytes),
            _ => stretches.push(piece.clone()),
        }
    }
    stretches
}

fn units(pieces: &[Piece]) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::new();
    let mut position = 0;
    let mut add = |text: String, n_bytes: usize, position: usize| {
        let start = units.last().map_or(0, |unit| unit.bytes.end);
        units.push(Unit {
            bytes: start..start + n_bytes,
            text,
            position,
        });
    };
    let shown = |byte: u8| format!("<0x{byte:02X}>");
    for stretch in stretches(pieces) {
        let bytes = match stretch {
            Piece::Text(bytes) => bytes,
            Piece::Byte(byte) => {
                add(shown(byte), 1, position);
                position += 1;
                continue;
            }
        };
        for chunk in bytes.utf8_chunks() {
            for char in chunk.valid().chars() {
                add(char.into(), char.len_utf8(), position);
                position += 1;
            }
            for &byte in chunk.invalid() {
                add(shown(byte), 1, position);
            }
            position += usize::from(!chunk.invalid().is_empty());
        }
    }
    units
}

/// Numbers the pieces that share one character.
fn mark_parts(unit: &Unit, pieces: &[Range<usize>], shown: &mut [Shown]) {
    let first = pieces.partition_point(|piece| piece.end <= unit.bytes.start);
    let sharing = pieces[first..]
        .iter()
        .take_while(|piece| piece.start < unit.bytes.end);
    let sharing: Vec<usize> = sharing
        .enumerate()
        .filter(|(_, piece)| !piece.is_empty())
        .map(|(offset, _)| first + offset)
        .collect();
    if sharing.len() > 1 {
        for (number, &index) in sharing.iter().enumerate() {
            shown[index].1 = Some((number as u8 + 1, sharing.len() as u8));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(pieces: &[&[u8]]) -> Vec<Shown> {
        let pieces = pieces.iter().map(|piece| Piece::Text(piece.to_vec()));
        split_into_characters(&pieces.collect::<Vec<_>>())
    }

    #[test]
    fn a_split_emoji_stands_whole_in_each_of_its_parts() {
        let pieces: &[&[u8]] = &[b"a", b" \xF0\x9F", b"\x91", b"\xA9", b"b"];
        assert_eq!(
            shown(pieces),
            [
                ("a".into(), None, 0..1),
                (" 👩".into(), Some((1, 3)), 1..3),
                ("👩".into(), Some((2, 3)), 2..3),
                ("👩".into(), Some((3, 3)), 2..3),
                ("b".into(), None, 3..4),
            ]
        );
    }

    #[test]
    fn bytes_that_are_no_character_show_as_bytes() {
        // Together they are the start of a character, which the text has as one U+FFFD.
        assert_eq!(
            shown(&[b"a\xF0", b"\x9F", b"b"]),
            [
                ("a<0xF0>".into(), None, 0..2),
                ("<0x9F>".into(), None, 1..2),
                ("b".into(), None, 2..3)
            ]
        );
        assert_eq!(
            shown(&[b"", b"x", b""]),
            [
                (String::new(), None, 0..0),
                ("x".into(), None, 0..1),
                (String::new(), None, 1..1)
            ]
        );
        let lone = [Piece::Byte(0xC3), Piece::Byte(0xA9), Piece::Text(b"b".to_vec())];
        assert_eq!(text(&lone), "\u{FFFD}\u{FFFD}b");
        assert_eq!(
            split_into_characters(&lone),
            [
                ("<0xC3>".into(), None, 0..1),
                ("<0xA9>".into(), None, 1..2),
                ("b".into(), None, 2..3)
            ]
        );
    }
}

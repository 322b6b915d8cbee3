//! The `tokenizer.json` that finds a model's pieces as SentencePiece itself does, in texts that
//! [`SentencePieceNormalizer`] made normal. Its ids are those of the file.

use serde_json::{Map, Value, json};

use super::pipeline::{ids, merges};
use super::{Algorithm, PieceKind, SentencePiece, SentencePieceNormalizer};
use crate::error::Result;

pub(in crate::tokenizer) fn own_tokenizer_json(
    (file, bytes): (&str, &[u8]),
    knows_languages: bool,
) -> Result<(Vec<u8>, SentencePieceNormalizer)> {
    let model = SentencePiece::parse(bytes, file)?;
    let decoders = json!([
        {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
        {"type": "Fuse"},
        {"type": "Strip", "content": " ", "start": usize::from(model.adds_space), "stop": 0},
    ]);
    let json = json!({
        "version": "1.0",
        "added_tokens": [],
        "normalizer": null,
        "pre_tokenizer": null,
        "post_processor": null,
        "decoder": {"type": "Sequence", "decoders": decoders},
        "model": match model.algorithm {
            Algorithm::Unigram => unigram(&model),
            Algorithm::BytePair => byte_pairs(&model),
        },
    });
    Ok((
        json.to_string().into_bytes(),
        SentencePieceNormalizer::new(&model, knows_languages),
    ))
}

/// A name for what is found in no text: its first character stands in none.
fn hidden(id: usize) -> String {
    format!("\u{10FFFF}{id}")
}

fn unigram(model: &SentencePiece) -> Value {
    let plain = model.pieces.iter().filter(|piece| piece.kind == PieceKind::Plain);
    let best = plain.map(|piece| piece.score).reduce(f32::max).unwrap_or(0.0);
    let pieces = model
        .pieces
        .iter()
        .enumerate()
        .map(|(id, piece)| match piece.kind {
            PieceKind::Plain => json!([piece.text, f64::from(piece.score)]),
            // Better than any way to split it.
            PieceKind::UserDefined => {
                let length = piece.text.chars().count() as f64;
                json!([piece.text, length * f64::from(best) - 0.1])
            }
            PieceKind::Control | PieceKind::Unused => json!([hidden(id), 0.0]),
        });
    json!({
        "type": "Unigram", "unk_id": model.unk_id, "byte_fallback": false, "vocab": pieces.collect::<Vec<_>>(),
    })
}

fn byte_pairs(model: &SentencePiece) -> Value {
    let pieces = model.pieces.iter().enumerate();
    let vocabulary: Vec<(String, f32)> = pieces
        .map(|(id, piece)| match piece.kind {
            PieceKind::Plain | PieceKind::UserDefined => (piece.text.clone(), piece.score),
            PieceKind::Control | PieceKind::Unused => (hidden(id), 0.0),
        })
        .collect();
    let words = vocabulary.iter().enumerate();
    json!({
        "type": "BPE", "fuse_unk": true, "byte_fallback": false, "unk_token": hidden(model.unk_id),
        "merges": merges(&vocabulary, &ids(&vocabulary)),
        "vocab": words.map(|(id, (text, _))| (text.clone(), json!(id))).collect::<Map<_, _>>(),
    })
}

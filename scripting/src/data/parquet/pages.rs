//! The pages of a column: unpacked as far as there is room, and looked at before the crate takes room for what they say.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;
use std::sync::Arc;

use bytes::Bytes;
use ecco_interpreter::is_interrupted;
use flate2::read::MultiGzDecoder;
use parquet::basic::{Compression, CompressionCodec, Encoding, Type};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::errors::{ParquetError, Result};
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};
use parquet::file::serialized_reader::SerializedPageReader;

use super::{Room, asked, damaged, external};
use crate::errors::ScriptError;

/// Bytes that are unpacked between two looks at the interrupt and at the room.
const PIECE: u64 = 8 << 20;
/// Bytes of a page's header; statistics of long texts stand in there.
const LONGEST_HEADER: u64 = 16 << 20;
/// What a value takes while it is decoded: a part of a page's bytes, and its levels.
const VALUE_BYTES: usize = 48;

/// A file that lies where it is: parts of it are read when they are wanted.
pub(super) struct Source {
    pub file: Arc<File>,
    pub len: u64,
    pub room: Room,
}

impl Length for Source {
    fn len(&self) -> u64 {
        self.len
    }
}

/// Reads on from a place.
pub(super) struct From {
    file: Arc<File>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.file.read_at(buffer, self.at)?;
        self.at += n as u64;
        Ok(n)
    }
}

impl ChunkReader for Source {
    type T = BufReader<io::Take<From>>;

    fn get_read(&self, start: u64) -> Result<Self::T> {
        let file = Arc::clone(&self.file);
        let header = From { file, at: start }.take(LONGEST_HEADER);
        Ok(BufReader::with_capacity(1 << 10, header))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes> {
        let end = start.checked_add(length as u64).filter(|end| *end <= self.len);
        end.ok_or_else(|| ParquetError::EOF("a page lies outside of the file".to_owned()))?;
        self.room.check(length).map_err(external)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// The pages of one column of one row group.
pub(super) struct Pages {
    packed: SerializedPageReader<Source>,
    codec: CompressionCodec,
    kind: Type,
    room: Room,
}

impl Pages {
    /// # Errors
    /// What the column's entry says cannot be.
    pub(super) fn new(
        source: Arc<Source>,
        column: &ColumnChunkMetaData,
        n_rows: usize,
    ) -> std::result::Result<Self, ScriptError> {
        let codec = column.compression_codec();
        let room = source.room;
        // The crate would unpack all of a page, whatever comes.
        let as_it_lies = column
            .clone()
            .into_builder()
            .set_compression(Compression::UNCOMPRESSED);
        let packed = asked(|| SerializedPageReader::new(source, &as_it_lies.build()?, n_rows, None))?;
        let kind = column.column_type();
        Ok(Self {
            packed,
            codec,
            kind,
            room,
        })
    }

    fn unpacked(&self, page: Page) -> std::result::Result<Page, ScriptError> {
        if is_interrupted() {
            return Err(ScriptError::interrupted());
        }
        let page = match page {
            Page::DataPage {
                buf,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
            } => Page::DataPage {
                buf: unpack(self.codec, &buf, 0, self.room)?,
                num_values,
                encoding,
                def_level_encoding,
                rep_level_encoding,
                statistics,
            },
            Page::DataPageV2 {
                buf,
                num_values,
                encoding,
                num_nulls,
                num_rows,
                def_levels_byte_len,
                rep_levels_byte_len,
                is_compressed,
                statistics,
            } => {
                // Levels are never packed.
                let levels = (def_levels_byte_len as usize).saturating_add(rep_levels_byte_len as usize);
                let codec = if is_compressed {
                    self.codec
                } else {
                    CompressionCodec::UNCOMPRESSED
                };
                Page::DataPageV2 {
                    buf: unpack(codec, &buf, levels, self.room)?,
                    num_values,
                    encoding,
                    num_nulls,
                    num_rows,
                    def_levels_byte_len,
                    rep_levels_byte_len,
                    is_compressed: false,
                    statistics,
                }
            }
            Page::DictionaryPage {
                buf,
                num_values,
                encoding,
                is_sorted,
            } => Page::DictionaryPage {
                buf: unpack(self.codec, &buf, 0, self.room)?,
                num_values,
                encoding,
                is_sorted,
            },
        };
        self.check(&page)?;
        Ok(page)
    }

    /// What it says of itself, before room is taken for it.
    fn check(&self, page: &Page) -> std::result::Result<(), ScriptError> {
        let n_values = page.num_values() as usize;
        self.room.check(n_values.saturating_mul(VALUE_BYTES))?;
        match page {
            // A text has its length before it, any other value a byte at least.
            Page::DictionaryPage { buf, .. } => {
                let least = if self.kind == Type::BYTE_ARRAY { 4 } else { 1 };
                match n_values <= buf.len() / least {
                    true => Ok(()),
                    false => Err(damaged("a dictionary names more values than it has")),
                }
            }
            // Of others, texts that have the one before them in themselves, the crate takes room for what they say.
            _ => match page.encoding() {
                Encoding::PLAIN
                | Encoding::PLAIN_DICTIONARY
                | Encoding::RLE_DICTIONARY
                | Encoding::RLE
                | Encoding::DELTA_BINARY_PACKED
                | Encoding::BYTE_STREAM_SPLIT => Ok(()),
                other => {
                    let message = format!("its values are written as {other}, which is not read here");
                    Err(damaged(message).with_hint("write it by pyarrow or pandas without `column_encoding`"))
                }
            },
        }
    }
}

impl PageReader for Pages {
    fn get_next_page(&mut self) -> Result<Option<Page>> {
        let page = self.packed.get_next_page()?;
        page.map(|page| self.unpacked(page).map_err(external)).transpose()
    }

    fn peek_next_page(&mut self) -> Result<Option<PageMetadata>> {
        self.packed.peek_next_page()
    }

    fn skip_next_page(&mut self) -> Result<()> {
        self.packed.skip_next_page()
    }
}

impl Iterator for Pages {
    type Item = Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.get_next_page().transpose()
    }
}

/// A page's bytes as they were, behind the first `start`, which are as they are.
fn unpack(
    codec: CompressionCodec,
    packed: &Bytes,
    start: usize,
    room: Room,
) -> std::result::Result<Bytes, ScriptError> {
    if codec == CompressionCodec::UNCOMPRESSED {
        return Ok(packed.clone());
    }
    let wrong = || damaged("what a page was packed to is damaged, or was cut off");
    let (levels, rest) = packed.split_at_checked(start).ok_or_else(wrong)?;
    let mut whole = levels.to_vec();
    if rest.is_empty() {
        return Ok(whole.into());
    }
    match codec {
        CompressionCodec::GZIP => stream(MultiGzDecoder::new(rest), &mut whole, room)?,
        CompressionCodec::ZSTD => {
            let decoder = zstd::stream::read::Decoder::with_buffer(rest).map_err(|_| wrong())?;
            stream(decoder, &mut whole, room)?;
        }
        CompressionCodec::SNAPPY => {
            let len = snap::raw::decompress_len(rest).map_err(|_| wrong())?;
            room.check(len)?;
            whole.resize(start + len, 0);
            let read = snap::raw::Decoder::new().decompress(rest, &mut whole[start..]);
            read.map_err(|_| wrong())?;
        }
        CompressionCodec::LZ4_RAW => lz4(rest, &mut whole, room)?,
        other => {
            let message = format!("its pages are packed by {other:?}, which is not read here");
            return Err(damaged(message).with_hint("write it with snappy, zstd, gzip or lz4"));
        }
    }
    Ok(whole.into())
}

fn stream(mut from: impl Read, whole: &mut Vec<u8>, room: Room) -> std::result::Result<(), ScriptError> {
    loop {
        // A vector grows to twice its size.
        room.check(whole.len().saturating_add(PIECE as usize))?;
        let read = from.by_ref().take(PIECE).read_to_end(whole);
        let read = read.map_err(|_| damaged("what a page was packed to is damaged, or was cut off"))?;
        if read == 0 {
            return Ok(());
        }
        if is_interrupted() {
            return Err(ScriptError::interrupted());
        }
    }
}

/// How many times its bytes a block of LZ4 may become.
const MOST_OF_LZ4: usize = 255;

/// Its size stands nowhere but in the page's header, which may lie: it is tried for.
fn lz4(packed: &[u8], whole: &mut Vec<u8>, room: Room) -> std::result::Result<(), ScriptError> {
    let start = whole.len();
    let most = packed.len().saturating_mul(MOST_OF_LZ4);
    let mut size = packed.len().saturating_mul(4).min(most);
    loop {
        room.check(size)?;
        whole.resize(start + size, 0);
        match lz4_flex::block::decompress_into(packed, &mut whole[start..]) {
            Ok(n) => {
                whole.truncate(start + n);
                return Ok(());
            }
            Err(lz4_flex::block::DecompressError::OutputTooSmall { .. }) if size < most => {
                size = size.saturating_mul(4).min(most);
            }
            Err(_) => return Err(damaged("what a page was packed to is damaged, or was cut off")),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;
    use crate::errors::ErrorKind;
    use crate::session::memory::allocated_bytes;

    #[test]
    fn a_page_is_unpacked_as_far_as_there_is_room() {
        let zeros = vec![0; 64 << 20];
        let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        gzip.write_all(&zeros).expect("packed");
        let packed = [
            (CompressionCodec::GZIP, gzip.finish().expect("packed")),
            (
                CompressionCodec::ZSTD,
                zstd::encode_all(&zeros[..], 1).expect("packed"),
            ),
            (
                CompressionCodec::SNAPPY,
                snap::raw::Encoder::new().compress_vec(&zeros).expect("packed"),
            ),
            (CompressionCodec::LZ4_RAW, lz4_flex::block::compress(&zeros)),
        ];
        drop(zeros);
        for (codec, bytes) in packed {
            let unpack =
                |free: usize| unpack(codec, &bytes.clone().into(), 0, Room(allocated_bytes() + free));
            let error = unpack(32 << 20).expect_err("no room");
            assert_eq!(error.kind, ErrorKind::Memory, "{codec:?}: {error}");
            assert_eq!(unpack(1 << 30).expect("room").len(), 64 << 20, "{codec:?}");
        }
    }
}

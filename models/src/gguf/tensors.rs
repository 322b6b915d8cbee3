//! A file's tensors under our names, with what llama.cpp's conversion did to them undone.

use safetensors::Dtype;
use tch::{Kind, Tensor};

use super::architectures::{self, Architecture};
use super::blocks::{self, BlockType, Content, Decode};
use super::header::Header;
use super::reader::TensorEntry;
use crate::error::Result;
use crate::families::{self, fill, numbers};
use crate::files::SharedBytes;
use crate::weight::{Bytes, Rows};

/// Of (name in every architecture, canonical name), both without `.weight` and `.bias`. Where ours has a star more, the
/// tensor is cut into as many along its first axis.
pub(super) const NAMES: &[(&str, &str)] = &[
    ("token_embd", "token_embedding"),
    ("token_embd_norm", "embedding_norm"),
    ("position_embd", "position_embedding"),
    ("output_norm", "final_norm"),
    ("output", "head"),
    ("blk.*.attn_norm", "layers.*.attention_norm"),
    ("blk.*.attn_q", "layers.*.attention.query"),
    ("blk.*.attn_k", "layers.*.attention.key"),
    ("blk.*.attn_v", "layers.*.attention.value"),
    ("blk.*.attn_qkv", "layers.*.attention.qkv"),
    ("blk.*.attn_q_norm", "layers.*.attention.query_norm"),
    ("blk.*.attn_k_norm", "layers.*.attention.key_norm"),
    ("blk.*.attn_output", "layers.*.attention.output"),
    ("blk.*.post_attention_norm", "layers.*.attention_post_norm"),
    ("blk.*.ffn_norm", "layers.*.mlp_norm"),
    ("blk.*.ffn_gate", "layers.*.mlp.gate"),
    ("blk.*.ffn_up", "layers.*.mlp.up"),
    ("blk.*.ffn_down", "layers.*.mlp.down"),
    ("blk.*.post_ffw_norm", "layers.*.mlp_post_norm"),
    ("blk.*.ffn_gate_inp", "layers.*.mlp.router"),
    ("blk.*.ffn_gate_exps", "layers.*.mlp.experts.*.gate"),
    ("blk.*.ffn_up_exps", "layers.*.mlp.experts.*.up"),
    ("blk.*.ffn_down_exps", "layers.*.mlp.experts.*.down"),
    // Before experts were joined.
    ("blk.*.ffn_gate.*", "layers.*.mlp.experts.*.gate"),
    ("blk.*.ffn_up.*", "layers.*.mlp.experts.*.up"),
    ("blk.*.ffn_down.*", "layers.*.mlp.experts.*.down"),
];

/// Factors of frequencies, which the configuration has.
const IN_CONFIGURATION: [&str; 3] = [
    "rope_freqs.weight",
    "rope_factors_long.weight",
    "rope_factors_short.weight",
];
/// A buffer that old files have: the frequencies.
const IGNORED: &str = "blk.*.attn_rot_embd.weight";

/// What conversion did to a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Dimensions that turn together stand side by side, where here they are half a head apart.
    TurnedQueries,
    /// The same with as many heads as there are of keys.
    TurnedKeys,
    /// All queries, all keys, all values, where here each group of heads has its own together.
    GroupedHeads,
    /// `[out, in]` where the family has `[in, out]`.
    Transposed,
    /// 1 was added.
    FromOne,
}

/// Heads, of queries and of keys.
#[derive(Debug, Clone, Copy)]
struct Heads {
    queries: usize,
    keys: usize,
}

impl Change {
    /// Which of a tensor's rows is the one that has the place `row` here, of `n_rows`.
    fn row_in_file(self, heads: Heads, n_rows: usize, row: usize) -> usize {
        match self {
            Self::TurnedQueries => turned(n_rows / heads.queries, row),
            Self::TurnedKeys => turned(n_rows / heads.keys, row),
            Self::GroupedHeads => grouped(heads, n_rows, row),
            Self::Transposed | Self::FromOne => row,
        }
    }
}

/// One tensor of ours.
#[derive(Debug)]
pub(crate) struct GgufWeight<'a> {
    /// As the family's files have it; the file's own where it is none of the architecture's.
    pub(crate) name: String,
    /// As the family has it.
    pub(crate) shape: Vec<usize>,
    /// Which of the files has it.
    pub(crate) file: usize,
    block: &'static BlockType,
    pub(crate) bytes: &'a [u8],
    change: Option<Change>,
    heads: Heads,
}

impl GgufWeight<'_> {
    /// The type of its numbers, where they lie in the file as a tensor has them.
    pub(crate) fn plain_dtype(&self) -> Option<Dtype> {
        match self.block.content {
            Content::Number(dtype, _) if self.change.is_none() => Some(dtype),
            _ => None,
        }
    }

    /// The type that its numbers become.
    pub(crate) fn kind(&self) -> Kind {
        match self.block.content {
            Content::Number(_, kind) => kind,
            Content::Blocks(_) => Kind::Float,
        }
    }

    /// Its numbers, on the CPU, row by row.
    pub(crate) fn decode(&self) -> Tensor {
        let stored = match self.change {
            Some(Change::Transposed) => [self.shape[1], self.shape[0]].to_vec(),
            _ => self.shape.clone(),
        };
        let size: Vec<i64> = stored.iter().map(|&size| size as i64).collect();
        let tensor = match self.block.content {
            Content::Number(_, kind) => Tensor::from_data_size(self.bytes, &size, kind),
            Content::Blocks(decode) => {
                Tensor::from_slice(&blocks::decode(self.block, decode, self.bytes)).view(size.as_slice())
            }
        };
        let changed = match self.change {
            None => return tensor,
            Some(Change::Transposed) => tensor.tr(),
            // In single precision, as it was added.
            Some(Change::FromOne) => (tensor.to_kind(Kind::Float) - 1.0).to_kind(tensor.kind()),
            Some(change) => {
                let n_rows = stored[0];
                let rows: Vec<i64> = (0..n_rows)
                    .map(|row| change.row_in_file(self.heads, n_rows, row) as i64)
                    .collect();
                tensor.index_select(0, &Tensor::from_slice(&rows))
            }
        };
        changed.contiguous()
    }

    /// The rows of a matrix that `bytes` has, and whether they are columns here; `None` where another type has them as
    /// they are, or they are no matrix.
    pub(crate) fn rows(&self, bytes: SharedBytes) -> Option<(Rows, bool)> {
        if self.change == Some(Change::FromOne) {
            return None;
        }
        let is_transposed = self.change == Some(Change::Transposed);
        let (n_rows, n_columns) = match self.shape[..] {
            [rows, columns] if is_transposed => (columns, rows),
            [rows, columns] => (rows, columns),
            _ => return None,
        };
        let decode: Decode = match self.block.content {
            Content::Number(Dtype::F16, _) => blocks::f16,
            Content::Number(Dtype::BF16, _) => blocks::bf16,
            Content::Blocks(decode) => decode,
            Content::Number(..) => return None,
        };
        let (change, heads, block) = (self.change, self.heads, self.block);
        let bf16: Option<Box<Bytes>> = match (self.block.content, change) {
            (Content::Number(Dtype::BF16, _), None | Some(Change::Transposed)) => {
                Some(Box::new(bytes.clone()))
            }
            _ => None,
        };
        let row_bytes = n_columns / block.n_numbers * block.n_bytes;
        let read = move |row: usize, numbers: &mut [f32]| {
            let row = change.map_or(row, |change| change.row_in_file(heads, n_rows, row));
            let blocks = bytes[row * row_bytes..(row + 1) * row_bytes].chunks_exact(block.n_bytes);
            for (numbers, bytes) in numbers.chunks_exact_mut(block.n_numbers).zip(blocks) {
                decode(bytes, numbers);
            }
        };
        let rows = Rows {
            bf16,
            size: [n_rows, n_columns],
            n_bytes: self.bytes.len() as u64,
            read: Box::new(read),
        };
        Some((rows, is_transposed))
    }
}

/// Rows 2 i and 2 i + 1 of each head are here i and i + half.
fn turned(head_dim: usize, row: usize) -> usize {
    let (head, place, half) = (row / head_dim, row % head_dim, head_dim / 2);
    head * head_dim + place % half * 2 + place / half
}

/// Joined queries, keys and values, which are groups here: some heads of queries, one of keys, one of values.
fn grouped(heads: Heads, n_rows: usize, row: usize) -> usize {
    let head_dim = n_rows / (heads.queries + 2 * heads.keys);
    let per_group = heads.queries / heads.keys;
    let (head, place) = (row / head_dim, row % head_dim);
    let (group, head) = (head / (per_group + 2), head % (per_group + 2));
    let in_file = match head.checked_sub(per_group) {
        None => group * per_group + head,
        Some(0) => heads.queries + group,
        Some(_) => heads.queries + heads.keys + group,
    };
    in_file * head_dim + place
}

/// Every tensor of a file under the name that we have for it.
pub(super) fn weights<'a>(header: &Header<'_, 'a>) -> Result<Vec<GgufWeight<'a>>> {
    let row = architectures::find(header)?;
    let heads = Heads {
        queries: header.n_heads()?,
        keys: header.n_kv_heads()?,
    };
    let mut weights = Vec::with_capacity(header.gguf.tensors.len());
    for entry in &header.gguf.tensors {
        if IN_CONFIGURATION.contains(&entry.name) || numbers(IGNORED, entry.name).is_some() {
            continue;
        }
        let change = change(header, row, heads, entry)?;
        for part in parts(header, row, entry)? {
            weights.push(part.weight(entry, change, heads));
        }
    }
    if let Some(family) = families::named(row.model_type) {
        for weight in &mut weights {
            weight.name = family.name_in_file(&weight.name);
        }
    }
    Ok(weights)
}

/// One weight of ours in a tensor of the file.
struct Part<'a> {
    /// Canonical; the file's own where it is none of the architecture's.
    name: String,
    shape: Vec<usize>,
    bytes: &'a [u8],
}

impl<'a> Part<'a> {
    fn weight(self, entry: &TensorEntry, change: Option<Change>, heads: Heads) -> GgufWeight<'a> {
        let mut shape = self.shape;
        if change == Some(Change::Transposed) {
            shape.reverse();
        }
        GgufWeight {
            name: self.name,
            shape,
            file: entry.file,
            block: entry.block,
            bytes: self.bytes,
            change,
            heads,
        }
    }
}

/// The weights that a tensor has: usually one.
fn parts<'a>(header: &Header, row: &Architecture, entry: &TensorEntry<'a>) -> Result<Vec<Part<'a>>> {
    let (stem, suffix) = split_suffix(entry.name);
    let whole = |name: String| Part {
        name,
        shape: entry.shape.clone(),
        bytes: entry.bytes,
    };
    let Some((pattern, numbers)) = canonical(header, row, stem) else {
        return Ok(vec![whole(entry.name.to_owned())]);
    };
    let joined = pattern.ends_with("attention.qkv") && row.model_type == "phi";
    let cut = pattern.matches('*').count() > numbers.len();
    let n_axes = usize::from(joined) + 2 * usize::from(cut);
    if entry.shape.len() < n_axes {
        return Err(header.damaged(format!("{} has the shape {:?}", entry.name, entry.shape)));
    }
    if joined {
        let part = |(name, rows)| {
            let (shape, bytes) = rows_of(entry, rows);
            let name = fill(&format!("layers.*.attention.{name}{suffix}"), &numbers);
            Part { name, shape, bytes }
        };
        return Ok(thirds(header, entry)?.map(part).into());
    }
    if !cut {
        return Ok(vec![whole(fill(pattern, &numbers) + suffix)]);
    }
    let part = |index: usize| {
        let (shape, bytes) = rows_of(entry, index..index + 1);
        let index = index.to_string();
        let numbers: Vec<&str> = numbers.iter().copied().chain([index.as_str()]).collect();
        Part {
            name: fill(pattern, &numbers) + suffix,
            shape: shape[1..].to_vec(),
            bytes,
        }
    };
    Ok((0..entry.shape[0]).map(part).collect())
}

/// Our pattern for a name, and the numbers in it.
fn canonical<'n>(header: &Header, row: &Architecture, stem: &'n str) -> Option<(&'static str, Vec<&'n str>)> {
    let fits = |(pattern, ours): &(&'static str, &'static str)| {
        numbers(pattern, stem).map(|numbers| (*ours, numbers))
    };
    let (pattern, numbers) = row.names.iter().chain(NAMES).find_map(fits)?;
    // Where Falcon has a norm for each branch, this is the other one's.
    let is_mlp_norm = row.name == "falcon"
        && pattern == "layers.*.attention_norm"
        && stem.ends_with("attn_norm")
        && header.has_tensor(&format!("{stem}_2.weight"));
    Some((if is_mlp_norm { "layers.*.mlp_norm" } else { pattern }, numbers))
}

/// `blk.0.attn_q` and `.weight`.
fn split_suffix(name: &str) -> (&str, &str) {
    let at = [".weight", ".bias"]
        .into_iter()
        .find_map(|suffix| Some(name.strip_suffix(suffix)?.len()));
    name.split_at(at.unwrap_or(name.len()))
}

/// What was done to a tensor; its shape must allow it to be undone.
fn change(header: &Header, row: &Architecture, heads: Heads, entry: &TensorEntry) -> Result<Option<Change>> {
    let (stem, suffix) = split_suffix(entry.name);
    let last = stem.rsplit('.').next().unwrap_or(stem);
    let Some((_, change)) = row.changes.iter().find(|(name, _)| *name == last) else {
        return Ok(None);
    };
    let n_rows = entry.shape.first().copied().unwrap_or(0);
    let multiple_of = match change {
        Change::Transposed if suffix != ".weight" => return Ok(None),
        Change::Transposed if entry.shape.len() != 2 => 0,
        Change::Transposed | Change::FromOne => 1,
        Change::TurnedQueries => 2 * heads.queries,
        Change::TurnedKeys => 2 * heads.keys,
        Change::GroupedHeads if !heads.queries.is_multiple_of(heads.keys) => 0,
        Change::GroupedHeads => heads.queries + 2 * heads.keys,
    };
    match multiple_of > 0 && n_rows.is_multiple_of(multiple_of) {
        true => Ok(Some(*change)),
        false => Err(header.damaged(format!(
            "{} has the shape {:?}, which {} heads of queries and {} of keys do not divide",
            entry.name, entry.shape, heads.queries, heads.keys
        ))),
    }
}

/// Which rows of a joined matrix are the queries', the keys' and the values'.
fn thirds(header: &Header, entry: &TensorEntry) -> Result<[(&'static str, std::ops::Range<usize>); 3]> {
    let n_rows = entry.shape[0];
    if !n_rows.is_multiple_of(3) {
        return Err(header.damaged(format!(
            "{} has {n_rows} rows: expected a multiple of 3",
            entry.name
        )));
    }
    let n = n_rows / 3;
    Ok([("query", 0..n), ("key", n..2 * n), ("value", 2 * n..n_rows)])
}

/// Some rows of a tensor: whole blocks, for no block goes over the end of a row.
fn rows_of<'a>(entry: &TensorEntry<'a>, rows: std::ops::Range<usize>) -> (Vec<usize>, &'a [u8]) {
    let row_bytes = entry.bytes.len() / entry.shape[0];
    let mut shape = entry.shape.clone();
    shape[0] = rows.len();
    (shape, &entry.bytes[rows.start * row_bytes..rows.end * row_bytes])
}

//! Rows into a file, a row group after the other: what is written is not kept.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use parquet::basic::{Compression, LogicalType, Repetition, Type as Physical};
use parquet::column::writer::ColumnWriter;
use parquet::data_type::ByteArray;
use parquet::errors::Result as CrateResult;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{Type, TypePtr};
use rhai::Dynamic;

use super::kind::Kind;
use super::{asked, damaged};
use crate::errors::ScriptError;
use crate::table::Table;
use crate::tensor::work::Work;

/// Rows of a group, and the bytes of texts after which it ends sooner.
const GROUP_ROWS: usize = 1 << 16;
const GROUP_BYTES: usize = 32 << 20;

/// Writes all rows of a table.
///
/// # Errors
/// A column whose values have no form there; what the system says; an interrupt.
pub(crate) fn write(table: &Table, out: &mut dyn Write, work: &Work) -> io::Result<()> {
    let kind = |column: &crate::table::Column| Kind::of_column(&column.name, &column.values, work);
    let kinds: Vec<Kind> = table
        .columns()
        .iter()
        .map(kind)
        .collect::<Result<_, _>>()
        .map_err(io::Error::other)?;
    let names = table.columns().iter().map(|column| column.name.clone());
    let mut writer = Writer::new(names.zip(kinds).collect()).map_err(io::Error::other)?;
    let mut start = 0;
    while start < table.n_rows() {
        let columns: Vec<&[Dynamic]> = table
            .columns()
            .iter()
            .map(|column| &column.values[start..])
            .collect();
        start += writer.group(&columns, out, work)?;
    }
    writer.finish(out)
}

/// What the crate has written and `out` has not yet: it wants a writer that may go to another thread.
#[derive(Clone, Default)]
struct Pending(Arc<Mutex<Vec<u8>>>);

impl Write for Pending {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Pending {
    fn pass_on(&self, out: &mut dyn Write) -> io::Result<()> {
        let bytes = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        out.write_all(&bytes)
    }
}

/// A file that is being written.
pub(crate) struct Writer {
    kinds: Vec<Kind>,
    file: SerializedFileWriter<Pending>,
    pending: Pending,
}

impl Writer {
    /// # Errors
    /// No columns.
    pub(crate) fn new(columns: Vec<(String, Kind)>) -> Result<Self, ScriptError> {
        if columns.is_empty() {
            return Err(damaged("a table without columns has no form in parquet"));
        }
        let pending = Pending::default();
        let file = asked(|| {
            let fields = columns
                .iter()
                .map(|(name, kind)| field(name, kind))
                .collect::<CrateResult<_>>()?;
            let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
            let properties = WriterProperties::builder()
                .set_compression(Compression::SNAPPY)
                .build();
            SerializedFileWriter::new(pending.clone(), schema.into(), properties.into())
        })?;
        let kinds = columns.into_iter().map(|(_, kind)| kind).collect();
        Ok(Self { kinds, file, pending })
    }

    /// Writes a group of the first of these rows; how many.
    ///
    /// # Errors
    /// Values that are not of the columns' kinds; what the system says; an interrupt.
    pub(crate) fn group(
        &mut self,
        columns: &[&[Dynamic]],
        out: &mut dyn Write,
        work: &Work,
    ) -> io::Result<usize> {
        let n_leaves = self.kinds.iter().map(Kind::n_leaves).sum();
        let mut leaves: Vec<Leaf> = Vec::new();
        leaves.resize_with(n_leaves, Leaf::default);
        let n_rows = columns.first().map_or(0, |values| values.len());
        let (mut n, mut bytes) = (0, 0);
        while n < n_rows.min(GROUP_ROWS) && bytes < GROUP_BYTES {
            let mut rest = &mut leaves[..];
            for (kind, values) in self.kinds.iter().zip(columns) {
                let (own, others) = rest.split_at_mut(kind.n_leaves());
                bytes += put(kind, &values[n], Level::default(), own, work).map_err(io::Error::other)?;
                rest = others;
            }
            n += 1;
        }
        asked(|| {
            let mut group = self.file.next_row_group()?;
            for leaf in &leaves {
                let mut column = group
                    .next_column()?
                    .ok_or_else(|| parquet::errors::ParquetError::EOF(String::new()))?;
                leaf.write(column.untyped())?;
                column.close()?;
            }
            group.close()
        })
        .map_err(io::Error::other)?;
        self.pending.pass_on(out)?;
        Ok(n)
    }

    /// # Errors
    /// What the system says.
    pub(crate) fn finish(self, out: &mut dyn Write) -> io::Result<()> {
        asked(|| self.file.close()).map_err(io::Error::other)?;
        self.pending.pass_on(out)
    }
}

/// A column's part of the schema. Everything may be missing, as pandas and pyarrow write it.
fn field(name: &str, kind: &Kind) -> CrateResult<TypePtr> {
    let plain = |physical: Physical, logical: Option<LogicalType>| {
        let builder = Type::primitive_type_builder(name, physical).with_repetition(Repetition::OPTIONAL);
        builder.with_logical_type(logical).build()
    };
    let made = match kind {
        Kind::Truth => plain(Physical::BOOLEAN, None),
        Kind::Whole => plain(Physical::INT64, None),
        Kind::Number => plain(Physical::DOUBLE, None),
        Kind::Text | Kind::Nothing => plain(Physical::BYTE_ARRAY, Some(LogicalType::String)),
        Kind::List(item) => {
            let repeated = Type::group_type_builder("list").with_repetition(Repetition::REPEATED);
            let repeated = repeated.with_fields(vec![field("element", item)?]).build()?;
            let list = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL);
            list.with_logical_type(Some(LogicalType::List))
                .with_fields(vec![repeated.into()])
                .build()
        }
        Kind::Group(fields) => {
            let fields = fields
                .iter()
                .map(|(name, kind)| field(name, kind))
                .collect::<CrateResult<_>>()?;
            let group = Type::group_type_builder(name).with_repetition(Repetition::OPTIONAL);
            group.with_fields(fields).build()
        }
    };
    made.map(TypePtr::new)
}

/// A column of a group: levels of every place, and the values that are there.
#[derive(Default)]
struct Leaf {
    defs: Vec<i16>,
    reps: Vec<i16>,
    truths: Vec<bool>,
    wholes: Vec<i64>,
    numbers: Vec<f64>,
    texts: Vec<ByteArray>,
}

impl Leaf {
    fn write(&self, column: &mut ColumnWriter) -> CrateResult<usize> {
        let (defs, reps) = (Some(&self.defs[..]), Some(&self.reps[..]));
        match column {
            ColumnWriter::BoolColumnWriter(column) => column.write_batch(&self.truths, defs, reps),
            ColumnWriter::Int64ColumnWriter(column) => column.write_batch(&self.wholes, defs, reps),
            ColumnWriter::DoubleColumnWriter(column) => column.write_batch(&self.numbers, defs, reps),
            ColumnWriter::ByteArrayColumnWriter(column) => column.write_batch(&self.texts, defs, reps),
            _ => Ok(0),
        }
    }
}

/// Where a value stands: how much of what is around it is there, which list it goes on, how many lists are around it.
#[derive(Clone, Copy, Default)]
struct Level {
    definition: i16,
    repetition: i16,
    lists: i16,
}

impl Level {
    fn below(self) -> Self {
        Self {
            definition: self.definition + 1,
            ..self
        }
    }
}

/// Puts a value into its columns: Dremel's way (Melnik et al. 2010). How many bytes of text it has.
fn put(
    kind: &Kind,
    value: &Dynamic,
    level: Level,
    leaves: &mut [Leaf],
    work: &Work,
) -> Result<usize, ScriptError> {
    work.value()?;
    let inside = level.below();
    match kind {
        _ if value.is_unit() => mark(level, leaves),
        Kind::List(item) => {
            let items = value.as_array_ref().map_err(|_| changed())?;
            let mut place = Level {
                lists: level.lists + 1,
                ..inside.below()
            };
            let mut bytes = 0;
            for value in items.iter() {
                bytes += put(item, value, place, leaves, work)?;
                place.repetition = place.lists;
            }
            if items.is_empty() {
                mark(inside, leaves);
            }
            return Ok(bytes);
        }
        Kind::Group(fields) => {
            let map = value.as_map_ref().map_err(|_| changed())?;
            let (mut rest, mut bytes) = (leaves, 0);
            for (name, kind) in fields {
                let (own, others) = rest.split_at_mut(kind.n_leaves());
                let value = map.get(name.as_str()).unwrap_or(&Dynamic::UNIT);
                bytes += put(kind, value, inside, own, work)?;
                rest = others;
            }
            return Ok(bytes);
        }
        _ => {
            mark(inside, leaves);
            let leaf = leaves.first_mut().ok_or_else(changed)?;
            match kind {
                Kind::Truth => leaf.truths.push(value.as_bool().map_err(|_| changed())?),
                Kind::Whole => leaf.wholes.push(value.as_int().map_err(|_| changed())?),
                Kind::Number => leaf.numbers.push(number(value).ok_or_else(changed)?),
                _ => {
                    let text = text(value).ok_or_else(changed)?;
                    let n = text.len();
                    leaf.texts.push(text.into_bytes().into());
                    return Ok(n);
                }
            }
        }
    }
    Ok(0)
}

fn mark(level: Level, leaves: &mut [Leaf]) {
    for leaf in leaves {
        leaf.defs.push(level.definition);
        leaf.reps.push(level.repetition);
    }
}

fn number(value: &Dynamic) -> Option<f64> {
    let whole = || value.as_int().ok().map(|number| number as f64);
    value.as_float().ok().or_else(whole)
}

fn text(value: &Dynamic) -> Option<String> {
    let letter = || value.as_char().ok().map(String::from);
    value
        .as_immutable_string_ref()
        .map(|text| text.to_string())
        .ok()
        .or_else(letter)
}

/// A value that is not what its column was found to be.
fn changed() -> ScriptError {
    damaged("a value is of another kind than its column")
}

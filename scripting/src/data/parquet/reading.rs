//! A file's rows, in batches: of a row group a page of each column is in memory, and no more.

use std::fs::File;
use std::rc::Rc;
use std::sync::Arc;

use parquet::file::metadata::ParquetMetaData;
use rhai::Dynamic;

use super::leaf::Leaf;
use super::levels::Node;
use super::pages::{Pages, Source};
use super::{Room, damaged, footer};
use crate::errors::ScriptError;
use crate::table::{Column, Table, check_count};
use crate::tensor::work::Work;

/// Rows that are read between two looks at what they take.
const BATCH: usize = 1 << 10;

/// A file whose rows are read one group after the other.
pub(in crate::data) struct Reader {
    source: Arc<Source>,
    metadata: ParquetMetaData,
    names: Vec<String>,
    columns: Rc<[Node]>,
}

/// The rows of a group that are still to come.
pub(in crate::data) struct Rows {
    columns: Rc<[Node]>,
    leaves: Vec<Leaf>,
    left: usize,
}

impl Reader {
    /// # Errors
    /// What is no such file, or has columns that no table has; no room.
    pub(in crate::data) fn open(file: File, len: u64, work: &Work) -> Result<Self, ScriptError> {
        let room = Room::of(work);
        let metadata = footer::metadata(&file, len, room)?;
        let fields = metadata.file_metadata().schema().get_fields();
        check_count(fields.len())?;
        let mut n_leaves = 0;
        let columns = fields.iter().map(|field| Node::of(field, &mut n_leaves));
        let columns = columns.collect::<Result<Rc<[Node]>, _>>()?;
        let names = fields.iter().map(|field| field.name().to_owned()).collect();
        let file = Arc::new(file);
        Ok(Self {
            source: Arc::new(Source { file, len, room }),
            metadata,
            names,
            columns,
        })
    }

    pub(in crate::data) fn names(&self) -> &[String] {
        &self.names
    }

    pub(in crate::data) fn n_groups(&self) -> usize {
        self.metadata.num_row_groups()
    }

    /// Of a group, as the file says.
    pub(super) fn n_rows(&self, group: usize) -> u64 {
        u64::try_from(self.metadata.row_group(group).num_rows()).unwrap_or(0)
    }

    /// The rows of a group.
    pub(in crate::data) fn rows(&self, group: usize) -> Result<Rows, ScriptError> {
        let group = self.metadata.row_group(group);
        let left =
            usize::try_from(group.num_rows()).map_err(|_| damaged("a group has fewer rows than none"))?;
        let leaf = |column: &parquet::file::metadata::ColumnChunkMetaData| {
            if column.file_path().is_some() {
                return Err(damaged("its columns lie in other files"));
            }
            let pages = Pages::new(Arc::clone(&self.source), column, left)?;
            Leaf::new(column.column_descr_ptr(), pages, self.source.room)
        };
        let leaves = group.columns().iter().map(leaf).collect::<Result<_, _>>()?;
        Ok(Rows {
            columns: Rc::clone(&self.columns),
            leaves,
            left,
        })
    }
}

impl Rows {
    /// Puts the next rows behind those that the columns have; false at the end.
    pub(in crate::data) fn next(
        &mut self,
        all: &mut [Vec<Dynamic>],
        work: &Work,
    ) -> Result<bool, ScriptError> {
        let wanted = self.left.min(BATCH);
        if wanted == 0 {
            return Ok(false);
        }
        for leaf in &mut self.leaves {
            if leaf.read(wanted)? != wanted {
                return Err(damaged("it is damaged: a column has fewer rows than it says"));
            }
        }
        for _ in 0..wanted {
            for (column, values) in self.columns.iter().zip(&mut *all) {
                values.push(column.take(&mut self.leaves, work)?);
            }
            if self.leaves.iter().any(|leaf| leaf.repetition() != 0) {
                return Err(damaged("it is damaged: its columns do not fit together"));
            }
        }
        self.left -= wanted;
        Ok(true)
    }
}

/// The table of a whole file.
///
/// # Errors
/// What is no such file, or lies about itself; what is not read here; no room, an interrupt.
pub(in crate::data) fn table(file: File, len: u64, work: &Work) -> Result<Table, ScriptError> {
    let reader = Reader::open(file, len, work)?;
    let mut columns: Vec<Vec<Dynamic>> = vec![Vec::new(); reader.names.len()];
    for group in 0..reader.n_groups() {
        let mut rows = reader.rows(group)?;
        while rows.next(&mut columns, work)? {
            work.check()?;
        }
    }
    let n_rows = columns.first().map_or(0, Vec::len);
    let named = reader.names.into_iter().zip(columns);
    let column = |(name, values)| Column {
        name,
        values: Rc::new(values),
    };
    Table::of(named.map(column).collect(), n_rows)
}

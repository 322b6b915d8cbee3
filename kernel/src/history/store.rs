//! The history in SQLite, in IPython's schema, so that its tools can read the file.
//!
//! A rollback journal, not WAL: home folders are often on network file systems, where WAL does not work,
//! and on a thread of its own a write may take its time. Where the file cannot be used – it is no
//! database, it or its folder is read-only, another program holds it – the history goes on in memory.

use std::fs::{DirBuilder, OpenOptions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, ToSql, Transaction, TransactionBehavior, params};
use serde_json::{Value, json};

use super::Line;
use crate::requests::{HistoryAccess, HistoryRequest};

/// The most that the file holds, in bytes; then the oldest quarter of its cells is forgotten.
const SIZE_LIMIT: i64 = 16 << 20;
/// Longer cells, in bytes, are not kept.
const CODE_LIMIT: usize = 1 << 20;
/// How long another kernel's write is waited for.
const BUSY: Duration = Duration::from_secs(2);

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS sessions
        (session integer primary key autoincrement, start timestamp, end timestamp, num_cmds integer, remark text);
    CREATE TABLE IF NOT EXISTS history
        (session integer, line integer, source text, source_raw text, PRIMARY KEY (session, line));
    CREATE TABLE IF NOT EXISTS output_history
        (session integer, line integer, output text, PRIMARY KEY (session, line));";

const NOW: &str = "strftime('%Y-%m-%d %H:%M:%f', 'now', 'localtime')";

pub(crate) struct Store {
    /// None when not even memory can be had: nothing is remembered then.
    base: Option<Base>,
    /// What the connection is to; None in memory.
    path: Option<PathBuf>,
}

struct Base {
    connection: Connection,
    session: i64,
}

impl Store {
    pub(crate) fn open(path: Option<PathBuf>) -> Self {
        let mut store = Self { base: None, path };
        match store.path.as_deref().map(open_file) {
            Some(Ok(base)) => store.base = Some(base),
            Some(Err(error)) => store.fall_back(&*error),
            None => store.base = in_memory(),
        }
        store
    }

    pub(crate) fn record(&mut self, lines: &[Line]) {
        self.with(|base| base.record(lines));
    }

    /// `[session, line, code]`, or `[session, line, [code, result]]`, oldest first.
    pub(crate) fn query(&mut self, request: &HistoryRequest) -> Vec<Value> {
        self.with(|base| base.query(request)).unwrap_or_default()
    }

    /// Does something with the base, in memory if it cannot be done with the file.
    fn with<T>(&mut self, mut act: impl FnMut(&mut Base) -> rusqlite::Result<T>) -> Option<T> {
        match act(self.base.as_mut()?) {
            Ok(done) => Some(done),
            Err(error) => {
                self.fall_back(&error);
                act(self.base.as_mut()?).ok()
            }
        }
    }

    fn fall_back(&mut self, error: &dyn std::error::Error) {
        if let Some(path) = self.path.take() {
            let path = path.display();
            eprintln!(
                "ecco-kernel: the history is kept in memory only: {path}: {error}; if it is damaged, move it away"
            );
            self.base = in_memory();
        }
    }
}

fn in_memory() -> Option<Base> {
    Connection::open_in_memory().and_then(Base::prepare).ok()
}

/// What a user typed is nobody else's business: the folder and the file are made for the user alone.
fn open_file(path: &Path) -> Result<Base, Box<dyn std::error::Error>> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new()
        .create(true)
        .append(true)
        .mode(0o600)
        // A pipe would wait for its other end.
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err("it is no regular file".into());
    }
    Ok(Base::prepare(Connection::open(path)?)?)
}

impl Base {
    /// Makes the tables where there are none, and begins a session.
    fn prepare(connection: Connection) -> rusqlite::Result<Self> {
        connection.busy_timeout(BUSY)?;
        connection.pragma_update(None, "cache_size", -512)?;
        // A power cut may take the last cells.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        connection.execute_batch(SCHEMA)?;
        connection.execute(&format!("INSERT INTO sessions (start) VALUES ({NOW})"), [])?;
        let session = connection.last_insert_rowid();
        Ok(Self { connection, session })
    }

    /// Waits for other kernels' writes at its start, where waiting is safe.
    fn write(&mut self) -> rusqlite::Result<Transaction<'_>> {
        self.connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
    }

    fn record(&mut self, lines: &[Line]) -> rusqlite::Result<()> {
        let session = self.session;
        let write = self.write()?;
        for Line { number, code, result } in lines {
            if code.len() > CODE_LIMIT || code.trim().is_empty() {
                continue;
            }
            let insert = "INSERT OR REPLACE INTO history VALUES (?1, ?2, ?3, ?3)";
            write.execute(insert, params![session, number, code])?;
            if let Some(result) = result {
                let insert = "INSERT OR REPLACE INTO output_history VALUES (?1, ?2, ?3)";
                write.execute(insert, params![session, number, result])?;
            }
        }
        // Always as if the session ended now: a kernel may end without a word.
        let last = lines.last().map_or(0, |line| line.number);
        write.execute(
            &format!("UPDATE sessions SET end = {NOW}, num_cmds = ?2 WHERE session = ?1"),
            params![session, last],
        )?;
        write.commit()?;
        self.forget_oldest()
    }

    /// Keeps the file below [`SIZE_LIMIT`]. Freed pages are used again, so it does not grow either.
    fn forget_oldest(&mut self) -> rusqlite::Result<()> {
        while self.size()? > SIZE_LIMIT && self.forget_quarter()? > 0 {}
        Ok(())
    }

    fn size(&self) -> rusqlite::Result<i64> {
        let pragma = |name| {
            self.connection
                .pragma_query_value(None, name, |row| row.get::<_, i64>(0))
        };
        Ok((pragma("page_count")? - pragma("freelist_count")?) * pragma("page_size")?)
    }

    /// Forgets the oldest quarter of the cells; returns how many those are.
    fn forget_quarter(&mut self) -> rusqlite::Result<usize> {
        let (session, line): (i64, i64) = self.connection.query_row(
            "SELECT session, line FROM history ORDER BY session, line
             LIMIT 1 OFFSET (SELECT count(*) FROM history) / 4",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?;
        let write = self.write()?;
        let older = "WHERE (session, line) < (?1, ?2)";
        let forgotten = write.execute(&format!("DELETE FROM history {older}"), [session, line])?;
        write.execute(&format!("DELETE FROM output_history {older}"), [session, line])?;
        write.execute("DELETE FROM sessions WHERE session < ?1", [session])?;
        write.commit()?;
        Ok(forgotten)
    }

    fn query(&mut self, request: &HistoryRequest) -> rusqlite::Result<Vec<Value>> {
        match &request.access {
            HistoryAccess::Tail { n } => self.select("", &[], n.unwrap_or(10), false, request.output),
            HistoryAccess::Range { session, start, stop } => {
                let session = self.session_number(session.unwrap_or(0));
                let (start, stop) = self.lines(session, start.unwrap_or(0), stop.unwrap_or(0))?;
                let clause = "WHERE session = ?1 AND line >= ?2 AND line < ?3";
                self.select(clause, &[&session, &start, &stop], -1, false, request.output)
            }
            HistoryAccess::Search { pattern, n, unique } => {
                let pattern = pattern.as_deref().unwrap_or("*");
                let (n, unique) = (n.unwrap_or(-1), unique.unwrap_or(false));
                self.select("WHERE source_raw GLOB ?1", &[&pattern], n, unique, request.output)
            }
        }
    }

    /// 0 is this session, what is below is so many sessions ago.
    fn session_number(&self, session: i64) -> i64 {
        if session > 0 {
            session
        } else {
            self.session.saturating_add(session)
        }
    }

    /// From `start` until before `stop`. As in Python, negative numbers count from the end, and a `stop`
    /// of 0 is the end.
    fn lines(&self, session: i64, start: i64, stop: i64) -> rusqlite::Result<(i64, i64)> {
        let last = "SELECT coalesce(max(line), 0) FROM history WHERE session = ?1";
        let end: i64 = self.connection.query_row(last, [session], |row| row.get(0))?;
        let end = end + 1;
        let from_end = |line: i64| if line < 0 { end.saturating_add(line) } else { line };
        Ok((from_end(start), if stop == 0 { end } else { from_end(stop) }))
    }

    /// The newest `n` cells that `clause` lets through, oldest first; all if `n` is negative. Where they
    /// shall be unique, the newest of each.
    fn select(
        &self,
        clause: &str,
        values: &[&dyn ToSql],
        n: i64,
        unique: bool,
        output: bool,
    ) -> rusqlite::Result<Vec<Value>> {
        // A bare column beside max() is that of the row with the maximum.
        let newest = "SELECT session, line, source_raw, max(session * 131072 + line)";
        let (columns, group) = match unique {
            true => (newest, "GROUP BY source_raw"),
            false => ("SELECT session, line, source_raw", ""),
        };
        let sql = format!(
            "SELECT session, line, source_raw, output FROM ({columns} FROM history {clause} {group})
             LEFT JOIN output_history USING (session, line) ORDER BY session DESC, line DESC LIMIT {n}"
        );
        let mut statement = self.connection.prepare(&sql)?;
        let rows = statement.query_map(values, |row| {
            let (session, line): (i64, i64) = (row.get(0)?, row.get(1)?);
            let code: String = row.get(2)?;
            let result: Option<String> = row.get(3)?;
            Ok(match output {
                true => json!([session, line, [code, result]]),
                false => json!([session, line, code]),
            })
        })?;
        let mut found: Vec<Value> = rows.collect::<Result<_, _>>()?;
        found.reverse();
        Ok(found)
    }
}

#[cfg(test)]
mod tests;

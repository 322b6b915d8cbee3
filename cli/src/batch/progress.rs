//! What is shown of a batch: how far it is, how fast, and the first rows that are passed over.

use std::io::{IsTerminal, stderr};
use std::path::Path;
use std::time::{Duration, Instant};

use super::folder::{PASSED_OVER, RESULTS, TABLE};
use super::manifest::{Counts, Manifest};

/// Between two lines on a terminal, where the last is replaced, and elsewhere.
const ON_A_TERMINAL: Duration = Duration::from_millis(200);
const IN_A_LOG: Duration = Duration::from_secs(10);
/// So many rows are told of; all are in their file.
const MOST_TOLD: u64 = 5;

pub(super) struct Progress {
    is_terminal: bool,
    began: Instant,
    shown: Instant,
    /// What was done before.
    before: u64,
    offset_before: u64,
    /// The offset at the end.
    length: Option<u64>,
    n_told: u64,
    has_line: bool,
}

impl Progress {
    pub(super) fn new(manifest: &Manifest, length: Option<u64>) -> Self {
        let before = done(&manifest.rows);
        if before > 0 {
            eprintln!("going on behind row {}", before - 1);
        }
        Self {
            is_terminal: stderr().is_terminal(),
            began: Instant::now(),
            shown: Instant::now(),
            before,
            offset_before: manifest.position.offset,
            length,
            n_told: 0,
            has_line: false,
        }
    }

    pub(super) fn show(&mut self, manifest: &Manifest) {
        let every = if self.is_terminal { ON_A_TERMINAL } else { IN_A_LOG };
        if self.shown.elapsed() < every {
            return;
        }
        self.shown = Instant::now();
        let line = self.line(manifest);
        match self.is_terminal {
            true => eprint!("\r\u{1b}[K{line}"),
            false => eprintln!("{line}"),
        }
        self.has_line = self.is_terminal;
    }

    fn line(&self, manifest: &Manifest) -> String {
        let (n, seconds) = (done(&manifest.rows), self.began.elapsed().as_secs_f64());
        let mut line = format!("{n} rows");
        let offset = manifest.position.offset;
        if let Some(length) = self.length.filter(|length| *length > 0) {
            line += &format!(" ({:.0} %)", 100.0 * offset as f64 / length as f64);
        }
        let rate = (n - self.before) as f64 / seconds;
        line += &format!(", {} a second", rounded(rate));
        if manifest.rows.passed_over > 0 {
            line += &format!(", {} passed over", manifest.rows.passed_over);
        }
        let passed = offset - self.offset_before;
        if let Some(length) = self.length.filter(|_| passed > 0) {
            let left = length.saturating_sub(offset) as f64 / passed as f64 * seconds;
            line += &format!(", {} left", duration(left));
        }
        line
    }

    /// Tells of the first rows that have no result.
    pub(super) fn passed_over(&mut self, row: u64, why: &str) {
        self.n_told += 1;
        match self.n_told {
            ..=MOST_TOLD => self.complain(&format!("row {row} is passed over: {why}")),
            n if n == MOST_TOLD + 1 => self.complain(&format!("more are passed over: see {PASSED_OVER}")),
            _ => {}
        }
    }

    pub(super) fn complain(&mut self, text: &str) {
        self.end();
        eprintln!("{text}");
    }

    /// Takes the line that is replaced away.
    pub(super) fn end(&mut self) {
        if std::mem::take(&mut self.has_line) {
            eprint!("\r\u{1b}[K");
        }
    }
}

/// What came of it.
pub(super) fn summary(manifest: &Manifest, output: &Path) -> String {
    let Counts { results, passed_over } = manifest.rows;
    let file = if output.join(TABLE).exists() {
        TABLE
    } else {
        RESULTS
    };
    let mut text = format!("{results} results in {}", output.join(file).display());
    if passed_over > 0 {
        text += &format!(
            "; {passed_over} rows were passed over, see {}",
            output.join(PASSED_OVER).display()
        );
    }
    let rate = done(&manifest.rows) as f64 / manifest.seconds.max(1e-3);
    text += &format!(
        "; {}, {} rows a second",
        duration(manifest.seconds),
        rounded(rate)
    );
    text
}

fn done(rows: &Counts) -> u64 {
    rows.results + rows.passed_over
}

fn rounded(rate: f64) -> String {
    match rate < 10.0 {
        true => format!("{rate:.2}"),
        false => format!("{rate:.0}"),
    }
}

fn duration(seconds: f64) -> String {
    match seconds {
        ..100.0 => format!("{seconds:.0} s"),
        ..6_000.0 => format!("{:.0} min", seconds / 60.0),
        _ => format!("{:.1} h", seconds / 3_600.0),
    }
}

//! What the kernel notes about peers, on stderr, which Jupyter servers keep in their logs.
//!
//! Peers cause these lines, so peers must not be able to misuse them: a line is one line, of bounded
//! length, without control characters, and a flood of them is cut short.

use std::fmt::{Arguments, Write};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// So many lines may come at once …
const BURST: u32 = 20;
/// … and then one in this time.
const PAUSE: Duration = Duration::from_secs(1);
/// In characters; what is longer is cut.
const LINE: usize = 300;

/// Writes a line, or counts it where there were too many.
pub(crate) fn note(line: Arguments) {
    static ALLOWANCE: Mutex<Option<Allowance>> = Mutex::new(None);
    let mut guard = ALLOWANCE.lock().unwrap_or_else(PoisonError::into_inner);
    let now = Instant::now();
    let allowance = guard.get_or_insert_with(|| Allowance::new(now));
    let Some(withheld) = allowance.take(now) else {
        return;
    };
    drop(guard);
    if withheld > 0 {
        eprintln!("ecco-kernel: {withheld} more lines like the last ones were not written");
    }
    eprintln!("ecco-kernel: {}", printable(line));
}

/// One line without control characters.
fn printable(line: Arguments) -> String {
    let mut text = String::new();
    for character in line.to_string().chars() {
        if text.len() >= LINE {
            text.push('…');
            break;
        }
        if character.is_control() {
            // Writing to a string does not fail.
            let _ = write!(text, "{}", character.escape_default());
        } else {
            text.push(character);
        }
    }
    text
}

struct Allowance {
    left: u32,
    since: Instant,
    withheld: u64,
}

impl Allowance {
    fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            since: now,
            withheld: 0,
        }
    }

    /// Whether a line may be written, and how many were not since the last that was.
    fn take(&mut self, now: Instant) -> Option<u64> {
        let earned = now.saturating_duration_since(self.since).as_secs() / PAUSE.as_secs();
        if earned > 0 {
            self.left = u64::from(self.left).saturating_add(earned).min(BURST.into()) as u32;
            self.since = now;
        }
        if self.left == 0 {
            self.withheld += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.withheld))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_one_line_of_bounded_length_without_control_characters() {
        let text = printable(format_args!("said {}", "\x1b[2J\r\nfake: line\u{9b}"));
        assert_eq!(text, r"said \u{1b}[2J\r\nfake: line\u{9b}");
        assert!(printable(format_args!("{}", "x".repeat(1 << 20))).len() <= LINE + '…'.len_utf8());
    }

    #[test]
    fn a_flood_of_lines_is_cut_short_and_counted() {
        let start = Instant::now();
        let mut allowance = Allowance::new(start);
        let written = (0..10_000).filter(|_| allowance.take(start).is_some()).count();
        assert_eq!(written, BURST as usize);
        let later = start + PAUSE;
        assert_eq!(allowance.take(later), Some(10_000 - u64::from(BURST)));
        assert_eq!(allowance.take(later), None);
    }
}

//! What was run: for the arrow keys and searches of consoles. Kept in memory, for this session.

use std::collections::VecDeque;

use serde_json::{Value, json};

use crate::requests::{HistoryAccess, HistoryRequest};

/// The oldest entries beyond so many are forgotten.
const CAPACITY: usize = 10_000;
/// This session's number; earlier ones are not kept.
const SESSION: i64 = 1;

#[derive(Default)]
pub struct History {
    entries: VecDeque<Entry>,
}

struct Entry {
    line: u32,
    code: String,
    result: Option<String>,
}

impl History {
    /// Remembers the cell that got the number `line`.
    pub fn record(&mut self, line: u32, code: &str) {
        if self.entries.len() == CAPACITY {
            self.entries.pop_front();
        }
        self.entries.push_back(Entry {
            line,
            code: code.to_owned(),
            result: None,
        });
    }

    /// Remembers the plain text of what the last recorded cell returned.
    pub fn record_result(&mut self, text: &str) {
        if let Some(last) = self.entries.back_mut() {
            last.result = Some(text.to_owned());
        }
    }

    /// `[session, line, code]`, or `[session, line, [code, result]]`, oldest first.
    pub fn query(&self, request: &HistoryRequest) -> Vec<Value> {
        self.select(&request.access)
            .into_iter()
            .map(|entry| entry.to_json(request.output))
            .collect()
    }

    fn select(&self, access: &HistoryAccess) -> Vec<&Entry> {
        match access {
            HistoryAccess::Tail { n } => self.last(n.unwrap_or(10), |_| true),
            HistoryAccess::Range { session, .. } if ![0, SESSION].contains(&session.unwrap_or(0)) => vec![],
            HistoryAccess::Range { start, stop, .. } => {
                let lines = start.unwrap_or(1)..stop.unwrap_or(u32::MAX);
                self.entries
                    .iter()
                    .filter(|entry| lines.contains(&entry.line))
                    .collect()
            }
            HistoryAccess::Search { pattern, n, unique } => {
                let pattern = pattern.as_deref().unwrap_or("*");
                let mut seen = std::collections::HashSet::new();
                let unique = unique.unwrap_or(false);
                self.last(n.unwrap_or(usize::MAX), |entry| {
                    glob(pattern, &entry.code) && (!unique || seen.insert(entry.code.clone()))
                })
            }
        }
    }

    /// The newest `n` that `wanted` accepts, asked newest first.
    fn last(&self, n: usize, wanted: impl FnMut(&&Entry) -> bool) -> Vec<&Entry> {
        let mut found: Vec<_> = self.entries.iter().rev().filter(wanted).take(n).collect();
        found.reverse();
        found
    }
}

impl Entry {
    fn to_json(&self, output: bool) -> Value {
        match output {
            false => json!([SESSION, self.line, self.code]),
            true => json!([SESSION, self.line, [self.code, self.result]]),
        }
    }
}

/// Whether `text` as a whole fits `pattern`, in which `*` stands for any text and `?` for a character.
fn glob(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut i) = (0, 0);
    // Where to go back to: behind the last star, and the text that it has not swallowed yet.
    let mut back = None;
    while i < text.len() {
        match pattern.get(at) {
            Some('*') => {
                back = Some((at + 1, i + 1));
                at += 1;
            }
            Some(&expected) if expected == '?' || expected == text[i] => {
                at += 1;
                i += 1;
            }
            _ => match back {
                Some((star, next)) => {
                    (at, i) = (star, next);
                    back = Some((star, next + 1));
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|&rest| rest == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(history: &History, request: Value) -> Value {
        history.query(&serde_json::from_value(request).unwrap()).into()
    }

    fn session() -> History {
        let mut history = History::default();
        for (line, code) in [(1, "let a = 1"), (2, "a + 1"), (3, "print(a)"), (4, "a + 1")] {
            history.record(line, code);
        }
        history.record_result("2");
        history
    }

    #[test]
    fn tail_range_and_search() {
        let history = session();
        let tail = ask(&history, json!({"hist_access_type": "tail", "n": 2}));
        assert_eq!(tail, json!([[1, 3, "print(a)"], [1, 4, "a + 1"]]));
        let range = ask(
            &history,
            json!({"hist_access_type": "range", "session": 0, "start": 2, "stop": 3}),
        );
        assert_eq!(range, json!([[1, 2, "a + 1"]]));
        let search = json!({"hist_access_type": "search", "pattern": "a*", "unique": true, "output": true});
        assert_eq!(ask(&history, search), json!([[1, 4, ["a + 1", "2"]]]));
        let newest = json!({"hist_access_type": "search", "pattern": "*a*", "n": 2});
        assert_eq!(
            ask(&history, newest),
            json!([[1, 3, "print(a)"], [1, 4, "a + 1"]])
        );
        let earlier = json!({"hist_access_type": "range", "session": -1});
        assert_eq!(ask(&history, earlier), json!([]));
    }

    #[test]
    fn globs() {
        assert!(glob("*", "") && glob("a*c", "abbc") && glob("a?c", "abc") && glob("*b*", "abc"));
        assert!(!glob("", "a") && !glob("a?c", "ac") && !glob("a*d", "abc") && !glob("?", ""));
    }

    #[test]
    fn the_oldest_are_forgotten() {
        let mut history = History::default();
        (0..CAPACITY as u32 + 5).for_each(|line| history.record(line, "x"));
        let first = ask(
            &history,
            json!({"hist_access_type": "range", "start": 0, "stop": 7}),
        );
        assert_eq!(first, json!([[1, 5, "x"], [1, 6, "x"]]));
    }
}

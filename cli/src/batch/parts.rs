//! Rows that are computed together: given out, done, lost and given out again, and written in their order.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::folder::Folder;
use super::input::{Input, Item, Position};
use super::message::{Done, Outcome, Part, Row};
use super::progress::Progress;

/// A part ends behind the row with which it has so many bytes, however many rows that are.
const BYTES: usize = 1 << 20;
/// How often a part is given out before its rows are each by itself.
const TRIES: u32 = 3;
/// Parts that are done or given out before the next to be written is, for each that may be given out.
const AHEAD: usize = 4;

pub(super) struct Parts {
    input: Input,
    batch: usize,
    is_at_end: bool,
    /// Stretches of the input that are not written yet, in order.
    open: VecDeque<Stretch>,
    /// Pieces that wait to be given out again.
    again: VecDeque<u64>,
    /// By their numbers: a part of a stretch, or one row of it.
    pieces: HashMap<u64, Piece>,
    next_piece: u64,
    next_stretch: u64,
}

/// Rows that come one after another in the input.
struct Stretch {
    number: u64,
    items: Vec<Item>,
    /// Where the input goes on.
    end: Position,
    /// Of the rows that can be computed.
    outcomes: BTreeMap<u64, Outcome>,
}

impl Stretch {
    /// Those that can be computed.
    fn rows(&self) -> impl Iterator<Item = Row> {
        let value = |item: &Item| Some((item.row, item.value.as_ref().ok()?.clone()));
        self.items
            .iter()
            .filter_map(value)
            .map(|(row, value)| Row { row, value })
    }

    /// The numbers of those.
    fn numbers(&self) -> impl Iterator<Item = u64> {
        self.items
            .iter()
            .filter(|item| item.value.is_ok())
            .map(|item| item.row)
    }

    fn is_done(&self) -> bool {
        self.numbers().all(|row| self.outcomes.contains_key(&row))
    }
}

#[derive(Clone, Copy)]
struct Piece {
    stretch: u64,
    /// One row, where not all of them.
    row: Option<u64>,
    tries: u32,
}

impl Parts {
    pub(super) fn new(input: Input, batch: usize) -> Self {
        Self {
            input,
            batch,
            is_at_end: false,
            open: VecDeque::new(),
            again: VecDeque::new(),
            pieces: HashMap::new(),
            next_piece: 0,
            next_stretch: 0,
        }
    }

    /// What is to be done next; `None` where there is nothing, or too much waits for what is before it.
    ///
    /// # Errors
    /// An input that cannot be read.
    pub(super) fn next(&mut self, n_slots: usize) -> anyhow::Result<Option<Part>> {
        if let Some(number) = self.again.pop_front() {
            return Ok(self.part(number));
        }
        while !self.is_at_end && self.open.len() < AHEAD * n_slots {
            let stretch = self.read()?;
            if stretch.items.is_empty() {
                self.is_at_end = true;
                break;
            }
            let (number, is_empty) = (stretch.number, stretch.numbers().next().is_none());
            self.open.push_back(stretch);
            if !is_empty {
                let piece = self.piece(number, None);
                return Ok(self.part(piece));
            }
        }
        Ok(None)
    }

    fn read(&mut self) -> anyhow::Result<Stretch> {
        let (mut items, mut bytes) = (Vec::new(), 0);
        while items.len() < self.batch && bytes < BYTES {
            let Some(item) = self.input.next()? else { break };
            bytes += item.value.as_ref().map_or(0, |value| value.get().len());
            items.push(item);
        }
        self.next_stretch += 1;
        Ok(Stretch {
            number: self.next_stretch,
            items,
            end: self.input.position(),
            outcomes: BTreeMap::new(),
        })
    }

    fn piece(&mut self, stretch: u64, row: Option<u64>) -> u64 {
        self.next_piece += 1;
        let piece = Piece {
            stretch,
            row,
            tries: 0,
        };
        self.pieces.insert(self.next_piece, piece);
        self.next_piece
    }

    fn stretch(&mut self, number: u64) -> Option<&mut Stretch> {
        self.open.iter_mut().find(|stretch| stretch.number == number)
    }

    fn part(&mut self, number: u64) -> Option<Part> {
        let piece = *self.pieces.get(&number)?;
        let rows = self.stretch(piece.stretch)?.rows();
        Some(Part {
            part: number,
            rows: rows
                .filter(|row| piece.row.is_none_or(|only| only == row.row))
                .collect(),
        })
    }

    pub(super) fn done(&mut self, done: Done) {
        // A part that was given out twice may be done twice.
        let Some(piece) = self.pieces.remove(&done.part) else {
            return;
        };
        if let Some(stretch) = self.stretch(piece.stretch) {
            let outcomes = done.results.into_iter().map(|done| (done.row, done.result));
            stretch.outcomes.extend(outcomes);
        }
    }

    /// Who had it is gone, and it may be why.
    pub(super) fn lost(&mut self, part: u64, why: &str) {
        let Some(piece) = self.pieces.get_mut(&part) else {
            return;
        };
        piece.tries += 1;
        let Piece {
            stretch: number,
            row,
            tries,
        } = *piece;
        if tries < TRIES {
            return self.again.push_back(part);
        }
        self.pieces.remove(&part);
        let Some(stretch) = self.stretch(number) else {
            return;
        };
        let rows: Vec<u64> = match row {
            Some(row) => vec![row],
            None => stretch.numbers().collect(),
        };
        if let [row] = rows[..] {
            stretch.outcomes.insert(row, Outcome::Error(why.to_owned()));
            return;
        }
        for row in rows {
            let piece = self.piece(number, Some(row));
            self.again.push_back(piece);
        }
    }

    /// Who had it is gone, and had not begun it.
    pub(super) fn give_back(&mut self, part: u64) {
        self.again.push_front(part);
    }

    /// Writes what is done, as far as all before it is; whether that was all.
    ///
    /// # Errors
    /// What cannot be written.
    pub(super) fn write_finished(
        &mut self,
        folder: &mut Folder,
        progress: &mut Progress,
    ) -> anyhow::Result<bool> {
        while self.open.front().is_some_and(Stretch::is_done) {
            let Some(mut stretch) = self.open.pop_front() else {
                break;
            };
            for item in stretch.items {
                let outcome = match item.value {
                    Ok(_) => stretch.outcomes.remove(&item.row),
                    Err(why) => Some(Outcome::Error(why)),
                };
                let line = match outcome {
                    Some(Outcome::Value(value)) => with_number(item.row, &value),
                    Some(Outcome::Error(why)) => Err(why),
                    None => Err("there is no result".to_owned()),
                };
                match line {
                    Ok(line) => folder.add_result(&line)?,
                    Err(why) => {
                        let mut about = Map::from_iter([("row".to_owned(), Value::from(item.row))]);
                        about.extend(item.line.map(|line| ("line".to_owned(), line.into())));
                        about.insert("error".to_owned(), why.clone().into());
                        folder.add_passed_over(&(Value::from(about).to_string() + "\n"), &why)?;
                        progress.passed_over(item.row, &why);
                    }
                }
            }
            folder.manifest.position = stretch.end;
        }
        Ok(self.is_at_end && self.open.is_empty())
    }
}

/// A result's line: a map's fields behind the row's number, anything else as `value`.
fn with_number(row: u64, value: &RawValue) -> Result<String, String> {
    let text = value.get();
    let Some(fields) = text.strip_prefix('{') else {
        return Ok(format!("{{\"row\":{row},\"value\":{text}}}\n"));
    };
    if text.contains("\"row\"")
        && serde_json::from_str(text).is_ok_and(|map: Map<_, _>| map.contains_key("row"))
    {
        let message =
            "ValueError: the result has a field `row`, which is the row's number here: give it another name";
        return Err(message.to_owned());
    }
    let comma = if fields == "}" { "" } else { "," };
    Ok(format!("{{\"row\":{row}{comma}{fields}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(value: &str) -> Result<String, String> {
        with_number(7, &RawValue::from_string(value.to_owned()).expect("JSON"))
    }

    #[test]
    fn a_results_line_begins_with_its_number() {
        assert_eq!(line("{}").as_deref(), Ok("{\"row\":7}\n"));
        assert_eq!(
            line("{\"a\":{\"row\":1}}").as_deref(),
            Ok("{\"row\":7,\"a\":{\"row\":1}}\n")
        );
        assert_eq!(line("[1]").as_deref(), Ok("{\"row\":7,\"value\":[1]}\n"));
        assert!(line("{\"row\":1}").is_err_and(|why| why.contains("another name")));
    }
}

//! What cells show, as notebooks keep it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use ecco_interpreter::{CellError, MimeBundle, Output};
use serde_json::{Value, json};

/// An output, and the name by which it may be replaced.
struct Shown {
    output: Value,
    id: Option<String>,
}

type Outputs = Rc<RefCell<Vec<Shown>>>;

/// The outputs of cells that have run, by their numbers.
#[derive(Default)]
pub(super) struct Recorder {
    cells: BTreeMap<u32, Outputs>,
}

/// The outputs of the one that runs, and of those before it.
pub(super) struct OfCell {
    number: u32,
    outputs: Outputs,
    before: Vec<Outputs>,
    /// Cleared when something comes.
    is_to_be_cleared: Cell<bool>,
}

impl Recorder {
    pub(super) fn of_cell(&self, number: u32) -> OfCell {
        OfCell {
            number,
            outputs: Outputs::default(),
            before: self.cells.values().cloned().collect(),
            is_to_be_cleared: Cell::new(false),
        }
    }

    pub(super) fn end_of_cell(&mut self, cell: &OfCell) {
        self.cells.insert(cell.number, Rc::clone(&cell.outputs));
    }

    /// The outputs of a cell, a list.
    pub(super) fn outputs(&self, number: u32) -> Option<Value> {
        let outputs = self.cells.get(&number)?.borrow();
        Some(outputs.iter().map(|shown| shown.output.clone()).collect())
    }
}

impl OfCell {
    /// A cell's value.
    pub(super) fn result(&self, value: Option<MimeBundle>) {
        if let Some(MimeBundle { data, metadata }) = value {
            let number = self.number;
            self.add(
                json!({"output_type": "execute_result", "execution_count": number, "data": data, "metadata": metadata}),
                None,
            );
        }
    }

    pub(super) fn error(&self, error: &CellError) {
        let CellError {
            name,
            value,
            traceback,
        } = error;
        self.add(
            json!({"output_type": "error", "ename": name, "evalue": value, "traceback": traceback}),
            None,
        );
    }

    fn add(&self, output: Value, id: Option<&str>) {
        let mut outputs = self.outputs.borrow_mut();
        if self.is_to_be_cleared.take() {
            outputs.clear();
        }
        outputs.push(Shown {
            output,
            id: id.map(str::to_owned),
        });
    }

    /// What a stream says behind what it has said is one text.
    fn stream(&self, name: &str, text: &str) {
        let is_to_be_cleared = self.is_to_be_cleared.get();
        if let Some(last) = self.outputs.borrow_mut().last_mut().filter(|_| !is_to_be_cleared)
            && last.output.get("name").is_some_and(|known| known == name)
            && let Some(Value::String(said)) = last.output.get_mut("text")
        {
            return said.push_str(text);
        }
        self.add(json!({"output_type": "stream", "name": name, "text": text}), None);
    }
}

fn displayed(MimeBundle { data, metadata }: MimeBundle) -> Value {
    json!({"output_type": "display_data", "data": data, "metadata": metadata})
}

impl Output for OfCell {
    fn stdout(&self, text: &str) {
        self.stream("stdout", text);
    }

    fn stderr(&self, text: &str) {
        self.stream("stderr", text);
    }

    fn display(&self, bundle: MimeBundle, id: Option<&str>) {
        self.add(displayed(bundle), id);
    }

    /// Wherever it stands.
    fn update(&self, bundle: MimeBundle, id: &str) {
        let output = displayed(bundle);
        for outputs in self.before.iter().chain([&self.outputs]) {
            for shown in outputs.borrow_mut().iter_mut() {
                if shown.id.as_deref() == Some(id) {
                    shown.output = output.clone();
                }
            }
        }
    }

    /// A notebook that nobody looks at has no pager.
    fn page(&self, bundle: MimeBundle) {
        self.add(displayed(bundle), None);
    }

    fn clear(&self, wait: bool) {
        match wait {
            true => self.is_to_be_cleared.set(true),
            false => self.outputs.borrow_mut().clear(),
        }
    }

    fn input(&self, _: &str, _: bool) -> Result<String, String> {
        Err("nobody can be asked: the notebook is run without Jupyter".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_joined_displays_replaced_and_outputs_cleared() {
        let mut recorder = Recorder::default();
        let first = recorder.of_cell(1);
        first.stdout("a");
        first.stdout("b\n");
        first.stderr("c");
        first.display(MimeBundle::from_text("old"), Some("x"));
        recorder.end_of_cell(&first);
        let second = recorder.of_cell(2);
        second.stdout("gone");
        second.clear(true);
        second.update(MimeBundle::from_text("new"), "x");
        second.result(Some(MimeBundle::from_text("7")));
        recorder.end_of_cell(&second);
        let display = json!({"output_type": "display_data", "data": {"text/plain": "new"}, "metadata": {}});
        let expected = json!([
            {"output_type": "stream", "name": "stdout", "text": "ab\n"},
            {"output_type": "stream", "name": "stderr", "text": "c"},
            display,
        ]);
        assert_eq!(recorder.outputs(1), Some(expected));
        let result = json!({"output_type": "execute_result", "execution_count": 2, "data": {"text/plain": "7"}, "metadata": {}});
        assert_eq!(recorder.outputs(2), Some(json!([result])));
        assert_eq!(recorder.outputs(3), None);
    }
}

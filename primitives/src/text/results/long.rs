//! A row for each number of several results.

use ecco_scripting::ScriptError;
use ecco_scripting::result::Explanation;
use ecco_scripting::table::Table;
use ecco_scripting::tensor::work::Work;
use rhai::{Dynamic, INT};

/// Numbers of several results below each other.
#[derive(Default)]
pub(super) struct Long {
    n_rows: usize,
    texts: Vec<Dynamic>,
    /// By name, `()` where a result has no such axis.
    places: Vec<(String, Vec<Dynamic>)>,
    values: Vec<Dynamic>,
}

impl Long {
    /// The main numbers of one: as its file of csv has them.
    pub(super) fn add(
        &mut self,
        text: usize,
        result: &impl Explanation,
        work: &Work,
    ) -> Result<(), ScriptError> {
        let tensors = result.tensors()?;
        let Some((_, tensor)) = tensors.first() else {
            return Ok(());
        };
        let shape = tensor.shape().to_vec();
        let n: usize = shape.iter().product();
        work.room(&[n, 2 * shape.len() + 2], size_of::<Dynamic>())?;
        self.texts.extend((0..n).map(|_| Dynamic::from_int(text as INT)));
        self.values.extend(
            tensor
                .exact_data()
                .iter()
                .map(|&value| Dynamic::from_float(value)),
        );
        let mut stride = n;
        for (&len, name) in shape.iter().zip(tensor.axes()) {
            stride /= len.max(1);
            let place = |row: usize| row / stride.max(1) % len.max(1);
            let numbers = (0..n).map(|row| Dynamic::from_int(place(row) as INT));
            self.column(name).extend(numbers);
            if let Some(labels) = result.labels(name) {
                let labels: Vec<Dynamic> = labels.into_iter().map(Dynamic::from).collect();
                let label = |row: usize| labels.get(place(row)).cloned().unwrap_or(Dynamic::UNIT);
                self.column(&format!("{name}_label")).extend((0..n).map(label));
            }
            if let Some(roles) = result.roles(name) {
                let roles: Vec<Dynamic> = roles.iter().map(|role| (**role).into()).collect();
                let role = |row: usize| roles.get(place(row)).cloned().unwrap_or(Dynamic::UNIT);
                self.column(&format!("{name}_role")).extend((0..n).map(role));
            }
        }
        self.n_rows += n;
        for (_, values) in &mut self.places {
            values.resize(self.n_rows, Dynamic::UNIT);
        }
        Ok(())
    }

    /// Filled up to the rows of the results before.
    fn column(&mut self, name: &str) -> &mut Vec<Dynamic> {
        let at = self.places.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| {
            self.places
                .push((name.to_owned(), vec![Dynamic::UNIT; self.n_rows]));
            self.places.len() - 1
        });
        &mut self.places[at].1
    }

    pub(super) fn table(self) -> Result<Table, ScriptError> {
        let first = [("text".to_owned(), self.texts)].into_iter();
        Table::new(
            first
                .chain(self.places)
                .chain([("value".to_owned(), self.values)])
                .collect(),
        )
    }
}

//! What scripts ask of tables.

use rhai::{Array, Dynamic, FnPtr, FuncRegistration, INT, Map, NativeCallContext};

use super::grouping::{GroupOptions, grouped};
use super::joining::{JoinOptions, joined};
use super::keys;
use super::rows::names_of;
use super::{Table, files, making};
use crate::errors::{RhaiResult, ScriptError};
use crate::library::sorting;
use crate::registry::Registry;
use crate::result::{Show, show};
use crate::session::state::state_of;
use crate::tensor::work::Work;
use crate::{functions, members, options};
use ecco_widgets::Explorable;

options! {
    /// What `sort` can be told.
    struct SortOptions {
        /// the largest first
        descending: bool = false,
    }
}

pub(crate) fn register(registry: &mut Registry) {
    functions! { registry, "ecco";
        /// A table of an array of maps, a row each, or of a map of columns, each an array or a tensor with one axis. What a
        /// map has not is `()`.
        ///
        /// Example:
        /// ```rhai
        /// let table = ecco::table([#{text: "Paris", capital: true}, #{text: "Lyon", capital: false}]);
        /// ecco::table(#{layer: [0, 1], norm: run.hidden_states[0..2].norm("hidden").mean("position")})
        /// ```
        fn table(state, rows: Dynamic) -> Table {
            let work = Work::new(state);
            match (rows.as_array_ref(), rows.as_map_ref()) {
                (Ok(rows), _) => making::of_rows(&rows, &work),
                (_, Ok(columns)) => making::of_columns(&columns, &work),
                _ => show::expected("an array of maps, or a map of columns", &rows),
            }
        }
    }
    of_parts(registry);
    of_rows(registry);
    of_closures(registry);
    of_indexes(registry);
}

/// Columns, and the table as other things.
fn of_parts(registry: &mut Registry) {
    members! { registry, [Table];
        /// The names of its columns, in order.
        get columns(table: &Table) -> Array {
            Ok(table.columns().iter().map(|column| Dynamic::from(column.name.clone())).collect())
        }

        /// How many rows it has.
        fn len(table: &Table) -> INT { Ok(table.n_rows() as INT) }

        /// The values of a column, one for each row; `table["name"]` is the same.
        ///
        /// Example:
        /// ```rhai
        /// lm.run(table.column("text"))
        /// ecco::tensor(table.column("loss")).mean()
        /// ```
        fn column(state, table: &Table, name: &str) -> Array { column(table, name, &Work::new(state)) }

        /// Only these columns, in this order.
        fn select(table: &Table, names: Array) -> Table { table.select(&names_of(&Dynamic::from_array(names))?) }

        /// A map for each row, from the columns' names to its values.
        fn to_array(state, table: &Table) -> Array { table.to_array(&Work::new(state)) }

        /// Writes all rows to a file of the notebook's folder. The path's end says how: `.csv`, `.tsv`, `.jsonl` (an object
        /// a row), `.parquet`, `.html` (the widget, as far as it goes). In `.csv` and `.tsv` a text that a spreadsheet would take for a
        /// formula has a `'` before it, so that nothing in it is run.
        ///
        /// Example:
        /// ```rhai
        /// table.save("scores.csv")
        /// ```
        volatile fn save(state, table: &Table, path: &str) -> () { files::save(table, path, &Work::new(state)) }

        fn to_string(table: &Table) -> String { Ok(table.shown().text()) }

        fn to_debug(table: &Table) -> String { Ok(table.line()) }
    }
}

fn column(table: &Table, name: &str, work: &Work) -> Result<Array, ScriptError> {
    let column = table.column(name)?;
    work.room(&[table.n_rows()], size_of::<Dynamic>())?;
    Ok(column.values.to_vec())
}

/// Its rows: some of them, in another order, grouped, beside those of another table.
fn of_rows(registry: &mut Registry) {
    members! { registry, [Table];
        /// The first rows.
        fn head(state, table: &Table, n: i64) -> Table { table.head(n, &Work::new(state)) }

        /// The rows in the order of a column, or of several, the first of them first. Rows that have the same stay in their
        /// order; `false` comes before `true`, numbers before texts, and `()` and NaN last.
        ///
        /// Example:
        /// ```rhai
        /// table.sort("loss", #{descending: true}).head(5)
        /// ```
        fn sort(state, table: &Table, by: Dynamic; options: SortOptions) -> Table {
            sorted(table, &names_of(&by)?, options.descending, &Work::new(state))
        }

        /// A row for each value of a column, or combination of values of several, in the order in which they come up, with
        /// `n`, how many rows have it, and with statistics of other columns where they are asked for. `()` does not count.
        ///
        /// Example:
        /// ```rhai
        /// table.group("label", #{mean: "loss", max: ["loss", "n_tokens"]})
        /// ```
        fn group(state, table: &Table, by: Dynamic; options: GroupOptions) -> Table {
            grouped(table, &names_of(&by)?, &options, &Work::new(state))
        }

        /// Each row beside those of another table that have the same in a column. Of other columns that both have, the
        /// other table's gets `_2` behind its name.
        ///
        /// Example:
        /// ```rhai
        /// scores.join(labels, "id", #{how: "left"})
        /// ```
        fn join(state, table: &Table, other: Table, on: &str; options: JoinOptions) -> Table {
            joined(table, &other, on, &options, &Work::new(state))
        }
    }
}

fn sorted(table: &Table, names: &[String], descending: bool, work: &Work) -> Result<Table, ScriptError> {
    let keys = keys::of_columns(table, names, work)?;
    let mut rows: Vec<usize> = (0..table.n_rows()).collect();
    let compare = |a: &usize, b: &usize| {
        let mut orders = keys.iter().map(|keys| keys[*a].order(&keys[*b], descending));
        Ok(orders
            .find(|order| order.is_ne())
            .unwrap_or(std::cmp::Ordering::Equal))
    };
    sorting::sorted(&mut rows, || work.check(), compare)?;
    table.at(&rows, work)
}

/// A member that calls a closure: its errors have places of their own. What it gives stands behind what it takes.
fn closure_member(name: &'static str, docs: &'static str, info: &[&str]) -> FuncRegistration {
    let info = [&["table: &mut Table"], info].concat();
    FuncRegistration::new(name)
        .with_purity(true)
        .with_comments(docs.lines())
        .with_params_info(info)
}

const FILTER: &str = "/// The rows for which a closure gives true; it is given each as a map.
///
/// Example:
/// ```rhai
/// table.filter(|row| row.n_tokens > 5 && row.label == \"city\")
/// ```";

const MAP: &str = "/// What a closure gives for each row, as an array; it is given each as a map.
///
/// Example:
/// ```rhai
/// table.map(|row| `${row.text} (${row.label})`)
/// ```";

const WITH_COLUMN: &str = "/// The table with a column more, or with another one in its place: an array, a tensor with one axis, or what a closure \
gives for each row.
///
/// Example:
/// ```rhai
/// table.with_column(\"length\", |row| row.text.len())
/// table.with_column(\"loss\", losses)
/// ```";

fn of_closures(registry: &mut Registry) {
    closure_member("filter", FILTER, &["keep: FnPtr", "Table"]).register_into_engine(
        registry.engine,
        |ctx: NativeCallContext, table: &mut Table, keep: FnPtr| -> RhaiResult<Table> {
            filtered(&ctx, table, &keep)
        },
    );
    closure_member("map", MAP, &["map: FnPtr", "Array"]).register_into_engine(
        registry.engine,
        |ctx: NativeCallContext, table: &mut Table, map: FnPtr| -> RhaiResult<Array> {
            for_each(&ctx, table, &map, &Work::new(state_of(&ctx)))
        },
    );
    closure_member(
        "with_column",
        WITH_COLUMN,
        &["name: &str", "values: Dynamic", "Table"],
    )
    .register_into_engine(
        registry.engine,
        |ctx: NativeCallContext, table: &mut Table, name: &str, values: Dynamic| -> RhaiResult<Table> {
            let work = Work::new(state_of(&ctx));
            let values = match values.read_lock::<FnPtr>() {
                Some(closure) => for_each(&ctx, table, &closure, &work)?,
                None => making::values_of(&values, &work)?,
            };
            Ok(table.with_column(name, values)?)
        },
    );
}

fn filtered(context: &NativeCallContext, table: &Table, keep: &FnPtr) -> RhaiResult<Table> {
    let work = Work::new(state_of(context));
    let mut rows = Vec::new();
    for at in 0..table.n_rows() {
        work.check()?;
        let answer = keep.call_raw(context, None, [Dynamic::from_map(table.row(at))])?;
        match answer.as_bool() {
            Ok(true) => rows.push(at),
            Ok(false) => {}
            Err(_) => return Ok(show::expected("true or false of each row", &answer)?),
        }
    }
    Ok(table.at(&rows, &work)?)
}

/// What a closure gives for each row.
fn for_each(
    context: &NativeCallContext,
    table: &Table,
    closure: &FnPtr,
    work: &Work,
) -> RhaiResult<Vec<Dynamic>> {
    let mut values = Vec::new();
    for at in 0..table.n_rows() {
        work.check()?;
        work.value()?;
        let row = Dynamic::from_map(table.row(at));
        values.push(closure.call_raw(context, None, [row])?.flatten());
    }
    Ok(values)
}

/// `table[0]` and `table["name"]`.
fn of_indexes(registry: &mut Registry) {
    let getter = |docs: &'static str, index: &str, returns: &str| {
        FuncRegistration::new_index_getter()
            .with_purity(true)
            .with_comments([docs])
            .with_params_info(["table: &mut Table", index, returns])
    };
    let row = "/// A row as a map; negative numbers count from the last.";
    getter(row, "number: INT", "Map").register_into_engine(
        registry.engine,
        |table: &mut Table, number: INT| -> RhaiResult<Map> { Ok(table.row(table.place(number)?)) },
    );
    let values = "/// The values of a column.";
    getter(values, "name: &str", "Array").register_into_engine(
        registry.engine,
        |ctx: NativeCallContext, table: &mut Table, name: &str| -> RhaiResult<Array> {
            Ok(column(table, name, &Work::new(state_of(&ctx)))?)
        },
    );
}

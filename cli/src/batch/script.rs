//! A batch's script: cells that run once, and a last one that runs for every row, or for some rows at a time.

use anyhow::bail;

use crate::exec::cells;

/// What the last cell is run for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Each {
    /// One row, in the variable `row`.
    Row,
    /// Some rows, in the variable `rows`.
    Batch,
}

impl Each {
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::Row => "row",
            Self::Batch => "rows",
        }
    }

    /// What a cell is for, by the title in its first line that has something.
    fn of(cell: &str) -> Option<Self> {
        let line = cell.lines().find(|line| !line.trim().is_empty())?;
        let title = line.strip_prefix("//")?.trim_start().strip_prefix("%%")?;
        match title.split_whitespace().collect::<Vec<_>>()[..] {
            ["each", "row"] => Some(Self::Row),
            ["each", "batch"] => Some(Self::Batch),
            _ => None,
        }
    }
}

#[derive(Debug)]
pub(super) struct Script {
    pub before: Vec<String>,
    pub each: Each,
    pub code: String,
}

impl Script {
    /// # Errors
    /// A last cell that does not say what it is for; a cell before it that does.
    pub(super) fn read(script: &str) -> anyhow::Result<Self> {
        let mut before = cells(script);
        let last = before.pop().unwrap_or_default();
        let Some(each) = Each::of(&last) else {
            bail!(
                "the script's last cell does not say what it is for. Begin it with a line `// %% each row`, and it is run for every \
                 row, in the variable `row`; or `// %% each batch`, and it is run for some rows at a time, in the list `rows`, \
                 and ends with a value for each"
            );
        };
        if before.iter().any(|cell| Each::of(cell).is_some()) {
            bail!("only the script's last cell can be for each row or batch: those before it run once");
        }
        Ok(Self {
            before,
            each,
            code: last,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_cell_says_what_it_is_for() {
        let script = Script::read("let a = 1;\n// %%  each  row\nrow.x + a").expect("two cells");
        assert_eq!((script.each, script.before.len()), (Each::Row, 1));
        assert_eq!(script.code, "\n// %%  each  row\nrow.x + a");
        let script = Script::read("// %% each batch\nrows").expect("one cell");
        assert_eq!((script.each, script.before.len()), (Each::Batch, 0));
        for wrong in [
            "",
            "row.x",
            "// %% each\nrow",
            "// %% each row\n1\n// %% each row\n2",
        ] {
            assert!(Script::read(wrong).is_err(), "{wrong}");
        }
    }
}

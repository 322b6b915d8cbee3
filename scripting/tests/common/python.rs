//! The tables of `docs/coming-from-python.md`.

/// The rows of the table under a heading: what is written in Python, and what is written here.
pub(crate) fn rows(page: &str, heading: &str) -> Vec<(String, String)> {
    let (_, section) = page.split_once(heading).expect("the heading");
    let section = section
        .split_once("\n## ")
        .map_or(section, |(section, _)| section);
    let code = |cell: &str| {
        let cell = cell.trim();
        let ticks = cell.len() - cell.trim_start_matches('`').len();
        let inside = cell[ticks..].strip_suffix(&"`".repeat(ticks)).expect("code");
        let inside = if ticks > 1 { inside.trim() } else { inside };
        inside.replace('\u{0}', "|")
    };
    let rows = section.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let row = row.replace("\\|", "\u{0}");
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        (code(cells[0]), code(cells[1]))
    })
    .collect()
}

//! A script's cells, in the percent format that editors know.

/// The script's cells in order. Each has as many empty lines before it as the script has lines there, so that errors
/// name the script's lines. Cells of nothing but white space are left out.
pub(crate) fn cells(script: &str) -> Vec<String> {
    let script = script.trim_start_matches('\u{feff}');
    let mut cells = vec![String::new()];
    for (number, line) in script.split_inclusive('\n').enumerate() {
        if begins_cell(line) {
            cells.push("\n".repeat(number));
        }
        // So that a script can be a program: `#!/usr/bin/env -S ecco-kernel exec`.
        let is_shebang = number == 0 && line.starts_with("#!");
        if let Some(cell) = cells.last_mut() {
            cell.push_str(if is_shebang { "\n" } else { line });
        }
    }
    cells.retain(|cell| !cell.trim().is_empty());
    cells
}

/// `// %%`, alone or with a title behind it. It is a matter of the line alone, in a string too, as in editors.
fn begins_cell(line: &str) -> bool {
    line.strip_prefix("//")
        .is_some_and(|comment| comment.trim_start().starts_with("%%"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_without_borders_is_a_cell() {
        assert_eq!(cells("let a = 1;\na"), ["let a = 1;\na"]);
        assert_eq!(cells(" \n\n"), [""; 0]);
    }

    #[test]
    fn borders_begin_cells_that_stand_in_their_lines() {
        let script = "1\n// %% second\n2\n//%%\n\n// % no border\n3";
        assert_eq!(
            cells(script),
            ["1\n", "\n// %% second\n2\n", "\n\n\n//%%\n\n// % no border\n3"]
        );
        assert_eq!(cells("// %%\r\n1\r\n// %% b\r\n2").len(), 2);
        assert_eq!(cells("let s = \"// %%\";").len(), 1);
    }

    #[test]
    fn a_shebang_and_a_byte_order_mark_are_no_code() {
        assert_eq!(cells("\u{feff}1"), ["1"]);
        assert_eq!(
            cells("#!/usr/bin/env -S ecco-kernel exec\nlet m = #{a: 1};"),
            ["\nlet m = #{a: 1};"]
        );
    }
}

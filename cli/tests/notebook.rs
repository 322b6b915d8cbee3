//! `ecco-kernel exec` of notebooks: what they show is kept as Jupyter would keep it.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_ecco-kernel");

struct Folder(tempfile::TempDir);

impl Folder {
    fn new(cells: Value) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let metadata = json!({"kernelspec": {"name": "ecco", "language": "rhai", "display_name": "Ecco"}});
        let notebook = json!({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5});
        std::fs::write(folder.path().join("study.ipynb"), notebook.to_string()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn exec(&self, options: &[&str]) -> (String, String, Option<i32>) {
        let output = Command::new(PROGRAM)
            .args(["exec", "study.ipynb"])
            .args(options)
            .current_dir(self.0.path())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (text(output.stdout), text(output.stderr), output.status.code())
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }
}

fn code(source: &str) -> Value {
    json!({"cell_type": "code", "id": "a", "metadata": {}, "execution_count": 9, "source": source,
        "outputs": [{"output_type": "stream", "name": "stdout", "text": "of before"}]})
}

fn tagged(source: &str, tag: &str) -> Value {
    let mut cell = code(source);
    cell["metadata"]["tags"] = json!([tag]);
    cell
}

fn text(source: &str) -> Value {
    json!({"cell_type": "markdown", "id": "b", "metadata": {}, "source": [source]})
}

#[test]
fn a_notebook_is_written_with_what_its_cells_show() {
    let folder = Folder::new(json!([
        text("# A *study*"),
        tagged("let n = 2;", "parameters"),
        code("print(`n is ${n}`);\nprint(\"<b>\");\nn * 21"),
        code("let lm = ecco::from_pretrained(\"demo\");\nlm.run(\"the keys\")"),
        tagged("nothing", "raises-exception"),
        tagged("throw \"not run\"", "skip-execution"),
        code(""),
        code("display(html(\"<em>shown</em>\"));"),
    ]));
    let (_, said, status) = folder.exec(&["--to", "ipynb", "--output", "out.ipynb", "-p", "n", "3"]);
    assert_eq!(status, Some(0), "{said}");
    let notebook: Value = serde_json::from_str(&folder.read("out.ipynb")).unwrap();
    let cells = notebook["cells"].as_array().unwrap();
    assert_eq!(cells.len(), 9);
    assert_eq!(cells[2]["source"], "// Parameters\nlet n = 3;");
    assert_eq!(cells[2]["metadata"]["tags"], json!(["injected-parameters"]));
    assert_eq!(
        cells[3]["outputs"],
        json!([
            {"output_type": "stream", "name": "stdout", "text": "n is 3\n<b>\n"},
            {"output_type": "execute_result", "execution_count": 3, "data": {"text/plain": "63"}, "metadata": {}},
        ])
    );
    let shown = &cells[4]["outputs"][0]["data"];
    assert!(
        shown["text/html"].is_string() && shown["text/plain"].is_string(),
        "{shown}"
    );
    assert_eq!(cells[5]["outputs"][0]["ename"], "NameError");
    for not_run in [&cells[6], &cells[7]] {
        assert_eq!(
            (&not_run["outputs"], &not_run["execution_count"]),
            (&json!([]), &Value::Null)
        );
    }
    assert_eq!(cells[8]["outputs"][0]["output_type"], "display_data");
    assert_eq!(notebook["metadata"]["language_info"]["name"], "rhai");

    let (_, said, status) = folder.exec(&["--to", "html"]);
    assert_eq!(status, Some(0), "{said}");
    let page = folder.read("study.html");
    for part in [
        "<h1>A <em>study</em></h1>",
        "n is 2\n&lt;b&gt;",
        "<em>shown</em>",
        "<title>study</title>",
    ] {
        assert!(page.contains(part), "{part}");
    }
    assert!(!page.contains("src=\"http") && !page.contains("of before"));
    let (page, said, status) = folder.exec(&["--to", "md", "--output", "-", "-r", "n", "x"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(
        page.starts_with(
            "# A *study*\n\n```rhai\nlet n = 2;\n```\n\n```rhai\n// Parameters\nlet n = \"x\";\n```\n"
        ),
        "{page}"
    );
    assert!(
        page.contains("```text\nn is x\n<b>\n```") && page.contains("TypeError"),
        "{page}"
    );
    // Without --to it is a script.
    let (stdout, said, status) = folder.exec(&[]);
    assert_eq!(status, Some(1), "{said}");
    assert!(stdout.starts_with("n is 2\n<b>\n42\n"), "{stdout}");
}

#[test]
fn an_error_ends_it_and_what_was_done_is_there() {
    let folder = Folder::new(json!([code("1"), code("let x = y;"), code("print(3)")]));
    let (_, said, status) = folder.exec(&["--to", "ipynb", "-o", "out.ipynb"]);
    assert_eq!(status, Some(1));
    assert!(said.contains("NameError: there is no variable `y`"), "{said}");
    let notebook: Value = serde_json::from_str(&folder.read("out.ipynb")).unwrap();
    assert_eq!(notebook["cells"][0]["outputs"][0]["data"]["text/plain"], "1");
    assert_eq!(notebook["cells"][1]["outputs"][0]["output_type"], "error");
    assert_eq!(notebook["cells"][2]["outputs"], json!([]));
}

#[test]
fn what_is_no_notebook_of_this_kernel_is_refused() {
    let refused = |document: &str, options: &[&str], expected: &str| {
        let folder = Folder::new(json!([]));
        std::fs::write(folder.path("study.ipynb"), document).unwrap();
        let (_, said, status) = folder.exec(options);
        assert!(status == Some(1) && said.contains(expected), "{said}");
    };
    refused("{", &[], "no notebook");
    refused("[]", &[], "format 4 is expected");
    refused("{\"nbformat\": 3, \"worksheets\": []}", &[], "format 3");
    refused("{\"nbformat\": 4}", &[], "no list of cells");
    refused("{\"nbformat\": 4, \"cells\": [1]}", &[], "cell 1");
    let python =
        "{\"nbformat\": 4, \"cells\": [], \"metadata\": {\"kernelspec\": {\"language\": \"python\"}}}";
    refused(python, &[], "its cells are python");
    refused("{\"nbformat\": 4, \"cells\": []}", &["--to", "ipynb"], "--output");
    refused(
        "{\"nbformat\": 4, \"cells\": []}",
        &["-p", "let", "1"],
        "no name of a variable",
    );
}

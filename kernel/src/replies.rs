//! Contents of replies that more than one place needs.

use ecco_interpreter::CellError;
use jupyter_protocol::ErrorOutput;
use jupyter_protocol::connection_info::ConnectionInfo;
use serde_json::{Value, json};

use crate::wire::PROTOCOL_VERSION;

/// The version of Rhai that cells are written in.
const LANGUAGE_VERSION: &str = "1.27";

/// Bytes of an error's name, value, or line of its traceback.
const ERROR_LIMIT: usize = 1 << 16;
/// Lines of a traceback.
const TRACEBACK_LIMIT: usize = 1000;

/// What a request that failed is answered with.
pub(crate) fn error(error: &CellError) -> Value {
    let mut content = json!(error_output(error));
    content["status"] = json!("error");
    content
}

/// The content of an `error` message. A script can raise an error as long as its memory allows: what is
/// beyond [`ERROR_LIMIT`] in a line of it is cut.
pub(crate) fn error_output(error: &CellError) -> ErrorOutput {
    let lines = error.traceback.iter().take(TRACEBACK_LIMIT);
    ErrorOutput {
        ename: shortened(&error.name),
        evalue: shortened(&error.value),
        traceback: lines.map(|line| shortened(line)).collect(),
    }
}

fn shortened(text: &str) -> String {
    match text.split_at(text.floor_char_boundary(ERROR_LIMIT)) {
        (all, "") => all.to_owned(),
        (start, rest) => format!("{start}… [{} bytes more]", rest.len()),
    }
}

/// Why a request was not understood.
pub(crate) fn invalid(reason: String) -> CellError {
    failure("InvalidRequest", reason)
}

/// An error that is not a script's.
pub(crate) fn failure(name: &str, reason: String) -> CellError {
    CellError {
        name: name.to_owned(),
        traceback: vec![reason.clone()],
        value: reason,
    }
}

/// What a cell is answered with that was called off. As in ipykernel there is no `execution_count`, or
/// front ends would put a number on a cell that has not run; clients that know no status `aborted`
/// find a reason where they look for an error's.
pub(crate) fn aborted(why: &str) -> Value {
    json!({"status": "aborted", "ename": "Aborted", "evalue": why, "traceback": []})
}

/// Why there are no subshells.
pub(crate) fn no_subshells() -> CellError {
    failure(
        "SubshellError",
        "there are no subshells: variables and models belong to one thread".to_owned(),
    )
}

pub(crate) fn kernel_info() -> Value {
    let version = env!("CARGO_PKG_VERSION");
    json!({
        "status": "ok",
        "protocol_version": PROTOCOL_VERSION,
        "implementation": "ecco-kernel",
        "implementation_version": version,
        "language_info": {
            "name": "rhai",
            "version": LANGUAGE_VERSION,
            "mimetype": "text/x-rhai",
            "file_extension": ".rhai",
            // Of the Python package `ecco_kernel`.
            "pygments_lexer": "rhai",
            // Of the extension for JupyterLab, by its name; where that is missing Rust's, by its type, colours Rhai well.
            "codemirror_mode": {"name": "rhai", "mime": "text/x-rustsrc"},
        },
        "banner": format!("Ecco {version}: explains transformer language models. Cells are Rhai scripts."),
        "help_links": [{"text": "The Rhai book", "url": "https://rhai.rs/book/"}],
        "debugger": false,
        // "kernel subshells" and "debugger" are the ones there are.
        "supported_features": [],
    })
}

pub(crate) fn connect(connection: &ConnectionInfo) -> Value {
    json!({
        "status": "ok",
        "shell_port": connection.shell_port,
        "iopub_port": connection.iopub_port,
        "stdin_port": connection.stdin_port,
        "control_port": connection.control_port,
        "hb_port": connection.hb_port,
    })
}

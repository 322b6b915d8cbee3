//! Contents of replies that more than one place needs.

use ecco_scripting::interpreter::CellError;
use jupyter_protocol::connection_info::ConnectionInfo;
use serde_json::{Value, json};

use crate::wire::PROTOCOL_VERSION;

/// The version of Rhai that cells are written in.
const LANGUAGE_VERSION: &str = "1.27";

/// What a request that failed is answered with.
pub fn error(error: &CellError) -> Value {
    let mut content = error_output(error);
    content["status"] = json!("error");
    content
}

/// The content of an `error` message.
pub fn error_output(error: &CellError) -> Value {
    json!({"ename": error.name, "evalue": error.value, "traceback": error.traceback})
}

/// Why a request was not understood.
pub fn invalid(reason: String) -> CellError {
    CellError {
        name: "InvalidRequest".to_owned(),
        traceback: vec![reason.clone()],
        value: reason,
    }
}

pub fn kernel_info() -> Value {
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
            // Nobody ships a lexer for Rhai; Rust's colours it well.
            "pygments_lexer": "rust",
            "codemirror_mode": "rust",
        },
        "banner": format!("Ecco {version}: explains transformer language models. Cells are Rhai scripts."),
        "help_links": [{"text": "The Rhai book", "url": "https://rhai.rs/book/"}],
        "debugger": false,
        "supported_features": [],
    })
}

pub fn connect(connection: &ConnectionInfo) -> Value {
    json!({
        "status": "ok",
        "shell_port": connection.shell_port,
        "iopub_port": connection.iopub_port,
        "stdin_port": connection.stdin_port,
        "control_port": connection.control_port,
        "hb_port": connection.hb_port,
    })
}

//! What clients ask for. Lenient where they differ: a field that some client leaves out, or sends as
//! null, has the default that the protocol or ipykernel gives it.

use ecco_interpreter::CellError;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value};

use crate::replies;
use crate::wire::Request;

/// The content of a request.
pub(crate) fn parse<T: DeserializeOwned>(request: &Request) -> Result<T, CellError> {
    serde_json::from_slice(&request.content)
        .map_err(|error| replies::invalid(format!("{}: {error}", request.msg_type)))
}

#[derive(Debug, Deserialize)]
pub(crate) struct ExecuteRequest {
    pub code: String,
    #[serde(default, deserialize_with = "or_default")]
    pub silent: bool,
    #[serde(default)]
    pub store_history: Option<bool>,
    #[serde(default, deserialize_with = "or_default")]
    pub user_expressions: Map<String, Value>,
    #[serde(default, deserialize_with = "or_default")]
    pub allow_stdin: bool,
    #[serde(default)]
    pub stop_on_error: Option<bool>,
}

impl ExecuteRequest {
    /// Whether the cell gets a number and a place in the history.
    pub(crate) fn stores_history(&self) -> bool {
        !self.silent && self.store_history.unwrap_or(true)
    }

    /// Whether requests that wait behind this one are called off when it fails. As with ipykernel that
    /// is not so for silent ones, which front ends send between the user's cells.
    pub(crate) fn stops_on_error(&self) -> bool {
        !self.silent && self.stop_on_error.unwrap_or(true)
    }
}

#[derive(Debug, Deserialize)]
pub(crate) struct CompleteRequest {
    pub code: String,
    /// In code points; at the end of the code if absent.
    #[serde(default)]
    pub cursor_pos: Option<usize>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct InspectRequest {
    pub code: String,
    /// In code points; at the end of the code if absent.
    #[serde(default)]
    pub cursor_pos: Option<usize>,
    #[serde(default, deserialize_with = "or_default")]
    pub detail_level: u8,
}

/// Which part of the history is wanted.
#[derive(Debug, Deserialize)]
#[serde(tag = "hist_access_type", rename_all = "snake_case")]
pub(crate) enum HistoryAccess {
    Tail {
        n: Option<i64>,
    },
    Range {
        /// 0 or absent: this session; negative: so many sessions ago.
        session: Option<i64>,
        /// Negative: from the end of the session.
        start: Option<i64>,
        /// Exclusive; 0 or absent: to the end.
        stop: Option<i64>,
    },
    Search {
        /// As in SQLite's GLOB: `*`, `?` and `[…]`; all if absent.
        pattern: Option<String>,
        n: Option<i64>,
        unique: Option<bool>,
    },
}

#[derive(Debug, Deserialize)]
pub(crate) struct HistoryRequest {
    #[serde(flatten)]
    pub access: HistoryAccess,
    /// Whether results are wanted beside the code.
    #[serde(default, deserialize_with = "or_default")]
    pub output: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CommOpen {
    pub comm_id: String,
    pub target_name: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CommMsg {
    pub comm_id: String,
    #[serde(default)]
    pub data: Value,
}

#[derive(Debug, Deserialize)]
pub(crate) struct CommClose {
    pub comm_id: String,
}

#[derive(Debug, Deserialize)]
pub(crate) struct ShutdownRequest {
    #[serde(default, deserialize_with = "or_default")]
    pub restart: bool,
}

#[derive(Debug, Deserialize)]
pub(crate) struct InputReply {
    #[serde(default)]
    pub value: Option<String>,
}

/// The cursor of a request as the interpreter wants it: never behind the end of the code.
pub(crate) fn cursor(code: &str, position: Option<usize>) -> usize {
    let end = code.chars().count();
    position.map_or(end, |position| position.min(end))
}

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(value: D) -> Result<T, D::Error> {
    Option::deserialize(value).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_may_leave_out_nearly_everything() {
        let request: ExecuteRequest =
            serde_json::from_str(r#"{"code": "1", "user_expressions": null, "silent": null}"#).unwrap();
        assert!(request.stores_history() && request.stops_on_error() && !request.allow_stdin);
        let search = r#"{"hist_access_type": "search", "raw": true, "output": false, "pattern": "p*"}"#;
        assert!(serde_json::from_str::<HistoryRequest>(search).is_ok());
        let range = r#"{"hist_access_type": "range", "session": -1, "start": 1}"#;
        assert!(serde_json::from_str::<HistoryRequest>(range).is_ok());
        assert!(serde_json::from_str::<HistoryRequest>(r#"{"hist_access_type": "all"}"#).is_err());
    }

    #[test]
    fn a_cursor_counts_code_points_and_stays_inside() {
        assert_eq!(cursor("a👩b", None), 3);
        assert_eq!(cursor("a👩b", Some(2)), 2);
        assert_eq!(cursor("a👩b", Some(99)), 3);
    }
}

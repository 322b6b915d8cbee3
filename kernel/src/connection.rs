//! The connection file: where to listen, and the key that signs messages.

use std::path::{Path, PathBuf};

use jupyter_protocol::connection_info::{ConnectionInfo, Transport};
use serde_json::{Value, json};

use crate::error::Error;
use crate::wire::Channel;

/// Where one channel listens.
#[derive(Debug, Clone, PartialEq)]
pub enum Address {
    Tcp { ip: String, port: u16 },
    Ipc(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Address::Tcp { ip, port } => write!(f, "tcp://{ip}:{port}"),
            Address::Ipc(path) => write!(f, "ipc://{}", path.display()),
        }
    }
}

/// Reads the connection file that Jupyter wrote for this kernel.
pub fn read(path: &Path) -> Result<ConnectionInfo, Error> {
    let text = std::fs::read_to_string(path).map_err(|source| Error::ConnectionFile {
        path: path.to_owned(),
        source,
    })?;
    parse(&text)
}

/// Parses a connection file. What older clients leave out gets the value that Jupyter gives it.
pub fn parse(text: &str) -> Result<ConnectionInfo, Error> {
    let defaults = [
        ("ip", json!("127.0.0.1")),
        ("transport", json!("tcp")),
        ("key", json!("")),
        ("signature_scheme", json!("hmac-sha256")),
    ];
    let mut file: serde_json::Map<String, Value> =
        serde_json::from_str(text).map_err(|source| Error::Connection { source })?;
    if let Some((key, _)) = file
        .iter()
        .find(|(key, value)| key.starts_with("curve_") && !value.is_null())
    {
        return Err(Error::Encrypted { key: key.clone() });
    }
    for (key, value) in defaults {
        file.entry(key).or_insert(value);
    }
    serde_json::from_value(file.into()).map_err(|source| Error::Connection { source })
}

/// Where `channel` listens.
pub fn address(connection: &ConnectionInfo, channel: Channel) -> Address {
    let port = match channel {
        Channel::Shell => connection.shell_port,
        Channel::Control => connection.control_port,
        Channel::Stdin => connection.stdin_port,
        Channel::Heartbeat => connection.hb_port,
        Channel::IoPub => connection.iopub_port,
    };
    match connection.transport {
        // ZeroMQ's name for "every interface"; the socket API has another.
        Transport::TCP if connection.ip == "*" => Address::Tcp {
            ip: "0.0.0.0".to_owned(),
            port,
        },
        Transport::TCP => Address::Tcp {
            ip: connection.ip.clone(),
            port,
        },
        Transport::IPC => Address::Ipc(format!("{}-{port}", connection.ip).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"shell_port": 1, "iopub_port": 2, "stdin_port": 3, "control_port": 4, "hb_port": 5,
        "ip": "*", "key": "k", "jupyter_session": "/home/a/b.ipynb", "kernel_name": "ecco"}"#;

    #[test]
    fn a_file_of_jupyter_client_is_read_and_the_star_means_every_interface() {
        let connection = parse(FILE).unwrap();
        assert_eq!(connection.signature_scheme, "hmac-sha256");
        let control = address(&connection, Channel::Control);
        assert_eq!(control.to_string(), "tcp://0.0.0.0:4");
    }

    #[test]
    fn ipc_puts_the_port_behind_the_path() {
        let file = FILE.replace(r#""ip": "*""#, r#""ip": "/run/kernel-1-ipc", "transport": "ipc""#);
        let connection = parse(&file).unwrap();
        assert_eq!(
            address(&connection, Channel::Heartbeat).to_string(),
            "ipc:///run/kernel-1-ipc-5"
        );
    }

    #[test]
    fn encryption_is_refused_by_name() {
        let file = FILE.replace(r#""key": "k""#, r#""key": "k", "curve_publickey": "abc""#);
        let error = parse(&file).unwrap_err().to_string();
        assert!(
            error.contains("curve_publickey") && error.contains("encrypted"),
            "{error}"
        );
    }

    #[test]
    fn a_missing_port_is_named() {
        let error = anyhow::Error::from(parse(r#"{"shell_port": 1}"#).unwrap_err());
        assert!(format!("{error:#}").contains("iopub_port"), "{error:#}");
    }
}

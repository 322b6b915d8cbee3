//! The connection file: where to listen, and the key that signs messages.

use std::io::Read;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use jupyter_protocol::connection_info::{ConnectionInfo, Transport};
use serde_json::{Value, json};

use crate::error::Error;
use crate::wire::Channel;

const EVERYBODY_WRITES: u32 = 0o002;
const OTHERS_READ_OR_WRITE: u32 = 0o066;

/// Where one channel listens.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Address {
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

/// Reads the connection file that Jupyter wrote for this kernel. Says on stderr what is careless about it.
///
/// # Errors
/// When it cannot be read, is not what Jupyter writes, or may be written by everybody: whoever can put
/// another key or address into it has the kernel. Jupyter refuses to make such files too, unless
/// `JUPYTER_ALLOW_INSECURE_WRITES` is set for file systems where all files are everybody's.
pub fn read(path: &Path) -> Result<ConnectionInfo, Error> {
    let failed = |source| Error::ConnectionFile {
        path: path.to_owned(),
        source,
    };
    let mut text = String::new();
    let mut file = std::fs::File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.permissions().mode();
    file.read_to_string(&mut text).map_err(failed)?;
    let connection = parse(&text)?;
    let allowed = std::env::var("JUPYTER_ALLOW_INSECURE_WRITES");
    let allowed = allowed.is_ok_and(|value| ["1", "true"].contains(&value.to_lowercase().as_str()));
    if mode & EVERYBODY_WRITES != 0 && !allowed {
        return Err(Error::Insecure {
            path: path.to_owned(),
        });
    }
    if mode & OTHERS_READ_OR_WRITE != 0 && !allowed {
        eprintln!(
            "ecco-kernel: others may read the connection file {0} and run code with its key: chmod 600 {0}",
            path.display()
        );
    }
    if connection.key.is_empty() && !is_local(&connection) {
        eprintln!(
            "ecco-kernel: everybody who can reach {} may run code here: the connection file has no key",
            connection.ip
        );
    }
    Ok(connection)
}

/// Whether only this machine can connect.
fn is_local(connection: &ConnectionInfo) -> bool {
    let ip = connection.ip.trim_matches(['[', ']']).parse::<IpAddr>();
    connection.transport == Transport::IPC
        || connection.ip == "localhost"
        || ip.is_ok_and(|ip| ip.is_loopback())
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
    if file.contains_key("registration_port") && !file.contains_key("shell_port") {
        return Err(Error::Registration);
    }
    for (key, value) in defaults {
        file.entry(key).or_insert(value);
    }
    let connection: ConnectionInfo =
        serde_json::from_value(file.into()).map_err(|source| Error::Connection { source })?;
    // The system would choose a port then, and nobody would know which.
    match port_fields(&connection).into_iter().find(|(_, port)| *port == 0) {
        Some((field, _)) if connection.transport == Transport::TCP => Err(Error::NoPort { field }),
        _ => Ok(connection),
    }
}

fn port_fields(connection: &ConnectionInfo) -> [(&'static str, u16); 5] {
    [
        ("shell_port", connection.shell_port),
        ("iopub_port", connection.iopub_port),
        ("stdin_port", connection.stdin_port),
        ("control_port", connection.control_port),
        ("hb_port", connection.hb_port),
    ]
}

/// Where `channel` listens.
pub(crate) fn address(connection: &ConnectionInfo, channel: Channel) -> Address {
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
    fn a_missing_port_is_named_and_so_is_one_that_is_no_port() {
        let refusal = |text: &str| format!("{:#}", anyhow::Error::from(parse(text).unwrap_err()));
        assert!(refusal(r#"{"shell_port": 1}"#).contains("iopub_port"));
        assert!(refusal(&FILE.replace(r#""hb_port": 5"#, r#""hb_port": 0"#)).contains("hb_port is 0"));
        for text in ["", "[]", "null", r#"{"shell_port": "1"}"#, "\0"] {
            assert!(refusal(text).starts_with("the connection file is not what Jupyter writes: "));
        }
        let large = FILE.replace(r#""hb_port": 5"#, r#""hb_port": 65536"#);
        assert!(refusal(&large).contains("65536"));
    }

    #[test]
    fn a_registration_file_is_refused_by_name() {
        let file = r#"{"transport": "tcp", "ip": "127.0.0.1", "registration_port": 5, "key": "k"}"#;
        let error = parse(file).unwrap_err().to_string();
        assert!(error.contains("registration_port"), "{error}");
    }

    #[test]
    fn what_only_this_machine_reaches_is_local() {
        let local =
            |ip: &str| is_local(&parse(&FILE.replace(r#""ip": "*""#, &format!(r#""ip": "{ip}""#))).unwrap());
        assert!(local("127.0.0.1") && local("127.1.2.3") && local("::1") && local("localhost"));
        assert!(!local("0.0.0.0") && !local("*") && !local("10.0.0.1") && !local("example.org"));
    }
}

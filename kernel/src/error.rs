//! Why the kernel could not start.

use std::path::PathBuf;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("could not read the connection file {}", path.display())]
    ConnectionFile { path: PathBuf, source: std::io::Error },

    #[error("the connection file is not what Jupyter writes")]
    Connection { source: serde_json::Error },

    #[error(
        "the connection file asks for an encrypted connection ({key}), which this kernel does not speak: \
         turn encryption off in the server, and connect over loopback or an ssh tunnel"
    )]
    Encrypted { key: String },

    #[error(
        "everybody on this machine may write the connection file {}, and so say who may run code here: \
         chmod 600 it, or set JUPYTER_ALLOW_INSECURE_WRITES=1 where permissions mean nothing", path.display()
    )]
    Insecure { path: PathBuf },

    #[error(
        "the connection file says that {field} is 0: give every channel a port of its own, from 1 to 65535"
    )]
    NoPort { field: &'static str },

    #[error(
        "this is a registration file (registration_port), where this kernel takes a connection file, with a \
         port for each channel: no client writes registration files yet"
    )]
    Registration,

    #[error("signature_scheme is {scheme:?}: use hmac-sha256 or hmac-sha512")]
    SignatureScheme { scheme: String },

    #[error("could not listen on {address}")]
    Bind { address: String, source: std::io::Error },

    #[error("could not listen on {address}")]
    Socket {
        address: String,
        source: zeromq::ZmqError,
    },

    #[error(
        "there is no memory for the thread that runs scripts, a stack of {megabytes} MB: is it `ulimit -v`?"
    )]
    Stack {
        megabytes: usize,
        source: std::io::Error,
    },

    #[error(
        "there is no room for {megabytes} MB of address space, which the kernel takes to start: is it `ulimit -v`?"
    )]
    Room { megabytes: usize },

    #[error("could not start")]
    Start {
        #[from]
        source: std::io::Error,
    },
}

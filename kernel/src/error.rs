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

    #[error("signature_scheme is {scheme:?}: use hmac-sha256 or hmac-sha512")]
    SignatureScheme { scheme: String },

    #[error("could not listen on {address}")]
    Bind { address: String, source: std::io::Error },

    #[error("could not listen on {address}")]
    Socket {
        address: String,
        source: zeromq::ZmqError,
    },

    #[error("could not start")]
    Start {
        #[from]
        source: std::io::Error,
    },
}

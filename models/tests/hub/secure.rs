//! A hub with a certificate of its own, and a hub behind a proxy.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ecco_interpreter::{Diagnostic, unwatched};
use ecco_models::hub::{HubError, HubOptions, HubSettings, Proxies, fetch_with};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::place::{MODEL, Place, fetch, files, names};
use crate::server::Hub;

/// Files that all come from the hub itself: from a secure hub nothing leads to storage that is not.
fn secure_files() -> Vec<(&'static str, Vec<u8>)> {
    let mut files = files();
    files.retain(|(name, _)| *name != "model.safetensors");
    files
}

/// Before a hub: TLS with a certificate of a new authority. Its address, and the authority's certificate (PEM).
fn secure(hub: &Hub) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let pem = params.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(params, key);
    let own_key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let own = own.signed_by(&own_key, &issuer).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![own.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(own_key.serialize_der())),
        )
        .unwrap();
    let (config, plain) = (Arc::new(config), hub.url.trim_start_matches("http://").to_owned());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (config, plain) = (config.clone(), TcpStream::connect(&plain).unwrap());
            std::thread::spawn(move || {
                let connection = ServerConnection::new(config).unwrap();
                hand_through(stream, connection, plain)
            });
        }
    });
    (url, pem)
}

/// Whatever comes from one to the other, until one has enough.
fn hand_through(stream: TcpStream, connection: ServerConnection, mut plain: TcpStream) {
    for side in [&stream, &plain] {
        side.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
    }
    let mut secret = StreamOwned::new(connection, stream);
    let mut piece = [0; 16 << 10];
    loop {
        let sides: [(&mut dyn Read, bool); 2] = [(&mut secret, true), (&mut plain, false)];
        let mut came: Vec<(bool, Vec<u8>)> = Vec::new();
        for (side, is_secret) in sides {
            match side.read(&mut piece) {
                Ok(0) => return,
                Ok(n) => came.push((is_secret, piece[..n].to_vec())),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(_) => return,
            }
        }
        for (is_secret, bytes) in came {
            let sent = match is_secret {
                true => plain.write_all(&bytes),
                false => secret.write_all(&bytes).and_then(|()| secret.flush()),
            };
            if sent.is_err() {
                return;
            }
        }
    }
}

/// A proxy, and whom it was asked to connect to.
struct Proxy {
    url: String,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://me:secret@{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let heard = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let heard = heard.clone();
                std::thread::spawn(move || connect(stream, &heard));
            }
        });
        Self { url, asked }
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().unwrap())
    }
}

fn connect(mut client: TcpStream, asked: &Mutex<Vec<String>>) -> Option<()> {
    let mut reader = BufReader::new(client.try_clone().ok()?);
    let (mut head, mut line) = (Vec::new(), String::new());
    while reader.read_line(&mut line).ok()? > 2 {
        head.push(std::mem::take(&mut line));
    }
    let target = head
        .first()?
        .strip_prefix("CONNECT ")?
        .split(' ')
        .next()?
        .to_owned();
    // Of "me:secret".
    let known = head.iter().any(|line| {
        line.to_lowercase()
            .starts_with("proxy-authorization: basic bwu6c2vjcmv0")
    });
    asked.lock().unwrap().push(format!("{target} {known}"));
    let mut server = TcpStream::connect(&target).ok()?;
    client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").ok()?;
    let (mut to_client, mut from_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
    std::io::copy(&mut reader, &mut server).ok().map(drop)
}

fn fetch_secure(settings: &HubSettings) -> Result<PathBuf, HubError> {
    fetch_with(settings, MODEL, &HubOptions::default(), &mut unwatched).map(|snapshot| snapshot.folder)
}

#[test]
fn a_hub_with_a_certificate_of_its_own_is_trusted_where_one_says_so() {
    let (place, hub) = (Place::new("tls"), Hub::with(&secure_files()));
    let (url, pem) = secure(&hub);
    let stranger = HubSettings {
        endpoint: url,
        retries: 0,
        ..place.settings(&hub)
    };
    let error = fetch_secure(&stranger).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error:?}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("SSL_CERT_FILE"), "{error}: {hint}");
    assert!(hub.seen().is_empty(), "it was asked for something");

    let folder = place.cache().join("certificates");
    std::fs::create_dir(&folder).unwrap();
    let file = folder.join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    for ca_file in [file, folder] {
        let settings = HubSettings {
            ca_file: Some(ca_file),
            ..stranger.clone()
        };
        let folder = fetch_secure(&settings).unwrap();
        assert!(folder.join("pytorch_model.bin").is_file());
        std::fs::remove_dir_all(place.folder()).unwrap();
    }
}

#[test]
fn a_proxy_is_asked_but_for_what_needs_none() {
    let (place, hub, proxy) = (Place::new("proxy"), Hub::with(&secure_files()), Proxy::new());
    let (url, pem) = secure(&hub);
    let file = place.cache().join("ca.pem");
    std::fs::write(&file, pem).unwrap();
    let target = url.trim_start_matches("https://").to_owned();
    let settings = HubSettings {
        endpoint: url,
        ca_file: Some(file),
        proxies: Proxies {
            https: Some(proxy.url.clone()),
            ..Proxies::default()
        },
        ..place.settings(&hub)
    };
    fetch_secure(&settings).unwrap();
    let asked = proxy.asked();
    assert!(
        !asked.is_empty() && asked.iter().all(|one| *one == format!("{target} true")),
        "{asked:?}"
    );

    std::fs::remove_dir_all(place.folder()).unwrap();
    let without = HubSettings {
        proxies: Proxies {
            none_for: "example.org, localhost".to_owned(),
            ..settings.proxies.clone()
        },
        ..settings.clone()
    };
    fetch_secure(&without).unwrap();
    assert_eq!(proxy.asked(), Vec::<String>::new());
}

#[test]
fn a_hub_without_tls_has_the_proxy_of_its_scheme() {
    let (place, hub, proxy) = (Place::new("plain-proxy"), Hub::with(&files()), Proxy::new());
    let through = |proxies: Proxies| HubSettings {
        proxies,
        ..place.settings(&hub)
    };
    let url = || Some(proxy.url.clone());
    fetch(&through(Proxies {
        https: url(),
        ..Proxies::default()
    }))
    .unwrap();
    assert_eq!(proxy.asked(), Vec::<String>::new());
    for proxies in [
        Proxies {
            http: url(),
            ..Proxies::default()
        },
        Proxies {
            all: url(),
            ..Proxies::default()
        },
    ] {
        std::fs::remove_dir_all(place.folder()).unwrap();
        fetch(&through(proxies)).unwrap();
        assert!(!proxy.asked().is_empty());
    }
    place.assert_sound();
}

#[test]
fn a_proxy_that_cannot_be_used_is_named_without_its_password() {
    let (place, hub) = (Place::new("bad-proxy"), Hub::with(&files()));
    let settings = |proxy: &str, none_for: &str| HubSettings {
        proxies: Proxies {
            all: Some(proxy.to_owned()),
            none_for: none_for.to_owned(),
            ..Proxies::default()
        },
        retries: 0,
        ..place.settings(&hub)
    };
    for proxy in ["socks5://me:secret@127.0.0.1:1", "http://", "ftp://proxy"] {
        let error = fetch(&settings(proxy, "")).unwrap_err();
        assert!(matches!(error, HubError::InvalidProxy { .. }), "{error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert!(error.hint().unwrap().contains("NO_PROXY"));
    }
    let error = fetch(&settings("http://127.0.0.1:1", "")).unwrap_err();
    assert!(matches!(error, HubError::Unreachable { .. }), "{error:?}");
    assert!(error.hint().unwrap().contains("proxy"), "{error}");
    assert_eq!(names(&place.cache()), Vec::<String>::new());
    fetch(&settings("http://127.0.0.1:1", "127.0.0.0/8")).unwrap();
}

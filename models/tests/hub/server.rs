//! A model hub on this machine: speaks the protocol of huggingface.co as far as fetching a model needs it, from one
//! port for the hub and another for its storage, and misbehaves on request.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sha1::{Digest, Sha1};
use sha2::Sha256;

pub(crate) const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

/// What goes wrong with the next answers for a file (or for "api").
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Mischief {
    /// Announces the whole body, sends this many bytes and hangs up.
    CutAt(usize),
    /// Sends this many bytes and then nothing more, without hanging up.
    StallAt(usize),
    /// Takes the request and says nothing.
    Silence,
    /// The right length, other bytes.
    WrongContent,
    /// 200 and a page for people, with its length, or without.
    Page { with_length: bool },
    /// A status with one header, also for HEAD and the description.
    Status(u16, &'static str, &'static str),
    /// A status in place of the body, after a good HEAD.
    BodyStatus(u16),
    /// Ignores the wish for a part and sends all.
    NoRanges,
}

/// One request as the server saw it.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub method: String,
    pub path: String,
    pub storage: bool,
    pub range: Option<String>,
    pub token: Option<String>,
}

struct Stored {
    bytes: Vec<u8>,
    large: bool,
}

#[derive(Default)]
struct State {
    files: BTreeMap<String, Stored>,
    /// Listed, but not served.
    listed: Vec<String>,
    mischief: HashMap<String, Vec<Mischief>>,
    /// A pause before each piece of a body.
    slow: Option<Duration>,
    seen: Vec<Seen>,
    /// Clients that hung up on a silent or stalled answer.
    hung_up: usize,
}

pub(crate) struct Hub {
    pub url: String,
    storage: String,
    state: Arc<Mutex<State>>,
}

impl Hub {
    /// Serves any model id with these files; those that end in .safetensors come from the storage, as large files do.
    pub(crate) fn with(files: &[(&str, Vec<u8>)]) -> Self {
        let (hub, storage) = (listen(), listen());
        let url = format!("http://{}", hub.local_addr().unwrap());
        let storage_url = format!("http://{}", storage.local_addr().unwrap());
        let state = Arc::new(Mutex::new(State::default()));
        for (name, bytes) in files {
            let stored = Stored {
                bytes: bytes.clone(),
                large: name.ends_with(".safetensors"),
            };
            state.lock().unwrap().files.insert((*name).to_owned(), stored);
        }
        for (listener, is_storage) in [(hub, false), (storage, true)] {
            let (state, storage) = (state.clone(), storage_url.clone());
            std::thread::spawn(move || {
                for stream in listener.incoming().flatten() {
                    let (state, storage) = (state.clone(), storage.clone());
                    std::thread::spawn(move || serve(stream, is_storage, &storage, &state));
                }
            });
        }
        Self {
            url,
            storage: storage_url,
            state,
        }
    }

    /// The next answers for `file`, or for the description ("api"); afterwards all is well again.
    pub(crate) fn misbehave(&self, file: &str, mischief: &[Mischief]) {
        let mut mischief = mischief.to_vec();
        mischief.reverse();
        self.state
            .lock()
            .unwrap()
            .mischief
            .insert(file.to_owned(), mischief);
    }

    pub(crate) fn behave(&self) {
        let mut state = self.state.lock().unwrap();
        state.mischief.clear();
        state.listed.clear();
    }

    pub(crate) fn list(&self, name: &str) {
        self.state.lock().unwrap().listed.push(name.to_owned());
    }

    pub(crate) fn slow_down(&self, pause: Duration) {
        self.state.lock().unwrap().slow = Some(pause);
    }

    /// What was asked since the last call.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut self.state.lock().unwrap().seen)
    }

    pub(crate) fn hung_up(&self) -> usize {
        self.state.lock().unwrap().hung_up
    }

    pub(crate) fn storage_url(&self) -> &str {
        &self.storage
    }
}

pub(crate) fn git_sha1(bytes: &[u8]) -> String {
    hex(&Sha1::new_with_prefix(format!("blob {}\0", bytes.len()))
        .chain_update(bytes)
        .finalize())
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn listen() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// Answers requests on one connection until the peer, or a mischief, ends it.
fn serve(stream: TcpStream, storage: bool, storage_url: &str, state: &Mutex<State>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let mut stream = stream;
    while let Some(seen) = read_request(&mut reader, storage) {
        state.lock().unwrap().seen.push(seen.clone());
        let answer = answer(&seen, storage_url, &mut state.lock().unwrap());
        let slow = state.lock().unwrap().slow;
        if !send(&mut stream, &seen, &answer, slow) {
            if matches!(answer.mischief, Some(Mischief::Silence | Mischief::StallAt(_))) {
                // Until the client has enough of it.
                let _ = std::io::copy(&mut reader, &mut std::io::sink());
                state.lock().unwrap().hung_up += 1;
            }
            return;
        }
    }
}

fn read_request(reader: &mut impl BufRead, storage: bool) -> Option<Seen> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
    let mut words = line.split_whitespace();
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut seen = Seen {
        method,
        path,
        storage,
        range: None,
        token: None,
    };
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|n| *n > 0)?;
        let Some((name, value)) = line.trim_end().split_once(": ") else {
            return Some(seen);
        };
        match name.to_ascii_lowercase().as_str() {
            "range" => seen.range = Some(value.to_owned()),
            "authorization" => seen.token = Some(value.to_owned()),
            _ => {}
        }
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    mischief: Option<Mischief>,
}

impl Answer {
    fn new(status: u16, headers: &[(&str, &str)], body: Vec<u8>) -> Self {
        let headers = headers
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        Self {
            status,
            headers: headers.collect(),
            body,
            mischief: None,
        }
    }
}

fn answer(seen: &Seen, storage_url: &str, state: &mut State) -> Answer {
    let path = seen.path.split('?').next().unwrap_or_default();
    if let Some(rest) = path.strip_prefix("/api/models/") {
        return describe(rest, state);
    }
    if path.starts_with("/api/resolve-cache/") || seen.storage {
        let name = named(path).to_owned();
        return body(&name, seen, state);
    }
    let name = named(path);
    let Some(file) = state.files.get(name) else {
        return Answer::new(404, &[("x-error-code", "EntryNotFound")], Vec::new());
    };
    if let Some(Mischief::Status(status, key, value)) = state.mischief.get(name).and_then(|next| next.last())
    {
        let answer = Answer::new(*status, &[(key, value)], Vec::new());
        state.mischief.get_mut(name).and_then(Vec::pop);
        return answer;
    }
    if !file.large {
        let at = format!("/api/resolve-cache{path}");
        return Answer::new(
            307,
            &[("x-repo-commit", COMMIT), ("location", &at)],
            b"elsewhere".to_vec(),
        );
    }
    let headers = [
        ("x-repo-commit", COMMIT),
        ("x-linked-etag", &format!("\"{}\"", sha256(&file.bytes))),
        ("x-linked-size", &file.bytes.len().to_string()),
        ("location", &format!("{storage_url}/lfs/{name}?signature=secret")),
    ];
    Answer::new(302, &headers, b"elsewhere".to_vec())
}

/// The file that a path names, within its folders.
fn named(path: &str) -> &str {
    match path
        .rsplit_once("/resolve/")
        .and_then(|(_, rest)| rest.split_once('/'))
    {
        Some((_, name)) => name,
        None => path
            .strip_prefix("/lfs/")
            .unwrap_or_else(|| path.rsplit('/').next().unwrap_or_default()),
    }
}

/// "owner/name/revision/main": what a revision consists of.
fn describe(rest: &str, state: &mut State) -> Answer {
    let mischief = state.mischief.get_mut("api").and_then(Vec::pop);
    match &mischief {
        Some(Mischief::Status(status, key, value)) => {
            return Answer::new(*status, &[(key, value)], Vec::new());
        }
        Some(Mischief::Page { .. }) => {
            return Answer {
                mischief,
                ..Answer::new(200, &[], Vec::new())
            };
        }
        _ => {}
    }
    // As the hub does for the models that had no owner once.
    if !rest.split("/revision/").next().unwrap_or_default().contains('/') {
        let at = format!("/api/models/old/{rest}");
        return Answer::new(307, &[("location", &at)], Vec::new());
    }
    let names = state.files.keys().chain(&state.listed);
    let siblings: Vec<_> = names.map(|name| serde_json::json!({"rfilename": name})).collect();
    let body = serde_json::json!({"id": "a/b", "private": false, "sha": COMMIT, "siblings": siblings});
    let mut answer = Answer::new(
        200,
        &[("content-type", "application/json")],
        body.to_string().into_bytes(),
    );
    answer.mischief = mischief;
    answer
}

/// The bytes of a file, or the part of them that was asked for.
fn body(name: &str, seen: &Seen, state: &mut State) -> Answer {
    let Some(file) = state.files.get(name) else {
        return Answer::new(404, &[], Vec::new());
    };
    let mischief = match seen.method.as_str() {
        "GET" => state.mischief.get_mut(name).and_then(Vec::pop),
        _ => None,
    };
    if let Some(Mischief::BodyStatus(status)) = mischief {
        return Answer::new(status, &[], b"<h1>Trouble</h1>".to_vec());
    }
    let etag = if file.large {
        "\"a-hash-of-the-storage\"".to_owned()
    } else {
        format!("\"{}\"", git_sha1(&file.bytes))
    };
    let from = seen
        .range
        .as_deref()
        .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok());
    let total = file.bytes.len();
    let mut answer = match from {
        Some(from) if from < total && mischief != Some(Mischief::NoRanges) => {
            let range = format!("bytes {from}-{}/{total}", total - 1);
            Answer::new(206, &[("content-range", &range)], file.bytes[from..].to_vec())
        }
        _ => Answer::new(200, &[], file.bytes.clone()),
    };
    answer.headers.push(("etag".to_owned(), etag));
    answer
        .headers
        .push(("x-repo-commit".to_owned(), COMMIT.to_owned()));
    if mischief == Some(Mischief::WrongContent) {
        answer.body.iter_mut().for_each(|byte| *byte ^= 1);
    }
    answer.mischief = mischief;
    answer
}

/// False when the connection ends here.
fn send(stream: &mut TcpStream, seen: &Seen, answer: &Answer, slow: Option<Duration>) -> bool {
    const PAGE: &[u8] = b"<!doctype html><title>Please log in</title>";
    let mut body = answer.body.as_slice();
    let mut length = Some(body.len());
    let mut end = None;
    match answer.mischief {
        Some(Mischief::Silence) => return false,
        Some(Mischief::Page { with_length }) => {
            body = PAGE;
            length = with_length.then_some(PAGE.len());
            end = Some(PAGE.len());
        }
        Some(Mischief::CutAt(at) | Mischief::StallAt(at)) => end = Some(at.min(body.len())),
        _ => {}
    }
    let mut head = format!("HTTP/1.1 {} Whatever\r\n", answer.status);
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    head += &length.map_or("connection: close\r\n".to_owned(), |n| {
        format!("content-length: {n}\r\n")
    });
    head += "\r\n";
    if stream.write_all(head.as_bytes()).is_err() || seen.method == "HEAD" {
        return length.is_some();
    }
    for piece in body[..end.unwrap_or(body.len())].chunks(32 * 1024) {
        if let Some(pause) = slow {
            std::thread::sleep(pause);
        }
        if stream.write_all(piece).is_err() {
            return false;
        }
    }
    end.is_none()
}

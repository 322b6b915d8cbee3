//! Requests that can be broken off: each runs on a thread of its own, which hands the answer over in pieces, so that
//! the caller polls its watch several times a second whatever the server does.
//!
//! hf-hub's own downloader is not used: it sets no timeouts, checks neither status nor length nor hash of what it
//! stores, and cannot be interrupted. Its types for repositories and cache folders are, and the HTTP client it
//! brings (ureq), which since 3.5 has a timeout for each read and can be shut down from outside.

use std::io::Read;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use hf_hub::Repo;
use ureq::ProxyProtocol;
use ureq::http::header::{AUTHORIZATION, CONTENT_LENGTH, LOCATION, RANGE, RETRY_AFTER};
use ureq::http::{HeaderMap, Method, Request};
use ureq::tls::TlsConfig;

use super::address::{check_endpoint, origin, resolve, server};
use super::certificates::tls;
use super::error::HubError;
use super::proxy::shown;
use super::settings::HubSettings;
use ecco_interpreter::{Progress, Watch};

/// How often the watch is asked while nothing arrives.
const POLL: Duration = Duration::from_millis(100);
const PIECE: usize = 64 * 1024;
const MAX_REDIRECTS: usize = 10;
/// No server may ask for a longer pause.
const MAX_PAUSE: Duration = Duration::from_secs(30);

/// Talks to one hub. Its agents, one for each proxy and one for none, keep connections open between requests.
pub(super) struct Client<'a> {
    settings: &'a HubSettings,
    agents: Vec<(Option<String>, ureq::Agent)>,
}

/// What arrives from the thread that runs a request; the sender is gone when the body has ended.
enum Event {
    Head(u16, HeaderMap),
    Piece(Vec<u8>),
    Failed(ureq::Error),
}

/// An answer whose body has not been read yet.
pub(super) struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub server: String,
    events: Receiver<Event>,
    agent: ureq::Agent,
    stall: Duration,
}

/// What comes next of a body.
pub(super) enum Piece {
    Bytes(Vec<u8>),
    End,
    /// It ended too early, or stalled.
    Broken(ureq::Error),
}

/// A request as the caller thinks of it.
pub(super) struct Ask<'a> {
    pub method: Method,
    pub url: String,
    /// First byte of the body that is wanted.
    pub from: u64,
    /// Names the thing asked for in messages: "config.json".
    pub what: &'a str,
}

impl<'a> Client<'a> {
    pub(super) fn new(settings: &'a HubSettings) -> Result<Self, HubError> {
        check_endpoint(&settings.endpoint)?;
        if let Some(token) = &settings.token
            && !token.bytes().all(|byte| byte.is_ascii_graphic())
        {
            return Err(HubError::InvalidToken);
        }
        let tls = tls(settings)?;
        let HubSettings { proxies, .. } = settings;
        let named = [&proxies.https, &proxies.http, &proxies.all].map(Option::as_ref);
        let mut names: Vec<Option<String>> = named.into_iter().flatten().cloned().map(Some).collect();
        names.push(None);
        // One that cannot be used is in the way of what is asked through it only.
        let agents = names.into_iter().filter_map(|name| {
            let agent = agent(settings, name.as_deref(), tls.clone())?;
            Some((name, agent))
        });
        Ok(Self {
            settings,
            agents: agents.collect(),
        })
    }

    /// Who asks for an address.
    fn agent(&self, url: &str) -> Result<ureq::Agent, HubError> {
        let proxy = self.settings.proxies.of(url);
        let mut agents = self.agents.iter();
        let agent = agents.find(|(name, _)| name.as_deref() == proxy);
        let unusable = || HubError::InvalidProxy {
            proxy: shown(proxy.unwrap_or_default()),
        };
        Ok(agent.ok_or_else(unusable)?.1.clone())
    }

    pub(super) fn settings(&self) -> &HubSettings {
        self.settings
    }

    /// Where the hub describes `repo`.
    pub(super) fn info_url(&self, repo: &Repo) -> String {
        format!("{}/api/{}", self.settings.endpoint, repo.api_url())
    }

    /// Where the hub serves a file of `repo` as it was at `commit`.
    pub(super) fn file_url(&self, repo: &Repo, commit: &str, file: &str) -> String {
        format!(
            "{}/{}/resolve/{commit}/{file}",
            self.settings.endpoint,
            repo.url()
        )
    }

    /// Sends a request and follows redirects. A HEAD stops at the redirect that carries the file's true hash: the
    /// storage behind it knows only its own.
    pub(super) fn send(&self, ask: &Ask, progress: &Progress, watch: &mut Watch) -> Result<Reply, HubError> {
        let mut url = ask.url.clone();
        for _ in 0..MAX_REDIRECTS {
            let reply = self.exchange(ask, &url, progress, watch)?;
            let location = match reply.status {
                301 | 302 | 303 | 307 | 308 => header(&reply.headers, LOCATION.as_str()),
                _ => return Ok(reply),
            };
            if ask.method == Method::HEAD && reply.headers.contains_key("x-linked-etag") {
                return Ok(reply);
            }
            let target = location.and_then(|location| resolve(&url, location));
            url = target.ok_or_else(|| reply.odd("it redirects to nowhere"))?;
        }
        Err(HubError::NotAHub {
            server: server(&url),
            reason: "it redirects in circles".to_owned(),
        })
    }

    /// One request to one server.
    fn exchange(
        &self,
        ask: &Ask,
        url: &str,
        progress: &Progress,
        watch: &mut Watch,
    ) -> Result<Reply, HubError> {
        let server = server(url);
        let mut request = Request::builder().method(ask.method.clone()).uri(url);
        if ask.from > 0 {
            request = request.header(RANGE, format!("bytes={}-", ask.from));
        }
        if let Some(token) = &self.settings.token
            && origin(url) == origin(&self.settings.endpoint)
        {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let request = request.body(()).map_err(|_| HubError::NotAHub {
            server: server.clone(),
            reason: "it redirects to something that is not an address".to_owned(),
        })?;
        let agent = self.agent(url)?;
        let events = run(agent.clone(), request).map_err(|source| HubError::Unreachable {
            server: server.clone(),
            source: Box::new(source.into()),
        })?;
        let stall = self.settings.stall_timeout;
        let mut reply = Reply {
            status: 0,
            headers: HeaderMap::new(),
            server,
            events,
            agent,
            stall,
        };
        match reply.next(progress, watch)? {
            Some(Event::Head(status, headers)) => {
                (reply.status, reply.headers) = (status, headers);
                Ok(reply)
            }
            Some(Event::Failed(error)) => Err(self.failure(reply.server, ask.what, error)),
            Some(Event::Piece(_)) | None => Err(reply.odd("it closed the connection")),
        }
    }

    fn failure(&self, server: String, what: &str, error: ureq::Error) -> HubError {
        let after = match error {
            ureq::Error::Timeout(ureq::Timeout::Resolve | ureq::Timeout::Connect) => {
                self.settings.connect_timeout
            }
            ureq::Error::Timeout(_) => self.settings.stall_timeout,
            error => {
                return HubError::Unreachable {
                    server,
                    source: Box::new(error),
                };
            }
        };
        HubError::TimedOut {
            server,
            what: what.to_owned(),
            after,
        }
    }

    /// Runs `attempt` until it succeeds, fails for good, or has failed `retries` times in a row in a way that
    /// `again` calls worth another try. An attempt that brought something on starts the count anew.
    pub(super) fn patiently<T>(
        &self,
        progress: &Progress,
        watch: &mut Watch,
        again: impl Fn(&HubError) -> bool,
        mut attempt: impl FnMut(&mut Watch, &mut bool) -> Result<T, HubError>,
    ) -> Result<T, HubError> {
        let mut failures = 0;
        loop {
            let mut went_on = false;
            let error = match attempt(watch, &mut went_on) {
                Err(error) if again(&error) => error,
                result => return result,
            };
            failures = if went_on { 1 } else { failures + 1 };
            if failures > self.settings.retries {
                return Err(error);
            }
            let asked = match error {
                HubError::Status { retry_after, .. } => retry_after,
                _ => None,
            };
            let growing = self
                .settings
                .retry_pause
                .saturating_mul(1 << (failures - 1).min(6));
            pause(asked.unwrap_or(growing).min(MAX_PAUSE), progress, watch)?;
        }
    }
}

impl Reply {
    /// The next piece of the body.
    pub(super) fn piece(&mut self, progress: &Progress, watch: &mut Watch) -> Result<Piece, HubError> {
        loop {
            return Ok(match self.next(progress, watch)? {
                Some(Event::Piece(bytes)) => Piece::Bytes(bytes),
                Some(Event::Failed(error)) => Piece::Broken(error),
                Some(Event::Head(..)) => continue,
                None => Piece::End,
            });
        }
    }

    /// The whole body, which may have at most `limit` bytes and may take four times the stall timeout.
    pub(super) fn small_body(
        mut self,
        limit: usize,
        progress: &Progress,
        watch: &mut Watch,
    ) -> Result<Vec<u8>, HubError> {
        let deadline = Instant::now() + self.stall.saturating_mul(4);
        let mut body = Vec::new();
        loop {
            match self.piece(progress, watch)? {
                Piece::Bytes(bytes) => body.extend(bytes),
                Piece::Broken(ureq::Error::Timeout(_)) => return Err(self.timed_out(&progress.label)),
                Piece::Broken(error) => {
                    return Err(HubError::Unreachable {
                        server: self.server,
                        source: Box::new(error),
                    });
                }
                Piece::End => return Ok(body),
            }
            if body.len() > limit {
                return Err(self.odd("its answer is far too long"));
            }
            if Instant::now() > deadline {
                return Err(self.timed_out(&progress.label));
            }
        }
    }

    fn next(&mut self, progress: &Progress, watch: &mut Watch) -> Result<Option<Event>, HubError> {
        loop {
            if watch(progress).is_break() {
                // Wakes the thread out of its read, and closes the connection.
                self.agent.clone().shutdown();
                return Err(HubError::Interrupted);
            }
            match self.events.recv_timeout(POLL) {
                Ok(event) => return Ok(Some(event)),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(None),
            }
        }
    }

    pub(super) fn timed_out(&self, what: &str) -> HubError {
        HubError::TimedOut {
            server: self.server.clone(),
            what: what.to_owned(),
            after: self.stall,
        }
    }

    pub(super) fn odd(&self, reason: &str) -> HubError {
        HubError::NotAHub {
            server: self.server.clone(),
            reason: reason.to_owned(),
        }
    }

    /// The error for a status that is not the wanted one.
    pub(super) fn unexpected(&self, what: &str) -> HubError {
        let retry_after = header(&self.headers, RETRY_AFTER.as_str()).and_then(|value| value.parse().ok());
        HubError::Status {
            server: self.server.clone(),
            what: what.to_owned(),
            status: self.status,
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    pub(super) fn content_length(&self) -> Option<u64> {
        header(&self.headers, CONTENT_LENGTH.as_str())?.parse().ok()
    }
}

/// What asks through a proxy, or through none; `None` for a proxy that cannot be used.
fn agent(settings: &HubSettings, proxy: Option<&str>, tls: TlsConfig) -> Option<ureq::Agent> {
    let proxy = match proxy {
        Some(proxy) => Some(
            ureq::Proxy::new(proxy)
                .ok()
                .filter(|proxy| matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https))?,
        ),
        None => None,
    };
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("ecco-kernel/", env!("CARGO_PKG_VERSION")))
        // Lengths and hashes are those of the plain bytes.
        .accept_encoding("identity")
        .tls_config(tls)
        .proxy(proxy)
        .timeout_resolve(Some(settings.connect_timeout))
        .timeout_connect(Some(settings.connect_timeout))
        .timeout_per_read(Some(settings.stall_timeout))
        .timeout_per_write(Some(settings.stall_timeout));
    Some(config.build().into())
}

/// Runs a request on its own thread. The channel is short: a slow reader holds the server back, not the memory.
fn run(agent: ureq::Agent, request: Request<()>) -> std::io::Result<Receiver<Event>> {
    let (sender, events) = sync_channel(4);
    std::thread::Builder::new()
        .name("hub request".to_owned())
        .spawn(move || {
            if let Err(error) = hand_over(&agent, request, &sender) {
                // Nobody is left to tell when the reply was dropped.
                let _ = sender.send(Event::Failed(error));
            }
        })?;
    Ok(events)
}

fn hand_over(
    agent: &ureq::Agent,
    request: Request<()>,
    sender: &SyncSender<Event>,
) -> Result<(), ureq::Error> {
    let (head, body) = agent.run(request)?.into_parts();
    if sender
        .send(Event::Head(head.status.as_u16(), head.headers))
        .is_err()
    {
        return Ok(());
    }
    let mut reader = body.into_reader();
    loop {
        let mut piece = vec![0; PIECE];
        let n = reader.read(&mut piece).map_err(ureq::Error::from)?;
        piece.truncate(n);
        if n == 0 || sender.send(Event::Piece(piece)).is_err() {
            return Ok(());
        }
    }
}

/// Sleeps, watched.
pub(super) fn pause(time: Duration, progress: &Progress, watch: &mut Watch) -> Result<(), HubError> {
    let end = Instant::now() + time;
    loop {
        if watch(progress).is_break() {
            return Err(HubError::Interrupted);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(POLL));
    }
}

pub(super) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

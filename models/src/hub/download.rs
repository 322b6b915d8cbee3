//! One file, from the question what it should be to the verified blob.

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::Path;

use hf_hub::Repo;
use ureq::http::Method;
use ureq::http::header::{CONTENT_RANGE, ETAG};

use super::cache::{Etag, ModelCache, io_error};
use super::error::HubError;
use super::http::{Ask, Client, Piece, Reply, header};
use ecco_interpreter::{Progress, Watch};

/// An answer that breaks off after this many bytes does not count as a failure in a row: a bad line brings a large
/// file in the end. A server that sends little and hangs up is not asked for ever.
const WORTHWHILE: u64 = 1 << 20;

/// A file of a model at a commit.
pub(super) struct Source<'a> {
    pub client: &'a Client<'a>,
    pub cache: &'a ModelCache,
    pub repo: &'a Repo,
    pub commit: &'a str,
}

/// What the hub promises about a file before it sends it.
struct Promise {
    etag: Etag,
    size: Option<u64>,
}

impl Source<'_> {
    /// Makes sure that the snapshot has `file`; asks nobody when it does.
    pub(super) fn fetch(&self, file: &str, watch: &mut Watch) -> Result<(), HubError> {
        if self.cache.snapshot(self.commit).join(file).is_file() {
            return Ok(());
        }
        let promise = self.promise(file, watch)?;
        if !self.has_good_blob(&promise, file, watch)? {
            let _lock = self.cache.lock(&promise.etag, file, watch)?;
            // Whoever held the lock may have brought it.
            if !self.has_good_blob(&promise, file, watch)? {
                self.download(file, &promise, watch)?;
            }
        }
        self.cache.point(self.commit, file, &promise.etag)
    }

    /// Another commit, or another program, may have brought the same contents; they are believed once checked.
    fn has_good_blob(&self, promise: &Promise, file: &str, watch: &mut Watch) -> Result<bool, HubError> {
        let blob = self.cache.blob(&promise.etag);
        if !blob.is_file() {
            return Ok(false);
        }
        match self.cache.verify(&promise.etag, &blob, file, watch) {
            Ok(()) => Ok(true),
            Err(HubError::Corrupted { .. }) => {
                std::fs::remove_file(&blob).map_err(|source| io_error(&blob, source))?;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    fn promise(&self, file: &str, watch: &mut Watch) -> Result<Promise, HubError> {
        let label = format!("looking up {file}").into();
        let progress = Progress {
            label,
            done: 0,
            total: None,
            unit: "bytes",
        };
        self.client
            .patiently(&progress, watch, HubError::is_busy, |watch, _| {
                let url = self.client.file_url(self.repo, self.commit, file);
                let ask = Ask {
                    method: Method::HEAD,
                    url,
                    from: 0,
                    what: file,
                };
                let reply = self.client.send(&ask, &progress, watch)?;
                match reply.status {
                    200 | 301 | 302 | 303 | 307 | 308 => self.read_promise(file, &reply),
                    _ => Err(self.refusal(file, &reply)),
                }
            })
    }

    fn read_promise(&self, file: &str, reply: &Reply) -> Result<Promise, HubError> {
        let etag = header(&reply.headers, "x-linked-etag").or_else(|| header(&reply.headers, ETAG.as_str()));
        let etag = etag.and_then(Etag::parse);
        let etag = etag.ok_or_else(|| reply.odd(&format!("it gives no hash to check {file} against")))?;
        let linked = header(&reply.headers, "x-linked-size").and_then(|size| size.parse().ok());
        // The length of a redirect is that of the redirect.
        let own = if reply.status == 200 {
            reply.content_length()
        } else {
            None
        };
        Ok(Promise {
            etag,
            size: linked.or(own),
        })
    }

    fn refusal(&self, file: &str, reply: &Reply) -> HubError {
        match reply.status {
            401 | 403 => super::access_denied(self.client.settings(), &self.repo.url(), reply.status),
            404 => HubError::FileNotFound {
                repo_id: self.repo.url(),
                file: file.to_owned(),
            },
            _ => reply.unexpected(file),
        }
    }

    /// Brings the body and verifies it. What a failed check finds bad is deleted; when some of it came from an
    /// earlier try, or from several answers, that may be the reason, and it is fetched once more from the start.
    fn download(&self, file: &str, promise: &Promise, watch: &mut Watch) -> Result<(), HubError> {
        let mut fresh = false;
        loop {
            let (own, mut partial) = self.cache.take_partial(&promise.etag)?;
            let filled = self.fill((&own, &mut partial), file, promise, watch);
            let pieced = *filled.as_ref().unwrap_or(&false);
            let verified = filled
                .and_then(|_| self.cache.verify(&promise.etag, &own, file, watch))
                .and_then(|()| self.cache.publish(&promise.etag, &own));
            match verified {
                Err(HubError::Corrupted { .. }) if pieced && !fresh => {
                    std::fs::remove_file(&own).map_err(|source| io_error(&own, source))?;
                    fresh = true;
                }
                Err(error @ HubError::Corrupted { .. }) => {
                    std::fs::remove_file(&own).map_err(|source| io_error(&own, source))?;
                    return Err(error);
                }
                Err(error) => {
                    self.cache.leave_partial(&promise.etag, &own);
                    return Err(error);
                }
                Ok(()) => return Ok(()),
            }
        }
    }

    /// Appends to the file at `own` until it has all bytes. True when not all of them came with one answer.
    fn fill(
        &self,
        (own, partial): (&Path, &mut File),
        file: &str,
        promise: &Promise,
        watch: &mut Watch,
    ) -> Result<bool, HubError> {
        let mut body = Body {
            out: partial,
            path: own,
            file,
            size: promise.size,
        };
        let mut answers = 0;
        let mut progress = body.progress(0);
        progress.done = body.length()?;
        let resumed = progress.done > 0;
        self.client
            .patiently(&progress, watch, HubError::is_transient, |watch, went_on| {
                let have = body.length()?;
                if promise.size == Some(have) {
                    return Ok(());
                }
                answers += 1;
                let result = self.append(&mut body, have, watch);
                *went_on = body.length()?.saturating_sub(have) >= WORTHWHILE;
                result
            })?;
        Ok(resumed || answers > 1)
    }

    /// Asks for the bytes from `have` on and appends what comes.
    fn append(&self, body: &mut Body, have: u64, watch: &mut Watch) -> Result<(), HubError> {
        let url = self.client.file_url(self.repo, self.commit, body.file);
        let ask = Ask {
            method: Method::GET,
            url,
            from: have,
            what: body.file,
        };
        let mut reply = self.client.send(&ask, &body.progress(have), watch)?;
        let start = match reply.status {
            200 => 0,
            206 if range_start(&reply) == Some(have) => have,
            // It cannot go on from there: start anew with the next try.
            206 | 416 => {
                body.cut_to(0)?;
                return Err(body.cut_off(0));
            }
            _ => return Err(self.refusal(body.file, &reply)),
        };
        body.check_announced(start, &reply)?;
        body.cut_to(start)?;
        body.copy(start, &mut reply, watch)
    }
}

/// The file that a body is written to.
struct Body<'a> {
    out: &'a mut File,
    path: &'a Path,
    file: &'a str,
    size: Option<u64>,
}

impl Body<'_> {
    fn progress(&self, done: u64) -> Progress {
        Progress {
            label: format!("downloading {}", self.file).into(),
            done,
            total: self.size,
            unit: "bytes",
        }
    }

    fn length(&self) -> Result<u64, HubError> {
        Ok(self
            .out
            .metadata()
            .map_err(|source| io_error(self.path, source))?
            .len())
    }

    fn cut_to(&mut self, length: u64) -> Result<(), HubError> {
        let cut = self
            .out
            .set_len(length)
            .and_then(|()| self.out.seek(SeekFrom::Start(length)));
        cut.map(drop).map_err(|source| io_error(self.path, source))
    }

    /// A body that announces another length than the file has is not the file but, say, a login page: nothing of it
    /// is written, and what had arrived before stays.
    fn check_announced(&self, start: u64, reply: &Reply) -> Result<(), HubError> {
        match (self.size, reply.content_length()) {
            (Some(size), Some(length)) if start.checked_add(length) != Some(size) => {
                Err(reply.odd(&format!(
                    "it sends {length} bytes of {} from {start} on, of {size} in all",
                    self.file
                )))
            }
            _ => Ok(()),
        }
    }

    fn copy(&mut self, start: u64, reply: &mut Reply, watch: &mut Watch) -> Result<(), HubError> {
        let mut progress = self.progress(start);
        progress.total = self
            .size
            .or_else(|| Some(start.saturating_add(reply.content_length()?)));
        loop {
            match reply.piece(&progress, watch)? {
                Piece::Bytes(bytes) => {
                    progress.done += bytes.len() as u64;
                    if let Some(size) = self.size.filter(|size| progress.done > *size) {
                        self.cut_to(0)?;
                        return Err(self.too_long(size));
                    }
                    self.out
                        .write_all(&bytes)
                        .map_err(|source| io_error(self.path, source))?;
                }
                Piece::End if progress.total.is_none_or(|total| total == progress.done) => return Ok(()),
                Piece::Broken(ureq::Error::Timeout(_)) => return Err(reply.timed_out(self.file)),
                Piece::End | Piece::Broken(_) => return Err(self.cut_off(progress.done)),
            }
        }
    }

    fn cut_off(&self, got: u64) -> HubError {
        HubError::CutOff {
            file: self.file.to_owned(),
            got,
            expected: self.size,
        }
    }

    fn too_long(&self, size: u64) -> HubError {
        HubError::Corrupted {
            file: self.file.to_owned(),
            expected: format!("{size} bytes"),
            actual: "more".to_owned(),
        }
    }
}

/// First byte of a partial answer: "bytes 100-199/200" → 100.
fn range_start(reply: &Reply) -> Option<u64> {
    let range = header(&reply.headers, CONTENT_RANGE.as_str())?.strip_prefix("bytes ")?;
    range.split('-').next()?.trim().parse().ok()
}

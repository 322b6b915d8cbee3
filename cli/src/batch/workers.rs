//! The processes that work: started, told what to do, heard, and started again where one ends.

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::message::{FromWorker, Job, Part};

/// Workers that end so often after each other, and nothing is done between, would do so for ever.
const MOST_DEATHS: u32 = 10;

/// How long one may take to end.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a worker said, or how it ended.
pub(super) enum Heard {
    Said(FromWorker),
    /// It is gone; the first of the parts that it had is the one that it was at.
    Gone {
        had: Vec<u64>,
        how: String,
    },
}

pub(super) struct Workers {
    all: Vec<Worker>,
    how: How,
    events: Receiver<Event>,
    send: Sender<Event>,
    deaths: u32,
}

/// How one is started.
pub(super) struct How {
    pub job: String,
    /// A command for the shell that passes messages on; by default this program itself.
    pub through: Option<String>,
    pub threads: usize,
    pub matmul: String,
}

struct Worker {
    process: Child,
    /// `None` once nothing more is said to it.
    to: Option<ChildStdin>,
    /// 0 until it is ready.
    slots: usize,
    parts: VecDeque<u64>,
    /// Which start of it this is: what an earlier one said is not heard.
    start: u64,
}

struct Event {
    worker: usize,
    start: u64,
    /// `None` when there is nothing more to come.
    line: Option<String>,
}

impl Workers {
    pub(super) fn start(n: usize, how: How) -> anyhow::Result<Self> {
        let (send, events) = channel();
        let mut workers = Self {
            all: Vec::new(),
            how,
            events,
            send,
            deaths: 0,
        };
        for at in 0..n {
            let worker = workers.started(at, 0)?;
            workers.all.push(worker);
        }
        Ok(workers)
    }

    fn started(&self, at: usize, start: u64) -> anyhow::Result<Worker> {
        let mut command = match &self.how.through {
            Some(through) => {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", &format!("exec {through}")]);
                command
            }
            None => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("batch-worker");
                command
            }
        };
        let mut process = command
            .env("OMP_NUM_THREADS", self.how.threads.to_string())
            .env("ECCO_MATMUL", &self.how.matmul)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("a worker could not be started")?;
        let mut to = process.stdin.take().context("a worker has no input")?;
        let from = process.stdout.take().context("a worker has no output")?;
        let send = self.send.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines() {
                let Ok(line) = line else { break };
                let event = Event {
                    worker: at,
                    start,
                    line: Some(line),
                };
                if send.send(event).is_err() {
                    return;
                }
            }
            let _ = send.send(Event {
                worker: at,
                start,
                line: None,
            });
        });
        // One that is gone already is heard of.
        let _ = to.write_all(self.how.job.as_bytes());
        Ok(Worker {
            process,
            to: Some(to),
            slots: 0,
            parts: VecDeque::new(),
            start,
        })
    }

    /// How many parts may still be given out.
    pub(super) fn n_free(&self) -> usize {
        self.all.iter().map(Worker::n_free).sum()
    }

    /// How many parts all of them may have.
    pub(super) fn n_slots(&self) -> usize {
        self.all.iter().map(|worker| worker.slots).sum()
    }

    /// Gives a part to the one that has the least to do.
    pub(super) fn give(&mut self, part: &Part) -> anyhow::Result<()> {
        let worker = self.all.iter_mut().max_by_key(|worker| worker.n_free());
        let worker = worker.context("there is no worker")?;
        worker.parts.push_back(part.part);
        let mut line = serde_json::to_vec(part)?;
        line.push(b'\n');
        if let Some(to) = &mut worker.to {
            // One that is gone is heard of, with what it had.
            let _ = to.write_all(&line);
        }
        Ok(())
    }

    /// What is heard next, if anything is within some time. One that is gone was started again.
    ///
    /// # Errors
    /// Workers that end as soon as they are started, and what is no message.
    pub(super) fn hear(&mut self, patience: Duration) -> anyhow::Result<Option<Heard>> {
        let event = match self.events.recv_timeout(patience) {
            Ok(event) => event,
            Err(RecvTimeoutError::Timeout) => return Ok(None),
            Err(RecvTimeoutError::Disconnected) => bail!("no worker is left"),
        };
        let worker = &mut self.all[event.worker];
        if event.start != worker.start {
            return Ok(None);
        }
        let Some(line) = event.line else {
            return self.gone(event.worker).map(Some);
        };
        let said: FromWorker = serde_json::from_str(&line)
            .with_context(|| format!("a worker said what is no message: {:.200}", line))?;
        match &said {
            FromWorker::Ready(ready) => worker.slots = ready.slots.max(1),
            FromWorker::Done(done) => {
                worker.forget(done.part);
                self.deaths = 0;
            }
            FromWorker::Lost { part, .. } => worker.forget(*part),
            FromWorker::Failed(_) => {}
        }
        Ok(Some(Heard::Said(said)))
    }

    fn gone(&mut self, at: usize) -> anyhow::Result<Heard> {
        let worker = &mut self.all[at];
        worker.to.take();
        let how = ended(worker.process.wait()?);
        self.deaths += 1;
        if self.deaths >= MOST_DEATHS {
            bail!("the worker {how}, for the {MOST_DEATHS}th time without anything done between");
        }
        let had = worker.parts.drain(..).collect();
        let start = worker.start + 1;
        self.all[at] = self.started(at, start)?;
        Ok(Heard::Gone { had, how })
    }
}

impl Worker {
    fn n_free(&self) -> usize {
        self.slots.saturating_sub(self.parts.len())
    }

    fn forget(&mut self, part: u64) {
        self.parts.retain(|had| *had != part);
    }
}

impl Drop for Workers {
    /// All of them hear it before one is waited for.
    fn drop(&mut self) {
        self.all.iter_mut().for_each(|worker| drop(worker.to.take()));
    }
}

impl Drop for Worker {
    /// It ends when nothing more is said to it: what passes messages on has something to put away.
    fn drop(&mut self) {
        self.to.take();
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && matches!(self.process.try_wait(), Ok(None)) {
            std::thread::sleep(Duration::from_millis(2));
        }
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The job as its line.
pub(super) fn line(job: &Job) -> anyhow::Result<String> {
    Ok(serde_json::to_string(job)? + "\n")
}

fn ended(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    match (status.signal(), status.code()) {
        (Some(libc::SIGKILL), _) => "was killed, by the system where memory has run out".to_owned(),
        (Some(signal), _) => format!("was ended by signal {signal}"),
        (None, code) => format!("has ended with status {}", code.unwrap_or_default()),
    }
}

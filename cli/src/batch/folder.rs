//! The folder of a batch's results: what is in it after a kill at any moment is known, and goes on from there.
//!
//! Results are appended. Now and then they are brought to the disk, and after that the manifest, in one step, with how long
//! they were then. Whatever was written behind that is cut off when the batch goes on, and made again.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, ErrorKind, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use ecco_scripting::data::parquet::from_lines;

use super::manifest::Manifest;

pub(super) const RESULTS: &str = "results.jsonl";
/// What the results are in the end, where that is asked for.
pub(super) const TABLE: &str = "results.parquet";
pub(super) const PASSED_OVER: &str = "passed_over.jsonl";
const MANIFEST: &str = "manifest.json";
/// What a kill can cost, beside what is under way.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

pub(super) struct Folder {
    path: PathBuf,
    /// Holds the lock.
    handle: File,
    results: BufWriter<File>,
    passed_over: BufWriter<File>,
    pub manifest: Manifest,
    committed: Instant,
    began: Instant,
    seconds_before: f64,
}

impl Folder {
    /// The folder, made where it is not there, and what its manifest says, if it has one.
    ///
    /// # Errors
    /// A folder that another batch has, or that holds something else.
    pub(super) fn open(path: &Path) -> anyhow::Result<(File, Option<Manifest>)> {
        std::fs::create_dir_all(path)
            .with_context(|| format!("could not make the folder {}", path.display()))?;
        let handle = File::open(path)?;
        if handle.try_lock().is_err() {
            bail!("another batch is writing into {}", path.display());
        }
        let manifest = match std::fs::read_to_string(path.join(MANIFEST)) {
            Ok(text) => Some(Manifest::read(&text).with_context(|| {
                format!(
                    "{} cannot be read; is it a batch's?",
                    path.join(MANIFEST).display()
                )
            })?),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                if std::fs::read_dir(path)?.next().is_some() {
                    bail!(
                        "{} holds something else: results go to a folder of their own, which is made where there is none",
                        path.display()
                    );
                }
                None
            }
            Err(error) => return Err(error.into()),
        };
        Ok((handle, manifest))
    }

    /// Begins, or goes on from where the manifest says.
    ///
    /// # Errors
    /// Files that are shorter than they were.
    pub(super) fn begin(path: &Path, handle: File, manifest: Manifest) -> anyhow::Result<Self> {
        let at = |name: &str, bytes: u64| appended(&path.join(name), bytes);
        let mut folder = Self {
            results: at(RESULTS, manifest.results_bytes)?,
            passed_over: at(PASSED_OVER, manifest.passed_over_bytes)?,
            path: path.to_owned(),
            handle,
            seconds_before: manifest.seconds,
            manifest,
            committed: Instant::now(),
            began: Instant::now(),
        };
        folder.commit()?;
        Ok(folder)
    }

    /// A result's line.
    pub(super) fn add_result(&mut self, line: &str) -> anyhow::Result<()> {
        self.manifest.rows.results += 1;
        self.manifest.results_bytes += line.len() as u64;
        self.results
            .write_all(line.as_bytes())
            .context("the results cannot be written")
    }

    /// A row that has no result, and why.
    pub(super) fn add_passed_over(&mut self, line: &str, why: &str) -> anyhow::Result<()> {
        self.manifest.rows.passed_over += 1;
        self.manifest.note_reason(why);
        self.manifest.passed_over_bytes += line.len() as u64;
        self.passed_over
            .write_all(line.as_bytes())
            .context("the rows that are passed over cannot be written")
    }

    /// Commits where the last time is long ago.
    pub(super) fn commit_now_and_then(&mut self) -> anyhow::Result<()> {
        match self.committed.elapsed() >= COMMIT_EVERY {
            true => self.commit(),
            false => Ok(()),
        }
    }

    /// All that was written is there for good.
    pub(super) fn commit(&mut self) -> anyhow::Result<()> {
        for file in [&mut self.results, &mut self.passed_over] {
            file.flush().context("the results cannot be written")?;
            file.get_ref().sync_data()?;
        }
        self.manifest.seconds = self.seconds_before + self.began.elapsed().as_secs_f64();
        self.write_manifest()?;
        self.committed = Instant::now();
        Ok(())
    }

    fn write_manifest(&self) -> anyhow::Result<()> {
        let (beside, path) = (self.path.join(".manifest.json"), self.path.join(MANIFEST));
        let mut file = File::create(&beside)?;
        file.write_all(self.manifest.written()?.as_bytes())?;
        file.sync_data()?;
        std::fs::rename(&beside, &path).context("the manifest cannot be written")?;
        self.handle.sync_all()?;
        Ok(())
    }
}

/// Makes the table of results that are whole, and takes their lines away; of none there is no table.
///
/// # Errors
/// Results that no table has together; a disk that is full. The lines are there then.
pub(super) fn make_table(path: &Path) -> anyhow::Result<()> {
    let (lines, table) = (path.join(RESULTS), path.join(TABLE));
    if !std::fs::metadata(&lines).is_ok_and(|lines| lines.len() > 0) {
        return Ok(());
    }
    let beside = path.join(".results.parquet");
    let mut file = BufWriter::new(File::create(&beside)?);
    from_lines(|| Ok(BufReader::new(File::open(&lines)?)), &mut file).with_context(|| {
        format!(
            "no parquet can be made of the results, which are in {}",
            lines.display()
        )
    })?;
    file.into_inner()?.sync_data()?;
    std::fs::rename(&beside, &table)?;
    std::fs::remove_file(&lines)?;
    Ok(())
}

/// A file to append to, of which so many bytes count.
fn appended(path: &Path, bytes: u64) -> anyhow::Result<BufWriter<File>> {
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .with_context(|| format!("could not open {}", path.display()))?;
    let length = file.metadata()?.len();
    if length < bytes {
        bail!(
            "{} has {length} bytes, and had {bytes}: something else has changed it",
            path.display()
        );
    }
    file.set_len(bytes)?;
    file.seek(SeekFrom::Start(bytes))?;
    Ok(BufWriter::with_capacity(1 << 18, file))
}

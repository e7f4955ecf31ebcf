//! Reads one watched file, and decides whether its content changed.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A stamp distinguishes the contents of a file, as in glibc's `file_change_detection.c`.
///
/// A stamp follows symbolic links. If a link gets another target, or another file is renamed to this path,
/// the stamp changes, because the inode differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    Absent,
    Present {
        modified: Option<SystemTime>,
        size: u64,
        identity: Identity,
        /// Whether every later write changes the times. A second write within one tick of the file
        /// system's clock changes no time, so a file that was written just now is read again.
        is_settled: bool,
    },
    /// The file could not be read. Each check reads the file again.
    Unknown,
}

/// Device, inode and time of the last change of the inode.
type Identity = (u64, u64, i64, i64);

/// The age from which a file is settled.
///
/// The age is longer than a tick of any file system's clock except FAT's, whose tick is 2 s.
const SETTLING: Duration = Duration::from_secs(1);

impl Stamp {
    /// Returns the stamp of a file, by one `stat`.
    pub(super) fn of(path: &Path, now: SystemTime) -> Self {
        match fs::metadata(path) {
            Ok(data) => Self::of_present(&data, now),
            Err(error) if is_absent(&error) => Self::Absent,
            Err(_) => Self::Unknown,
        }
    }

    fn of_present(data: &Metadata, now: SystemTime) -> Self {
        let modified = data.modified().ok();
        // A time in the future says nothing about the age. Such a file counts as settled, because each
        // check would read the file otherwise.
        let age = modified.and_then(|at| now.duration_since(at).ok());
        Self::Present {
            modified,
            size: data.len(),
            identity: identity(data),
            is_settled: age.is_none_or(|age| age >= SETTLING),
        }
    }

    /// Returns whether the file still has the content that was read at the stamp `read`.
    pub(super) fn is_current(&self, read: &Self) -> bool {
        let can_tell = match self {
            Self::Absent => true,
            Self::Present { is_settled, .. } => *is_settled,
            Self::Unknown => false,
        };
        can_tell && self == read
    }
}

#[cfg(unix)]
fn identity(data: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (data.dev(), data.ino(), data.ctime(), data.ctime_nsec())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    (0, 0, 0, 0)
}

/// The result of the last reading of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content<T> {
    Absent,
    Read(T),
    /// The file could never be read, for this reason.
    Unreadable(String),
}

/// The stamp and the content of a file at the last reading.
#[derive(Clone, Debug)]
pub(super) struct Seen<T> {
    pub(super) stamp: Stamp,
    pub(super) content: Content<T>,
}

impl<T: Clone> Seen<T> {
    /// Reads the file if the content may have changed.
    ///
    /// If the file cannot be read, `again` keeps the previous content, and logs one warning. glibc
    /// treats such a file as missing, which would send queries to 127.0.0.1. If the file is missing,
    /// the content is absent, as in glibc.
    pub(super) fn again(
        before: Option<&Self>,
        path: &Path,
        limit: u64,
        now: SystemTime,
        parse: impl FnOnce(&[u8]) -> T,
    ) -> Self {
        // The stamp is taken first, so that a file that changes during the reading is read again.
        let stamp = Stamp::of(path, now);
        if let Some(before) = before.filter(|before| stamp.is_current(&before.stamp)) {
            return before.clone();
        }
        match read(path, limit) {
            Ok(Some(text)) => Self {
                stamp,
                content: Content::Read(parse(&text)),
            },
            Ok(None) => Self::absent(),
            Err(error) => Self::unreadable(before, path, &error),
        }
    }

    /// Returns the state of a missing file.
    pub(super) fn absent() -> Self {
        Self {
            stamp: Stamp::Absent,
            content: Content::Absent,
        }
    }

    /// Returns the reason why the file could never be read, if any.
    pub(super) fn reason(&self) -> Option<&str> {
        match &self.content {
            Content::Unreadable(reason) => Some(reason),
            Content::Absent | Content::Read(_) => None,
        }
    }

    fn unreadable(before: Option<&Self>, path: &Path, error: &io::Error) -> Self {
        if before.is_none_or(|before| before.stamp != Stamp::Unknown) {
            tracing::warn!(target: "sidestep", path = %path.display(), %error, "a configuration file of the system cannot be read: what was read before counts");
        }
        let never = || Content::Unreadable(format!("{} cannot be read: {error}", path.display()));
        Self {
            stamp: Stamp::Unknown,
            content: before.map_or_else(never, |before| before.content.clone()),
        }
    }
}

/// Reads a regular file of at most `limit` bytes. Returns `None` if there is no such file.
///
/// Any other kind of file is an error, because the reading of a pipe or a terminal may never end.
fn read(path: &Path, limit: u64) -> io::Result<Option<Vec<u8>>> {
    match try_read(path, limit) {
        Ok(text) => Ok(Some(text)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn try_read(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let data = fs::metadata(path)?;
    if !data.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    if data.len() > limit {
        return Err(too_long(limit));
    }
    let mut text = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut text)?;
    match u64::try_from(text.len()) {
        Ok(length) if length <= limit => Ok(text),
        Ok(_) | Err(_) => Err(too_long(limit)),
    }
}

fn too_long(limit: u64) -> io::Error {
    io::Error::other(format!("it is longer than {limit} bytes"))
}

fn is_absent(error: &io::Error) -> bool {
    use io::ErrorKind::{NotADirectory, NotFound};
    matches!(error.kind(), NotFound | NotADirectory)
}

#[cfg(test)]
mod tests;

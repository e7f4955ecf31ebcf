//! One watched file: whether its content changed, and how the file is read.

use std::fs::{self, File, Metadata};
use std::io::{self, Read as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What tells one content of a file from another, as in glibc's `file_change_detection.c`.
///
/// Symbolic links are followed. A link that leads to another file is noticed, and so is a file that is
/// renamed to this place, because both have another inode.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stamp {
    Absent,
    Present {
        modified: Option<SystemTime>,
        size: u64,
        identity: Identity,
        /// Whether a later write must change the times. A write within one tick of the file
        /// system's clock changes no time, so a file that was written just now is read again.
        is_settled: bool,
    },
    /// The file could not be read. Each look reads the file again.
    Unknown,
}

/// Device, inode and time of the last change of the inode.
type Identity = (u64, u64, i64, i64);

/// Longer than a tick of any file system's clock but FAT's, which has 2 s.
const SETTLING: Duration = Duration::from_secs(1);

impl Stamp {
    /// Looks at the file by one `stat`.
    pub(super) fn of(path: &Path, now: SystemTime) -> Self {
        match fs::metadata(path) {
            Ok(data) => Self::of_present(&data, now),
            Err(error) if is_absent(&error) => Self::Absent,
            Err(_) => Self::Unknown,
        }
    }

    fn of_present(data: &Metadata, now: SystemTime) -> Self {
        let modified = data.modified().ok();
        // A time in the future says nothing about the age, and the file would be read at each look.
        let age = modified.and_then(|at| now.duration_since(at).ok());
        Self::Present {
            modified,
            size: data.len(),
            identity: identity(data),
            is_settled: age.is_none_or(|age| age >= SETTLING),
        }
    }

    /// Returns whether the content that was read under the stamp `read` is what the file holds.
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

/// What the last reading of a file brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Content<T> {
    Absent,
    Read(T),
    /// The file has never been read, for this reason.
    Unreadable(String),
}

/// The content of a file at the last reading.
#[derive(Clone, Debug)]
pub(super) struct Seen<T> {
    pub(super) stamp: Stamp,
    pub(super) content: Content<T>,
}

impl<T: Clone> Seen<T> {
    /// Reads the file if the content may have changed.
    ///
    /// If the file cannot be read, the content before stays, with one warning. glibc takes such a
    /// file for missing, which would send queries to 127.0.0.1. A file that is missing is missing,
    /// as in glibc.
    pub(super) fn again(
        before: Option<&Self>,
        path: &Path,
        limit: u64,
        now: SystemTime,
        parse: impl FnOnce(&[u8]) -> T,
    ) -> Self {
        // The stamp comes first: a file that changes while it is read is read again.
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

    /// Returns why the file has never been read.
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
/// Another kind of file is an error, because the reading of a pipe or a terminal may never end.
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

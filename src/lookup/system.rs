//! The operating system's own resolver.

use std::io;
use std::net::ToSocketAddrs as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Answer, Answering, Lookup};
use crate::Error;

/// Asks the operating system by `getaddrinfo`: hosts file, NSS modules, mDNS and all.
///
/// Each lookup holds a thread of the runtime's blocking pool until the system answers, and the
/// system can't be told to stop; so only so many run at once and the others wait their turn.
/// `getaddrinfo` tells no TTL: answers are kept for 30 s.
///
/// # Examples
///
/// ```
/// use sidestep::{Resolver, lookup::System};
///
/// let resolver = Resolver::builder().lookup(System::new()).build()?;
/// # Ok::<(), sidestep::InvalidConfig>(())
/// ```
#[derive(Clone, Debug)]
pub struct System {
    turns: Arc<Semaphore>,
}

/// Lookups at once: glibc holds a socket and a stack for each, and more do not make a name
/// server faster.
const AT_ONCE: usize = 16;

impl System {
    /// Makes a lookup that runs at most 16 `getaddrinfo` calls at once.
    #[must_use]
    pub fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Makes a lookup that runs at most so many `getaddrinfo` calls at once.
    #[must_use]
    pub fn with_limit(at_once: NonZeroUsize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once.get().min(Semaphore::MAX_PERMITS))),
        }
    }
}

impl Default for System {
    fn default() -> Self {
        Self::new()
    }
}

impl Lookup for System {
    fn lookup<'a>(&'a self, host: &'a str) -> Answering<'a> {
        let (turns, name) = (Arc::clone(&self.turns), host.to_owned());
        Box::pin(async move {
            let turn = turns
                .acquire_owned()
                .await
                .map_err(|closed| Error::failed(host, closed))?;
            let asked = tokio::task::spawn_blocking(move || {
                // Moved in: a caller that has given up must not free the turn of a thread that
                // still waits for the system.
                let _turn = turn;
                let addrs = (name.as_str(), 0).to_socket_addrs()?;
                Ok(Answer::new(addrs.map(|addr| addr.ip())))
            });
            match asked.await {
                Ok(answer) => answer.map_err(|error| read(host, error)),
                Err(error) => Err(Error::failed(host, error)),
            }
        })
    }
}

/// Reads an error of std, which has the result of `getaddrinfo` only as a text, on Windows as a code.
///
/// "No addresses" (EAI_NODATA) is a failure, because glibc also reports it if one record type has no
/// addresses and the lookup of the other has failed.
/// lookup of the other has failed.
fn read(host: &str, error: io::Error) -> Error {
    const WSAHOST_NOT_FOUND: i32 = 11001;
    // glibc's and musl's words for EAI_NONAME. macOS says its own without a network too, so there it
    // does not count.
    const NO_NAME: [&str; 2] = ["Name or service not known", "Name does not resolve"];
    let text = error.to_string();
    let unknown = NO_NAME.iter().any(|words| text.contains(words))
        || (cfg!(windows) && error.raw_os_error() == Some(WSAHOST_NOT_FOUND));
    if unknown {
        Error::not_found(host)
    } else {
        Error::failed(host, error)
    }
}

/// Returns whether the system has reported EAI_NODATA, in glibc's or musl's words.
///
/// EAI_NODATA does not contradict a name server that has denied addresses.
#[cfg(feature = "hickory")]
pub(super) fn says_no_data(error: &Error) -> bool {
    const NO_DATA: [&str; 2] = [
        "No address associated with hostname",
        "Name has no usable address",
    ];
    let said = std::error::Error::source(error).map(ToString::to_string);
    said.is_some_and(|said| NO_DATA.iter().any(|words| said.contains(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_systems_no_such_name_ends_an_answer() {
        let none =
            io::Error::other("failed to lookup address information: Name or service not known");
        assert!(read("a.test", none).is_not_found());
        let empty = io::Error::other(
            "failed to lookup address information: No address associated with hostname",
        );
        let empty = read("a.test", empty);
        assert!(!empty.is_no_records(), "one record type may have failed");
        #[cfg(feature = "hickory")]
        assert!(says_no_data(&empty));
        let later = io::Error::other(
            "failed to lookup address information: Temporary failure in name resolution",
        );
        assert!(!read("a.test", later).is_not_found());
    }

    #[tokio::test]
    async fn the_system_is_asked() {
        let answer = System::with_limit(NonZeroUsize::MIN)
            .lookup("127.0.0.9")
            .await
            .unwrap();
        assert_eq!(answer.addrs, [std::net::IpAddr::from([127, 0, 0, 9])]);
    }
}

//! Lookups with the operating system's resolver.

use std::io;
use std::net::ToSocketAddrs as _;
use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::{Answer, Lookup, LookupFuture};
use crate::ResolveError;

/// Looks up hosts with `getaddrinfo`, which uses the hosts file, NSS modules, mDNS and more.
///
/// Each lookup holds a thread of the runtime's blocking pool until the system answers, because `getaddrinfo` cannot be
/// canceled. Therefore the number of calls at once is limited, and further lookups wait for their turn. `getaddrinfo`
/// returns no TTL, so the resolver keeps answers for 30 s.
///
/// # Examples
///
/// ```
/// use sidestep::{Resolver, lookup::System};
///
/// let resolver = Resolver::builder().lookup(System::new()).build()?;
/// # Ok::<(), sidestep::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct System {
    turns: Arc<Semaphore>,
}

/// Default number of calls at once.
///
/// glibc holds a socket and a stack for each call, and more calls do not make a name server faster.
const AT_ONCE: usize = 16;

impl System {
    /// Makes a lookup that runs at most 16 `getaddrinfo` calls at once.
    #[must_use]
    pub fn new() -> Self {
        Self {
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }

    /// Makes a lookup that runs at most `at_once` `getaddrinfo` calls at once.
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
    fn lookup<'a>(&'a self, host: &'a str) -> LookupFuture<'a> {
        let (turns, name) = (Arc::clone(&self.turns), host.to_owned());
        Box::pin(async move {
            let turn = turns
                .acquire_owned()
                .await
                .map_err(|closed| ResolveError::failed(host, closed))?;
            let asked = tokio::task::spawn_blocking(move || {
                // The thread owns the turn. A caller that is canceled must not free the turn while the thread
                // still waits for the system.
                let _turn = turn;
                let addrs = (name.as_str(), 0).to_socket_addrs()?;
                Ok(Answer::new(addrs.map(|addr| addr.ip())))
            });
            match asked.await {
                Ok(answer) => answer.map_err(|error| read(host, error)),
                Err(error) => Err(ResolveError::failed(host, error)),
            }
        })
    }
}

/// Classifies an error of std, which has the result of `getaddrinfo` as a text, or on Windows as a code.
///
/// EAI_NODATA ("no addresses") is a failure, because glibc also reports EAI_NODATA if one record type has no addresses
/// and the query for the other type has failed.
fn read(host: &str, error: io::Error) -> ResolveError {
    const WSAHOST_NOT_FOUND: i32 = 11001;
    // The texts of glibc and musl for EAI_NONAME. The text of macOS does not count, because macOS also returns it
    // without a network.
    const NO_NAME: [&str; 2] = ["Name or service not known", "Name does not resolve"];
    let text = error.to_string();
    let unknown = NO_NAME.iter().any(|words| text.contains(words))
        || (cfg!(windows) && error.raw_os_error() == Some(WSAHOST_NOT_FOUND));
    if unknown {
        ResolveError::not_found(host)
    } else {
        ResolveError::failed(host, error)
    }
}

/// Returns whether the system has reported EAI_NODATA, in the text of glibc or musl.
///
/// EAI_NODATA does not contradict a name server that has denied addresses.
#[cfg(feature = "hickory")]
pub(super) fn says_no_data(error: &ResolveError) -> bool {
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

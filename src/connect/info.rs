//! Reads both ends of a connection.

use std::cell::RefCell;

use http::Extensions;
use hyper_util::client::legacy::connect::{Connection, HttpInfo};

thread_local! {
    /// The table that extras are read into. Each thread keeps one, because a new table for each connect would be a
    /// quarter of what a race allocates.
    static EXTRAS: RefCell<Extensions> = RefCell::default();
}

/// Returns the [`HttpInfo`] of a connection, if the connection has one. Connections of hyper-util have one, also
/// inside of TLS.
pub(super) fn info(connection: &impl Connection) -> Option<HttpInfo> {
    let connected = connection.connected();
    let read = |extras: &mut Extensions| {
        // If the clone of an extra panicked before, the table still holds the other extras.
        extras.clear();
        connected.get_extras(extras);
        let info = extras.remove();
        extras.clear();
        info
    };
    // The `Clone` and `Drop` of an extra are foreign code, which may call this function in turn.
    let kept = EXTRAS.try_with(|extras| extras.try_borrow_mut().ok().map(|mut it| read(&mut it)));
    let kept = kept.ok().flatten();
    kept.unwrap_or_else(|| read(&mut Extensions::new()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hyper_util::client::legacy::connect::Connected;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    struct With<E>(E);

    impl<E: Clone + Send + Sync + std::fmt::Debug + 'static> Connection for With<E> {
        fn connected(&self) -> Connected {
            Connected::new().extra(self.0.clone())
        }
    }

    /// An extra whose clone reads the ends of another connection.
    #[derive(Debug)]
    struct Nosy(Arc<HttpInfo>);

    impl Clone for Nosy {
        fn clone(&self) -> Self {
            let inner = info(&With((*self.0).clone()));
            assert!(inner.is_some(), "it is read all the same");
            Self(self.0.clone())
        }
    }

    async fn connection() -> (TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        (TcpStream::connect(addr).await.unwrap(), listener)
    }

    #[tokio::test]
    async fn each_connection_tells_of_itself_alone() {
        let (stream, listener) = connection().await;
        let result = info(&stream).expect("a stream tells");
        assert_eq!(result.remote_addr(), listener.local_addr().unwrap());
        assert!(info(&With(())).is_none(), "nothing is left of the last one");
    }

    #[test]
    fn no_extra_is_kept() {
        let extra = Arc::new(());
        assert!(info(&With(extra.clone())).is_none());
        assert_eq!(Arc::strong_count(&extra), 1);
    }

    #[tokio::test]
    async fn an_extra_may_read_while_it_is_read() {
        let (stream, _listener) = connection().await;
        let result = info(&stream).expect("a stream tells");
        assert!(info(&With(Nosy(Arc::new(result)))).is_none());
    }
}

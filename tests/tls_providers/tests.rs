//! Crypto providers of `sidestep::hyper`, beside a program that has its own.
#![cfg(test)]
#![allow(clippy::unwrap_used, reason = "a test may fail")]
#![cfg_attr(
    not(any(feature = "reqwest", feature = "ring")),
    allow(
        dead_code,
        unused_imports,
        reason = "without a provider no server runs"
    )
)]

use std::process::Command;
use std::sync::Arc;
use std::{env, fs};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Full};
use hyper::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Runs a test of this program again, in a process of its own that trusts only the certificate of `identity`.
///
/// Returns the identity in that process. The default provider of a process can be installed once only.
fn alone(test: &str) -> Option<Identity> {
    const FOLDER: &str = "SIDESTEP_TEST_IDENTITY";
    if let Some(folder) = env::var_os(FOLDER) {
        let read = |file: &str| fs::read(env::current_dir().unwrap().join(&folder).join(file));
        return Some(Identity {
            cert: read("cert.der").unwrap(),
            key: read("key.der").unwrap(),
        });
    }
    let folder = env::temp_dir().join(format!("sidestep-{test}-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.join("cert.pem"), cert.pem()).unwrap();
    fs::write(folder.join("cert.der"), cert.der()).unwrap();
    fs::write(folder.join("key.der"), signing_key.serialize_der()).unwrap();
    let mut again = Command::new(env::current_exe().unwrap());
    again.args([test, "--exact", "--nocapture"]);
    again.env(FOLDER, &folder);
    again.env("SSL_CERT_FILE", folder.join("cert.pem"));
    let status = again.status().unwrap();
    fs::remove_dir_all(&folder).unwrap();
    assert!(status.success(), "{test} failed in its own process");
    None
}

/// The certificate and the key of a server.
struct Identity {
    cert: Vec<u8>,
    key: Vec<u8>,
}

/// Starts an HTTPS server, and returns its URL.
async fn serve(identity: Identity, provider: Arc<CryptoProvider>) -> String {
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![identity.cert.into()],
            PrivateKeyDer::Pkcs8(identity.key.into()),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let stream = acceptor.accept(stream).await.unwrap();
            let hello = service_fn(async |_| {
                Ok::<_, hyper::Error>(Response::new(Full::<Bytes>::from("hello")))
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), hello));
        }
    });
    format!("https://localhost:{port}/")
}

async fn get(url: &str) -> Bytes {
    let client = sidestep::hyper::client::<Empty<Bytes>>().unwrap();
    let response = client.get(url.parse().unwrap()).await.unwrap();
    response.into_body().collect().await.unwrap().to_bytes()
}

/// reqwest's default features compile rustls with aws-lc-rs alone, and nothing of ours adds ring.
#[cfg(all(feature = "reqwest", not(feature = "ring")))]
#[tokio::test]
async fn the_client_uses_the_only_provider_of_the_program() {
    use sidestep::reqwest::ClientBuilderExt as _;

    let test = "the_client_uses_the_only_provider_of_the_program";
    let Some(identity) = alone(test) else {
        return;
    };
    let resolver = sidestep::Resolver::new();
    let reqwest = reqwest::Client::builder().no_proxy().sidestep(&resolver);
    let reqwest = reqwest.build().unwrap();
    sidestep::hyper::connector(&resolver).unwrap();
    // Code that knows nothing of sidestep, which panics if rustls has two providers.
    let unrelated = rustls::ClientConfig::builder();
    let url = serve(identity, Arc::clone(unrelated.crypto_provider())).await;
    assert_eq!(get(&url).await, "hello");
    let text = reqwest.get(&url).send().await.unwrap().text().await;
    assert_eq!(text.unwrap(), "hello");
}

#[cfg(feature = "ring")]
#[tokio::test]
async fn a_feature_chooses_a_provider_and_installs_none() {
    let Some(identity) = alone("a_feature_chooses_a_provider_and_installs_none") else {
        return;
    };
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let url = serve(identity, ring).await;
    assert_eq!(get(&url).await, "hello");
    assert!(CryptoProvider::get_default().is_none());
}

#[cfg(not(any(feature = "reqwest", feature = "ring")))]
#[test]
fn without_a_provider_the_error_says_what_to_do() {
    let resolver = sidestep::Resolver::new();
    let error = sidestep::hyper::connector(&resolver).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("install_default"), "{text}");
    assert!(text.contains("hyper-client-ring"), "{text}");
}

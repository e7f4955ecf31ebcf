//! A store of object_store behind edges that die.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and times itself"
)]

mod common;

use std::time::Duration;

use common::{Mode, RecordType, World};
use object_store::client::ClientConfigKey as Key;
use object_store::http::{HttpBuilder, HttpStore};
use object_store::{ClientOptions, ObjectStoreExt as _, RetryConfig};

/// A store at the edges. object_store itself sends nothing again.
fn store(world: &World, options: ClientOptions) -> HttpStore {
    let config = world.edges.client_config();
    let client = move || reqwest::Client::builder().tls_backend_preconfigured(config.clone());
    builder(world, options)
        .with_http_connector(world.resolver.object_store().client_builder(client))
        .build()
        .unwrap()
}

fn builder(world: &World, options: ClientOptions) -> HttpBuilder {
    let never = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    HttpBuilder::new()
        .with_url(world.url())
        .with_retry(never)
        .with_client_options(options)
}

/// Without a pool each request is a connect.
fn options() -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(true)
        .with_pool_max_idle_per_host(0)
}

async fn get(store: &HttpStore) -> object_store::Result<String> {
    let getting = async {
        let bytes = store.get(&"object".into()).await?.bytes().await?;
        Ok(String::from_utf8(bytes.into()).unwrap())
    };
    common::within("the answer", common::while_pending(getting)).await
}

#[tokio::test]
async fn a_dead_edge_costs_no_get() {
    for (https, mode) in [
        (false, Mode::Refuse),
        (false, Mode::AcceptAndClose),
        (false, Mode::CloseAfterRequest),
        (true, Mode::TlsReset),
        (true, Mode::WrongCertificate),
        (true, Mode::BlackHole),
    ] {
        let world = match https {
            true => World::https(2).await,
            false => World::http(2).await,
        };
        let (store, dead) = (store(&world, options()), world.ips()[0]);
        world.edges.set(dead, mode).await;
        for n in 0..40 {
            let answer = get(&store).await;
            let answer = answer.unwrap_or_else(|error| panic!("{mode:?}, {n}: {error:?}"));
            assert!(answer.contains("127.0.0.3"), "{mode:?}, {n}: {answer}");
        }
        assert_ne!(world.journal.failures(), [], "{mode:?}: it was met");
    }
}

/// The plain resolver answers names, from its cache; it learns of no connect.
#[tokio::test]
async fn as_a_dns_resolver_it_answers_and_does_not_learn() {
    let world = World::http(2).await;
    // That client is object_store's own. Another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let names = world.resolver.object_store_dns_resolver();
    let store = builder(&world, options().with_dns_resolver(names))
        .build()
        .unwrap();
    for _ in 0..40 {
        get(&store).await.unwrap();
    }
    assert_eq!(world.queries(), 1, "it is cached");
    assert!(world.ips().iter().all(|&ip| world.edges.served(ip) > 0));
    for ip in world.ips() {
        world.edges.set(ip, Mode::Refuse).await;
    }
    get(&store).await.unwrap_err();
    assert_eq!(world.journal.failures(), []);
}

/// As object_store's own client has them.
#[tokio::test]
async fn options_hold() {
    let world = World::http(1).await.in_real_time();
    let https_only = store(&world, options().with_allow_http(false));
    get(&https_only).await.unwrap_err();
    assert_eq!(world.accepted(), 0);

    let pooling = ClientOptions::new().with_config(Key::AllowHttp, "on");
    let pooling = store(&world, pooling);
    for _ in 0..3 {
        get(&pooling).await.unwrap();
    }
    assert_eq!(world.accepted(), 1, "it pools by default");
    let not_pooling = store(&world, options());
    for _ in 0..3 {
        get(&not_pooling).await.unwrap();
    }
    assert_eq!(world.accepted(), 4);

    world.edges.answer_after(Duration::from_secs(60));
    let impatient = store(&world, options().with_timeout(Duration::from_millis(100)));
    let began = std::time::Instant::now();
    get(&impatient).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(30));
}

/// A proxy is dialled by its name, which is asked for, and not the store's.
#[tokio::test]
async fn a_proxy_of_the_options_is_dialled() {
    let world = World::http(1).await;
    world.dns.set("proxy.test", &world.ips(), 60);
    let proxied = options().with_proxy_url(world.edges.url("proxy.test"));
    get(&store(&world, proxied)).await.unwrap();
    assert_eq!(world.dns.queries("proxy.test", RecordType::A), 1);
    assert_eq!(world.queries(), 0);
}

#[tokio::test]
async fn an_option_that_can_not_be_read_is_an_error() {
    let world = World::http(1).await;
    for (key, value) in [
        (Key::AllowHttp, "perhaps"),
        (Key::Timeout, "soon"),
        (Key::PoolMaxIdlePerHost, "many"),
    ] {
        let options = ClientOptions::new().with_config(key, value);
        let connector = world.resolver.object_store();
        let builder = builder(&world, options).with_http_connector(connector);
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains("sidestep"), "{error}");
    }
}

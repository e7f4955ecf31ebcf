//! Tests a store of object_store whose edges die.

use std::time::Duration;

use object_store::client::ClientConfigKey as Key;
use object_store::http::{HttpBuilder, HttpStore};
use object_store::{ClientOptions, ObjectStoreExt as _, RetryConfig};
use testkit::{Mode, RecordType, World};

/// Returns a store at the edges. The retries of object_store are off.
fn store(world: &World, options: ClientOptions) -> HttpStore {
    let config = world.edges.client_config();
    let client = move || reqwest::Client::builder().tls_backend_preconfigured(config.clone());
    builder(world, options)
        .with_http_connector(world.resolver.object_store().client_builder(client))
        .build()
        .unwrap()
}

fn builder(world: &World, options: ClientOptions) -> HttpBuilder {
    let no_retries = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    HttpBuilder::new()
        .with_url(world.url())
        .with_retry(no_retries)
        .with_client_options(options)
}

/// Returns options without a pool, so that each request makes a connection.
fn options() -> ClientOptions {
    ClientOptions::new()
        .with_allow_http(true)
        .with_pool_max_idle_per_host(0)
}

async fn get(store: &HttpStore) -> object_store::Result<String> {
    let request = async {
        let bytes = store.get(&"object".into()).await?.bytes().await?;
        Ok(String::from_utf8(bytes.into()).unwrap())
    };
    testkit::within("the response", testkit::while_pending(request)).await
}

#[tokio::test]
async fn no_get_fails_when_one_edge_is_dead() {
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
            let response = get(&store).await;
            let response = response.unwrap_or_else(|error| panic!("{mode:?}, {n}: {error:?}"));
            assert!(response.contains("127.0.0.3"), "{mode:?}, {n}: {response}");
        }
        assert_ne!(
            world.journal.failures(),
            [],
            "{mode:?}: no request met the dead edge"
        );
    }
}

/// As the DNS resolver of object_store, sidestep caches answers, and learns of no connect.
#[tokio::test]
async fn the_dns_resolver_of_object_store_caches_answers_and_learns_of_no_connect() {
    let world = World::http(2).await;
    // object_store's own client needs a crypto provider. Another test may have installed the provider already.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let dns_resolver = world.resolver.object_store_dns_resolver();
    let store = builder(&world, options().with_dns_resolver(dns_resolver))
        .build()
        .unwrap();
    for _ in 0..40 {
        get(&store).await.unwrap();
    }
    assert_eq!(world.queries(), 1, "the answer is cached");
    assert!(world.ips().iter().all(|&ip| world.edges.served(ip) > 0));
    for ip in world.ips() {
        world.edges.set(ip, Mode::Refuse).await;
    }
    get(&store).await.unwrap_err();
    assert_eq!(world.journal.failures(), []);
}

/// The options have the same effects as on object_store's own client.
#[tokio::test]
async fn client_options_take_effect() {
    let world = World::http(1).await.in_real_time();
    let https_only = store(&world, options().with_allow_http(false));
    get(&https_only).await.unwrap_err();
    assert_eq!(world.accepted(), 0);

    let pooled = ClientOptions::new().with_config(Key::AllowHttp, "on");
    let pooled = store(&world, pooled);
    for _ in 0..3 {
        get(&pooled).await.unwrap();
    }
    assert_eq!(world.accepted(), 1, "the client has a pool by default");
    let without_pool = store(&world, options());
    for _ in 0..3 {
        get(&without_pool).await.unwrap();
    }
    assert_eq!(world.accepted(), 4);

    world.edges.answer_after(Duration::from_secs(60));
    let timed = store(&world, options().with_timeout(Duration::from_millis(100)));
    let began = std::time::Instant::now();
    get(&timed).await.unwrap_err();
    assert!(began.elapsed() < Duration::from_secs(30));
}

/// The client looks up the host of the proxy, and not the host of the store.
#[tokio::test]
async fn with_a_proxy_the_client_looks_up_the_host_of_the_proxy() {
    let world = World::http(1).await;
    world.dns.set("proxy.test", &world.ips(), 60);
    let proxied = options().with_proxy_url(world.edges.url("proxy.test"));
    get(&store(&world, proxied)).await.unwrap();
    assert_eq!(world.dns.queries("proxy.test", RecordType::A), 1);
    assert_eq!(world.queries(), 0);
}

#[tokio::test]
async fn an_option_that_cannot_be_parsed_is_an_error() {
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

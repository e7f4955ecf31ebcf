//! Tests behavior A1 with random events: a known address is always served.

use proptest::prelude::*;

use super::*;

/// One event of a host or of its callers.
#[derive(Clone, Debug)]
enum HostEvent {
    /// Later lookups have this result after this time.
    Lookups(LookupResult, Duration),
    Invalidated,
    Reported(u8, Outcome),
    /// Two callers resolve the host at once, by hand and as a connector.
    Resolved,
    /// Two callers resolve the host at once, and one of them is dropped after 1 s.
    Dropped,
    Passes(Duration),
    /// The lookup is replaced by one with the same results.
    Switched,
    /// The fallback changes to this address.
    Rewritten(u8),
}

#[derive(Clone, Debug)]
enum LookupResult {
    Answer { last: Vec<u8>, ttl: u32 },
    Failed,
    Panicked,
    NotFound,
}

fn result() -> impl Strategy<Value = LookupResult> {
    let ttl = prop_oneof![Just(0_u32), 1..90_u32, Just(86_400)];
    let last = prop::collection::vec(1..9_u8, 1..4);
    prop_oneof![
        2 => (last, ttl).prop_map(|(last, ttl)| LookupResult::Answer { last, ttl }),
        1 => Just(LookupResult::Failed),
        1 => Just(LookupResult::Panicked),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop::sample::select(vec![
        Outcome::Canceled,
        Outcome::BadCertificate,
        Outcome::ClosedEarly,
        Outcome::Connected,
        Outcome::Failed,
        Outcome::LocalError,
        Outcome::NoRoute,
        Outcome::Refused,
        Outcome::Reset,
        Outcome::Slow,
        Outcome::TimedOut,
        Outcome::TlsFailed,
        Outcome::Unreachable,
        Outcome::Unknown,
    ])
}

/// So many events take less than the 24 h for which a stale answer may be served.
const MAX_EVENTS: usize = 40;

/// Draws an event of a host with fallbacks, whose lookups may return NXDOMAIN too.
fn event_with_fallbacks() -> impl Strategy<Value = HostEvent> {
    let takes = (0..8_000_u64).prop_map(Duration::from_millis);
    prop_oneof![
        6 => any_event(),
        1 => takes.prop_map(|takes| HostEvent::Lookups(LookupResult::NotFound, takes)),
        1 => (1..9_u8).prop_map(HostEvent::Rewritten),
    ]
}

fn any_event() -> impl Strategy<Value = HostEvent> {
    // A lookup that takes more than 5 s times out.
    let takes = (0..8_000_u64).prop_map(Duration::from_millis);
    let passes = prop_oneof![0..3_000_u64, 0..120_000_u64, 0..1_800_000_u64];
    prop_oneof![
        (result(), takes).prop_map(|(result, takes)| HostEvent::Lookups(result, takes)),
        Just(HostEvent::Invalidated),
        (1..9_u8, outcome()).prop_map(|(last, outcome)| HostEvent::Reported(last, outcome)),
        Just(HostEvent::Resolved),
        Just(HostEvent::Dropped),
        Just(HostEvent::Switched),
        passes.prop_map(|ms| HostEvent::Passes(Duration::from_millis(ms))),
    ]
}

/// The resolver of one host and its lookup.
struct Host {
    script: Script,
    resolver: Resolver,
}

impl Host {
    async fn with_answer() -> Self {
        let script = Script::answer(&[1, 2], 60);
        let resolver = script.resolver();
        sorted(&resolver, "a.test").await;
        Self { script, resolver }
    }

    /// Makes a host with fallbacks, whose lookups fail.
    async fn with_fallbacks() -> Self {
        let script = Script::new(|host| Err(ResolveError::failed(host, "SERVFAIL")));
        let resolver = script.resolver();
        resolver.fallbacks().set("a.test", [ip(1), ip(2)]).unwrap();
        Self { script, resolver }
    }

    async fn apply(&self, event: &HostEvent) {
        match event {
            HostEvent::Lookups(result, takes) => self.set_lookups(result.clone(), *takes),
            HostEvent::Invalidated => self.resolver.invalidate("a.test"),
            HostEvent::Reported(last, outcome) => {
                self.resolver.report("a.test", ip(*last), *outcome);
            }
            HostEvent::Resolved => {
                tokio::join!(self.check_by_hand(), self.check_as_connector());
            }
            HostEvent::Dropped => {
                let dropped = tokio::time::timeout(S, self.check_by_hand());
                tokio::join!(dropped, self.check_as_connector()).0.ok();
            }
            HostEvent::Passes(time) => tokio::time::sleep(*time).await,
            HostEvent::Switched => drop(self.resolver.set_lookup(self.script.clone())),
            HostEvent::Rewritten(last) => {
                let rows = [(".test", [ip(*last)])];
                self.resolver.fallbacks().replace(rows).unwrap();
            }
        }
    }

    fn set_lookups(&self, result: LookupResult, takes: Duration) {
        self.script.takes(takes);
        self.script.0.said.clear_poison();
        self.script.say(move |host| match &result {
            LookupResult::Answer { last, ttl } => Ok(answer(last, *ttl)),
            LookupResult::Failed => Err(ResolveError::failed(host, "SERVFAIL")),
            LookupResult::Panicked => panic!("a broken lookup"),
            LookupResult::NotFound => Err(ResolveError::not_found(host)),
        });
    }

    async fn check_by_hand(&self) {
        let (begun, resolved) = (Instant::now(), self.resolver.resolve("a.test").await);
        let resolved = resolved.expect("an address is known");
        assert!(!resolved.addrs().is_empty());
        assert!(Instant::now() - begun <= 1_800 * MS);
    }

    async fn check_as_connector(&self) {
        let selected = deal(&self.resolver, "a.test").await;
        assert!(!selected.expect("an address is known").is_empty());
    }
}

proptest! {
    /// A caller gets addresses within the 1.8 s of A4 after any lookups that fail or panic, invalidations, reports
    /// and pauses shorter than `max_stale`.
    #[test]
    fn a_known_address_is_served_after_any_events(
        events in prop::collection::vec(any_event(), 1..MAX_EVENTS),
    ) {
        run(Host::with_answer(), &events);
    }

    /// With fallbacks a caller gets addresses also after NXDOMAIN, and after changes of the table and the lookup.
    #[test]
    fn fallbacks_are_served_after_any_events(
        events in prop::collection::vec(event_with_fallbacks(), 1..MAX_EVENTS),
    ) {
        run(Host::with_fallbacks(), &events);
    }
}

fn run(host: impl Future<Output = Host>, events: &[HostEvent]) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let host = host.await;
        for event in events {
            host.apply(event).await;
        }
        host.apply(&HostEvent::Resolved).await;
    });
}

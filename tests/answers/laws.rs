//! Behaviour A1 as a law: whatever happens, what is known is served.

use proptest::prelude::*;

use super::*;

/// What may happen to a host. That it does not exist is not among it.
#[derive(Clone, Debug)]
enum Happens {
    /// Lookups end so from now on, after so long.
    Lookups(Ending, Duration),
    Invalidated,
    Dialled(u8, Outcome),
    /// Two ask at once, by hand and as a connector; one of them may leave.
    Asked,
    Left,
    Passes(Duration),
    /// Another lookup is set, which says the same.
    Switched,
    /// The fallbacks are changed to this address.
    Rewritten(u8),
}

#[derive(Clone, Debug)]
enum Ending {
    Answer { last: Vec<u8>, ttl: u32 },
    Failed,
    Panicked,
    Denied,
}

fn ending() -> impl Strategy<Value = Ending> {
    let ttl = prop_oneof![Just(0_u32), 1..90_u32, Just(86_400)];
    let last = prop::collection::vec(1..9_u8, 1..4);
    prop_oneof![
        2 => (last, ttl).prop_map(|(last, ttl)| Ending::Answer { last, ttl }),
        1 => Just(Ending::Failed),
        1 => Just(Ending::Panicked),
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

/// So many of these stay within the 24 h for which an answer may be served.
const MOST: usize = 40;

/// What may happen besides to a host with fallbacks.
fn happens_with_fallbacks() -> impl Strategy<Value = Happens> {
    let takes = (0..8_000_u64).prop_map(Duration::from_millis);
    prop_oneof![
        6 => happens(),
        1 => takes.prop_map(|takes| Happens::Lookups(Ending::Denied, takes)),
        1 => (1..9_u8).prop_map(Happens::Rewritten),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    // More than 5 s is a timeout.
    let takes = (0..8_000_u64).prop_map(Duration::from_millis);
    let passes = prop_oneof![0..3_000_u64, 0..120_000_u64, 0..1_800_000_u64];
    prop_oneof![
        (ending(), takes).prop_map(|(ending, takes)| Happens::Lookups(ending, takes)),
        Just(Happens::Invalidated),
        (1..9_u8, outcome()).prop_map(|(last, outcome)| Happens::Dialled(last, outcome)),
        Just(Happens::Asked),
        Just(Happens::Left),
        Just(Happens::Switched),
        passes.prop_map(|ms| Happens::Passes(Duration::from_millis(ms))),
    ]
}

/// A host that was known once.
struct Host {
    script: Script,
    resolver: Resolver,
}

impl Host {
    async fn known() -> Self {
        let script = Script::answer(&[1, 2], 60);
        let resolver = script.resolver();
        sorted(&resolver, "a.test").await;
        Self { script, resolver }
    }

    /// One that no lookup ever knew, but the program itself.
    async fn with_fallbacks() -> Self {
        let script = Script::new(|host| Err(ResolveError::failed(host, "SERVFAIL")));
        let resolver = script.resolver();
        resolver.fallbacks().set("a.test", [ip(1), ip(2)]).unwrap();
        Self { script, resolver }
    }

    async fn take(&self, event: &Happens) {
        match event {
            Happens::Lookups(ending, takes) => self.direct(ending.clone(), *takes),
            Happens::Invalidated => self.resolver.invalidate("a.test"),
            Happens::Dialled(last, outcome) => {
                self.resolver.report("a.test", ip(*last), *outcome);
            }
            Happens::Asked => {
                tokio::join!(self.check_by_hand(), self.check_as_connector());
            }
            Happens::Left => {
                let left = tokio::time::timeout(S, self.check_by_hand());
                tokio::join!(left, self.check_as_connector()).0.ok();
            }
            Happens::Passes(time) => tokio::time::sleep(*time).await,
            Happens::Switched => drop(self.resolver.set_lookup(self.script.clone())),
            Happens::Rewritten(last) => {
                let rows = [(".test", [ip(*last)])];
                self.resolver.fallbacks().replace(rows).unwrap();
            }
        }
    }

    fn direct(&self, ending: Ending, takes: Duration) {
        self.script.takes(takes);
        self.script.0.said.clear_poison();
        self.script.say(move |host| match &ending {
            Ending::Answer { last, ttl } => Ok(answer(last, *ttl)),
            Ending::Failed => Err(ResolveError::failed(host, "SERVFAIL")),
            Ending::Panicked => panic!("a broken lookup"),
            Ending::Denied => Err(ResolveError::not_found(host)),
        });
    }

    async fn check_by_hand(&self) {
        let (begun, resolved) = (Instant::now(), self.resolver.resolve("a.test").await);
        let resolved = resolved.expect("an address is known");
        assert!(!resolved.addrs().is_empty());
        assert!(Instant::now() - begun <= 1_800 * MS);
    }

    async fn check_as_connector(&self) {
        let dealt = deal(&self.resolver, "a.test").await;
        assert!(!dealt.expect("an address is known").is_empty());
    }
}

proptest! {
    /// No failed or panicking lookup, no invalidation, no report of any outcome and no time under
    /// `max_stale` costs a caller the addresses, or more than the 1.8 s of A4.
    #[test]
    fn what_is_known_is_served_whatever_happens(
        events in prop::collection::vec(happens(), 1..MOST),
    ) {
        play(Host::known(), &events);
    }

    /// With fallbacks not even a denial does, whatever becomes of the table and the lookup.
    #[test]
    fn fallbacks_are_served_whatever_happens(
        events in prop::collection::vec(happens_with_fallbacks(), 1..MOST),
    ) {
        play(Host::with_fallbacks(), &events);
    }
}

fn play(host: impl Future<Output = Host>, events: &[Happens]) {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let host = host.await;
        for event in events {
            host.take(event).await;
        }
        host.take(&Happens::Asked).await;
    });
}

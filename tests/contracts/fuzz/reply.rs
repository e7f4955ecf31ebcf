//! Random replies of a name server, with right records and a few faults.

use bolero::TypeGenerator;
use hickory_proto::rr::RecordType;

/// The replies of the server over UDP and over TCP.
#[derive(Clone, Debug, Default, TypeGenerator)]
pub(crate) struct Evil {
    /// If less than 4, the server is silent over UDP. That is rare, because such a lookup takes its whole time limit.
    pub(crate) speaks: u8,
    pub(crate) udp: Reply,
    pub(crate) tcp: Option<Reply>,
    /// A wrong length before a message over TCP.
    pub(crate) tcp_len: Option<u16>,
}

/// A reply with the right id and question, some records, and a few faults.
#[derive(Clone, Debug, Default, TypeGenerator)]
pub(crate) struct Reply {
    records: [Option<Record>; 6],
    /// How often the records repeat, each time with other addresses. All of them may be more than a resolver keeps.
    times: Option<u8>,
    /// The number of aliases in hundreds, and whether each alias is the target of the previous one.
    aliases: Option<(u8, bool)>,
    faults: [Option<Fault>; 3],
}

#[derive(Clone, Debug, TypeGenerator)]
struct Record {
    owner: Name,
    data: Data,
    ttl: u32,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Name {
    Queried,
    Other,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Data {
    A,
    Aaaa,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Fault {
    Truncated,
    Code(u8),
    Flags(u16),
    /// Sets one count of the header: questions, answers, authorities or additional records.
    Count(u8, u16),
    /// Makes a record an alias.
    Alias(u8, Name),
    /// Replaces the owner of a record, as the faults below replace its other parts.
    Owner(u8, Vec<u8>),
    Pointer(u8, u16),
    Type(u8, u16),
    Class(u8, u16),
    Len(u8, u16),
    Data(u8, Vec<u8>),
    Tail(Vec<u8>),
    Cut(u16),
    /// Replaces everything after the id.
    Garbage(Vec<u8>),
}

/// A message that faults can change before it is written.
struct Draft {
    flags: u16,
    counts: [u16; 4],
    records: Vec<DraftRecord>,
    tail: Vec<u8>,
    cut: usize,
    garbage: Option<Vec<u8>>,
}

struct DraftRecord {
    owner: Vec<u8>,
    kind: u16,
    class: u16,
    ttl: u32,
    len: Option<u16>,
    data: Vec<u8>,
}

impl Name {
    fn bytes(&self) -> Vec<u8> {
        match self {
            // The name in the question begins after the header's 12 octets.
            Self::Queried => vec![0xc0, 12],
            Self::Other => b"\x04evil\x04test\0".to_vec(),
        }
    }
}

impl Record {
    fn draft(&self, n: u8) -> DraftRecord {
        let (kind, data) = match self.data {
            Data::A => (RecordType::A, vec![192, 0, 2, n]),
            Data::Aaaa => (RecordType::AAAA, [&[0x20; 15][..], &[n]].concat()),
        };
        DraftRecord {
            owner: self.owner.bytes(),
            kind: kind.into(),
            class: 1,
            ttl: self.ttl,
            len: None,
            data,
        }
    }
}

impl Fault {
    fn apply(&self, draft: &mut Draft) {
        let some = draft.records.len().max(1);
        let mut of = |which: &u8, change: &dyn Fn(&mut DraftRecord)| {
            let place = usize::from(*which) % some;
            draft.records.get_mut(place).into_iter().for_each(change);
        };
        match self {
            Self::Truncated => draft.flags |= 0x200,
            Self::Code(code) => draft.flags |= u16::from(code & 15),
            Self::Flags(flags) => draft.flags = *flags,
            Self::Count(which, count) => draft.counts[usize::from(which % 4)] = *count,
            Self::Alias(n, target) => of(n, &|record| {
                record.kind = RecordType::CNAME.into();
                record.data = target.bytes();
            }),
            Self::Owner(n, owner) => of(n, &|record| record.owner.clone_from(owner)),
            Self::Pointer(n, to) => {
                of(n, &|record| {
                    record.owner = (0xc000 | to).to_be_bytes().into()
                });
            }
            Self::Type(n, kind) => of(n, &|record| record.kind = *kind),
            Self::Class(n, class) => of(n, &|record| record.class = *class),
            Self::Len(n, len) => of(n, &|record| record.len = Some(*len)),
            Self::Data(n, data) => of(n, &|record| record.data.clone_from(data)),
            Self::Tail(tail) => draft.tail.clone_from(tail),
            Self::Cut(place) => draft.cut = (*place).into(),
            Self::Garbage(bytes) => draft.garbage = Some(bytes.clone()),
        }
    }
}

impl Reply {
    pub(crate) fn to(&self, query: &[u8]) -> Vec<u8> {
        let times = self.times.map_or(1, |times| times % 100);
        let all =
            (0..times).flat_map(|n| self.records.iter().flatten().map(move |one| one.draft(n)));
        let records: Vec<_> = self.aliases().chain(all).collect();
        let mut draft = Draft {
            flags: 0x8180,
            counts: [1, records.len() as u16, 0, 0],
            records,
            tail: Vec::new(),
            cut: usize::MAX,
            garbage: None,
        };
        self.faults
            .iter()
            .flatten()
            .for_each(|fault| fault.apply(&mut draft));
        draft.write(query)
    }
}

impl Reply {
    fn aliases(&self) -> impl Iterator<Item = DraftRecord> {
        let (hundreds, chained) = self.aliases.unwrap_or_default();
        let name = |n: u16| match n {
            0 => vec![0xc0, 12],
            n => [&[2][..], &n.to_be_bytes(), b"\x04evil\x04test\0"].concat(),
        };
        (0..u16::from(hundreds % 29) * 100).map(move |n| DraftRecord {
            owner: name(if chained { n } else { 0 }),
            kind: RecordType::CNAME.into(),
            class: 1,
            ttl: 60,
            len: None,
            data: name(n + 1),
        })
    }
}

impl Draft {
    fn write(&self, query: &[u8]) -> Vec<u8> {
        let mut bytes = query[..2].to_vec();
        if let Some(garbage) = &self.garbage {
            bytes.extend(garbage);
            return bytes;
        }
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.counts.iter().flat_map(|count| count.to_be_bytes()));
        bytes.extend(question(query));
        for record in &self.records {
            let len = record.len.unwrap_or(record.data.len() as u16);
            bytes.extend(&record.owner);
            bytes.extend(record.kind.to_be_bytes());
            bytes.extend(record.class.to_be_bytes());
            bytes.extend(record.ttl.to_be_bytes());
            bytes.extend(len.to_be_bytes());
            bytes.extend(&record.data);
        }
        bytes.extend(&self.tail);
        bytes.truncate(self.cut);
        bytes
    }
}

/// Returns the octets of the question: a name, its type and its class.
fn question(query: &[u8]) -> &[u8] {
    let name = query[12..].iter().position(|&byte| byte == 0);
    let end = 12 + name.expect("a name ends with the root") + 5;
    &query[12..end]
}

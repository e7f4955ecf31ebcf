//! Messages of a name server: some truth and a few lies.

use bolero::TypeGenerator;
use hickory_proto::rr::RecordType;

/// What the server says, by each way that it is asked.
#[derive(Clone, Debug, Default, TypeGenerator)]
pub(crate) struct Evil {
    /// Under 4: it says nothing over UDP. Seldom, because that takes the whole time of a lookup.
    pub(crate) speaks: u8,
    pub(crate) udp: Reply,
    pub(crate) tcp: Option<Reply>,
    /// The length before a message over TCP, where it is a lie.
    pub(crate) tcp_len: Option<u16>,
}

/// The right id and question, some records, and a few lies.
#[derive(Clone, Debug, Default, TypeGenerator)]
pub(crate) struct Reply {
    records: [Option<Record>; 6],
    /// So often, each time with other addresses: more than are kept, or than fit.
    times: Option<u8>,
    /// So many times a hundred aliases: of one name, or each of the one before.
    aliases: Option<(u8, bool)>,
    lies: [Option<Lie>; 3],
}

#[derive(Clone, Debug, TypeGenerator)]
struct Record {
    owner: Name,
    data: Data,
    ttl: u32,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Name {
    Asked,
    Other,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Data {
    A,
    Aaaa,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Lie {
    Truncated,
    Code(u8),
    Flags(u16),
    /// Of questions, answers, authorities, more.
    Count(u8, u16),
    /// A record is an alias.
    Alias(u8, Name),
    /// A record's owner, type, class, length or data.
    Owner(u8, Vec<u8>),
    Pointer(u8, u16),
    Type(u8, u16),
    Class(u8, u16),
    Len(u8, u16),
    Data(u8, Vec<u8>),
    Tail(Vec<u8>),
    Cut(u16),
    /// Anything after the id.
    Garbage(Vec<u8>),
}

/// A message that can be spoilt before it is written.
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
            Self::Asked => vec![0xc0, 12],
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

impl Lie {
    fn tell(&self, draft: &mut Draft) {
        let some = draft.records.len().max(1);
        let mut of = |which: &u8, spoil: &dyn Fn(&mut DraftRecord)| {
            let place = usize::from(*which) % some;
            draft.records.get_mut(place).into_iter().for_each(spoil);
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
    pub(crate) fn to(&self, asked: &[u8]) -> Vec<u8> {
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
        self.lies
            .iter()
            .flatten()
            .for_each(|lie| lie.tell(&mut draft));
        draft.write(asked)
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
    fn write(&self, asked: &[u8]) -> Vec<u8> {
        let mut bytes = asked[..2].to_vec();
        if let Some(garbage) = &self.garbage {
            bytes.extend(garbage);
            return bytes;
        }
        bytes.extend(self.flags.to_be_bytes());
        bytes.extend(self.counts.iter().flat_map(|count| count.to_be_bytes()));
        bytes.extend(question(asked));
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

/// The question's octets: a name, its type and its class.
fn question(asked: &[u8]) -> &[u8] {
    let name = asked[12..].iter().position(|&byte| byte == 0);
    let end = 12 + name.expect("a name ends with the root") + 5;
    &asked[12..end]
}

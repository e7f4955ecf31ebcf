//! Queries both families of one candidate, and joins the later reply to the answer.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::Name;

use super::candidates::Miss;
use super::config::IpStrategy;
use super::exchange::{Denied, Question, ServerAnswer};
use super::fault::{Fault, ServerFailed};
use super::question::{self, QuestionResult, Rest, ServerMemory};
use super::settings::Settings;
use crate::addrs::Family;
use crate::lookup::{Answer, Late};
use crate::time;

/// The state that all questions of one lookup share.
#[derive(Clone)]
pub(super) struct With {
    pub(super) settings: Settings,
    pub(super) remembered: Arc<ServerMemory>,
    /// The index of the server that each question is sent to first.
    pub(super) start: usize,
}

/// The reason why a candidate has no addresses, with the server that failed, if any.
pub(super) type Missed = Miss<Option<ServerFailed>>;

type PendingQuestion = Pin<Box<dyn Future<Output = QuestionResult> + Send>>;

/// Queries the addresses of one candidate.
///
/// As soon as one family has addresses, `ask` returns these addresses as the answer. The [`Late`] of the answer
/// waits for the other family.
pub(super) async fn ask(with: &With, name: Name) -> Result<Answer, Missed> {
    let began = time::now();
    let ask = |family| with.ask(name.clone(), family);
    let config = with.settings.stub();
    match config.ip_strategy {
        IpStrategy::Ipv4Only => alone(ask(Family::V4).await, began),
        IpStrategy::Ipv6Only => alone(ask(Family::V6).await, began),
        IpStrategy::Both if config.single_request => {
            let first = ask(Family::V4).await;
            first_of(first, ask(Family::V6), began).await
        }
        IpStrategy::Both => match select(ask(Family::V4), ask(Family::V6)).await {
            Either::Left((first, other)) | Either::Right((first, other)) => {
                first_of(first, other, began).await
            }
        },
    }
}

impl With {
    fn ask(&self, name: Name, family: Family) -> PendingQuestion {
        let with = self.clone();
        Box::pin(async move {
            let question = Question { name, family };
            let config = with.settings.stub();
            question::ask(with.remembered, config, with.start, question).await
        })
    }
}

fn alone(asked: QuestionResult, began: Instant) -> Result<Answer, Missed> {
    let (half, rest) = Half::of(asked);
    half.answer(began, false)
        .map(|answer| answer.with_late(rest.map(Late::rest)))
        .ok_or_else(|| half.miss())
}

async fn first_of(
    first: QuestionResult,
    other: PendingQuestion,
    began: Instant,
) -> Result<Answer, Missed> {
    let (half, rest) = Half::of(first);
    match half.answer(began, true) {
        None => {
            let (other, second) = Half::of(other.await);
            let rest = rest.into_iter().chain(second).collect();
            join(&half, &other, began).map(|answer| answer.with_late(late_rest(rest)))
        }
        Some(answer) => Ok(answer.with_late(Some(late_half(half, rest, other, began)))),
    }
}

/// Returns a [`Late`] that waits for the other half, and then for the replies that are still missing.
fn late_half(half: Half, rest: Option<Rest>, other: PendingQuestion, began: Instant) -> Late {
    Late::new(async move {
        let (other, second) = Half::of(other.await);
        let is_news = !matches!(other, Half::Failed(_));
        let joined = is_news.then(|| join(&half, &other, began).ok()).flatten();
        let rest: Vec<_> = rest.into_iter().chain(second).collect();
        (joined, late_rest(rest))
    })
}

fn late_rest(rest: Vec<Rest>) -> Option<Late> {
    (!rest.is_empty()).then(|| {
        Late::rest(async move {
            for rest in rest {
                rest.await;
            }
        })
    })
}

/// The result of one family.
#[derive(Clone, Debug)]
enum Half {
    Addresses(Vec<IpAddr>, Duration),
    Denied(Denied),
    /// `None` if there was no server to query.
    Failed(Option<ServerFailed>),
}

impl Half {
    fn of(asked: QuestionResult) -> (Self, Option<Rest>) {
        let half = match asked.server_answer {
            Ok(ServerAnswer::Addresses(addrs, ttl)) => Self::Addresses(addrs, ttl),
            Ok(ServerAnswer::Denied(denied)) => Self::Denied(denied),
            Err(failed) => Self::Failed(failed),
        };
        (half, asked.rest)
    }

    fn answer(&self, began: Instant, is_partial: bool) -> Option<Answer> {
        match self {
            Self::Addresses(addrs, ttl) => Some(Answer {
                is_partial,
                asked_at: Some(began),
                ..Answer::new(addrs.iter().copied()).with_ttl(*ttl)
            }),
            Self::Denied(_) | Self::Failed(_) => None,
        }
    }

    /// Returns why a candidate with only this half has no addresses.
    fn miss(&self) -> Missed {
        match self {
            Self::Denied(Denied::NotFound(ttl)) => Miss::NotFound(*ttl),
            Self::Denied(Denied::NoRecords(ttl)) => Miss::NoRecords(*ttl),
            Self::Denied(Denied::AliasToNothing(ttl)) => Miss::AliasToNothing(*ttl),
            Self::Failed(Some(failed)) => match failed.fault {
                Fault::Code(ResponseCode::ServFail) => {
                    Miss::FailedNextCandidate(Some(failed.clone()))
                }
                Fault::Unreachable(_)
                | Fault::Machine(_)
                | Fault::AliasLoop
                | Fault::AliasChain
                | Fault::OtherName => Miss::EndsWalk(Some(failed.clone())),
                _ => Miss::Failed(Some(failed.clone())),
            },
            Self::Failed(None) | Self::Addresses(..) => Miss::EndsWalk(None),
        }
    }
}

/// Joins two halves into one answer.
///
/// If one half failed, the answer of the other half is partial. If one half is a negative answer, the answer of
/// the other half is complete.
fn join(one: &Half, other: &Half, began: Instant) -> Result<Answer, Missed> {
    let failed = |half: &Half| matches!(half, Half::Failed(_));
    let halves = (
        one.answer(began, failed(other)),
        other.answer(began, failed(one)),
    );
    match halves {
        (Some(one), Some(other)) => Ok(Answer {
            ttl: one.ttl.min(other.ttl),
            asked_at: Some(began),
            ..Answer::new(one.addrs.into_iter().chain(other.addrs))
        }),
        (Some(half), None) | (None, Some(half)) => Ok(half),
        (None, None) => Err(missed(one, other)),
    }
}

/// Returns why a candidate with two halves has no addresses.
///
/// If one record type has an error code and the other a negative answer, the walk continues with the next
/// candidate, because glibc follows the negative answer in this case.
fn missed(one: &Half, other: &Half) -> Missed {
    let is_denied = |half: &Half| {
        matches!(
            half,
            Half::Denied(Denied::NotFound(_) | Denied::NoRecords(_))
        )
    };
    match more_serious(one, other).miss() {
        Miss::Failed(Some(failed))
            if matches!(failed.fault, Fault::Code(_)) && (is_denied(one) || is_denied(other)) =>
        {
            Miss::FailedNextCandidate(Some(failed))
        }
        miss => miss,
    }
}

/// Returns the half that decides why the candidate has no addresses.
///
/// A failure goes before NXDOMAIN, because a failure says least about the name. NXDOMAIN goes before NODATA.
fn more_serious<'a>(one: &'a Half, other: &'a Half) -> &'a Half {
    let gravity = |half: &Half| match half {
        Half::Failed(_) => 2,
        Half::Denied(Denied::NotFound(_) | Denied::AliasToNothing(_)) => 1,
        Half::Denied(Denied::NoRecords(_)) | Half::Addresses(..) => 0,
    };
    match gravity(other) > gravity(one) {
        true => other,
        false => one,
    }
}

#[cfg(test)]
mod tests;

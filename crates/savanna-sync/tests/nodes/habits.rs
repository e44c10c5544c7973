//! What a node does when it is asked.

use std::convert::Infallible;
use std::task::{Context, Poll};

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending};
use savanna_peer::{Missing, Partial, Request, Response};
use savanna_sim::regtest::with_wrong_body;
use savanna_sync::MemoryStore;
use savanna_sync::serve::ArchiveService;
use tower::Service;

/// A way to be a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Habit {
    /// Follows the chain and serves it.
    Honest,
    /// Mines the chain and serves it.
    Miner,
    /// Serves a chain of its own, with less work than the others'.
    Dwarf,
    /// Tells of blocks and sends none.
    Stalls,
    /// Sends the bodies of other blocks.
    Lies,
    /// Says that it lacks every block.
    Lacks,
    /// Answers every question for headers and hashes by saying that there are none.
    Withholds,
    /// Sends every other block that it is asked for.
    Halves,
}

impl Habit {
    /// The ways to be a bad one.
    pub(crate) const BAD: [Self; 6] =
        [Self::Dwarf, Self::Stalls, Self::Lies, Self::Lacks, Self::Withholds, Self::Halves];

    /// Returns whether it has its chain by itself.
    pub(crate) fn is_source(self) -> bool {
        self != Self::Honest
    }

    /// Returns whether it may be blamed.
    pub(crate) fn is_bad(self) -> bool {
        Self::BAD.contains(&self)
    }
}

/// The service of a node with a habit.
#[derive(Debug, Clone)]
pub(crate) struct Habitual {
    archive: ArchiveService<MemoryStore>,
    habit: Habit,
}

impl Habitual {
    pub(crate) fn new(archive: ArchiveService<MemoryStore>, habit: Habit) -> Self {
        Self { archive, habit }
    }
}

impl Service<Request> for Habitual {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.archive.poll_ready(cx)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let is_for_blocks = matches!(request, Request::Blocks(_));
        let is_for_tips = matches!(request, Request::FindHeaders { .. } | Request::FindBlocks { .. });
        let honest = self.archive.call(request.clone());
        match (self.habit, request) {
            (Habit::Stalls, Request::Blocks(_)) => pending().boxed(),
            (Habit::Withholds, Request::FindHeaders { .. }) => async { Ok(Response::Headers(Vec::new())) }.boxed(),
            (Habit::Withholds, _) if is_for_tips => async { Ok(Response::Nil) }.boxed(),
            (Habit::Lacks, Request::Blocks(hashes)) => {
                let missing = hashes.into_iter().map(|hash| (hash, Missing::NotFound)).collect();
                async { Ok(Response::Blocks(Partial { found: Vec::new(), missing })) }.boxed()
            }
            (habit, _) if is_for_blocks => async move { Ok(spoil(habit, honest.await?)) }.boxed(),
            _ => honest,
        }
    }
}

fn spoil(habit: Habit, response: Response) -> Response {
    let Response::Blocks(Partial { mut found, missing }) = response else { return response };
    match habit {
        Habit::Lies => found = found.iter().map(with_wrong_body).collect(),
        Habit::Halves => found = found.into_iter().step_by(2).collect(),
        Habit::Honest | Habit::Miner | Habit::Dwarf | Habit::Stalls | Habit::Lacks | Habit::Withholds => {}
    }
    Response::Blocks(Partial { found, missing })
}

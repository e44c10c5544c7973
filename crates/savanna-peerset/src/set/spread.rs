//! A whole question, put to one peer or to several.

use std::collections::BTreeSet;
use std::time::Duration;

use savanna_net::PeerId;
use savanna_peer::{Request, Response};
use savanna_wire::Inventory;

use crate::network::{Call, Network, Pick};
use crate::request::{Answer, Outcome, RequestError, RequestId, audience};

use super::Progress;

/// A question that is wanted answered by `want` distinct peers.
#[derive(Debug)]
pub(super) struct Spread {
    request: Request,
    want: usize,
    /// How many peers more than wanted may be asked.
    spare: usize,
    /// How many peers more than wanted are being asked because others are late.
    hedges: usize,
    /// Whom to ask before any other.
    first: Option<PeerId>,
    /// How long the others have once half of those who are asked have answered.
    grace: Option<Duration>,
    tried: BTreeSet<PeerId>,
    /// How many peers were not told, since they know.
    spared: usize,
    in_flight: usize,
    answers: Vec<Answer>,
    last_error: Option<RequestError>,
}

impl Spread {
    pub(super) fn new(request: Request, want: usize, attempts: usize) -> Self {
        let spare = attempts.saturating_sub(1);
        let (tried, answers) = (BTreeSet::new(), Vec::new());
        let (first, grace) = (None, None);
        let (hedges, spared, in_flight) = (0, 0, 0);
        Self { request, want, spare, hedges, first, grace, tried, spared, in_flight, answers, last_error: None }
    }

    /// Asks one peer before any other.
    pub(super) fn following(self, peer: PeerId) -> Self {
        Self { first: Some(peer), ..self }
    }

    /// Waits for the slower half no longer than this.
    pub(super) fn graced(self, grace: Duration) -> Self {
        Self { grace: Some(grace), ..self }
    }

    /// Asks as many peers as are needed and may be asked.
    pub(super) fn advance(&mut self, id: RequestId, network: &mut Network, now: Duration) -> Progress {
        self.spare_those_who_know(network, now);
        let mut pick = Pick::Later;
        while self.needs_more() && self.tried.len() < self.want.saturating_add(self.spare) {
            let is_retry = self.tried.len() >= self.want;
            if is_retry && !network.retries.affords(now) {
                network.starved = true;
                return Progress::Hungry;
            }
            pick = network.pick_small(self.request.kind(), self.first, &self.tried);
            let Pick::Peer(peer) = pick else { break };
            if is_retry {
                network.retries.pay()
            } else {
                network.retries.earn()
            }
            network.ask(id, peer, self.request.clone(), Vec::new(), now);
            self.tried.insert(peer);
            self.in_flight += 1;
        }
        if self.answers.len() >= self.want {
            return Progress::Done(Ok(Outcome::Answers(std::mem::take(&mut self.answers))));
        }
        // Who is busy misses what is for everyone: nobody else waits for it.
        let is_passed_by = pick == Pick::Later && self.is_for_everyone();
        let is_exhausted =
            pick == Pick::Never || is_passed_by || self.tried.len() >= self.want.saturating_add(self.spare);
        if is_exhausted && self.in_flight == 0 && !self.tried.is_empty() {
            return Progress::Done(self.conclude(network));
        }
        if self.needs_more() && !is_exhausted || self.tried.is_empty() { Progress::Hungry } else { Progress::Asked }
    }

    pub(super) fn answered(
        &mut self,
        call: &Call,
        result: Result<Response, savanna_peer::RequestError>,
        network: &mut Network,
        now: Duration,
    ) {
        self.in_flight -= 1;
        match result {
            Ok(response) => {
                network.measure(call, Some((1, 0)), now);
                if let Request::AdvertiseBlock(hash) = self.request {
                    network.registry.share(call.peer, Inventory::Block(hash), now);
                }
                self.answers.push(Answer { peer: call.peer, response });
            }
            Err(error) => {
                if error == savanna_peer::RequestError::TimedOut {
                    network.measure(call, None, now);
                }
                let error = RequestError::from(error);
                if matches!(error, RequestError::TooLong { .. }) {
                    self.spare = 0;
                }
                self.last_error = Some(error);
            }
        }
    }

    /// Returns whether it is a statement to all peers that there are.
    pub(super) fn is_for_everyone(&self) -> bool {
        self.want == usize::MAX && audience(self.request.kind()) == usize::MAX
    }

    /// Returns how long the others have from now on, once, as soon as half of those who are asked have answered.
    pub(super) fn take_grace(&mut self) -> Option<Duration> {
        self.grace.take_if(|_| !self.answers.is_empty() && self.answers.len() >= self.in_flight)
    }

    /// Lets one more peer be asked, since one is late.
    pub(super) const fn hedge(&mut self) {
        self.hedges += 1;
    }

    /// Ends with what there is.
    pub(super) fn conclude(&mut self, network: &Network) -> Result<Outcome, RequestError> {
        if !self.answers.is_empty() {
            return Ok(Outcome::Answers(std::mem::take(&mut self.answers)));
        }
        if self.last_error.is_none() && self.spared > 0 && self.spared == self.tried.len() {
            return Ok(Outcome::Gathered(Response::Nil));
        }
        let is_nobody = self.tried.is_empty() && !network.has_peer_for(self.request.kind());
        let otherwise = if is_nobody { RequestError::NoPeers } else { RequestError::TimedOut };
        Err(self.last_error.take().unwrap_or(otherwise))
    }

    /// Leaves out who is known to have the block that everyone is to be told of.
    fn spare_those_who_know(&mut self, network: &mut Network, now: Duration) {
        if let Request::AdvertiseBlock(hash) = self.request
            && self.is_for_everyone()
        {
            for peer in network.who_knows(&Inventory::Block(hash), now) {
                if self.tried.insert(peer) {
                    self.spared += 1;
                    network.counts.count_spared();
                }
            }
        }
    }

    fn needs_more(&self) -> bool {
        self.in_flight + self.answers.len() < self.want.saturating_add(self.hedges)
    }
}

//! Stays at the tip: what `sync` does, without an end.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::stream::Fuse;
use futures_util::{Stream, StreamExt};
use savanna_chain::{Checkpoints, MAX_REORG_DEPTH};
use savanna_store::Tip;
use savanna_wire::BlockHash;
use tokio::time::Instant;

use super::ask::{Event, off_thread};
use super::disk::restore;
use super::{News, Options, Run};
use crate::download::Failure;
use crate::ground::GroundFailure;
use crate::{Progress, Source, Store, SyncError, Trouble};

/// How often several peers are asked whether they have more though nobody announces anything; a quarter more or less.
const SURVEY_EVERY: Duration = Duration::from_secs(30);

/// How soon they are asked once there is something new, or somebody; up to twice that.
const SURVEY_SOON: Duration = Duration::from_millis(500);

/// How soon they are asked again while our clock is doubted.
const SURVEY_DOUBTED: Duration = Duration::from_secs(10);

/// For how long everybody may lack the next block before its branch is set aside for the best of the others.
const WITHHELD_AFTER: Duration = Duration::from_secs(3);

/// How long nobody may answer while a block is lacking before several are asked whether they are there.
const ANSWERS_AGAIN: Duration = Duration::from_secs(1);

/// How far, or for how long, the store may be behind the best chain before a follower is no longer at the tip.
const LAG_BLOCKS: u32 = 3;
const LAG_TIME: Duration = Duration::from_secs(10);

/// Fetches the chain with the most work from `source` into `store`, and keeps it there, whole to the tip, for ever.
///
/// `news` is what peers tell unasked, as [`news`](crate::news) makes it of a peer set: a block that is announced is fetched at
/// once. Without it the tip is found by asking. `progress` is told what happens, and must not block. Trouble is told and is no
/// end: it goes on trying. [`Options::until`] counts for nothing here.
///
/// # Errors
/// It returns only [`SyncError::Store`], for which the store has to be opened again, [`SyncError::Contradicted`], which no peer can
/// mend, and [`SyncError::Interrupted`].
///
/// # Cancel safety
/// As for [`sync`](crate::sync).
///
/// # Security
/// A branch that parts from ours more than [`MAX_REORG_DEPTH`] below the tip is refused once we have been there. The store leaves
/// a branch only for blocks that are here and checked, so that headers whose blocks nobody has cost it nothing.
pub async fn follow<N, T, F>(
    source: N,
    store: Arc<T>,
    options: Options,
    news: impl Stream<Item = News> + Send + Unpin,
    progress: F,
) -> SyncError
where
    N: Source,
    T: Store,
    F: FnMut(Progress),
{
    let started = Instant::now();
    let checkpoints = options.checkpoints.clone().unwrap_or_else(|| Checkpoints::of(store.network()));
    let (held, known) = (Arc::clone(&store), checkpoints.clone());
    let restored = match off_thread(move || restore(held.as_ref(), &known)).await {
        Ok(Ok(restored)) => restored,
        Ok(Err(error)) | Err(error) => return error,
    };
    let seed = options.seed;
    let mut run =
        Run::new(source, store, restored, checkpoints, &Options { until: None, ..options }, started, progress);
    run.stay(news.fuse(), Watch::new(seed)).await
}

/// What a follower remembers.
#[derive(Debug)]
struct Watch {
    seed: u64,
    /// When several peers are asked again.
    survey_at: Duration,
    /// The tip for which that was last hastened.
    hastened_for: Option<BlockHash>,
    /// Whether the store holds the whole chain, but for what is just coming.
    is_at_tip: bool,
    /// The last tip that was told of, and the last of which several peers agreed.
    told: Option<BlockHash>,
    synced: Option<BlockHash>,
    lag_since: Option<Duration>,
    /// The height of the block that comes next and that everybody lacks, and since when.
    lacked: Option<(u32, Duration)>,
    /// A block that keeps us from the chain that peers have.
    obstacle: Option<Trouble>,
    trouble: Option<Trouble>,
}

impl Watch {
    const fn new(seed: u64) -> Self {
        Self {
            seed,
            survey_at: Duration::ZERO,
            hastened_for: None,
            is_at_tip: false,
            told: None,
            synced: None,
            lag_since: None,
            lacked: None,
            obstacle: None,
            trouble: None,
        }
    }

    /// Returns some part of a duration.
    fn part_of(&mut self, whole: Duration) -> Duration {
        // SplitMix64.
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.seed ^ (self.seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let part = u32::try_from((mixed ^ (mixed >> 31)) >> 48).unwrap_or(0);
        whole * part / 65_536
    }

    /// Asks several peers soon.
    fn hasten(&mut self, now: Duration) {
        let soon = now + SURVEY_SOON + self.part_of(SURVEY_SOON);
        self.survey_at = self.survey_at.min(soon);
    }
}

/// What a follower waits for.
enum Happening {
    News(News),
    Event(Event),
    Nothing,
}

impl<N, T, F> Run<N, T, F>
where
    N: Source,
    T: Store,
    F: FnMut(Progress),
{
    async fn stay(&mut self, mut news: Fuse<impl Stream<Item = News> + Unpin>, mut watch: Watch) -> SyncError {
        loop {
            let now = self.step();
            if let Some(failure) = self.dead_end(now) {
                return self.flush().await.err().unwrap_or_else(|| failure.into());
            }
            self.turn_from_obstacle(&mut watch, now);
            self.survey(&mut watch, now);
            self.tell_trouble(&mut watch, now);
            self.tell_place(&mut watch, now);
            let survey_at = if self.headers.is_done() { watch.survey_at } else { Duration::MAX };
            let deadline = self.deadline(now).min(survey_at);
            match self.next_happening(&mut news, self.started + deadline).await {
                Happening::News(news) => self.hear(news, &mut watch),
                Happening::Event(event) => {
                    if let Err(error) = self.handle(event) {
                        return error;
                    }
                }
                Happening::Nothing => {}
            }
        }
    }

    /// Returns why no peer can ever help, if that is so. What has come in order is kept before.
    fn dead_end(&self, now: Duration) -> Option<GroundFailure> {
        let failure = self.ground_failure(now).filter(|_| !self.disk.is_busy())?;
        matches!(failure, GroundFailure::Contradicted { .. }).then_some(failure)
    }

    async fn next_happening(
        &mut self,
        news: &mut Fuse<impl Stream<Item = News> + Unpin>,
        deadline: Instant,
    ) -> Happening {
        let event = std::pin::pin!(self.next_event(deadline));
        let happening = |event: Option<Event>| event.map_or(Happening::Nothing, Happening::Event);
        if news.is_done() {
            return happening(event.await);
        }
        match select(news.next(), event).await {
            Either::Left((news, _)) => news.map_or(Happening::Nothing, Happening::News),
            Either::Right((event, _)) => happening(event),
        }
    }

    fn hear(&mut self, news: News, watch: &mut Watch) {
        let now = self.now();
        match news {
            News::Announced { peer, hash } => self.headers.handle_announced(peer, hash, now),
            News::Joined { peer } => self.headers.handle_joined(peer, now),
            News::Missed => watch.hasten(now),
        }
    }

    /// Asks several peers whether they have more, when it is time.
    fn survey(&mut self, watch: &mut Watch, now: Duration) {
        if !self.headers.is_done() {
            return;
        }
        let (_, tip) = self.headers.chain().tip();
        if !self.headers.is_agreed() && watch.hastened_for.replace(tip) != Some(tip) {
            watch.hasten(now);
        }
        if self.headers.is_clock_doubted() {
            watch.survey_at = watch.survey_at.min(now + SURVEY_DOUBTED);
        }
        if watch.survey_at <= now {
            watch.survey_at = now + SURVEY_EVERY * 3 / 4 + watch.part_of(SURVEY_EVERY / 2);
            self.headers.ask_again(now);
            self.ask_for_headers(now);
        }
    }

    /// Leaves the branch of a block that is invalid, or that nobody delivers.
    fn turn_from_obstacle(&mut self, watch: &mut Watch, now: Duration) {
        let (tip, _) = self.headers.chain().tip();
        // Further below, its headers would be dear to fetch again, and no branch there is a rival of as much work.
        let is_near = |height: u32| tip.saturating_sub(height) <= MAX_REORG_DEPTH;
        let lacking = self.download.lacking().filter(|&(height, _)| is_near(height));
        let withheld = self.withheld(watch, lacking, now);
        let fork = if let Some(Failure::Invalid { height, hash, error }) = self.download.failure() {
            watch.obstacle = Some(Trouble::InvalidBlock { height, hash, error });
            self.headers.reject(hash)
        } else if let Some(height) = withheld {
            let Some(hash) = self.headers.chain().hash_at(height) else { return };
            watch.obstacle = Some(Trouble::Undelivered { height, hash });
            self.headers.set_aside(hash, now)
        } else {
            return;
        };
        // Whether the rest is all that there is has to be found out anew.
        watch.synced = None;
        if let Some(fork) = fork {
            self.rebase(fork);
            // Somebody may have another branch of as much work, which was passed over for this one.
            watch.hasten(now);
        }
    }

    /// Returns the height of a block that is kept from us: everybody lacks it, and they were there to be asked for all that time.
    ///
    /// A network that is lost withholds nothing.
    fn withheld(&mut self, watch: &mut Watch, lacking: Option<(u32, Duration)>, now: Duration) -> Option<u32> {
        let is_lost = |since: Duration| since < self.touch.since();
        if self.source.peers() == 0 || watch.lacked.is_some_and(|(_, since)| is_lost(since)) {
            self.download.forgive();
            watch.lacked = None;
            return None;
        }
        let Some((height, long)) = lacking else {
            watch.lacked = None;
            return None;
        };
        let since = watch.lacked.filter(|&(of, _)| of == height).map_or(now, |(_, since)| since);
        watch.lacked = Some((height, since));
        if self.touch.heard_at() < since + WITHHELD_AFTER {
            // Whoever is there answers that, though he is silent of the block.
            if now >= self.touch.heard_at().max(since) + ANSWERS_AGAIN {
                watch.hasten(now);
            }
            return None;
        }
        (long >= WITHHELD_AFTER).then_some(height)
    }

    /// Tells whether the store is at the tip.
    fn tell_place(&mut self, watch: &mut Watch, now: Duration) {
        let (target, hash) = self.headers.chain().tip();
        let stored = self.disk.tip();
        let Some(Tip { height, .. }) = stored.filter(|tip| tip.hash == hash) else {
            return self.tell_lag(watch, stored, target, now);
        };
        watch.lag_since = None;
        if watch.is_at_tip && watch.told.replace(hash) != Some(hash) {
            (self.progress)(Progress::Tip { height, hash });
        }
        let is_agreed = self.headers.is_done() && self.headers.is_agreed() && !self.headers.is_clock_doubted();
        // Whoever agrees below a checkpoint is behind with us.
        let is_agreed = is_agreed && self.short_of().is_none();
        if is_agreed
            && !self.headers.is_spurned()
            && !self.source.is_gathering()
            && watch.synced.replace(hash) != Some(hash)
        {
            (watch.is_at_tip, watch.told, watch.obstacle) = (true, Some(hash), None);
            self.headers.settle(height.saturating_sub(MAX_REORG_DEPTH));
            (self.progress)(Progress::Synced { height, hash });
        }
    }

    fn tell_lag(&mut self, watch: &mut Watch, stored: Option<Tip>, target: u32, now: Duration) {
        if !watch.is_at_tip {
            return;
        }
        let height = stored.map_or(0, |tip| tip.height);
        let since = *watch.lag_since.get_or_insert(now);
        if target.saturating_sub(height) > LAG_BLOCKS || now >= since + LAG_TIME {
            (watch.is_at_tip, watch.synced) = (false, None);
            (self.progress)(Progress::Behind { height, target });
        }
    }

    /// Tells of trouble when it comes, changes and goes.
    fn tell_trouble(&mut self, watch: &mut Watch, now: Duration) {
        let trouble = self.trouble(now).or_else(|| watch.obstacle.clone());
        if trouble == watch.trouble {
            return;
        }
        (self.progress)(trouble.clone().map_or(Progress::Recovered, Progress::Trouble));
        watch.trouble = trouble;
    }

    fn trouble(&self, now: Duration) -> Option<Trouble> {
        if self.company.is_alone_for_long(now) {
            return Some(if self.headers.is_refused() { Trouble::InvalidHeaders } else { Trouble::NoPeers });
        }
        if self.headers.is_silent(now) {
            return Some(Trouble::Silent);
        }
        match self.ground_failure(now) {
            Some(GroundFailure::Unreached { height }) => return Some(Trouble::Unreached { height }),
            Some(GroundFailure::Silent) => return Some(Trouble::Silent),
            // It is an end, and told as one.
            Some(GroundFailure::Contradicted { .. }) | None => {}
        }
        if self.headers.is_clock_doubted() {
            return Some(Trouble::Clock);
        }
        if let Some(height) = self.short_of()
            && self.headers.is_done()
        {
            return Some(Trouble::Unreached { height });
        }
        if self.headers.is_deep() {
            return Some(Trouble::DeepFork { depth: MAX_REORG_DEPTH });
        }
        match self.download.failure()? {
            Failure::Unavailable { height } | Failure::Undelivered { height } => {
                let hash = self.hash_at(height)?;
                Some(Trouble::Undelivered { height, hash })
            }
            Failure::Invalid { height, hash, error } => Some(Trouble::InvalidBlock { height, hash, error }),
        }
    }
}

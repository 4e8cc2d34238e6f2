//! What the front and the lanes read, and for whom.

use super::*;

impl Delivery {
    /// Reads the journal; nothing, where that is damaged. The journal has said so.
    async fn entries(
        &mut self,
        who: usize,
        after: Position,
        limits: BatchLimits,
    ) -> Result<Option<Vec<Entry>>, JournalError> {
        if self.damaged[who].is_some_and(|until| until > Instant::now()) {
            return Ok(None);
        }
        match self.cursor.read(after, limits).await {
            Err(JournalError::Damaged(_)) => {
                self.damaged[who] = Some(Instant::now() + DAMAGED);
                Ok(None)
            }
            read => {
                self.damaged[who] = None;
                read.map(Some)
            }
        }
    }

    pub(super) async fn fill_front(&mut self) -> Result<(), JournalError> {
        if self.held().is_some_and(|oldest| oldest.elapsed() >= STUCK) && self.starves() {
            self.unstick();
        }
        for chunk in 0.. {
            if self.cursor.newest() <= self.window.read() {
                break;
            }
            if chunk == CHUNKS {
                self.more = true;
                break;
            }
            if let Some(oldest) = self.window.oldest()
                && (self.window.len() >= self.span.events || self.window.bytes() >= self.span.bytes)
            {
                if oldest.elapsed() >= STUCK && self.unstick() {
                    continue;
                }
                self.stuck = Some(look_again(oldest));
                return Ok(());
            }
            let room = BatchLimits { events: CHUNK.events.min(self.span.events - self.window.len()), ..CHUNK };
            let entries = self.entries(FRONT, self.window.read(), room).await?.unwrap_or_default();
            if entries.is_empty() {
                break;
            }
            if self.history.back().is_none_or(|(_, routes)| !Arc::ptr_eq(routes, &self.routes)) {
                self.history.push_back((self.window.read(), Arc::clone(&self.routes)));
            }
            let routes = Arc::clone(&self.routes);
            let now = Instant::now();
            for entry in entries {
                self.route(&*routes, entry, now);
            }
            self.touched();
            if !self.runnable.is_empty() {
                // What can go goes before more is read.
                self.dispatch();
            }
        }
        self.stuck = None;
        self.status.backlog(self.cursor.waiting(self.window.front()));
        Ok(())
    }

    /// When the oldest entry was read, if the front holds much.
    pub(super) fn held(&self) -> Option<Instant> {
        self.window.oldest().filter(|_| self.window.bytes() >= HELD)
    }

    /// Whether a target has nothing to do now, so that what holds the front may hold it up. In strict order, what is new
    /// would wait, too.
    fn starves(&self) -> bool {
        let strict = self.options.ordering == Ordering::Strict;
        self.tracks.iter().any(|track| !track.gone && track.waits() && (!strict || track.owed() == 0))
    }

    pub(super) fn route(&mut self, routes: &dyn Routes, Entry { position, event }: Entry, now: Instant) {
        let targets = self.wanted(routes, &event);
        if targets.is_empty() {
            self.status.unwanted(&event);
            let unwanted = Settlement { position, target: None, end: End::Unwanted, attempts: 0, status: None };
            self.settlements.push(unwanted);
        }
        let mut waits = 0;
        for target in targets.iter() {
            let at = self.track(target);
            if self.tracks[at].lane.is_some_and(|lane| !lane.merged) || self.is_settled_before(position, target) {
                continue;
            }
            let entity = self.entity(&event);
            self.tracks[at].push(position, event.clone(), entity);
            self.may_run(at);
            waits += 1;
        }
        self.window.push(position, waits, event.size(), now);
        self.uncommitted += usize::from(waits == 0);
    }

    /// Who wants an event, by a version of the map. However often it is read, that is the same.
    pub(super) fn wanted(&self, routes: &dyn Routes, event: &Event) -> Targets {
        if excludes(&self.options, event) { Arc::clone(&self.nobody) } else { routes.route(event) }
    }

    /// Gives the targets that the front waits for longest lanes of their own. Whether there were any.
    pub(super) fn unstick(&mut self) -> bool {
        let oldest = Position(self.window.front().0 + 1);
        let before = self.window.len();
        for at in 0..self.tracks.len() {
            if self.tracks[at].item(oldest).is_some() {
                self.open_lane(at);
            }
        }
        self.window.len() < before
    }

    pub(super) async fn fill_lanes(&mut self) -> Result<(), JournalError> {
        for chunk in 0.. {
            if self.lanes.is_empty() {
                break;
            }
            self.lanes_bytes = self.lanes.iter().map(|at| self.tracks[*at].bytes()).sum();
            let front = self.window.read();
            // Lanes are few, and those with room fewer.
            let mut lowest: Option<Position> = None;
            for at in self.lanes.clone() {
                let room = self.lane_has_room(at);
                let track = &mut self.tracks[at];
                let Some(lane) = &mut track.lane else { continue };
                if lane.merged {
                    continue;
                }
                if lane.read >= front {
                    // After a restart a lane may be ahead of what the front has read again. What the front reads for a
                    // merged one is not bounded by its room.
                    if lane.read == front && room && matches!(track.circuit, Circuit::Closed) {
                        lane.merged = true;
                        track.dissolve();
                        self.touched();
                    }
                    continue;
                }
                let read = lane.read;
                if room {
                    lowest = Some(lowest.map_or(read, |lowest| lowest.min(read)));
                }
            }
            self.lanes.retain(|at| self.tracks[*at].lane.is_some());
            let Some(after) = lowest else { break };
            if chunk == CHUNKS {
                self.more = true;
                break;
            }
            if !self.read_lanes(after, front).await? {
                break;
            }
        }
        Ok(())
    }

    /// Reads one chunk behind `after` for every lane that is within it and has room. Whether it could be read.
    async fn read_lanes(&mut self, after: Position, front: Position) -> Result<bool, JournalError> {
        let Some(mut entries) = self.entries(LANES, after, CHUNK).await? else { return Ok(false) };
        entries.retain(|entry| entry.position <= front);
        let end = entries.last().map_or(front, |entry| entry.position);
        let mut taking: HashMap<usize, Position> = HashMap::new();
        for at in self.lanes.clone() {
            if let Some(Lane { read, merged: false }) = self.tracks[at].lane
                && read < end
                && self.lane_has_room(at)
            {
                taking.insert(at, read);
            }
        }
        for Entry { position, event } in entries {
            let targets = self.wanted(self.routes_at(position), &event);
            for target in targets.iter() {
                let Some(at) = self.index.get(target).copied() else { continue };
                if taking.get(&at).is_none_or(|read| position <= *read) || self.is_settled_before(position, target) {
                    continue;
                }
                let entity = self.entity(&event);
                self.tracks[at].push(position, event.clone(), entity);
                self.lanes_bytes += event.size();
                self.may_run(at);
                if !self.lane_has_room(at) {
                    // Full: what follows is read when there is room again.
                    taking.remove(&at);
                    if let Some(lane) = &mut self.tracks[at].lane {
                        lane.read = position;
                    }
                }
            }
        }
        for at in taking.into_keys() {
            if let Some(lane) = &mut self.tracks[at].lane {
                lane.read = lane.read.max(end);
            }
            if self.tracks[at].gone {
                self.unsubscribe(at);
            }
        }
        self.touched();
        self.forget_history();
        Ok(true)
    }

    pub(super) fn lane_has_room(&self, at: usize) -> bool {
        self.tracks[at].has_room(self.lanes_bytes < LANES_BYTES)
    }

    /// The version of the map by which the front routed an entry. What was routed
    /// before a restart goes by the oldest that is known.
    pub(super) fn routes_at(&self, position: Position) -> &dyn Routes {
        let after = self.history.partition_point(|(before, _)| *before < position);
        match self.history.get(after.saturating_sub(1)) {
            Some((_, routes)) => &**routes,
            None => &*self.routes,
        }
    }

    /// Lets go the versions of the map by which nothing can be read again: what a
    /// target sheds lies above what it is owed.
    pub(super) fn forget_history(&mut self) {
        let lanes = self.lanes.iter().filter_map(|at| {
            let track = &self.tracks[*at];
            track.lane.map(|lane| track.settled_through(lane))
        });
        let lowest = lanes.fold(self.window.front(), Position::min);
        while self.history.len() > 1 && self.history[1].0 <= lowest {
            self.history.pop_front();
        }
    }

    pub(super) fn is_settled_before(&self, position: Position, target: &Target) -> bool {
        !self.settled_before.is_empty() && self.settled_before.contains(&(position, target.clone()))
    }

    pub(super) fn entity(&self, event: &Event) -> Option<u64> {
        match self.options.ordering {
            Ordering::None => None,
            Ordering::Strict => Some(0),
            Ordering::Entity if event.entity_bytes().is_empty() => None,
            // Two entities with one hash only wait for each other.
            Ordering::Entity => Some(self.hasher.hash_one((event.stream(), event.entity_bytes()))),
        }
    }

    pub(super) fn track(&mut self, target: &Target) -> usize {
        if let Some(at) = self.index.get(target) {
            return *at;
        }
        let lingers = !self.linger.is_zero();
        let mut track = Track::new(target.clone(), self.status.target(target), self.options.concurrency, lingers);
        track.gone = !self.routes.has(target);
        let at = match self.tracks.iter().position(|track| track.gone && track.is_empty()) {
            // The place of a target that is gone; rare, since targets are.
            Some(at)
                if self.tracks.len() > 64
                    && !self.tracks[at].runnable
                    && self.again.keys().all(|(_, track)| *track != at) =>
            {
                self.index.remove(&self.tracks[at].target);
                self.status.forget(&self.tracks[at].target);
                self.tracks[at] = track;
                at
            }
            _ => {
                self.tracks.push(track);
                self.tracks.len() - 1
            }
        };
        self.index.insert(target.clone(), at);
        at
    }
}

/// From when on [`STUCK`] counts: from when the oldest entry was read, or from now, if a look has not helped.
pub(super) fn look_again(oldest: Instant) -> Instant {
    let now = Instant::now();
    if now - oldest < STUCK { oldest } else { now }
}

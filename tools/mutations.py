#!/usr/bin/env python3
"""Takes the handling of one fault after the other out of the router, and sees that a storm notices; and one safeguard
of the journal after the other, and sees that a test notices.

    tools/mutations.py                all of them: about an hour
    tools/mutations.py late hidden    those whose fault or name has one of these words at its beginning
    tools/mutations.py journal        the journal's safeguards
    tools/mutations.py --list         what there is

The storms are tests of `tests/it/simulator/storms.rs`; what watches over the journal are tests of the library, named
`lib:` and their path. What git tracks is copied to `target/mutations/tree` and built
beside it, so nothing here is touched. The storms first run as everything is (not with `--skip-unmutated`), and must
pass. With each mutation, its storm must fail, and the one in which nothing goes wrong must pass: it is the handling
that is missing, and nothing else. If not, or if a mutation does not compile, the exit code is 1. The output of
everything is kept in `target/mutations/logs`.

An edit's piece of source must be there exactly once. If it is not, the table is stale: look what became of the
handling, and write down the new piece.
"""

import argparse
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

ROOT = os.path.normpath(os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
SCRATCH = os.path.join(os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "mutations")
TREE = os.path.join(SCRATCH, "tree")
BUILD = os.path.join(SCRATCH, "build")
LOGS = os.path.join(SCRATCH, "logs")

STORMS = "simulator::storms::"
FAULTS = "vcenter::faults::"
CALM = "nothing_goes_wrong"
# What must pass whichever of the journal's safeguards is missing.
CALM_LIB = "lib:journal::tests::what_is_appended_is_read_in_order_and_let_go_once_all_cursors_have_passed"
# Seconds without anything new after which a storm gives up; it has no end after twelve times as many.
PATIENCE = 10
# Seconds for one storm with a mutation. It ends by itself before, unless the router does not let it.
LIMIT = 240

VCENTER = "src/stream/vcenter/"


@dataclass(frozen=True)
class Mutation:
    fault: str
    name: str
    what: str
    edits: tuple
    storms: tuple

    def id(self):
        return f"{self.fault}/{self.name}"


def edit(file, old, new):
    """One piece of a file, and what is there instead."""
    return (file, old, new)


def ends(condition):
    """Failures of this kind end the stream."""
    return edit(
        VCENTER + "mod.rs",
        "Err(Stop::Trouble(failure)) => failure,",
        f"Err(Stop::Trouble(failure)) if {condition} => break Ok(()),\n"
        "                Err(Stop::Trouble(failure)) => failure,",
    )


def fault_ends(*kinds):
    return ends("[" + ", ".join(f'"{kind}"' for kind in kinds) + "].contains(&failure.kind.as_str())")


# A session that is gone is noticed by NotAuthenticated. Were it not, then by any fault of CurrentTime: both go.
SESSION_STAYS = (
    edit(VCENTER + "wire.rs", 'self.fault() == Some("NotAuthenticated")', "false"),
    edit(
        VCENTER + "mod.rs",
        "if error.fault().is_some() {",
        'if error.fault().is_some_and(|kind| kind != "NotAuthenticated") {',
    ),
)
FROM_NOW = edit(
    VCENTER + "place.rs",
    "let Checkpoint { resume, newest, horizon, .. } = self.checkpoint;",
    "if self.checkpoint.last.is_some() {\n            return now;\n        }\n"
    "        let Checkpoint { resume, newest, horizon, .. } = self.checkpoint;",
)
ALL_NEW = edit(VCENTER + "place.rs", "let new = self.is_new(seen);", "let new = true;")
NO_TIMEOUT = edit(
    VCENTER + "wire.rs",
    "Limits { timeout, body: MOST_BYTES }",
    "Limits { timeout: timeout + Duration::from_secs(86_400), body: MOST_BYTES }",
)
NO_GAP = edit(VCENTER + "tail.rs", "if let Some((from, to)) = gap {", "if let Some((from, to)) = gap.filter(|_| false) {")
KEY_ALONE = edit(
    "src/journal/checkpoint.rs",
    "        if self.bare {\n            return self.iter()",
    "        if !self.bare {\n"
    "            return self.index.len() > 0 && self.keys.iter().rev().any(|other| *other == key);\n"
    "        }\n"
    "        if self.bare {\n            return self.iter()",
)
NO_STALL = edit(VCENTER + "stall.rs", "let (seen, since) = self.evidence?;", "let (seen, since) = self.evidence.filter(|_| false)?;")

SESSION_FAULTS = "the_session_s_and_the_collector_s_faults"
LOGIN_FAULTS = "faults_of_the_credentials"
STRANGE_FAULTS = "faults_of_strange_servers"

SAFE = "lib:journal::embedded::safeguards::"
IN_MODEL = "lib:journal::embedded::model::"
MODEL = "lib:journal::model::a_durable_journal_keeps_what_it_promises"
LOG = IN_MODEL + "a_log_keeps_what_it_promises"
PLACE = "lib:journal::embedded::place::tests::a_place_that_was_synced_is_never_lost"
FLIPS = "lib:journal::embedded::flips::any_bit_that_turns_over_is_noticed_or_changes_nothing"
DORMANT = "lib:journal::embedded::repair::tests::what_is_dormant_can_be_let_go_or_given_away"
FOLDERS = "power::the_names_of_new_folders_are_made_durable"
NEW_NAME = SAFE + "whoever_is_new_never_passes_for_one_of_the_name_that_was_forgotten"
NEW_AGAIN = "lib:journal::tests::past::who_is_new_again_is_so_after_a_restart_too"
JOURNAL = "src/journal/embedded/"


def safeguard(name, what, test, *edits):
    """A safeguard of the journal in a folder, and the test that must notice when it is out."""
    return Mutation("journal", name, what, edits, (test,))


SAFEGUARDS = [
    safeguard("append-sync", "what is appended is acknowledged before it is durable", MODEL,
              edit(JOURNAL + "log.rs",
                   'active.file.sync().map_err(failed("sync", name))?;\n            active.synced = active.end',
                   "active.synced = active.end")),
    safeguard("header-sync", "frames are written behind a header that is not durable", LOG,
              edit(JOURNAL + "log.rs", "file.write_at(head, 0).and_then(|()| file.sync());", "file.write_at(head, 0);")),
    safeguard("begin-sync", "what a segment begins with is not made durable", MODEL,
              edit(JOURNAL + "log.rs", "file.write_at(rest, HEADER as u64)).and_then(|()| file.sync());",
                   "file.write_at(rest, HEADER as u64));")),
    safeguard("name-sync", "a new segment's name is not made durable", MODEL,
              edit(JOURNAL + "log.rs", "if let Err(error) = made.and_then(|()| self.disk.sync()) {",
                   "if let Err(error) = made {")),
    safeguard("trim-sync", "the next segment is let go before it is durable that the oldest was", LOG,
              edit(JOURNAL + "log.rs",
                   'let done = removed.and_then(|()| self.disk.sync().map_err(failed("sync", "the folder")));',
                   "let done = removed;")),
    safeguard("opened-sync", "what was read at the opening passes for durable", LOG,
              edit(JOURNAL + "log/open.rs", "make_durable(&*file, synced, extent.end).map_err", "Ok(()).map_err")),
    safeguard("opened-names", "a name that was read at the opening passes for durable", LOG,
              edit(JOURNAL + "log/open.rs",
                   "if removed || (!chain.is_empty() && options.durability != Durability::Never) {", "if removed {")),
    safeguard("place-sync", "a processor's place is not made durable", PLACE,
              edit(JOURNAL + "place.rs", "            file.write_at(bytes, 0)?;\n        }\n        file.sync()",
                   "            file.write_at(bytes, 0)?;\n        }\n        Ok(())")),
    safeguard("place-name", "the name of a processor's file is not made durable", PLACE,
              edit(JOURNAL + "place.rs", "self.disk.sync()?;\n            *slot", "*slot")),
    safeguard("opened-place", "a place that was read passes for durable", PLACE,
              edit(JOURNAL + "place.rs", "file.write_at(&bytes, 0)?;\n            file.sync()?;\n            place.turn",
                   "let _ = (file, &bytes);\n            place.turn")),
    safeguard("forget-sync", "it is not made durable that a replay is forgotten", MODEL,
              edit(JOURNAL + "place.rs", "            _ => {}\n        }\n    }\n    disk.sync()\n",
                   "            _ => {}\n        }\n    }\n    Ok(())\n")),
    safeguard("frame-sum", "a frame's checksum is not looked at", FLIPS,
              edit(JOURNAL + "frame.rs", "if sum(head, payload) != u32::from_le_bytes(take(head, 12)) {",
                   "if sum(head, payload) != u32::from_le_bytes(take(head, 12)) && head.is_empty() {")),
    safeguard("header-sum", "a header's checksum is not looked at", FLIPS,
              edit(JOURNAL + "frame.rs",
                   "if crc32fast::hash(&bytes[..60]) != u32::from_le_bytes(take(bytes, 60)) {\n"
                   "            return Err(HeaderError::Damaged);",
                   "if crc32fast::hash(&bytes[..60]) != u32::from_le_bytes(take(bytes, 60)) && bytes.is_empty() {\n"
                   "            return Err(HeaderError::Damaged);")),
    safeguard("place-sum", "a place's checksum is not looked at", FLIPS,
              edit(JOURNAL + "place.rs", "(head[..8] == MAGIC && crc32fast::hash(&bytes[..end]) == sum)",
                   "(head[..8] == MAGIC && crc32fast::hash(&bytes[..end]) | u32::MAX == sum | u32::MAX)")),
    safeguard("salt", "a frame of what the file was before passes for one of its own",
              IN_MODEL + "what_a_file_was_before_is_none_of_its_own",
              edit(JOURNAL + "frame.rs", "(u64::from_le_bytes(take(&head.0, 0)) == salt).then_some(head)",
                   "(u64::from_le_bytes(take(&head.0, 0)) == salt || salt > 0).then_some(head)")),
    safeguard("blank", "what a file was before is there until its new header is durable", LOG,
              edit(JOURNAL + "log.rs", "            file.write_at(&[0; HEADER], 0)?;\n", "")),
    safeguard("base-above-places", "a position that a place names may be given again",
              SAFE + "no_event_gets_a_place_that_a_processor_has_passed",
              edit(JOURNAL + "parts.rs", "highest(state)).max().unwrap_or_default();",
                   "highest(state)).max().filter(|_| false).unwrap_or_default();")),
    safeguard("base-above-lost", "a position that was lost with the power may be given again",
              SAFE + "no_event_gets_a_place_that_was_lost_with_the_power",
              edit(JOURNAL + "log/open.rs", "next = Position(next.0.saturating_add(LOST));",
                   "next = Position(next.0.saturating_add(LOST - LOST));")),
    safeguard("base-above-damage", "a position that a damaged end may have had is given again",
              SAFE + "no_event_gets_a_place_that_damage_may_have_had",
              edit(JOURNAL + "log/open.rs", "let highest = highest.0.max(newest.0).saturating_add(behind);",
                   "let highest = highest.0.max(newest.0).saturating_add(behind - behind);")),
    safeguard("testimony", "damage passes for a write that was broken off", FLIPS,
              edit(JOURNAL + "scan.rs", "|head| u64::from(head.synced) > bad", "|head| u64::from(head.synced) > bad + (1 << 40)")),
    safeguard("attest", "nothing says at the end that what came before is durable", FLIPS,
              edit(JOURNAL + "log.rs", "if self.sync().is_ok() {\n            drop(self.write(time, &mut |frames| frames.push(GAP",
                   "if self.sync().is_ok() && time < 0 {\n            drop(self.write(time, &mut |frames| frames.push(GAP")),
    safeguard("half-batch", "half a batch passes for a whole one", LOG,
              edit(JOURNAL + "log/open.rs", "if head.flags & LAST > 0 {", "if head.flags & LAST <= LAST {")),
    safeguard("lock", "two processes may have the folder at once", DORMANT,
              edit(JOURNAL + "mod.rs", "        Err(TryLockError::WouldBlock) => {\n",
                   "        Err(TryLockError::WouldBlock) if folder.as_os_str().is_empty() => {\n"),
              edit(JOURNAL + "mod.rs", "        Err(TryLockError::Error(error)) => return",
                   "        Err(TryLockError::WouldBlock) => {}\n        Err(TryLockError::Error(error)) => return")),
    safeguard("folder-names", "the names of new folders are not made durable", FOLDERS,
              edit(JOURNAL + "disk.rs", "        made => made?,\n    }\n    sync_name(path)",
                   "        made => made?,\n    }\n    Ok(())")),
    safeguard("opened-folder", "the folder's own name passes for durable once it is there", FOLDERS,
              edit(JOURNAL + "mod.rs", "disk::sync_name(folder) {", "Ok::<(), std::io::Error>(()) {")),
    safeguard("opened-folders", "the names in the folder pass for durable once they are there", FOLDERS,
              edit(JOURNAL + "mod.rs", 'own.sync().map_err(failed(format!("sync {}", folder.display())))?;', "drop(own);")),
    safeguard("sync-roll", "a segment is left that is not durable",
              SAFE + "a_full_segment_is_durable_though_appends_are_not",
              edit(JOURNAL + "log.rs", "        self.sync()?;\n        self.active = None;\n", "        self.active = None;\n")),
    safeguard("sync-close-events", "a journal is closed whose events are not durable",
              SAFE + "what_was_closed_survives_a_power_loss",
              edit(JOURNAL + "log.rs", "        if self.sync().is_ok() {\n            drop(self.write(",
                   "        if self.active.is_some() {\n            drop(self.write("),
              edit(JOURNAL + "writer.rs", "let synced = self.log.sync().map_err(|error| told(&error));", "let synced = Ok(());")),
    safeguard("sync-close-outcomes", "a journal is closed whose outcomes are not durable",
              SAFE + "what_was_closed_survives_a_power_loss",
              edit(JOURNAL + "keeper.rs", "let logged = self.outcomes.sync().map_err(|error| writer::told(&error));",
                   "let logged = Ok(());")),
    safeguard("sync-letters", "a dead letter is acknowledged before it is durable", MODEL,
              edit(JOURNAL + "letters.rs", "durability: Durability::Each,", "durability: Durability::Never,")),
    safeguard("sync-blank", "a file is written over whose old header may come back", LOG,
              edit(JOURNAL + "log.rs", "            file.sync()?;\n            file.len()", "            file.len()")),
    safeguard("place-in-turn", "a place is written over the one that is durable", PLACE,
              edit(JOURNAL + "place.rs", "Ok(()) => self.turn = 1 - self.turn,", "Ok(()) => {}"),
              edit(JOURNAL + "place.rs", "            place.turn = 1 - turn;\n", "            place.turn = turn;\n")),
    safeguard("failed-file", "a file whose sync failed is appended to", LOG,
              edit(JOURNAL + "log.rs", "            self.active = None;\n            self.buffer = out;\n            return Err(error);",
                   "            self.buffer = out;\n            return Err(error);")),
    safeguard("check-torn", "a torn tail passes for damage", LOG,
              edit(JOURNAL + "log/open.rs", 'if let Some(later) = scan.testifies(bad).map_err(failed("read", name))? {',
                   'if let Some(later) = scan.testifies(bad).map_err(failed("read", name))?.or(Some(bad)) {')),
    safeguard("attest-letters", "nothing testifies to the last dead letter", FLIPS,
              edit(JOURNAL + "keeper.rs", "                    letters.attest(self.shared.clock.now());\n", "                    let _ = letters;\n")),
    safeguard("base-letters", "an event gets the place of a dead letter",
              SAFE + "no_event_gets_the_place_of_a_dead_letter",
              edit(JOURNAL + "parts.rs", "letters.as_ref().map_or(floor, |letters| floor.max(letters.highest()));",
                   "letters.as_ref().map_or(floor, |_| floor);")),
    safeguard("begins", "what a forgotten processor delivered passes for what a new one of the name did", NEW_AGAIN,
              edit(JOURNAL + "outcomes.rs", "                    own.clear();\n", "")),
    safeguard("begins-sync", "that it is a new one is not durable before its place is (two safeguards)", NEW_AGAIN,
              edit(JOURNAL + "keeper.rs", "            .and_then(|()| self.outcomes.sync())\n            .map_err", "            .map_err"),
              edit(JOURNAL + "keeper.rs", "        self.outcomes.attest(self.shared.clock.now());\n", "")),
    safeguard("begins-attest", "damage to the record that it is a new one passes for a write that was broken off", NEW_NAME,
              edit(JOURNAL + "keeper.rs", "        self.outcomes.attest(self.shared.clock.now());\n", "")),
    safeguard("begins-damage", "what was delivered before damage counts, though one of the name may have been forgotten",
              NEW_NAME, edit(JOURNAL + "outcomes.rs", "own.retain(|(at, _)| *at > whole_behind);", "let _ = whole_behind;")),
    safeguard("begins-mended", "what was delivered before what a repair cut out counts, too", NEW_NAME,
              edit(JOURNAL + "log/read.rs", "self.missing = self.missing.max(head.last());", "")),
    safeguard("begins-renamed", "what one of the new name delivered passes for what the renamed one did", DORMANT,
              edit(JOURNAL + "dormant.rs", "        settled.insert(0, outcomes::BEGINS);\n", "")),
    safeguard("in-vain", "what was begun in vain passes for damage",
              IN_MODEL + "a_file_that_was_begun_in_vain_is_no_damage_when_the_one_before_is_let_go",
              edit(JOURNAL + "log/open.rs", "if older < base && !self.is_vain(older)? {", "if !self.is_vain(older)? {")),
    safeguard("pinned", "what a processor would need after a power loss is let go",
              SAFE + "what_a_processor_would_need_after_a_power_loss_is_not_let_go",
              edit(JOURNAL + "writer.rs", "        let durable = shared.lock().durable();\n        let max_age",
                   "        let durable = shared.lock().settled();\n        let max_age")),
    safeguard("newer-place", "a place of a newer version passes for damage",
              "lib:journal::embedded::place::tests::a_newer_version_is_no_damage",
              edit(JOURNAL + "place.rs", "            && version > VERSION\n        {", "            && version > VERSION + 9\n        {")),
    safeguard("too-high", "a position near the end of all numbers is one",
              "lib:journal::embedded::fuzz::tests::no_bytes_are_too_strange_for_a_journal",
              edit(JOURNAL + "frame.rs", "    (1..=HIGHEST).contains(&position)", "    position <= u64::MAX"),
              edit(JOURNAL + "log/open.rs", "if next.0 > HIGHEST {", "if next.0 > HIGHEST && false {")),
]

MUTATIONS = SAFEGUARDS + [
    Mutation("session-expiry", "no-login", "a session that is gone is used on (two safeguards)", SESSION_STAYS,
             ("sessions_expire",)),
    Mutation("session-expiry", "from-now", "reading resumes at vCenter's present time", (FROM_NOW,),
             ("sessions_expire",)),
    Mutation("session-expiry", "no-memory", "what was journaled already passes for new", (ALL_NEW,),
             ("sessions_expire",)),
    Mutation("restart", "gives-up", "a connection that breaks ends the stream",
             (ends('failure.kind == "Reset" || failure.kind.starts_with("status")'),), ("vcenter_restarts",)),
    Mutation("restart", "no-login", "a session that is gone is used on (two safeguards)", SESSION_STAYS,
             ("vcenter_restarts",)),
    Mutation("restart=new-keys", "no-gap", "lost history is not told", (NO_GAP,),
             ("vcenter_restarts_with_an_empty_database",)),
    Mutation("restart=new-keys", "key-alone", "a key that comes again is the same event", (KEY_ALONE,),
             ("vcenter_restarts_with_an_empty_database",)),
    Mutation("restore", "no-gap", "lost history is not told", (NO_GAP,), ("vcenter_is_restored_to_an_older_state",)),
    Mutation("restore", "key-alone", "a key that comes again is the same event", (KEY_ALONE,),
             ("vcenter_is_restored_to_an_older_state",)),
    Mutation("hang", "no-timeout", "calls are waited for without end", (NO_TIMEOUT,), ("calls_hang",)),
    Mutation("half-open", "no-timeout", "calls are waited for without end", (NO_TIMEOUT,),
             ("connections_fall_silent",)),
    Mutation("truncated", "end-of-page", "a page that is not well-formed has ended where it breaks off",
             (edit(VCENTER + "tail.rs", "Ok(Some(why.to_string()))", "Ok(Some(why.to_string()).filter(|_| false))"),),
             ("answers_break_off",)),
    Mutation("truncated", "goes-on", "after an answer that breaks off, the same collector is read on",
             (edit(VCENTER + "tail.rs", "                Err(error.into())\n            }\n        }\n    }\n",
                   "                Ok(None)\n            }\n        }\n    }\n"),),
             ("answers_break_off",)),
    Mutation("unavailable", "gives-up", "an answer that is no SOAP ends the stream",
             (ends('failure.kind.starts_with("status")'),), ("a_proxy_answers_in_its_place",)),
    Mutation("soap=NotAuthenticated", "no-login", "a session that is gone is used on (two safeguards)", SESSION_STAYS,
             (SESSION_FAULTS,)),
    Mutation("soap=ManagedObjectNotFound", "gives-up", "the fault ends the stream",
             (fault_ends("ManagedObjectNotFound"),), (SESSION_FAULTS,)),
    Mutation("soap=InvalidCollectorVersion", "gives-up", "the fault ends the stream",
             (fault_ends("InvalidCollectorVersion"),), (SESSION_FAULTS,)),
    Mutation("soap=RequestCanceled", "wait", "a wait for news that fails costs the collector (two safeguards)", (
        edit(VCENTER + "collector.rs", 'error.fault() == Some("RequestCanceled")', "false"),
        edit(VCENTER + "idle.rs", "self.tell_deaf(&error);\n                            waiting.begin_again(self.session);\n"
             "                            continue;", "return Err(error.into());"),
    ), ("vcenter::answers::reading_goes_on_where_news_cannot_be_asked_for",)),
    Mutation("soap=RequestCanceled", "gives-up", "the fault ends the stream", (fault_ends("RequestCanceled"),),
             (SESSION_FAULTS,)),
    Mutation("soap=InvalidLogin", "gives-up", "the fault ends the stream", (fault_ends("InvalidLogin"),),
             (LOGIN_FAULTS,)),
    Mutation("soap=NoPermission", "gives-up", "the fault ends the stream", (fault_ends("NoPermission"),),
             (LOGIN_FAULTS,)),
    Mutation("soap=InvalidLocale", "gives-up", "the fault ends the stream", (fault_ends("InvalidLocale"),),
             (LOGIN_FAULTS,)),
    Mutation("soap=InvalidState", "gives-up", "the fault ends the stream", (fault_ends("InvalidState"),),
             (LOGIN_FAULTS,)),
    Mutation("soap=InvalidArgument", "gives-up", "any of the other faults ends the stream",
             (fault_ends("InvalidArgument", "InvalidProperty", "MethodNotFound", "NotImplemented"),),
             (STRANGE_FAULTS,)),
    Mutation("hidden", "no-skip", "a collector that stalls begins at the checkpoint each time",
             (edit(VCENTER + "idle.rs", "Some(Stall::Skip(seen)) => self.skip_hidden(seen).await,",
                   "Some(Stall::Skip(_)) if !self.outrun => Ok(Some(End::Again)),\n"
                   "            Some(Stall::Skip(seen)) => self.skip_hidden(seen).await,"),),
             ("the_user_may_not_see_everything",)),
    Mutation("hidden", "no-gap", "what is passed over is not told",
             (edit(VCENTER + "idle.rs", "append(self.out, self.place, vec![gap], delta).await?;",
                   "drop(gap);\n            append(self.out, self.place, Vec::new(), delta).await?;"),),
             ("the_user_may_not_see_everything",)),
    Mutation("key-wrap", "no-stall", "nobody watches for events that reading does not bring", (NO_STALL,),
             ("keys_wrap",)),
    Mutation("key-wrap", "loop", "each page behind the wrap passes for keys that went back",
             (edit(VCENTER + "tail.rs", "if self.care.went_back.is_some_and(",
                   "if false && self.care.went_back.is_some_and("),),
             ("keys_wrap",)),
    Mutation("late", "no-look", "nobody looks back",
             (edit(VCENTER + "look.rs", "self.last + every", "self.last + every + Duration::from_secs(86_400)"),),
             ("events_come_late",)),
    Mutation("equal-times", "behind", "reading goes on behind the newest event's time",
             (edit(VCENTER + "place.rs", "let new = self.is_new(seen);",
                   "let new = self.is_new(seen) && seen.1 != self.checkpoint.newest;"),),
             ("events_have_equal_times",)),
    Mutation("clock=+", "own-clock", "what is dated beyond our own clock is no event",
             (edit(VCENTER + "place.rs", "let new = self.is_new(seen);",
                   "let ours = std::time::UNIX_EPOCH.elapsed().map_or(0, |at| super::timing::micros(at));\n"
                   "        let new = self.is_new(seen) && seen.1 < ours + 60_000_000;"),),
             ("the_clock_jumps_forwards",)),
    Mutation("clock=-", "no-rebase", "that the clock was set back is not heeded",
             (edit(VCENTER + "place.rs", "        self.clock = clock;\n",
                   "        self.clock = clock;\n        if before.is_some() {\n            return None;\n        }\n"),),
             ("the_clock_jumps_back",)),
    Mutation("clock=-", "old-clock", "nor does a new collector begin where the clock is (two safeguards)", (
        edit(VCENTER + "place.rs", "        self.clock = clock;\n",
             "        self.clock = clock;\n        if before.is_some() {\n            return None;\n        }\n"),
        # A collector that begins no later than vCenter's present time does as well in a storm.
        edit(VCENTER + "place.rs", "let now = self.clock.now();\n        let Checkpoint {",
             "let now = i64::MAX;\n        let Checkpoint {"),
    ), ("the_clock_jumps_back",)),
    Mutation("unknown-type", "dropped", "an event of a class that no schema has is none",
             (edit("src/vim25/transcode.rs", "        summary.events += 1;\n",
                   "        if event.is_none() {\n            return Ok(());\n        }\n        summary.events += 1;\n"),),
             ("nobody_knows_a_type",)),
    Mutation("undecodable", "dropped", "an event that is not whole is none",
             (edit(VCENTER + "page.rs", "            page.count += 1;\n",
                   "            page.count += 1;\n            if event.error.is_some() {\n                return;\n            }\n"),),
             ("events_cannot_be_decoded",)),
    Mutation("undecodable", "retried", "a page that is not well-formed is read again as it was",
             (edit(VCENTER + "tail.rs", "if memchr::memmem::find(body, b\"<returnval\").is_some() =>",
                   "if body.is_empty() && memchr::memmem::find(body, b\"<returnval\").is_some() =>"),),
             ("events_cannot_be_decoded",)),
    Mutation("slow", "impatient", "calls are given up sooner than slow answers come",
             (edit(VCENTER + "wire.rs", "Limits { timeout, body: MOST_BYTES }",
                   "Limits { timeout: timeout.min(Duration::from_millis(25)), body: MOST_BYTES }"),),
             ("answers_are_slow",)),
    Mutation("collectors", "gives-up", "a collector that cannot be had ends the stream", (fault_ends("InvalidState"),),
             ("there_are_too_many_collectors",)),
    Mutation("collectors", "keeps-session", "the session stays though collectors were lost in it",
             (edit(VCENTER + "mod.rs", 'error.fault() == Some("InvalidState") && session.doubtful()',
                   'error.fault() == Some("InvalidState") && session.doubtful() && false'),),
             (FAULTS + "collectors_that_were_lost_are_given_back_by_logging_out",)),
    Mutation("login", "no-wait", "a refused login is tried again as soon as any other failure",
             (edit(VCENTER + "mod.rs", "failure.whose = Whose::Login;\n", "failure.whose = Whose::VCenter;\n"),),
             (FAULTS + "a_refused_login_is_not_stormed",)),
    Mutation("login", "gives-up", "a refused login ends the stream", (ends("failure.whose == Whose::Login"),),
             ("logins_are_refused_for_a_while",)),
    Mutation("expired", "no-gap", "lost history is not told", (NO_GAP,), ("events_are_gone_beyond_retention",)),
    Mutation("expired", "from-now", "reading resumes at vCenter's present time", (FROM_NOW,),
             ("events_are_gone_beyond_retention",)),
]


def full(name):
    """A test's whole name. Most are storms, and named by their last part."""
    return name.removeprefix("lib:") if "::" in name else STORMS + name


def where(name):
    """The flags for what a test is in."""
    return ["--lib"] if name.startswith("lib:") else ["--test", "it"]


def source_of(name):
    """The file that a test is in."""
    module = full(name).rpartition("::")[0].replace("::", "/")
    if not name.startswith("lib:"):
        return f"tests/it/{module}.rs"
    path = f"src/{module}.rs"
    # Small tests are in the file that they test.
    return path if os.path.isfile(os.path.join(ROOT, path)) else f"src/{os.path.dirname(module)}.rs"


def read(path):
    with open(path, "rb") as file:
        return file.read()


def write(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as file:
        file.write(data)


def copy_tree():
    """Makes the scratch tree what git tracks here. What did not change keeps its time, so that cargo sees that."""
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout
    names = {os.fsdecode(name) for name in names.split(b"\0") if name}
    names = {name for name in names if os.path.isfile(os.path.join(ROOT, name))}
    for folder, _, files in os.walk(TREE):
        for file in files:
            path = os.path.join(folder, file)
            if os.path.relpath(path, TREE) not in names:
                os.remove(path)
    for name in names:
        source, copy = os.path.join(ROOT, name), os.path.join(TREE, name)
        if not os.path.isfile(copy) or read(copy) != read(source):
            os.makedirs(os.path.dirname(copy), exist_ok=True)
            shutil.copyfile(source, copy)


def stale(mutation):
    """What is wrong with its edits, if anything is."""
    for file, old, _ in mutation.edits:
        path = os.path.join(ROOT, file)
        count = read(path).count(old.encode()) if os.path.isfile(path) else 0
        if count != 1:
            return f"{mutation.id()}: {file} has {count} times what must be there once: {old.strip()!r}"
    for name in mutation.storms:
        function, source = full(name).rpartition("::")[2], source_of(name)
        if f"fn {function}(" not in read(os.path.join(ROOT, source)).decode():
            return f"{mutation.id()}: there is no {function} in {source}"
    return None


class Applied:
    """A mutation's edits are in the scratch tree as long as this lasts."""

    def __init__(self, mutation):
        self.mutation = mutation
        self.before = {}

    def __enter__(self):
        for file, old, new in self.mutation.edits:
            path = os.path.join(TREE, file)
            source = read(path)
            self.before.setdefault(path, source)
            write(path, source.replace(old.encode(), new.encode()))

    def __exit__(self, *_):
        for path, source in self.before.items():
            write(path, source)


def run(command, log, limit):
    """Runs it in the scratch tree. Its exit code, or none if it took too long and was ended."""
    env = dict(os.environ, CARGO_TARGET_DIR=BUILD, CARGO_INCREMENTAL="1", CARGO_PROFILE_DEV_DEBUG="0",
               STORM_PATIENCE=str(PATIENCE), FAULT_SEED=str(SEED))
    with open(log, "ab") as output:
        child = subprocess.Popen(command, cwd=TREE, env=env, stdin=subprocess.DEVNULL, stdout=output,
                                 stderr=subprocess.STDOUT, start_new_session=True)
        try:
            return child.wait(limit)
        except BaseException as error:
            # Its children too: they are one group, which this script has begun.
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            if isinstance(error, subprocess.TimeoutExpired):
                return None
            raise


def build(names, log):
    flags = {tuple(where(name)) for name in names}
    return all(run(["cargo", "test", "--locked", *of, "--no-run"], log, 3600) == 0 for of in sorted(flags))


def storm(name, log, limit):
    """Runs a storm: "passes", "fails" or "no end", and why."""
    start = os.path.getsize(log) if os.path.exists(log) else 0
    code = run(["cargo", "test", "--locked", *where(name), "--", "--exact", full(name)], log, limit)
    output = read(log)[start:].decode(errors="replace")
    if code is None:
        return "no end", f"more than {limit} s"
    if code == 0 and "1 passed" in output:
        return "passes", ""
    if "1 failed" in output:
        return "fails", why(output)
    return "breaks", f"exit code {code}"


def why(output):
    """The first thing that a failed storm found wrong."""
    mistake = r'"((?:missing|twice|out of order|never happened|a hidden|an event without)[^"]*)'
    for pattern in (mistake, r"panicked at [^\n]*\n([^\n]*)"):
        found = re.search(pattern, output)
        if found:
            return re.sub(r"Happened \{ seq: (\d+)[^}]*\}?", r"number \1", found[1])[:60].rstrip(" \\")
    return ""


def run_with(mutation, log):
    """What becomes of its storms while it is applied: name, result, and why."""
    storms = ", ".join(mutation.storms)
    if not build(mutation.storms, log):
        return [(storms, "no build", "it does not compile")]
    for calm in sorted({CALM_LIB if name.startswith("lib:") else CALM for name in mutation.storms}):
        result, reason = storm(calm, log, LIMIT)
        if result != "passes":
            return [(storms, "too much", f"{calm} {result}: {reason}")]
    return [(name, *storm(name, log, LIMIT)) for name in mutation.storms]


def chosen(words):
    picked = [mutation for mutation in MUTATIONS
              if not words or any(mutation.id().startswith(word) for word in words)]
    for word in words:
        if not any(mutation.id().startswith(word) for mutation in MUTATIONS):
            sys.exit(f'there is no mutation "{word}": see --list')
    return picked


def print_table(rows):
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]) - 1)]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths)) + "  " + row[-1], flush=True)


def main():
    global SEED
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("names", nargs="*", help="only those whose fault/name begins so")
    parser.add_argument("--list", action="store_true", help="say what there is, and run nothing")
    parser.add_argument("--skip-unmutated", action="store_true", help="do not run the storms as everything is first")
    parser.add_argument("--seed", type=int, default=7, help="FAULT_SEED for the storms (7)")
    options = parser.parse_args()
    SEED = options.seed
    mutations = chosen(options.names)
    wrong = [text for text in map(stale, MUTATIONS) if text]
    if wrong:
        sys.exit("the table in tools/mutations.py is stale:\n" + "\n".join(wrong))
    if options.list:
        print_table([("FAULT/NAME", "STORM", "WHAT IS TAKEN OUT")] +
                    [(mutation.id(), ", ".join(mutation.storms), mutation.what) for mutation in mutations])
        return
    os.makedirs(LOGS, exist_ok=True)
    # Two at a time would build each other's mutations.
    lock = open(os.path.join(SCRATCH, "lock"), "w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit("tools/mutations.py runs already")
    # Whoever ends it ends what it runs.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    signal.signal(signal.SIGINT, signal.default_int_handler)
    copy_tree()
    if not options.skip_unmutated:
        log = os.path.join(LOGS, "unmutated.log")
        write(log, b"")
        if not build([name for mutation in mutations for name in mutation.storms], log):
            sys.exit(f"nothing is mutated, and it does not compile: see {os.path.relpath(log)}")
        for name in dict.fromkeys(name for mutation in mutations for name in mutation.storms):
            result, reason = storm(name, log, 600)
            print(f"unmutated: {name} {result} {reason}".rstrip(), flush=True)
            if result != "passes":
                sys.exit(f"nothing is mutated, and {name} {result}: see {os.path.relpath(log)}")
    rows = []
    for mutation in mutations:
        log = os.path.join(LOGS, re.sub(r"[^a-zA-Z-]+", "-", mutation.id()) + ".log")
        write(log, b"")
        started = time.monotonic()
        with Applied(mutation):
            results = run_with(mutation, log)
        for name, result, reason in results:
            verdict = {"fails": "caught", "no end": "caught", "passes": "SURVIVES"}
            rows.append((mutation.id(), name, verdict.get(result, result.upper()), reason))
            print(f"{time.monotonic() - started:4.0f} s  " + "  ".join(rows[-1]), flush=True)
    print()
    print_table([("FAULT/NAME", "STORM", "RESULT", "WHAT IT FOUND")] + rows)
    bad = sum(row[2] != "caught" for row in rows)
    if bad:
        sys.exit(f"{bad} of {len(rows)} are not caught")


if __name__ == "__main__":
    main()

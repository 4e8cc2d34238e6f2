//! Arbitrary bytes as the journal's files of outcomes, of dead letters and of places.

#![no_main]

use vmware_event_router::journal::embedded::fuzz;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::other(data));

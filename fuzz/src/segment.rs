//! Arbitrary bytes as the journal's files of events.

#![no_main]

use vmware_event_router::journal::embedded::fuzz;

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::segment(data));

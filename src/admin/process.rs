//! What the process itself uses.

use std::time::{SystemTime, UNIX_EPOCH};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use crate::journal::Journal;

/// Ticks a second in `/proc`, on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// The process's figures, as the system gives them; zeros where it does not.
#[derive(Clone, Copy, Debug, Default)]
pub struct Process {
    /// Memory that it occupies.
    pub resident_bytes: u64,
    /// Addresses that it has reserved.
    pub virtual_bytes: u64,
    /// Of these, for data.
    pub data_bytes: u64,
    /// CPU time used.
    pub cpu_seconds: f64,
    /// Open files and sockets.
    pub open_files: u64,
}

impl Process {
    /// The figures at present.
    #[must_use]
    pub fn read() -> Self {
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
            line.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) * 1024
        };
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The program's name may hold spaces and stands in parentheses.
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let ticks: f64 = after_name.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok()).sum();
        Self {
            resident_bytes: kib("VmRSS:"),
            virtual_bytes: kib("VmSize:"),
            data_bytes: kib("VmData:"),
            cpu_seconds: ticks / TICKS,
            open_files: std::fs::read_dir("/proc/self/fd").map_or(0, |files| files.count() as u64),
        }
    }
}

/// Gives the process's and the journal's figures when they are asked for.
pub struct Figures {
    /// When the process started.
    pub started: SystemTime,
    /// The journal.
    pub journal: std::sync::Arc<dyn Journal>,
}

impl std::fmt::Debug for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Figures").finish_non_exhaustive()
    }
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let process = Process::read();
        let mut gauge = |name: &str, help: &str, value: f64| {
            let metric = ConstGauge::new(value);
            metric.encode(encoder.encode_descriptor(name, help, None, metric.metric_type())?)
        };
        gauge("process_resident_memory_bytes", "Resident memory", process.resident_bytes as f64)?;
        gauge("process_virtual_memory_bytes", "Virtual memory", process.virtual_bytes as f64)?;
        gauge("process_open_fds", "Open files and sockets", process.open_files as f64)?;
        let started = self.started.duration_since(UNIX_EPOCH).unwrap_or_default();
        gauge("process_start_time_seconds", "When the process started, in seconds since 1970", started.as_secs_f64())?;
        let journal = self.journal.stats();
        gauge("journal_events", "Events in the journal", journal.events as f64)?;
        gauge("journal_bytes", "Bytes in the journal", journal.bytes as f64)?;
        let waiting = journal.undelivered as f64;
        gauge("journal_undelivered_events", "Events that a processor has yet to settle", waiting)?;
        let pinned = journal.pinned_bytes as f64;
        gauge("journal_undelivered_bytes", "Bytes that such events occupy", pinned)?;
        let (letters, letters_bytes) = journal.letters;
        gauge("dead_letters", "Events that were set aside", letters as f64)?;
        gauge("dead_letters_bytes", "Bytes that such events occupy", letters_bytes as f64)?;
        let trouble = f64::from(u8::from(journal.trouble.is_some()));
        gauge("journal_trouble", "1 while the journal cannot be used or written", trouble)?;
        gauge("journal_max_bytes", "Bytes that the journal may hold", journal.max_bytes as f64)?;
        let cpu = ConstCounter::new(process.cpu_seconds);
        cpu.encode(encoder.encode_descriptor("process_cpu_seconds", "CPU time used", None, cpu.metric_type())?)
    }
}

//! How the log is written: readable on a terminal, or as JSON.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::{MakeWriter, format};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, Registry};

use super::args::LogOptions;

/// Writes the log to standard error from now on. Does nothing the second time.
pub fn start(options: LogOptions) {
    let ansi = io::stderr().is_terminal();
    // The second time somebody else has set up the log, and is to be left alone.
    drop(tracing::subscriber::set_global_default(subscriber(options, ansi, io::stderr)));
}

/// Appends the log to a file from now on. Does nothing the second time.
pub fn start_in(options: LogOptions, file: File) {
    drop(tracing::subscriber::set_global_default(subscriber(options, false, Mutex::new(file))));
}

/// Keeps the log's newest lines from now on, and writes it to a file if there is one. Does nothing the second time.
pub fn start_kept(options: LogOptions, file: Option<File>) -> Recent {
    let recent = Recent::default();
    let level = options.level.min(Level::INFO);
    let written = file.map(|file| layer(options, false, Mutex::new(file)));
    let subscriber = tracing_subscriber::registry().with(written).with(recent.layer().with_filter(filter(level)));
    drop(tracing::subscriber::set_global_default(subscriber));
    recent
}

/// Writes this thread's log to `writer` while the guard lives.
#[must_use]
pub fn capture<W>(options: LogOptions, writer: W) -> DefaultGuard
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing::subscriber::set_default(subscriber(options, false, writer))
}

fn subscriber<W>(options: LogOptions, ansi: bool, writer: W) -> impl tracing::Subscriber + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    tracing_subscriber::registry().with(layer(options, ansi, writer))
}

fn layer<W>(options: LogOptions, ansi: bool, writer: W) -> impl Layer<Registry> + Send + Sync
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    // Where in the code a line comes from says nothing to an operator, and `target` is the field of what is delivered to.
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(ansi).with_target(false);
    // It would tell that a line could not be written where that line could not be written, and panic.
    let layer = layer.log_internal_errors(false);
    let layer: Box<dyn Layer<_> + Send + Sync> = if options.json {
        Box::new(layer.json().flatten_event(true).with_current_span(true).with_span_list(false))
    } else {
        Box::new(layer)
    };
    layer.with_filter(filter(options.level))
}

/// Other people's details are noise, at whatever level ours are asked for.
fn filter(level: Level) -> Targets {
    let others = level.min(Level::WARN);
    Targets::new()
        .with_default(LevelFilter::from_level(others))
        // What AWS refuses, we say ourselves; its own words may hold what was sent.
        .with_target("aws", LevelFilter::ERROR)
        .with_target(env!("CARGO_CRATE_NAME"), level)
}

/// As many lines are kept.
const KEPT: usize = 32;

/// The log's newest lines, for those who show them somewhere.
#[derive(Clone, Debug, Default)]
pub struct Recent(Arc<Mutex<VecDeque<Line>>>);

/// A line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// When it was written.
    pub at: SystemTime,
    /// How important it is.
    pub level: Level,
    /// What it says.
    pub text: String,
}

impl Recent {
    fn layer<S>(&self) -> impl Layer<S> + Send + Sync + use<S>
    where
        S: tracing::Subscriber + for<'a> LookupSpan<'a>,
    {
        let fields = format::debug_fn(|writer, field, value| match field.name() {
            "message" => write!(writer, "{value:?}"),
            // Whoever has little room names stream and processor elsewhere.
            "stream" | "processor" => Ok(()),
            name => write!(writer, " {name}={value:?}"),
        });
        let layer = tracing_subscriber::fmt::layer().with_writer(self.clone()).fmt_fields(fields).with_ansi(false);
        layer.without_time().with_level(false).with_target(false).log_internal_errors(false)
    }

    /// The newest lines, so many at most, the oldest of them first.
    #[must_use]
    pub fn newest(&self, most: usize) -> Vec<Line> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().skip(lines.len().saturating_sub(most)).cloned().collect()
    }
}

/// Where the next line goes.
#[derive(Debug)]
pub struct Next<'a> {
    recent: &'a Recent,
    level: Level,
}

impl<'a> MakeWriter<'a> for Recent {
    type Writer = Next<'a>;

    fn make_writer(&'a self) -> Self::Writer {
        Next { recent: self, level: Level::INFO }
    }

    fn make_writer_for(&'a self, meta: &tracing::Metadata<'_>) -> Self::Writer {
        Next { recent: self, level: *meta.level() }
    }
}

impl io::Write for Next<'_> {
    /// One call brings one whole line.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes).trim_end().to_owned();
        let mut lines = self.recent.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(Line { at: SystemTime::now(), level: self.level, text });
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(options: LogOptions) -> String {
        let lines = Lines::default();
        let writer = lines.clone();
        {
            let _guard = capture(options, move || writer.clone());
            tracing::debug!("ours in detail");
            tracing::info!(stream = "vc", "ours");
            tracing::error!(target: "hyper::client", "theirs");
            tracing::info!(target: "hyper::client", "their noise");
            tracing::warn!(target: "aws_config::sts", "noise that may hold a token");
        }
        let bytes = lines.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn levels_are_ours() {
        let text = logged(LogOptions { level: Level::INFO, json: false });
        assert!(text.contains("INFO ours stream=\"vc\"") && text.contains("theirs"), "{text}");
        assert!(!text.contains("in detail") && !text.contains("noise"), "{text}");
        let text = logged(LogOptions { level: Level::DEBUG, json: false });
        assert!(text.contains("in detail") && !text.contains("noise"), "{text}");
        let text = logged(LogOptions { level: Level::ERROR, json: false });
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn json_is_one_object_a_line() {
        let text = logged(LogOptions { level: Level::INFO, json: true });
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        assert_eq!((&line["level"], &line["message"], &line["stream"]), (&"INFO".into(), &"ours".into(), &"vc".into()));
    }

    #[test]
    fn the_newest_lines_are_kept() {
        let recent = Recent::default();
        let subscriber = tracing_subscriber::registry().with(recent.layer());
        tracing::subscriber::with_default(subscriber, || {
            for n in 0..100 {
                tracing::info!(n, "line");
            }
            tracing::warn!(processor = "faas", why = "because", "the last");
        });
        let texts = |most| recent.newest(most).into_iter().map(|line| (line.level, line.text)).collect::<Vec<_>>();
        let last = (Level::WARN, "the last why=\"because\"".to_owned());
        assert_eq!(texts(2), [(Level::INFO, "line n=99".to_owned()), last]);
        assert_eq!(texts(usize::MAX).len(), KEPT);
    }
}

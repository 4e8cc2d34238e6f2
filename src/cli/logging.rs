//! How the log is written: readable on a terminal, or as JSON.

use std::io::{self, IsTerminal as _};

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt as _;

use super::args::LogOptions;

/// Writes the log to standard error from now on. Does nothing the second time.
pub fn start(options: LogOptions) {
    let ansi = io::stderr().is_terminal();
    // The second time somebody else has set up the log, and is to be left alone.
    drop(tracing::subscriber::set_global_default(subscriber(options, ansi, io::stderr)));
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
    // Where in the code a line comes from says nothing to an operator, and `target` is the field of what is delivered to.
    let layer = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(ansi).with_target(false);
    // It would tell that a line could not be written where that line could not be written, and panic.
    let layer = layer.log_internal_errors(false);
    let layer: Box<dyn Layer<_> + Send + Sync> = if options.json {
        Box::new(layer.json().flatten_event(true).with_current_span(true).with_span_list(false))
    } else {
        Box::new(layer)
    };
    tracing_subscriber::registry().with(layer.with_filter(filter(options.level)))
}

/// Other people's details are noise, at whatever level ours are asked for.
fn filter(level: Level) -> Targets {
    let others = level.min(Level::WARN);
    Targets::new().with_default(LevelFilter::from_level(others)).with_target(env!("CARGO_CRATE_NAME"), level)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::sync::{Arc, Mutex};

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
}

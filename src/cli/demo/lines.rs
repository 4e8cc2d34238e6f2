//! Where there is no terminal: a line for each event.

use std::io::{self, Write};

use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use super::record::{Progress, Row, Short};

/// Events that may wait to be printed.
pub(super) const WAITING: usize = 1024;

/// Prints events until there are no more, in a thread of its own: whoever reads may be slow. If nobody reads any more,
/// it asks for the end. What it gives tells when everything is printed, and whether it could be.
pub(super) fn print(
    mut rows: mpsc::Receiver<Row>,
    names: &'static [&'static str],
    stop: CancellationToken,
) -> io::Result<oneshot::Receiver<io::Result<()>>> {
    let (told, printed) = oneshot::channel();
    std::thread::Builder::new().name("output".to_owned()).spawn(move || {
        let mut out = io::stdout();
        let mut outcome = Ok(());
        while let Some(row) = rows.blocking_recv() {
            let text = line(&row, names);
            outcome = out.write_all(text.as_bytes()).and_then(|()| out.flush());
            if outcome.is_err() {
                stop.cancel();
                break;
            }
        }
        // Whoever asked may have lost patience.
        drop(told.send(outcome));
    })?;
    Ok(printed)
}

/// Time, subject, entity, latency, functions.
fn line(row: &Row, names: &[&str]) -> String {
    let time = row.created.map(|time| time.strftime("%H:%M:%S%.3f").to_string()).unwrap_or_default();
    let latency = row.latency.map(|age| Short(age).to_string()).unwrap_or_default();
    let functions = row.progress.iter().zip(names).filter_map(|(progress, name)| match progress {
        Progress::Unwanted => None,
        Progress::Waiting => Some(format!("{name} (waits)")),
        Progress::Failed { status, .. } => Some(format!("{name} (answered {status}, waits)")),
        Progress::Delivered { attempts: 1 } => Some((*name).to_owned()),
        Progress::Delivered { attempts } => Some(format!("{name} (attempt {attempts})")),
    });
    let functions = functions.collect::<Vec<_>>().join(", ");
    // Names come from the vCenter, where nothing keeps line breaks out of them.
    let entity: String = row.entity.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    format!("{time}  {:<34}  {entity:<20}  {latency:>7}  {functions}\n", row.subject)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn an_event_is_one_line() {
        let row = Row {
            created: Some("2026-05-04T03:02:01.25Z".parse().unwrap()),
            subject: "VmPoweredOnEvent".to_owned(),
            entity: "web\n7".to_owned(),
            latency: Some(Duration::from_micros(1_300)),
            progress: vec![
                Progress::Delivered { attempts: 1 },
                Progress::Unwanted,
                Progress::Delivered { attempts: 2 },
                Progress::Failed { attempts: 1, status: 503 },
                Progress::Waiting,
            ],
        };
        let words: Vec<String> = line(&row, &["a", "b", "c", "d", "e"]).split_whitespace().map(str::to_owned).collect();
        let expected =
            "03:02:01.250 VmPoweredOnEvent web 7 1.3 ms a, c (attempt 2), d (answered 503, waits), e (waits)";
        assert_eq!(words.join(" "), expected);
        assert_eq!(line(&row, &[]).matches('\n').count(), 1);
    }
}

//! `check`: whether everything that is configured can be reached and used.

use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use super::{FAILED, OK, run};
use crate::report::{Report, Verdict};
use crate::router::RouterConfig;
use crate::telemetry::Telemetry;
use crate::{processor, stream};

pub(super) fn run(path: &Path, send_test: bool) -> ExitCode {
    let config = match super::configuration(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    run::runtime(async {
        match check(path, config, send_test, &mut io::stdout().lock()).await {
            Ok(Verdict::Ok | Verdict::Warning) => OK.into(),
            // What nobody could read has not been said.
            Ok(Verdict::Failure) | Err(_) => FAILED.into(),
        }
    })
}

/// Looks at each component in turn, and tells at once what it finds there.
async fn check(path: &Path, config: RouterConfig, send_test: bool, out: &mut impl Write) -> io::Result<Verdict> {
    writeln!(out, "configuration {}", path.display())?;
    let count = |many: usize, what: &str| format!("{many} {what}{}", if many == 1 { "" } else { "s" });
    let (streams, processors) = (count(config.streams.len(), "stream"), count(config.processors.len(), "processor"));
    writeln!(out, "  ok       {streams}, {processors}")?;
    let configured = config.configured();
    let telemetry = Telemetry::new();
    let mut worst = Verdict::Ok;
    for config in config.streams {
        writeln!(out, "\nstream {}, {}", config.name(), config.address())?;
        let mut report = Report::default();
        stream::build(config).check(&mut report).await;
        worst = worst.max(print(&report, out)?);
    }
    for config in config.processors {
        writeln!(out, "\nprocessor {}, {}", config.name(), config.address())?;
        let status = telemetry.processor(config.name(), config.provider(), config.address());
        let mut report = Report::default();
        let processor = processor::build(config, status, &[0; 32]);
        processor.check(&mut report).await;
        if send_test {
            processor.send_test(&mut report).await;
        }
        worst = worst.max(print(&report, out)?);
    }
    writeln!(out, "\njournal")?;
    let mut report = Report::default();
    config.journal.settled().check(&configured, &mut report);
    worst = worst.max(print(&report, out)?);
    let conclusion = match worst {
        Verdict::Ok => "all is well",
        Verdict::Warning => "it works, with warnings",
        Verdict::Failure => "it does not work",
    };
    writeln!(out, "\n{conclusion}")?;
    out.flush()?;
    Ok(worst)
}

fn print(report: &Report, out: &mut impl Write) -> io::Result<Verdict> {
    for (verdict, text) in &report.findings {
        let word = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "WARNING",
            Verdict::Failure => "FAILURE",
        };
        writeln!(out, "  {word:<8} {text}")?;
    }
    out.flush()?;
    Ok(report.verdict())
}

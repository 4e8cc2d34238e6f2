//! `check`: whether everything that is configured can be reached and used.

use std::path::Path;
use std::process::ExitCode;

use super::{FAILED, OK, run};
use crate::report::{Report, Verdict};
use crate::telemetry::Telemetry;
use crate::{processor, stream};

pub(super) fn run(path: &Path) -> ExitCode {
    let config = match super::configuration(path) {
        Ok(config) => config,
        Err(code) => return code,
    };
    run::runtime(async {
        println!("configuration {}", path.display());
        println!("  ok       {} streams, {} processors", config.streams.len(), config.processors.len());
        let telemetry = Telemetry::new();
        let mut worst = Verdict::Ok;
        for config in config.streams {
            println!("\nstream {}, {}", config.name(), config.address());
            let mut report = Report::default();
            stream::build(config).check(&mut report).await;
            worst = worst.max(print(&report));
        }
        for config in config.processors {
            println!("\nprocessor {}, {}", config.name(), config.address());
            let status = telemetry.processor(config.name(), config.provider(), config.address());
            let mut report = Report::default();
            processor::build(config, status, &[0; 32]).check(&mut report).await;
            worst = worst.max(print(&report));
        }
        println!(
            "\n{}",
            match worst {
                Verdict::Ok => "all is well",
                Verdict::Warning => "it works, with warnings",
                Verdict::Failure => "it does not work",
            }
        );
        if worst == Verdict::Failure { FAILED.into() } else { OK.into() }
    })
}

fn print(report: &Report) -> Verdict {
    for (verdict, text) in &report.findings {
        let word = match verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "WARNING",
            Verdict::Failure => "FAILURE",
        };
        println!("  {word:<8} {text}");
    }
    report.verdict()
}

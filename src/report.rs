//! What `check` finds, a line each.

/// How good a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, but deserves a look.
    Warning,
    /// Does not work.
    Failure,
}

/// The findings about one stream or processor.
#[derive(Debug, Default)]
pub struct Report {
    /// Each finding in the order in which it was made.
    pub findings: Vec<(Verdict, String)>,
}

impl Report {
    /// Something is as it should be.
    pub fn ok(&mut self, text: impl Into<String>) {
        self.findings.push((Verdict::Ok, text.into()));
    }

    /// Something works, but deserves a look.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.findings.push((Verdict::Warning, text.into()));
    }

    /// Something does not work. The text says what, and what to do.
    pub fn fail(&mut self, text: impl Into<String>) {
        self.findings.push((Verdict::Failure, text.into()));
    }

    /// The worst finding.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.findings.iter().map(|(verdict, _)| *verdict).max().unwrap_or(Verdict::Ok)
    }
}

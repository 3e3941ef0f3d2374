//! What a server tells its supervisor: a line for each thing, over a pipe.

/// One thing told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// It serves.
    Ready,
    /// It still does: its threads answer, its tasks run.
    Beat,
    /// It reads its settings file again.
    Reloading,
    /// It has.
    Reloaded,
    /// What it does, for people.
    Status(String),
}

impl Report {
    /// As a line.
    pub fn line(&self) -> String {
        match self {
            Self::Ready => "ready\n".into(),
            Self::Beat => "beat\n".into(),
            Self::Reloading => "reloading\n".into(),
            Self::Reloaded => "reloaded\n".into(),
            Self::Status(text) => format!("status {}\n", text.replace('\n', " ")),
        }
    }

    /// From a line without its end; `None` for what this version does not know.
    pub fn parse(line: &str) -> Option<Self> {
        Some(match line {
            "ready" => Self::Ready,
            "beat" => Self::Beat,
            "reloading" => Self::Reloading,
            "reloaded" => Self::Reloaded,
            _ => Self::Status(line.strip_prefix("status ")?.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_report_arrives() {
        let status = Report::Status("serving 3 roles".into());
        for report in [Report::Ready, Report::Beat, Report::Reloading, Report::Reloaded, status] {
            assert_eq!(Report::parse(report.line().trim_end()), Some(report));
        }
        assert_eq!(Report::parse("of a later version"), None);
        assert_eq!(Report::Status("a\nb".into()).line(), "status a b\n");
    }
}

//! What systemd is about to do with the unit.

use std::io;
use std::process::{Command, Stdio};

/// Whether the unit is being stopped to stay so: by hand, or because the machine goes down. A restart, and the end of a process
/// by itself, are no stop.
///
/// # Errors
/// `systemctl` cannot be asked.
pub(super) fn is_stop(unit: &str) -> io::Result<bool> {
    // Root talks to the manager directly: no D-Bus daemon need run.
    let arguments = ["list-jobs", "--plain", "--no-legend", "--no-pager", "--full", "--", unit];
    let output = Command::new("systemctl").args(arguments).stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(io::Error::other(format!("systemctl list-jobs: {}", output.status)));
    }
    Ok(has_stop(&String::from_utf8_lossy(&output.stdout), unit))
}

/// `JOB UNIT TYPE STATE`, a line each.
fn has_stop(jobs: &str, unit: &str) -> bool {
    jobs.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(unit) && fields.next() == Some("stop")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_stop_of_this_unit_is_one() {
        let unit = r"tfcfs@mnt-a\x2db.service";
        assert!(has_stop("12 other.service start waiting\n 13 tfcfs@mnt-a\\x2db.service stop running\n", unit));
        for jobs in ["", "13 tfcfs@mnt-a\\x2db.service restart running", "13 tfcfs.service stop running", "stop"] {
            assert!(!has_stop(jobs, unit), "{jobs}");
        }
    }
}

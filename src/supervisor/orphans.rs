//! A duty of the first process of a container: whoever loses its parent there becomes its child, and once it has ended it stays
//! in the table of processes until it is waited for. What looks at the mount from inside (a health check, say) leaves such behind.

use nix::sys::wait::{Id, WaitPidFlag, waitid, waitpid};
use nix::unistd::Pid;

/// Waits for those that have ended, except for the server: how that one ended is asked for elsewhere.
pub(super) fn reap(server: Option<u32>) {
    if std::process::id() != 1 {
        return;
    }
    let server = server.and_then(|id| i32::try_from(id).ok()).map(Pid::from_raw);
    let look = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG | WaitPidFlag::WNOWAIT;
    while let Some(pid) = waitid(Id::All, look).ok().and_then(|status| status.pid()) {
        // It is waited for soon; then the others are seen.
        if Some(pid) == server || waitpid(pid, Some(WaitPidFlag::WNOHANG)).is_err() {
            return;
        }
    }
}

//! The watchers: one row each. `{dir}` is a role's directory in `creds`, `{file}` its token; a script says "ready" and then a line for
//! each change of the token.

/// A row of the matrix.
pub struct Watcher {
    /// What it belongs to.
    pub family: &'static str,
    /// As the table names it.
    pub name: &'static str,
    /// In bash.
    pub script: &'static str,
}

const fn row(family: &'static str, name: &'static str, script: &'static str) -> Watcher {
    Watcher { family, name, script }
}

/// Watchers of a token that changes.
pub const TOKEN: &[Watcher] = &[
    row("a held handle", "poll POLLPRI", "exec python3 $P/watcher.py poll {file}"),
    row("a held handle", "epoll EPOLLPRI", "exec python3 $P/watcher.py epoll {file}"),
    row("a held handle", "select, exceptional", "exec python3 $P/watcher.py select {file}"),
    row("the directory", "inotifywait -m", "exec inotifywait -m -e close_write --include 'token$' {dir} 2>&1"),
    row("the directory", "Go fsnotify", "exec $P/go-watcher {dir} token"),
    row("the directory", "Node fs.watch", "exec node $P/watcher.js {dir} token"),
    row("the directory", "Java WatchService", "exec java $JAVA Watcher {dir} token"),
    row("the directory", "Python watchdog", "exec python3 $P/watcher.py watchdog {dir} token"),
    row("the file", "inotifywait", "echo ready; while inotifywait -qq -e close_write {file}; do echo changed; done"),
    row("the file", "Go fsnotify", "exec $P/go-watcher {file}"),
    row("the file", "Node fs.watch", "exec node $P/watcher.js {file}"),
];

/// Watchers of `roles/`, for roles that come and go; `{dir}` is that directory, the role's name is `new`.
pub const ROLES: &[Watcher] = &[
    row("roles/", "inotifywait -m", "exec inotifywait -m -e create -e delete --include 'new$' {dir} 2>&1"),
    row("roles/", "Go fsnotify", "exec $P/go-watcher {dir} new"),
    row("roles/", "Node fs.watch", "exec node $P/watcher.js {dir} new"),
    row("roles/", "Java WatchService", "exec java $JAVA Watcher {dir} new"),
    row("roles/", "Python watchdog", "exec python3 $P/watcher.py watchdog {dir} new"),
];

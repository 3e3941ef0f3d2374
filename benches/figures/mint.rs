//! The first open of a role: what tfcfs adds to a call upstream, and what the state directory adds to that.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use crate::Outcome;
use crate::daemon::{Daemon, Setup, State};
use crate::fake::{Fake, FakeOptions};
use crate::stats::{median, millis, timed};
use crate::table::Table;

const LATENCY: Duration = Duration::from_millis(50);
const ROUNDS: usize = 41;
/// The first opens make the connection.
const WARM_UP: usize = 3;

/// What tfcfs may add, in milliseconds.
const OVERHEAD: f64 = 2.0;

/// Measures it.
pub fn measure(table: &mut Table) -> Outcome {
    let fake = Fake::start(FakeOptions { rate: 0, base_latency: LATENCY, ..FakeOptions::default() });
    let setup = |name, state| Setup { state, ..Setup::new(&fake, name, 2 * (WARM_UP + ROUNDS)) };
    let mut rig = Rig {
        daemons: [
            Daemon::start(&setup("ephemeral", State::Ephemeral))?,
            Daemon::start(&setup("tmpfs", State::Tmpfs))?,
            Daemon::start(&setup("disk", State::Disk))?,
        ],
        upstream: Upstream::connect(&fake)?,
        disk: Disk::open()?,
        fresh: 0,
    };

    let slow = rig.rounds()?;
    for (index, what) in ["--ephemeral", "state in tmpfs", "state on disk"].into_iter().enumerate() {
        let name = format!("first open, 50 ms upstream: added, {what}");
        table.at_most(name, slow.opens[index] - slow.upstream, OVERHEAD, " ms");
    }
    table.report("that disk: two writes of 32 KiB, synced, 50 ms apart", format!("{:.2} ms", slow.disk));

    fake.set_base_latency(Duration::ZERO);
    let fast = rig.rounds()?;
    table.report(
        "first open, 0 ms upstream: call / ephemeral / tmpfs / disk",
        format!("{:.1}/{:.1}/{:.1}/{:.1} ms", fast.upstream, fast.opens[0], fast.opens[1], fast.opens[2]),
    );
    table.report(
        "the same: what a state on disk adds to --ephemeral",
        format!("{:.2} ms", fast.opens[2] - fast.opens[0]),
    );
    Ok(())
}

/// All that takes turns.
struct Rig {
    daemons: [Daemon; 3],
    upstream: Upstream,
    disk: Disk,
    /// The next role that nobody has opened.
    fresh: usize,
}

/// Medians, in milliseconds.
struct Medians {
    upstream: f64,
    opens: [f64; 3],
    disk: f64,
}

impl Rig {
    fn rounds(&mut self) -> Outcome<Medians> {
        let mut times = [const { Vec::new() }; 5];
        for round in 0..WARM_UP + ROUNDS {
            let token = |daemon: usize| self.daemons[daemon].token(self.fresh);
            let one = [
                self.upstream.call()?,
                first_open(&token(0))?,
                first_open(&token(1))?,
                first_open(&token(2))?,
                self.disk.commit_twice()?,
            ];
            self.fresh += 1;
            if round >= WARM_UP {
                times.iter_mut().zip(one).for_each(|(times, time)| times.push(time));
            }
        }
        let [upstream, ephemeral, tmpfs, state, disk] = times.map(|times| median(&times));
        Ok(Medians { upstream, opens: [ephemeral, tmpfs, state], disk })
    }
}

/// Milliseconds until `open` returns.
fn first_open(path: &Path) -> Outcome<f64> {
    let (time, mut file) = timed(|| File::open(path))?;
    file.read_to_end(&mut Vec::new())?;
    Ok(millis(time))
}

/// A kept-alive connection to upstream.
struct Upstream {
    request: String,
    connection: BufReader<TcpStream>,
}

impl Upstream {
    fn connect(fake: &Fake) -> Outcome<Self> {
        let stream = TcpStream::connect(fake.address())?;
        stream.set_nodelay(true)?;
        let (host, token) = (fake.address(), fake.anchor_user_token());
        let request =
            format!("GET /api/v2/account/details HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n\r\n");
        Ok(Self { request, connection: BufReader::new(stream) })
    }

    /// One call; its milliseconds.
    fn call(&mut self) -> Outcome<f64> {
        let (time, ()) = timed(|| self.exchange())?;
        Ok(millis(time))
    }

    fn exchange(&mut self) -> Outcome {
        self.connection.get_mut().write_all(self.request.as_bytes())?;
        let (mut length, mut line) = (0, String::new());
        loop {
            line.clear();
            self.connection.read_line(&mut line)?;
            let header = line.trim_end().to_ascii_lowercase();
            if let Some(value) = header.strip_prefix("content-length:") {
                length = value.trim().parse()?;
            } else if header.is_empty() {
                break;
            }
        }
        self.connection.read_exact(&mut vec![0; length])?;
        match length {
            0 => Err("no answer of known length".into()),
            _ => Ok(()),
        }
    }
}

/// The disk under the state directory, with what a token cannot do without: an intent and an answer, each durable.
struct Disk {
    file: File,
}

impl Disk {
    /// Bytes that redb writes for one commit.
    const COMMIT: usize = 32 << 10;

    fn open() -> Outcome<Self> {
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join("figures/probe");
        let disk = Self { file: File::create(&path)? };
        std::fs::remove_file(path)?;
        disk.commit()?;
        Ok(disk)
    }

    fn commit(&self) -> std::io::Result<()> {
        self.file.write_all_at(&[1; Self::COMMIT], 0)?;
        self.file.sync_data()
    }

    /// Milliseconds of both, with upstream's latency between them.
    fn commit_twice(&self) -> Outcome<f64> {
        let (intent, ()) = timed(|| self.commit())?;
        std::thread::sleep(LATENCY);
        let (answer, ()) = timed(|| self.commit())?;
        Ok(millis(intent + answer))
    }
}

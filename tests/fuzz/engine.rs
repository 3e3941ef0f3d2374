//! Who makes the inputs: libFuzzer in the build of `./fuzz`, which sees what an input reaches; else the corpus and random
//! changes to it. A panic counts wherever it happens, also in a thread or task whose owner only sees it end.

use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::properties::knows_the_secret;

/// No input of the sizes tried may take longer, on a busy machine and without optimization.
const LONGEST: Duration = Duration::from_secs(10);

static PANICS: AtomicUsize = AtomicUsize::new(0);

/// Runs a target, which panics over an input that breaks a promise.
#[cfg(fuzzing)]
pub fn fuzz(_name: &str, target: impl FnMut(&[u8])) {
    // The engine calls one at a time; its trait cannot say so.
    let target = std::panic::AssertUnwindSafe(parking_lot::Mutex::new(target));
    bolero::check!().for_each(move |input: &[u8]| {
        let target = &target;
        watched(&mut *target.lock(), input);
    });
}

#[cfg(not(fuzzing))]
pub use random::fuzz;

fn watched(target: &mut impl FnMut(&[u8]), input: &[u8]) {
    if knows_the_secret(input) {
        return;
    }
    count_panics();
    let (before, start) = (PANICS.load(Ordering::Acquire), Instant::now());
    target(input);
    assert!(start.elapsed() < LONGEST, "took {:?}", start.elapsed());
    assert_eq!(PANICS.load(Ordering::Acquire), before, "something panicked out of sight");
}

fn count_panics() {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let former = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            PANICS.fetch_add(1, Ordering::AcqRel);
            former(info);
        }));
    });
}

#[cfg(not(fuzzing))]
mod random {
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::path::{Path, PathBuf};
    use std::time::{Duration, Instant};

    /// Changes to one input, at most.
    const CHANGES: usize = 6;

    /// Longest piece that a change moves.
    const PIECE: usize = 64;

    /// The corpus, then random changes to it for `TFCFS_FUZZ_MS` (1000).
    pub fn fuzz(name: &str, mut target: impl FnMut(&[u8])) {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut corpus: Vec<Vec<u8>> = Vec::new();
        for path in files(&root.join("tests/fuzz/corpus").join(name)) {
            let input = fs::read(&path).unwrap();
            let done = catch_unwind(AssertUnwindSafe(|| super::watched(&mut target, &input)));
            assert!(done.is_ok(), "{} breaks a promise, see above", path.display());
            corpus.push(input);
        }
        assert!(!corpus.is_empty(), "no corpus");
        let words = words(&root.join("tests/fuzz/words").join(name));
        let time = std::env::var("TFCFS_FUZZ_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(1000);
        let end = Instant::now() + Duration::from_millis(time);
        let (mut dice, mut count) = (fastrand::Rng::new(), 0_u64);
        while Instant::now() < end {
            let input = changed(&mut dice, &corpus, &words);
            let done = catch_unwind(AssertUnwindSafe(|| super::watched(&mut target, &input)));
            if done.is_err() {
                let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("fuzz-{name}"));
                fs::write(&kept, &input).unwrap();
                panic!("an input breaks a promise, see above; it was kept as {}", kept.display());
            }
            count += 1;
        }
        println!("{name}: {} files and {count} random inputs", corpus.len());
    }

    fn files(directory: &Path) -> Vec<PathBuf> {
        let mut files: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    }

    /// libFuzzer's dictionary: a word in quotes on each line.
    fn words(path: &Path) -> Vec<Vec<u8>> {
        let text = fs::read_to_string(path).unwrap_or_default();
        let word = |line: &str| Some(unescaped(line.trim().strip_prefix('"')?.strip_suffix('"')?.as_bytes()));
        text.lines().filter_map(word).collect()
    }

    fn unescaped(mut word: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        while let Some((first, rest)) = word.split_first() {
            (bytes, word) = match (first, rest) {
                (b'\\', [b'x', high, low, after @ ..]) => {
                    let digit = |byte: &u8| char::from(*byte).to_digit(16).unwrap() as u8;
                    ([bytes, vec![digit(high) << 4 | digit(low)]].concat(), after)
                }
                (b'\\', [next, after @ ..]) => ([bytes, vec![*next]].concat(), after),
                _ => ([bytes, vec![*first]].concat(), rest),
            };
        }
        bytes
    }

    fn changed(dice: &mut fastrand::Rng, corpus: &[Vec<u8>], words: &[Vec<u8>]) -> Vec<u8> {
        let mut input = dice.choice(corpus).unwrap().clone();
        for _ in 0..dice.usize(1..=CHANGES) {
            let at = dice.usize(0..=input.len());
            let end = (at + dice.usize(0..=PIECE)).min(input.len());
            match dice.u8(0..7) {
                0 if at < input.len() => input[at] ^= 1 << dice.u8(0..8),
                1 if at < input.len() => input[at] = dice.u8(..),
                2 => drop(input.drain(at..end)),
                3 => {
                    let piece = input[at..end].to_vec();
                    let to = dice.usize(0..=input.len());
                    input.splice(to..to, piece);
                }
                4 | 5 if !words.is_empty() => {
                    let word = dice.choice(words).unwrap().clone();
                    input.splice(at..at, word);
                }
                _ => {
                    let other = dice.choice(corpus).unwrap();
                    let from = dice.usize(0..=other.len());
                    let to = (from + dice.usize(0..=PIECE)).min(other.len());
                    input.splice(at..at, other[from..to].iter().copied());
                }
            }
        }
        input
    }
}

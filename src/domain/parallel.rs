//! Work on a long list by all CPUs: a start reads a large ledger while nobody can be served yet. Blocks the caller.

use std::num::NonZero;
use std::thread;

use parking_lot::Mutex;

/// Entries of a part. Small enough that all threads end at about the same time, though the first half of a list may be all
/// the work; a list of one part is not worth a thread.
const PART: usize = 1024;

/// More do not help: one thread reads the ledger.
const MOST: usize = 4;

/// What `work` makes of each part of a list, in the order of the list.
///
/// # Panics
/// If `work` does.
pub fn in_parts<T: Send, R: Send>(list: &mut [T], work: impl Fn(&mut [T]) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    if list.len() <= PART || threads == 1 {
        return vec![work(list)];
    }
    let parts = Mutex::new(list.chunks_mut(PART).enumerate());
    let take = || parts.lock().next();
    let work_off = || {
        let mut done = Vec::new();
        while let Some((number, part)) = take() {
            done.push((number, work(part)));
        }
        done
    };
    let mut done = thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work_off)).collect();
        let mut done = work_off();
        for other in others {
            match other.join() {
                Ok(more) => done.extend(more),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    });
    done.sort_unstable_by_key(|(number, _)| *number);
    done.into_iter().map(|(_, result)| result).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_order_and_nothing_is_left_out() {
        for len in [0, 1, PART - 1, PART, PART + 1, 9 * PART + 7] {
            let mut list: Vec<usize> = (0..len).collect();
            let doubled = in_parts(&mut list, |part| {
                part.iter_mut().for_each(|n| *n += 1);
                part.iter().map(|n| 2 * n).collect::<Vec<_>>()
            });
            assert_eq!(doubled.concat(), (0..len).map(|n| 2 * (n + 1)).collect::<Vec<_>>());
            assert_eq!(list, (1..=len).collect::<Vec<_>>());
        }
    }
}

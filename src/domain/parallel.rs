//! Work on a long list by all CPUs: a start reads a large ledger while nobody can be served yet. Blocks the caller.

use std::num::NonZero;
use std::thread;

use rayon::ThreadPoolBuilder;
use rayon::prelude::*;

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
    if list.len() <= PART {
        return vec![work(list)];
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    // Of our own, and gone afterwards: an idle daemon has no threads that wait for work of this kind.
    match ThreadPoolBuilder::new().num_threads(threads).build() {
        Ok(pool) => pool.install(|| list.par_chunks_mut(PART).map(&work).collect()),
        // No threads to be had.
        Err(_) => list.chunks_mut(PART).map(work).collect(),
    }
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

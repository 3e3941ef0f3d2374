//! Work on a long list by all CPUs: a start reads a large ledger while nobody can be served yet. Blocks the caller.

use std::num::NonZero;
use std::thread;

/// Below this, threads cost more than they save.
const WORTH_IT: usize = 2000;

/// More do not help: one thread reads the ledger.
const MOST: usize = 4;

/// What `work` makes of each part of a list, in the order of the list.
///
/// # Panics
/// If `work` does.
pub fn in_parts<T: Send, R: Send>(list: &mut [T], work: impl Fn(&mut [T]) -> R + Sync) -> Vec<R> {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(MOST);
    if list.len() < WORTH_IT || threads == 1 {
        return vec![work(list)];
    }
    let (size, work) = (list.len().div_ceil(threads), &work);
    thread::scope(|scope| {
        let mut parts = list.chunks_mut(size);
        let first = parts.next();
        let others: Vec<_> = parts.map(|part| scope.spawn(move || work(part))).collect();
        let mut done: Vec<R> = first.map(work).into_iter().collect();
        for other in others {
            match other.join() {
                Ok(result) => done.push(result),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_order_and_nothing_is_left_out() {
        for len in [0, 1, WORTH_IT - 1, WORTH_IT, WORTH_IT + 1, 3 * WORTH_IT + 7] {
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

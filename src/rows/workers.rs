//! Threads that share out batches.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use rayon::{ThreadPool, ThreadPoolBuilder};

use crate::Error;

/// As many workers as the process has threads. Each has a pool of one, so that what is parallel inside a batch runs
/// where its batch does: a core works at one batch from its first token to its metrics, and no two threads wait for
/// each other within it.
pub(crate) struct Workers {
    pools: Vec<ThreadPool>,
}

impl Workers {
    /// One per thread of the ambient pool.
    pub(crate) fn new() -> Result<Self, Error> {
        let pool = |_| ThreadPoolBuilder::new().num_threads(1).build();
        let pools = (0..rayon::current_num_threads().max(1)).map(pool).collect::<Result<_, _>>();
        Ok(Self { pools: pools.map_err(|e| Error::Environment(format!("threads could not be started: {e}")))? })
    }

    /// What `f` makes of every item, in their order.
    pub(crate) fn map<T: Sync, R: Send>(
        &self,
        items: &[T],
        f: impl Fn(&T) -> Result<R, Error> + Sync,
    ) -> Result<Vec<R>, Error> {
        let made: Mutex<Vec<Option<R>>> = Mutex::new(items.iter().map(|_| None).collect());
        let numbers: Vec<usize> = (0..items.len()).collect();
        self.each(&numbers, |&i| {
            let one = f(&items[i])?;
            made.lock().unwrap_or_else(PoisonError::into_inner)[i] = Some(one);
            Ok(())
        })?;
        Ok(made.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().flatten().collect())
    }

    /// Calls `f` on every item, taken in order; with several errors, the first item's.
    pub(crate) fn each<T: Sync>(&self, items: &[T], f: impl Fn(&T) -> Result<(), Error> + Sync) -> Result<(), Error> {
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let first: Mutex<Option<(usize, Error)>> = Mutex::new(None);
        let work = || {
            while !stop.load(Ordering::Relaxed) {
                let i = next.fetch_add(1, Ordering::Relaxed);
                let Some(item) = items.get(i) else { return };
                if let Err(e) = f(item) {
                    stop.store(true, Ordering::Relaxed);
                    let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
                    // Items before this one were taken before it, so each of them has its say.
                    if first.as_ref().is_none_or(|(before, _)| i < *before) {
                        *first = Some((i, e));
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for pool in self.pools.iter().take(items.len()) {
                scope.spawn(|| pool.install(work));
            }
        });
        let first = first.into_inner().unwrap_or_else(PoisonError::into_inner);
        first.map_or(Ok(()), |(_, e)| Err(e))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_once_and_the_first_error() {
        let pool = ThreadPoolBuilder::new().num_threads(3).build().unwrap();
        pool.install(|| {
            let workers = Workers::new().unwrap();
            assert_eq!(workers.pools.len(), 3);
            let items: Vec<usize> = (0..200).collect();
            let seen: Vec<AtomicUsize> = items.iter().map(|_| AtomicUsize::new(0)).collect();
            let count = |i: &usize| {
                assert_eq!(rayon::current_num_threads(), 1);
                seen[*i].fetch_add(1, Ordering::Relaxed);
                Ok(())
            };
            workers.each(&items, count).unwrap();
            assert!(seen.iter().all(|n| n.load(Ordering::Relaxed) == 1));
            workers.each(&[], count).unwrap();
            assert_eq!(workers.map(&items, |i| Ok(i * i)).unwrap()[7..9], [49, 64]);

            let fail = |i: &usize| {
                if *i == 7 {
                    std::thread::sleep(std::time::Duration::from_millis(20));
                }
                if *i >= 7 { Err(Error::Usage(i.to_string())) } else { Ok(()) }
            };
            assert_eq!(workers.each(&items, fail).unwrap_err().to_string(), "7");
        });
    }
}

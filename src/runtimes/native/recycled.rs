//! Memory for hidden states, used again: pages fresh from the system cost an encoder several percent of its time.

use std::sync::{Mutex, PoisonError};

/// Values that are kept for the next batches, at most: 64 MiB.
const KEPT_VALUES: usize = 1 << 24;

/// What has been given back.
static FREE: Mutex<Vec<Vec<f32>>> = Mutex::new(Vec::new());

/// A buffer that is given back when it is dropped.
pub(super) struct Recycled(Vec<f32>);

impl Recycled {
    /// `len` values, every one NaN: a value that is never written must not look like one of an earlier batch, or of
    /// another encoder.
    pub(super) fn of(len: usize) -> Self {
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        let fitting = free.iter().enumerate().filter(|(_, v)| v.capacity() >= len).min_by_key(|(_, v)| v.capacity());
        let found = fitting.map(|(i, _)| i);
        let mut values = found.map_or_else(Vec::new, |i| free.swap_remove(i));
        drop(free);
        values.clear();
        values.resize(len, f32::NAN);
        Self(values)
    }
}

impl Drop for Recycled {
    fn drop(&mut self) {
        let values = std::mem::take(&mut self.0);
        let mut free = FREE.lock().unwrap_or_else(PoisonError::into_inner);
        if free.iter().map(Vec::capacity).sum::<usize>() + values.capacity() <= KEPT_VALUES {
            free.push(values);
        }
    }
}

impl AsRef<[f32]> for Recycled {
    fn as_ref(&self) -> &[f32] {
        &self.0
    }
}

impl AsMut<[f32]> for Recycled {
    fn as_mut(&mut self) -> &mut [f32] {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Other tests use the same memory at the same time, so this speaks of what every buffer is, not of which.
    #[test]
    fn nothing_of_an_earlier_batch_is_seen() {
        for len in [0, 7, 1000, 3, 1000] {
            let mut buffer = Recycled::of(len);
            assert_eq!(buffer.as_ref().len(), len);
            assert!(buffer.as_ref().iter().all(|v| v.is_nan()));
            buffer.as_mut().fill(1.0);
        }
    }
}

//! Large pieces of memory, on huge pages where the system has them: fresh pages of the usual size cost the loading of a
//! model a fifth of its time (medians of 12 interleaved loads of the 8-bit MiniLM, 0.203 and 0.166 s).

use std::io;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

use bytemuck::Pod;
use memmap2::MmapMut;

/// Bytes from which on memory is asked for as a mapping of its own: two huge pages.
const LARGE: usize = 4 << 20;

/// Values in a row, wherever they lie.
#[derive(Debug)]
pub struct Memory<T>(Place<T>);

#[derive(Debug)]
enum Place<T> {
    Vector(Vec<T>),
    /// Anonymous, so that nobody else changes or cuts it; so many values and nothing behind them.
    Mapping(MmapMut, PhantomData<T>),
}

impl<T: Pod> Memory<T> {
    /// `len` zeros.
    ///
    /// # Errors
    /// More than the system has.
    pub fn zeroed(len: usize) -> io::Result<Self> {
        let bytes = len.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
        if bytes < LARGE {
            let mut values = Vec::new();
            values.try_reserve_exact(len)?;
            values.resize(len, T::zeroed());
            return Ok(values.into());
        }
        let map = MmapMut::map_anon(bytes)?;
        // A system without huge pages says so, and gives the usual ones.
        #[cfg(target_os = "linux")]
        let _ = map.advise(memmap2::Advice::HugePage);
        Ok(Self(Place::Mapping(map, PhantomData)))
    }

    /// The values as a vector: copied where they lie in a mapping.
    pub fn into_vec(self) -> Vec<T> {
        match self.0 {
            Place::Vector(values) => values,
            mapping @ Place::Mapping(..) => Self(mapping).to_vec(),
        }
    }
}

impl<T> From<Vec<T>> for Memory<T> {
    fn from(values: Vec<T>) -> Self {
        Self(Place::Vector(values))
    }
}

impl<T> Default for Memory<T> {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl<T: Pod> Deref for Memory<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        match &self.0 {
            Place::Vector(values) => values,
            Place::Mapping(map, _) => bytemuck::cast_slice(map),
        }
    }
}

impl<T: Pod> DerefMut for Memory<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        match &mut self.0 {
            Place::Vector(values) => values,
            Place::Mapping(map, _) => bytemuck::cast_slice_mut(map),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_or_large_it_is_so_many_zeros_to_be_written_to() {
        let large = LARGE / size_of::<f32>();
        for len in [0, 1, large - 1, large, large + 3] {
            let mut memory = Memory::<f32>::zeroed(len).unwrap();
            assert_eq!(matches!(memory.0, Place::Mapping(..)), len >= large, "{len}");
            assert!(memory.len() == len && memory.iter().all(|v| *v == 0.0), "{len}");
            if let Some(last) = memory.last_mut() {
                *last = 7.0;
            }
            let values = memory.into_vec();
            assert_eq!((values.len(), values.last().copied()), (len, (len > 0).then_some(7.0)));
        }
    }

    #[test]
    fn more_than_there_is_is_an_error() {
        assert!(Memory::<f32>::zeroed(usize::MAX).is_err());
        assert!(Memory::<u8>::zeroed(usize::MAX).is_err());
        assert!(Memory::<f32>::zeroed(usize::MAX / 8).is_err());
    }
}

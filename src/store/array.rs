//! An array of plain values, owned or mapped.

use std::ops::Deref;
use std::sync::Arc;

use bytemuck::{AnyBitPattern, NoUninit};
use yoke::Yoke;

/// Bytes that several arrays share.
pub(crate) type SharedBytes = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// A vector, or values where they lie in shared bytes: a file's, as a rule.
pub(crate) enum Array<T: 'static> {
    Owned(Vec<T>),
    Shared(Yoke<&'static [T], SharedBytes>),
}

impl<T> Array<T> {
    pub(crate) const fn new() -> Self {
        Self::Owned(Vec::new())
    }
}

impl<T: NoUninit + AnyBitPattern> Array<T> {
    /// A copy of `values` that starts where a cache line does.
    pub(crate) fn on_lines(values: &[T]) -> Self {
        let lines = on_lines(bytemuck::cast_slice(values));
        Self::Shared(Yoke::attach_to_cart(lines, |bytes| bytemuck::cast_slice(bytes.as_ref())))
    }
}

/// Bytes of a cache line.
pub(crate) const LINE: usize = 64;

/// A copy of `bytes` that starts where a cache line does.
pub(crate) fn on_lines(bytes: &[u8]) -> SharedBytes {
    #[derive(Clone, Copy, bytemuck::Pod, bytemuck::Zeroable)]
    #[repr(C, align(64))]
    struct Line([u8; LINE]);

    struct Lines(Vec<Line>, usize);

    impl AsRef<[u8]> for Lines {
        fn as_ref(&self) -> &[u8] {
            &bytemuck::cast_slice(&self.0)[..self.1]
        }
    }

    let mut lines = vec![Line([0; LINE]); bytes.len().div_ceil(LINE)];
    bytemuck::cast_slice_mut(&mut lines)[..bytes.len()].copy_from_slice(bytes);
    Arc::new(Lines(lines, bytes.len()))
}

impl<T: Clone> Array<T> {
    /// The values as a vector that may grow; a copy, if they are shared.
    pub(crate) fn edit(&mut self) -> &mut Vec<T> {
        if let Self::Shared(shared) = self {
            *self = Self::Owned(shared.get().to_vec());
        }
        match self {
            Self::Owned(values) => values,
            Self::Shared(_) => unreachable!("copied above"),
        }
    }
}

impl<T> Deref for Array<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        match self {
            Self::Owned(values) => values,
            Self::Shared(shared) => shared.get(),
        }
    }
}

impl<T> From<Vec<T>> for Array<T> {
    fn from(values: Vec<T>) -> Self {
        Self::Owned(values)
    }
}

impl<T> Default for Array<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T: std::fmt::Debug> std::fmt::Debug for Array<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        (**self).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_values_are_read_where_they_lie_and_copied_to_be_edited() {
        let bytes: SharedBytes = Arc::new([1u8, 2, 3]);
        let at = (*bytes).as_ref().as_ptr();
        let mut array = Array::Shared(Yoke::attach_to_cart(bytes, |bytes| &bytes.as_ref()[1..]));
        assert_eq!((&array[..], array.as_ptr()), (&[2, 3][..], at.wrapping_add(1)));
        array.edit().push(4);
        assert_eq!(&array[..], [2, 3, 4]);
    }

    #[test]
    fn values_lie_on_lines() {
        for length in [0, 1, 16, 17, 1000] {
            let values: Vec<u32> = (0..length).collect();
            let array = Array::on_lines(&values);
            assert_eq!((&array[..], array.as_ptr().align_offset(LINE)), (&values[..], 0));
        }
    }
}

//! How values are written to a compiled model and read from one.
//!
//! Small values go one after another into the *head*, little-endian. Arrays that kernels read where they lie go behind
//! it, each aligned; the head says where. What is read is not trusted: lengths are checked against what is there, and
//! enums against their variants. Whether indices fit together is for each type's own [`Stored::get`] to check.

use bytemuck::{CheckedBitPattern, NoUninit};
use yoke::Yoke;

use super::array::{Array, LINE, SharedBytes};
use super::seal::Seal;
use crate::error::{Error, Result};

/// Arrays start at multiples of this: a cache line.
pub(crate) const ALIGN: usize = LINE;

/// Something that a compiled model holds.
pub(crate) trait Stored: Sized {
    fn put(&self, to: &mut Writer);

    /// # Errors
    /// An invalid-model error for what [`put`](Self::put) does not write.
    fn get(from: &mut Reader) -> Result<Self>;
}

/// A compiled model being written.
#[derive(Default)]
pub(crate) struct Writer {
    head: Vec<u8>,
    arrays: Vec<u8>,
}

/// A compiled model being read.
pub(crate) struct Reader {
    content: Seal,
    /// What is left of the head.
    at: usize,
    head_end: usize,
    /// Where the arrays start.
    arrays: usize,
}

impl Writer {
    /// Everything that was put: the head's length, the head, the arrays.
    pub(crate) fn finish(self) -> Vec<u8> {
        let mut all = (self.head.len() as u64).to_le_bytes().to_vec();
        all.extend(self.head);
        all.resize(all.len().next_multiple_of(ALIGN), 0);
        all.extend(self.arrays);
        all
    }
}

impl Reader {
    /// Reads what [`Writer::finish`] returned, of which `content` is a copy that nothing of has been checked yet.
    pub(crate) fn new(mut content: Seal) -> Result<Self> {
        let (start, len) = (content.checked(), (**content.bytes()).as_ref().len());
        content.check_to(start + size_of::<u64>())?;
        let mut reader = Self { content, at: start, head_end: len, arrays: len };
        let head = u64::get(&mut reader)?;
        let head_end = usize::try_from(head).ok().and_then(|head| reader.at.checked_add(head));
        reader.head_end = head_end.filter(|&end| end <= len).ok_or_else(too_short)?;
        reader.content.check_to(reader.head_end)?;
        reader.arrays = reader.head_end.next_multiple_of(ALIGN);
        Ok(reader)
    }

    /// That the head has been read to its end, and all else is what it was.
    pub(crate) fn finish(mut self) -> Result<()> {
        self.content.check_to(usize::MAX)?;
        match self.head_end - self.at {
            0 => Ok(()),
            left => Err(Error::invalid_model(format!("{left} bytes that nothing accounts for"))),
        }
    }

    fn take(&mut self, count: usize) -> Result<&[u8]> {
        let end = self.at.checked_add(count).filter(|&end| end <= self.head_end).ok_or_else(too_short)?;
        let taken = &(**self.content.bytes()).as_ref()[self.at..end];
        self.at = end;
        Ok(taken)
    }

    /// A length of things of which each takes a byte or more.
    fn length(&mut self) -> Result<usize> {
        let length = u64::get(self)?;
        usize::try_from(length).ok().filter(|&length| length <= self.head_end - self.at).ok_or_else(too_short)
    }
}

fn too_short() -> Error {
    Error::invalid_model("the file ends early")
}

/// What a stored number does not stand for.
pub(crate) fn unknown(what: &str, found: u8) -> Error {
    Error::invalid_model(format!("{what} number {found}, which there is not"))
}

macro_rules! numbers {
    ($($number:ident),*) => {$(
        impl Stored for $number {
            fn put(&self, to: &mut Writer) {
                to.head.extend(self.to_le_bytes());
            }

            fn get(from: &mut Reader) -> Result<Self> {
                let bytes = from.take(size_of::<Self>())?;
                Ok(Self::from_le_bytes(bytes.try_into().expect("as many bytes as were asked for")))
            }
        }
    )*};
}

numbers!(u8, u16, u32, u64, i64, f32, f64);

impl<const N: usize> Stored for [u8; N] {
    fn put(&self, to: &mut Writer) {
        to.head.extend(self);
    }

    fn get(from: &mut Reader) -> Result<Self> {
        Ok(from.take(N)?.try_into().expect("as many bytes as were asked for"))
    }
}

impl Stored for usize {
    fn put(&self, to: &mut Writer) {
        (*self as u64).put(to);
    }

    fn get(from: &mut Reader) -> Result<Self> {
        let number = u64::get(from)?;
        number.try_into().map_err(|_| Error::invalid_model(format!("{number} is out of range")))
    }
}

impl Stored for bool {
    fn put(&self, to: &mut Writer) {
        u8::from(*self).put(to);
    }

    fn get(from: &mut Reader) -> Result<Self> {
        match u8::get(from)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(unknown("truth value", other)),
        }
    }
}

impl Stored for String {
    fn put(&self, to: &mut Writer) {
        self.len().put(to);
        to.head.extend(self.as_bytes());
    }

    fn get(from: &mut Reader) -> Result<Self> {
        let length = from.length()?;
        let bytes = from.take(length)?.to_vec();
        Self::from_utf8(bytes).map_err(|_| Error::invalid_model("a text that is not UTF-8"))
    }
}

impl<T: Stored> Stored for Option<T> {
    fn put(&self, to: &mut Writer) {
        self.is_some().put(to);
        if let Some(value) = self {
            value.put(to);
        }
    }

    fn get(from: &mut Reader) -> Result<Self> {
        bool::get(from)?.then(|| T::get(from)).transpose()
    }
}

impl<T: Stored> Stored for Vec<T> {
    fn put(&self, to: &mut Writer) {
        self.len().put(to);
        self.iter().for_each(|value| value.put(to));
    }

    fn get(from: &mut Reader) -> Result<Self> {
        let length = from.length()?;
        (0..length).map(|_| T::get(from)).collect()
    }
}

impl<A: Stored, B: Stored> Stored for (A, B) {
    fn put(&self, to: &mut Writer) {
        self.0.put(to);
        self.1.put(to);
    }

    fn get(from: &mut Reader) -> Result<Self> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl<T: CheckedBitPattern + NoUninit> Stored for Array<T> {
    fn put(&self, to: &mut Writer) {
        to.arrays.resize(to.arrays.len().next_multiple_of(ALIGN), 0);
        (to.arrays.len(), self.len()).put(to);
        to.arrays.extend(bytemuck::cast_slice::<T, u8>(self));
    }

    /// Cost: a look at each value, if not every pattern of bits is one.
    fn get(from: &mut Reader) -> Result<Self> {
        Self::get_and(from, |_| Ok(()))
    }
}

impl<T: CheckedBitPattern> Array<T> {
    /// As [`get`](Stored::get), with a look at the values part by part, each when it has just been read.
    pub(crate) fn get_and(from: &mut Reader, mut look: impl FnMut(&[T]) -> Result<()>) -> Result<Self> {
        let (start, length) = <(usize, usize)>::get(from)?;
        let start = from.arrays.checked_add(start);
        let end = start.and_then(|start| start.checked_add(length.checked_mul(size_of::<T>())?));
        let (Some(start), Some(end)) = (start, end) else { return Err(too_short()) };
        let values: Yoke<&'static [T], SharedBytes> =
            Yoke::try_attach_to_cart(from.content.bytes().clone(), |bytes| {
                let bytes = bytes.as_ref().get(start..end).ok_or_else(too_short)?;
                let wrong = |cause| Error::invalid_model(format!("an array that cannot be read: {cause}"));
                bytemuck::checked::try_cast_slice::<u8, T>(bytes).map_err(wrong)
            })?;
        let mut seen = 0;
        while seen < length {
            from.content.check_to(start + (seen + 1) * size_of::<T>())?;
            let whole = (from.content.checked() - start) / size_of::<T>();
            let part = seen..whole.min(length);
            seen = part.end;
            look(&values.get()[part])?;
        }
        Ok(Self::Shared(values))
    }
}

/// Implements [`Stored`] for a struct, field by field, or for an enum, each variant under a number.
macro_rules! stored {
    (struct $name:ident { $($field:ident),* $(,)? }) => {
        impl $crate::store::Stored for $name {
            fn put(&self, to: &mut $crate::store::Writer) {
                let Self { $($field),* } = self;
                $($crate::store::Stored::put($field, to);)*
            }

            fn get(from: &mut $crate::store::Reader) -> $crate::error::Result<Self> {
                $(let $field = $crate::store::Stored::get(from)?;)*
                Ok(Self { $($field),* })
            }
        }
    };
    (enum $name:ident { $($number:literal => $variant:ident $({ $($field:ident),* })? $(( $inner:ident ))?),* $(,)? }) => {
        impl $crate::store::Stored for $name {
            fn put(&self, to: &mut $crate::store::Writer) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(($inner))? => {
                        let number: u8 = $number;
                        $crate::store::Stored::put(&number, to);
                        $($($crate::store::Stored::put($field, to);)*)?
                        $($crate::store::Stored::put($inner, to);)?
                    })*
                }
            }

            fn get(from: &mut $crate::store::Reader) -> $crate::error::Result<Self> {
                let number: u8 = $crate::store::Stored::get(from)?;
                match number {
                    $($number => {
                        $($(let $field = $crate::store::Stored::get(from)?;)*)?
                        $(let $inner = $crate::store::Stored::get(from)?;)?
                        Ok(Self::$variant $({ $($field),* })? $(($inner))?)
                    })*
                    other => Err($crate::store::unknown(stringify!($name), other)),
                }
            }
        }
    };
}

pub(crate) use stored;

#[cfg(test)]
mod tests {
    use super::super::{checksums, on_lines};
    use super::*;

    fn reader(bytes: &[u8]) -> Result<Reader> {
        let aligned = on_lines(bytes);
        let sums = checksums((*aligned).as_ref());
        Reader::new(Seal::new(aligned, 0, sums))
    }

    #[test]
    fn what_is_put_is_what_is_got() {
        let mut writer = Writer::default();
        let array = Array::from(vec![1.5f64, -0.0, f64::NAN]);
        (vec![Some("é".to_owned()), None], (7usize, true)).put(&mut writer);
        array.put(&mut writer);
        Array::from(vec![3u8]).put(&mut writer);
        let mut reader = reader(&writer.finish()).unwrap();
        let (words, numbers) = <(Vec<Option<String>>, (usize, bool))>::get(&mut reader).unwrap();
        assert_eq!((words, numbers), (vec![Some("é".to_owned()), None], (7, true)));
        let bits = |array: &[f64]| array.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&Array::get(&mut reader).unwrap()), bits(&array));
        assert_eq!(&Array::<u8>::get(&mut reader).unwrap()[..], [3]);
        reader.finish().unwrap();
    }

    #[test]
    fn what_was_not_put_is_an_error() {
        let mut writer = Writer::default();
        u64::MAX.put(&mut writer);
        2u8.put(&mut writer);
        let bytes = writer.finish();
        assert!(Vec::<u8>::get(&mut reader(&bytes).unwrap()).is_err());
        assert!(String::get(&mut reader(&bytes).unwrap()).is_err());
        assert!(Array::<f64>::get(&mut reader(&bytes).unwrap()).is_err());
        let mut reader = reader(&bytes).unwrap();
        u64::get(&mut reader).unwrap();
        assert!(bool::get(&mut reader).unwrap_err().is_invalid_model());
        assert!(u8::get(&mut reader).unwrap_err().to_string().contains("ends early"));
    }
}

//! Values of a graph: shaped, typed, in row-major order.

use crate::error::{Error, Result};
use crate::strings::Strings;

/// What the elements of a tensor are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    F32,
    F64,
    I32,
    I64,
    Bool,
    Text,
    /// Tensors: the value is a sequence.
    Tensor,
}

impl Type {
    /// Its name in ONNX.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::F32 => "float",
            Self::F64 => "double",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::Bool => "bool",
            Self::Text => "string",
            Self::Tensor => "sequence",
        }
    }
}

/// The elements of a tensor.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Data {
    F32(Vec<f32>),
    F64(Vec<f64>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    Bool(Vec<bool>),
    Text(Strings),
    Tensors(Vec<Tensor>),
}

/// A value. One that is written again keeps the memory it has.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    pub(crate) shape: Vec<usize>,
    pub(crate) data: Data,
    /// Elements it may be made to hold: bounded while a graph is loaded, since a file decides then what is computed.
    pub(crate) room: usize,
}

impl Default for Tensor {
    fn default() -> Self {
        Self::of(Vec::new(), Data::F32(Vec::new()))
    }
}

impl PartialEq for Tensor {
    fn eq(&self, other: &Self) -> bool {
        self.shape == other.shape && self.data == other.data
    }
}

impl Tensor {
    /// A tensor of as many elements as its shape says.
    pub(crate) fn of(shape: Vec<usize>, data: Data) -> Self {
        Self { shape, data, room: MAX_ELEMENTS }
    }

    /// A tensor of numbers or truth values.
    pub(crate) fn new<T: Element>(shape: &[usize], values: Vec<T>) -> Self {
        Self::of(shape.to_vec(), T::data(values))
    }

    /// A list of `values`.
    pub(crate) fn list<T: Element>(values: Vec<T>) -> Self {
        Self::new(&[values.len()], values)
    }

    /// A list of strings.
    pub(crate) fn text(values: Strings) -> Self {
        Self::of(vec![values.len()], Data::Text(values))
    }

    pub(crate) fn ty(&self) -> Type {
        match &self.data {
            Data::F32(_) => Type::F32,
            Data::F64(_) => Type::F64,
            Data::I32(_) => Type::I32,
            Data::I64(_) => Type::I64,
            Data::Bool(_) => Type::Bool,
            Data::Text(_) => Type::Text,
            Data::Tensors(_) => Type::Tensor,
        }
    }

    /// Number of elements.
    pub(crate) fn len(&self) -> usize {
        match &self.data {
            Data::F32(values) => values.len(),
            Data::F64(values) => values.len(),
            Data::I32(values) => values.len(),
            Data::I64(values) => values.len(),
            Data::Bool(values) => values.len(),
            Data::Text(values) => values.len(),
            Data::Tensors(values) => values.len(),
        }
    }

    pub(crate) fn rank(&self) -> usize {
        self.shape.len()
    }

    /// The elements, if they are of type `T`.
    pub(crate) fn values<T: Element>(&self) -> Result<&[T]> {
        T::of(self)
            .ok_or_else(|| Error::unsupported(format!("{} where {} is expected", self.ty().name(), T::TYPE.name())))
    }

    /// The single element of an f32 or f64 tensor.
    pub(crate) fn scalar<T: Element>(&self) -> Result<T> {
        match self.values::<T>()? {
            [value] => Ok(*value),
            values => Err(Error::shape(format!("{} elements where one is expected", values.len()))),
        }
    }

    /// The integers of an index or shape tensor, of either width.
    pub(crate) fn integers(&self) -> Result<impl ExactSizeIterator<Item = i64> + Clone + '_> {
        #[derive(Clone, Copy)]
        enum Either<'a> {
            Wide(&'a [i64]),
            Narrow(&'a [i32]),
        }
        let values = match &self.data {
            Data::I64(values) => Either::Wide(values),
            Data::I32(values) => Either::Narrow(values),
            _ => return Err(Error::unsupported(format!("{} where integers are expected", self.ty().name()))),
        };
        let at = move |index: usize| match values {
            Either::Wide(values) => values[index],
            Either::Narrow(values) => values[index].into(),
        };
        Ok((0..self.len()).map(at))
    }

    /// Makes this a tensor of `T`, empty, of the given shape, and hands out its elements to be filled.
    ///
    /// # Errors
    /// When there is no room for so many.
    pub(crate) fn start<T: Element>(&mut self, shape: &[usize]) -> Result<&mut Vec<T>> {
        self.set_shape(shape)?;
        let values = T::vec(&mut self.data);
        values.clear();
        Ok(values)
    }

    /// As [`start`](Self::start), for strings.
    pub(crate) fn start_text(&mut self, shape: &[usize]) -> Result<&mut Strings> {
        self.set_shape(shape)?;
        if !matches!(self.data, Data::Text(_)) {
            self.data = Data::Text(Strings::default());
        }
        let Data::Text(strings) = &mut self.data else { unreachable!("set above") };
        strings.clear();
        Ok(strings)
    }

    /// Makes this a sequence of so many tensors, with what they were before.
    pub(crate) fn start_tensors(&mut self, count: usize) -> Result<&mut [Self]> {
        self.set_shape(&[count])?;
        if !matches!(self.data, Data::Tensors(_)) {
            self.data = Data::Tensors(Vec::new());
        }
        let Data::Tensors(items) = &mut self.data else { unreachable!("set above") };
        items.resize_with(count, Self::default);
        Ok(items)
    }

    /// As [`start`](Self::start), filled with `value`.
    pub(crate) fn fill<T: Element>(&mut self, shape: &[usize], value: T) -> Result<&mut [T]> {
        let total = shape.iter().product();
        let values = self.start::<T>(shape)?;
        values.resize(total, value);
        Ok(values)
    }

    /// As [`start`](Self::start), with elements of any value, each of which is to be overwritten.
    pub(crate) fn overwritten<T: Element>(&mut self, shape: &[usize]) -> Result<&mut [T]> {
        self.set_shape(shape)?;
        let values = T::vec(&mut self.data);
        values.resize(shape.iter().product(), T::default());
        Ok(values)
    }

    fn set_shape(&mut self, shape: &[usize]) -> Result<()> {
        let total = checked_total(shape)?;
        if total > self.room {
            return Err(Error::limit("elements of a value computed at load", total, self.room));
        }
        self.shape.clear();
        self.shape.extend_from_slice(shape);
        Ok(())
    }

    /// Makes this an empty tensor of the type of `like`, of the given shape.
    pub(crate) fn start_like(&mut self, like: &Self, shape: &[usize]) -> Result<()> {
        self.start_as(like.ty(), shape)
    }

    /// Makes this an empty tensor of a type, of the given shape.
    pub(crate) fn start_as(&mut self, ty: Type, shape: &[usize]) -> Result<()> {
        match ty {
            Type::F32 => _ = self.start::<f32>(shape)?,
            Type::F64 => _ = self.start::<f64>(shape)?,
            Type::I32 => _ = self.start::<i32>(shape)?,
            Type::I64 => _ = self.start::<i64>(shape)?,
            Type::Bool => _ = self.start::<bool>(shape)?,
            Type::Text => _ = self.start_text(shape)?,
            Type::Tensor => {
                self.set_shape(shape)?;
                self.data = Data::Tensors(Vec::new());
            }
        }
        Ok(())
    }

    /// Bytes of its elements.
    pub(crate) fn n_bytes(&self) -> usize {
        match &self.data {
            Data::F32(_) | Data::I32(_) => 4 * self.len(),
            Data::F64(_) | Data::I64(_) => 8 * self.len(),
            Data::Bool(_) => self.len(),
            Data::Text(values) => values.n_bytes(),
            Data::Tensors(values) => values.iter().map(Self::n_bytes).sum(),
        }
    }

    /// Adds the elements `range` of `from`, which must be of the same type.
    pub(crate) fn append(&mut self, from: &Self, range: std::ops::Range<usize>) -> Result<()> {
        match (&mut self.data, &from.data) {
            (Data::F32(to), Data::F32(from)) => to.extend_from_slice(&from[range]),
            (Data::F64(to), Data::F64(from)) => to.extend_from_slice(&from[range]),
            (Data::I32(to), Data::I32(from)) => to.extend_from_slice(&from[range]),
            (Data::I64(to), Data::I64(from)) => to.extend_from_slice(&from[range]),
            (Data::Bool(to), Data::Bool(from)) => to.extend_from_slice(&from[range]),
            (Data::Text(to), Data::Text(from)) => to.extend_from(from, range),
            (Data::Tensors(to), Data::Tensors(from)) => to.extend_from_slice(&from[range]),
            _ => return Err(Error::unsupported(format!("{} beside {}", from.ty().name(), self.ty().name()))),
        }
        Ok(())
    }

    /// Becomes a copy of `from`, with its memory reused.
    pub(crate) fn copy(&mut self, from: &Self) -> Result<()> {
        self.copy_as(from, &from.shape)
    }

    /// Becomes a copy of `from` with another shape of as many elements.
    pub(crate) fn copy_as(&mut self, from: &Self, shape: &[usize]) -> Result<()> {
        self.start_like(from, shape)?;
        self.append(from, 0..from.len())
    }

    /// Rows and columns: the first dimension, and the product of the others. A list is one row, as ONNX Runtime's
    /// machine-learning operators read it.
    pub(crate) fn matrix_shape(&self) -> (usize, usize) {
        match &*self.shape {
            [] => (1, 1),
            [columns] => (1, *columns),
            [rows, rest @ ..] => (*rows, rest.iter().product()),
        }
    }
}

/// Rust types of elements.
pub(crate) trait Element: Copy + Default + PartialEq + PartialOrd + Send + Sync + 'static {
    const TYPE: Type;
    fn of(tensor: &Tensor) -> Option<&[Self]>;
    fn vec(data: &mut Data) -> &mut Vec<Self>;
    fn data(values: Vec<Self>) -> Data;
}

macro_rules! element {
    ($($rust:ident $variant:ident),*) => {$(
        impl Element for $rust {
            const TYPE: Type = Type::$variant;
            fn of(tensor: &Tensor) -> Option<&[Self]> {
                match &tensor.data {
                    Data::$variant(values) => Some(values),
                    _ => None,
                }
            }
            fn vec(data: &mut Data) -> &mut Vec<Self> {
                if !matches!(data, Data::$variant(_)) {
                    *data = Data::$variant(Vec::new());
                }
                match data {
                    Data::$variant(values) => values,
                    _ => unreachable!("set above"),
                }
            }
            fn data(values: Vec<Self>) -> Data {
                Data::$variant(values)
            }
        }
    )*};
}

element!(f32 F32, f64 F64, i32 I32, i64 I64, bool Bool);

/// `axis`, which may count from the end, among `rank` of them.
pub(crate) fn axis(axis: i64, rank: usize) -> Result<usize> {
    let counted = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(counted)
        .ok()
        .filter(|&axis| axis < rank)
        .ok_or_else(|| Error::shape(format!("axis {axis} of a value of {rank} dimensions")))
}

/// Number of elements before, in and after an axis: a tensor seen as three dimensions.
pub(crate) fn around(shape: &[usize], axis: usize) -> (usize, usize, usize) {
    let size = shape.get(axis).copied().unwrap_or(1);
    (shape[..axis.min(shape.len())].iter().product(), size, shape.iter().skip(axis + 1).product())
}

/// A number of elements, if memory can hold so many.
pub(crate) fn checked_total(shape: &[usize]) -> Result<usize> {
    let total = shape.iter().try_fold(1usize, |total, &size| total.checked_mul(size));
    total.filter(|&total| total <= MAX_ELEMENTS).ok_or_else(|| {
        Error::shape(format!("a value of shape {shape:?}, more than the {MAX_ELEMENTS} elements this crate holds"))
    })
}

/// Elements of one value: a bound on what shapes computed from data may ask for.
const MAX_ELEMENTS: usize = 1 << 26;

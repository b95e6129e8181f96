//! Flat arrays that kernels read, built once from a [`Forest`](crate::ir::Forest).

pub(crate) mod circuit;
pub(crate) mod program;
pub(crate) mod ranks;
pub(crate) mod row;
pub(crate) mod stored;
pub(crate) mod walk;

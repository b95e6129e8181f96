//! Flat arrays that kernels read, built once from a [`Forest`](crate::ir::Forest).

pub(crate) mod walk;

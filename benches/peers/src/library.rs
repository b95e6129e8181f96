//! Shared libraries and their symbols.

use std::ffi::CString;

use anyhow::{Context, Result};
use libloading::Library;

/// Opens a library and leaves it open: its functions are used until the program ends.
pub fn open(path: &str) -> Result<&'static Library> {
    // SAFETY: the libraries are those the user asked to measure; their initialisers run as in any program.
    let library = unsafe { Library::new(path) }.with_context(|| path.to_owned())?;
    Ok(Box::leak(Box::new(library)))
}

/// The function called `name`.
///
/// # Safety
/// It must have the type `T`.
pub unsafe fn symbol<T: Copy>(library: &'static Library, name: &str) -> Result<T> {
    // SAFETY: the caller promises the type.
    let symbol = unsafe { library.get::<T>(name.as_bytes()) };
    Ok(*symbol.with_context(|| name.to_owned())?)
}

pub fn c_string(text: &str) -> Result<CString> {
    CString::new(text).context("a text with a NUL")
}

//! Files of this host, or of a mounted disk: a path comes in, its content comes out or is replaced as a whole.

#![forbid(unsafe_code)]

pub mod atomic;
pub mod root;

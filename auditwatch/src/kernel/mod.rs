//! Facts of the running kernel.
pub mod btf;
pub mod facts;
pub mod symbols;

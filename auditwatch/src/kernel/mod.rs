//! Facts of the running kernel: types, symbols, boot options, permissions.
//!
//! Parsing is pure; [`facts`] does the reading, in one place.

pub mod btf;
pub mod cmdline;
pub mod compressed_symbols;
pub mod core_file;
pub mod core_memory;
pub mod facts;
pub mod filter_memory;
pub mod privileges;
pub mod symbols;
pub mod types;

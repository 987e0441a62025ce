//! Facts of the running kernel: types, symbols, boot options, permissions, and its audit variables at one moment.
//!
//! Parsing is pure; [`facts`] does the reading, in one place.

#![forbid(unsafe_code)]

pub mod audit_state;
pub mod btf;
pub mod cmdline;
pub mod compressed_symbols;
pub mod core_file;
pub mod core_memory;
pub mod facts;
pub mod filter_memory;
pub mod filter_rule;
pub mod jiffies;
pub mod privileges;
pub mod process_stat;
pub mod record_size;
pub mod symbols;
pub mod types;

//! Rendering: intervals and summaries as text. In: values. Out: bytes. It must
//! not measure or decide anything.

pub mod json;
pub mod number;
pub mod style;
pub mod table;
pub mod verdict;

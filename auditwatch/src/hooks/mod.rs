//! The hooks: which program goes where, in which form, and what became of each. Pure.

#![forbid(unsafe_code)]

pub mod health;
pub mod plan;

//! The hooks: which program goes where, in which form, and what became of each. Pure.

pub mod health;
pub mod plan;

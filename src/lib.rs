//! tagsweep: placeholder map.

pub mod engine;
pub mod event;

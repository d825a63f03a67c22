//! tagsweep: placeholder map.

pub mod config;
pub mod event;

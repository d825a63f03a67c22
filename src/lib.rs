//! tagsweep: placeholder map.

pub mod event;
pub mod im;

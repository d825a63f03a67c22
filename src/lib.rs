//! tagsweep: placeholder map.

pub mod event;

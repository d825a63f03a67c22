//! Events as well-known producers publish them, as they stand in `tests/fixtures/events`.

mod change;
mod document;
mod fixtures;
mod mutations;
mod outcomes;
mod planted;

//! The bodies of the fuzz targets: each takes any bytes and panics when what must always hold does not.
//!
//! They are compiled twice: here for the fuzzer, and into the tests of the package `tagsweep`,
//! which replay the seeds of every target on the stable compiler.

mod answer;
mod event;
mod frame;
mod letter;
mod list;
#[cfg(test)]
mod mutated;
#[cfg(test)]
mod replay;
mod rules;
mod settings;
mod user_sig;

pub use answer::answer;
pub use event::event;
pub use frame::frame;
pub use letter::letter;
pub use list::list;
pub use rules::rules;
pub use settings::settings;
pub use user_sig::user_sig;

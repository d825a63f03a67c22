//! A faithful stand-in for the tag interface of Tencent Cloud Chat: `im_remove_all_tags`, its Push
//! sibling, `im_add_tag` and `im_get_tag`.
//!
//! It states the API's contract a second time and shares no type with any client, so that a mistake
//! on the wire shows. Checks come in the order of the real API, UserSigs are verified, the quota
//! counts over a sliding second, and tags really vanish. It answers HTTP 200 without a
//! `Content-Type`, as the real one does.
//!
//! In reading order:
//! - [`Simulator`], [`Options`]: a running one, its switches and what it saw
//! - `server`, `wire`, `tls`, `control`: sockets, faults on them, and the `/_sim` paths
//! - `service`, from `call` to `answer`: what becomes of one call, without any socket
//! - `checks`, `usersig`, `lockout`, `quota`: why a call is refused
//! - `users`: accounts and their tags
//! - `faults`, `journal`: what goes wrong on purpose, and what was seen

#![warn(unreachable_pub)]

mod answer;
mod call;
mod checks;
mod codes;
mod control;
mod faults;
mod interface;
mod journal;
mod lockout;
mod options;
mod quota;
mod server;
mod service;
mod simulator;
mod tls;
mod users;
pub mod usersig;
mod wire;

pub use faults::{Fault, InvalidFault, Page, Rule, RuleId, duration};
pub use interface::Interface;
pub use journal::{Entry, Journal, Second, Stats};
pub use options::Options;
pub use simulator::{NotSeen, Simulator};
pub use tls::Tls;
pub use users::{Clears, UnknownAccounts};

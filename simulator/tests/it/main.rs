//! The simulator as its clients see it: real sockets, on a free port of 127.0.0.1.

mod checks;
mod client;
mod faults;
mod observation;
mod program;
mod tls;
mod users;

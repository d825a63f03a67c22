//! What tests, the demo and benchmarks need around the worker: private
//! RabbitMQ nodes ([`rabbitmq`]), certificates for them ([`tls`]), somebody who
//! publishes and reads dead letters ([`amqp`]), a TCP proxy
//! that breaks connections on request ([`proxy`]) and a way to wait for a fact
//! ([`eventually()`]).
//!
//! It knows nothing of the worker itself, and Linux only.

pub mod amqp;
mod eventually;
mod port;
pub mod proxy;
pub mod rabbitmq;
pub mod tls;

pub use self::eventually::eventually;

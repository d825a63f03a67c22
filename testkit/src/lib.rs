//! The environment of the worker for tests, the demo and benchmarks: private RabbitMQ nodes
//! ([`rabbitmq`]), certificates for them ([`tls`]), an AMQP client that publishes events and reads
//! dead letters ([`amqp`]), a TCP proxy that breaks connections on request ([`proxy`]) and a way to
//! wait for a fact ([`eventually()`]).
//!
//! It knows nothing of the worker itself, and supports only Linux.

pub mod amqp;
mod eventually;
mod port;
pub mod proxy;
pub mod rabbitmq;
pub mod tls;

pub use self::eventually::eventually;

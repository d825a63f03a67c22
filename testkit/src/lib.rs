//! What tests, the demo and benchmarks need around the worker: private
//! RabbitMQ nodes ([`rabbitmq`]), a TCP proxy that breaks connections on
//! request ([`proxy`]) and a way to wait for a fact ([`eventually`]).
//!
//! It knows nothing of the worker itself.

mod port;
pub mod rabbitmq;

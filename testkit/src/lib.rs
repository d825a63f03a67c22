//! What tests, the demo and benchmarks need around the worker: private
//! RabbitMQ nodes ([`rabbitmq`]), a TCP proxy that breaks connections on
//! request ([`proxy`]) and a way to wait for a fact ([`eventually`]).
//!
//! It knows nothing of the worker itself.

pub mod amqp;
pub mod rabbitmq;

pub async fn eventually(
    limit: std::time::Duration,
    what: &str,
    mut holds: impl AsyncFnMut() -> bool,
) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    };
    assert!(
        tokio::time::timeout(limit, waiting).await.is_ok(),
        "not so within {limit:?}: {what}"
    );
}

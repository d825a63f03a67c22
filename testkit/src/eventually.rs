//! Waiting for a fact instead of sleeping.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// How often a fact is looked at.
const INTERVAL: Duration = Duration::from_millis(20);

/// Looks again and again until `look` finds something, and gives it back. For a
/// plain condition let it return `condition.then_some(())`.
///
/// Needs real time: where tokio's clock is paused, patience is over at once.
///
/// # Panics
///
/// When `patience` is over, naming `what` was waited for.
pub async fn eventually<T>(
    patience: Duration,
    what: &str,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> T {
    let found = timeout(patience, async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            sleep(INTERVAL).await;
        }
    });
    found
        .await
        .unwrap_or_else(|_| panic!("waited {patience:?} in vain for this: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_becomes_true_is_found() {
        let mut looks = 0;
        let third = eventually(Duration::from_secs(10), "the third look", async || {
            looks += 1;
            (looks == 3).then_some(looks)
        });
        assert_eq!(third.await, 3);
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "a dog that talks")]
    async fn what_never_becomes_true_is_named() {
        eventually(
            Duration::from_secs(1),
            "a dog that talks",
            async || None::<()>,
        )
        .await;
    }

    #[tokio::test(start_paused = true)]
    #[should_panic(expected = "an answer")]
    async fn a_look_that_hangs_does_not_stretch_the_patience() {
        eventually(Duration::from_secs(1), "an answer", async || {
            std::future::pending::<Option<()>>().await
        })
        .await;
    }
}

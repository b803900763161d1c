//! Delivering a message: attempts, the waits between them, and an end that always comes.

use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep, timeout_at};

use super::{ChannelEntry, DeliveryError, Message, Receipt};
use crate::base::Redacted;

/// How often and for how long a delivery is tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DeliveryPolicy {
    pub attempts: u32,
    /// The wait after the first attempt; it doubles with every further one.
    pub first_delay: Duration,
    pub longest_delay: Duration,
    /// After this the delivery has failed, whatever it is doing.
    pub total: Duration,
}

impl Default for DeliveryPolicy {
    /// Four attempts outlast the restart of a gateway; half a minute is what an escalation can wait
    /// before it has to try the next channel.
    fn default() -> Self {
        DeliveryPolicy {
            attempts: 4,
            first_delay: Duration::from_millis(500),
            longest_delay: Duration::from_secs(8),
            total: Duration::from_secs(30),
        }
    }
}

impl DeliveryPolicy {
    /// The wait after the failed attempt `attempt`, counted from 1: between half and all of the doubled
    /// delay, so that the runs of one outage do not knock together; never less than the peer asked for.
    fn delay(&self, attempt: u32, asked: Option<Duration>, jitter: u64) -> Duration {
        let doubled = self.first_delay.saturating_mul(1_u32.checked_shl(attempt.saturating_sub(1)).unwrap_or(u32::MAX));
        let half = doubled.min(self.longest_delay) / 2;
        let share = f64::from(spread(jitter, attempt)) / f64::from(u32::MAX);
        (half + half.mul_f64(share)).max(asked.unwrap_or_default())
    }
}

/// Another number for each attempt out of the one random number of a delivery.
fn spread(jitter: u64, attempt: u32) -> u32 {
    // The increment of splitmix64: its multiples spread evenly over all 64 bits.
    let mixed = jitter.wrapping_add(u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 32) as u32
}

/// How a delivery went.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivery {
    pub attempts: u32,
    /// The receipt, or the error of the last attempt.
    pub result: Result<Receipt, DeliveryError>,
}

/// Sends the message, again and again while that can help and the policy allows it.
///
/// `jitter` is a random number of the caller, from `base::entropy`.
pub async fn deliver(
    entry: &ChannelEntry,
    config: Value,
    message: Redacted<Message>,
    http: reqwest::Client,
    policy: DeliveryPolicy,
    jitter: u64,
) -> Delivery {
    let deadline = Instant::now() + policy.total;
    let mut attempts = 0;
    loop {
        attempts += 1;
        let sending = (entry.send)(config.clone(), message.clone().into_inner(), http.clone());
        let result = timeout_at(deadline, sending).await.unwrap_or_else(|_| Err(too_slow(policy)));
        let Err(error) = &result else { return Delivery { attempts, result } };
        let delay = policy.delay(attempts, error.retry_after, jitter);
        if !error.transient || attempts >= policy.attempts {
            return Delivery { attempts, result };
        }
        if Instant::now() + delay >= deadline {
            return Delivery { attempts, result: Err(out_of_time(error, policy)) };
        }
        sleep(delay).await;
    }
}

fn too_slow(policy: DeliveryPolicy) -> DeliveryError {
    DeliveryError::lasting(format!("not delivered within {} s", policy.total.as_secs_f64()))
}

fn out_of_time(error: &DeliveryError, policy: DeliveryPolicy) -> DeliveryError {
    let why = match error.retry_after {
        Some(asked) => format!("the peer asks to wait {} s", asked.as_secs()),
        None => "no time is left for another attempt".to_owned(),
    };
    let message = format!("{}; {why}, and a delivery gets {} s", error.message, policy.total.as_secs_f64());
    DeliveryError { message, ..error.clone() }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use serde_json::json;

    use super::*;
    use crate::notify::doubles;

    /// A channel whose configuration is what it does: `["busy", "ok"]`; `take` is the attempt's turn.
    fn scripted(config: &Value, turn: usize) -> Result<Receipt, DeliveryError> {
        match config[turn].as_str().unwrap() {
            "ok" => Ok(Receipt::new("taken")),
            "busy" => Err(DeliveryError::transient("busy")),
            "gone" => Err(DeliveryError::lasting("gone")),
            wait => Err(DeliveryError {
                retry_after: Some(Duration::from_secs(wait.parse().unwrap())),
                ..DeliveryError::transient("limited")
            }),
        }
    }

    macro_rules! scripted_entry {
        () => {{
            static TURN: AtomicUsize = AtomicUsize::new(0);
            ChannelEntry {
                send: |config, _, _| Box::pin(async move { scripted(&config, TURN.fetch_add(1, Ordering::Relaxed)) }),
                ..crate::notify::CHANNELS[0]
            }
        }};
    }

    async fn timed(entry: ChannelEntry, script: Value) -> (Delivery, Duration) {
        let start = Instant::now();
        let delivery =
            deliver(&entry, script, doubles::masked(doubles::message()), doubles::http(), DeliveryPolicy::default(), 7)
                .await;
        (delivery, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn transient_errors_are_tried_again_with_growing_waits() {
        let (delivery, took) = timed(scripted_entry!(), json!(["busy", "busy", "ok"])).await;
        assert_eq!(delivery, Delivery { attempts: 3, result: Ok(Receipt::new("taken")) });
        // Between half and all of 0.5 s + 1 s.
        assert!((Duration::from_millis(750)..=Duration::from_millis(1502)).contains(&took), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn lasting_errors_are_not_tried_again() {
        let (delivery, took) = timed(scripted_entry!(), json!(["gone", "ok"])).await;
        assert_eq!((delivery.attempts, took), (1, Duration::ZERO));
        assert_eq!(delivery.result.unwrap_err().message, "gone");
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_counted_and_bounded() {
        let (delivery, _) = timed(scripted_entry!(), json!(["busy", "busy", "busy", "busy", "ok"])).await;
        assert_eq!((delivery.attempts, delivery.result.unwrap_err().message.as_str()), (4, "busy"));
    }

    #[tokio::test(start_paused = true)]
    async fn the_peer_is_given_the_time_it_asks_for() {
        let (delivery, took) = timed(scripted_entry!(), json!(["9", "ok"])).await;
        assert!(delivery.result.is_ok());
        assert!(took >= Duration::from_secs(9), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_asks_for_more_than_there_is_ends_it_at_once() {
        let (delivery, took) = timed(scripted_entry!(), json!(["120", "ok"])).await;
        assert_eq!((delivery.attempts, took), (1, Duration::ZERO));
        let message = delivery.result.unwrap_err().message;
        assert_eq!(message, "limited; the peer asks to wait 120 s, and a delivery gets 30 s");
    }

    #[tokio::test(start_paused = true)]
    async fn a_channel_that_hangs_is_left_after_the_total() {
        let entry = ChannelEntry { send: |_, _, _| Box::pin(std::future::pending()), ..crate::notify::CHANNELS[0] };
        let (delivery, took) = timed(entry, Value::Null).await;
        assert!(took >= Duration::from_secs(30) && took < Duration::from_secs(31), "{took:?}");
        assert_eq!(delivery.result.unwrap_err().message, "not delivered within 30 s");
    }

    #[test]
    fn waits_double_up_to_the_longest_and_vary_with_the_jitter() {
        let policy = DeliveryPolicy::default();
        for (attempt, most) in [(1, 500), (2, 1000), (3, 2000), (5, 8000), (40, 8000)] {
            let delay = policy.delay(attempt, None, 12345);
            assert!(delay >= Duration::from_millis(most / 2) && delay <= Duration::from_millis(most), "{delay:?}");
        }
        assert_ne!(policy.delay(1, None, 1), policy.delay(1, None, u64::MAX / 3));
    }
}

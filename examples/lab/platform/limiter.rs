//! A token bucket: one second's worth of requests at once, then as many as flow in again.

use std::time::Duration;

pub struct Limiter {
    per_second: f64,
    tokens: f64,
    filled: Duration,
}

impl Limiter {
    pub fn new(per_second: f64) -> Self {
        // A limit below one a second must still let a request through now and then.
        Limiter { per_second, tokens: per_second.max(1.0), filled: Duration::ZERO }
    }

    /// Whether a request at `now`, on a clock that only goes forward, is within the limit.
    pub fn take(&mut self, now: Duration) -> bool {
        let gained = now.saturating_sub(self.filled).as_secs_f64() * self.per_second;
        self.tokens = (self.tokens + gained).min(self.per_second.max(1.0));
        self.filled = now;
        let allowed = self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_cut_off_and_then_flows() {
        let mut limiter = Limiter::new(2.0);
        let at = Duration::from_secs(100);
        assert_eq!([(); 3].map(|()| limiter.take(at)), [true, true, false]);
        assert!(!limiter.take(at + Duration::from_millis(400)));
        assert!(limiter.take(at + Duration::from_millis(600)));
    }
}

//! Log events of components, bounded and handed on to `tracing`.

use crate::limits::LogLimits;
use crate::text::printable;
use std::fmt::Write as _;
use std::time::Instant;

/// How important an event is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Level {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}

/// `tracing` target of every event a component logs.
const TARGET: &str = "longshore::component";

const MAX_NAME_BYTES: usize = 128;

macro_rules! at_level {
    ($level:expr, $mac:ident!($($rest:tt)*)) => {
        match $level {
            Level::Trace => tracing::$mac!(target: TARGET, tracing::Level::TRACE $($rest)*),
            Level::Debug => tracing::$mac!(target: TARGET, tracing::Level::DEBUG $($rest)*),
            Level::Info => tracing::$mac!(target: TARGET, tracing::Level::INFO $($rest)*),
            Level::Warn => tracing::$mac!(target: TARGET, tracing::Level::WARN $($rest)*),
            Level::Error => tracing::$mac!(target: TARGET, tracing::Level::ERROR $($rest)*),
        }
    };
}

/// Takes one component instance's events: drops those above the rate, cuts those that are too long.
pub(crate) struct LogGate {
    instance: String,
    limits: LogLimits,
    tokens: f64,
    refilled: Instant,
    suppressed: u64,
}

impl LogGate {
    pub(crate) fn new(instance: String, limits: LogLimits) -> Self {
        Self {
            instance,
            limits,
            tokens: limits.burst.into(),
            refilled: Instant::now(),
            suppressed: 0,
        }
    }

    /// Whether anybody listens to events of this level.
    pub(crate) fn enabled(level: Level) -> bool {
        at_level!(level, enabled!())
    }

    pub(crate) fn emit(
        &mut self,
        level: Level,
        origin: &str,
        message: &str,
        fields: &[(String, String)],
    ) {
        if !Self::enabled(level) || !self.admit(Instant::now()) {
            return;
        }
        let fields = self.fields(fields);
        let instance = self.instance.as_str();
        let origin = printable(origin, MAX_NAME_BYTES);
        let message = printable(message, self.limits.text_bytes);
        at_level!(level, event!(, instance, %origin, %fields, "{message}"));
    }

    /// Takes a token from the bucket, if there is one.
    fn admit(&mut self, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.refilled).as_secs_f64();
        self.refilled = now;
        self.tokens = (self.tokens + elapsed * f64::from(self.limits.per_second))
            .min(self.limits.burst.into());
        if self.tokens < 1.0 {
            self.suppressed += 1;
            return false;
        }
        self.tokens -= 1.0;
        if self.suppressed > 0 {
            tracing::warn!(
                target: TARGET,
                instance = self.instance,
                suppressed = self.suppressed,
                "the component logged faster than allowed; events were dropped"
            );
            self.suppressed = 0;
        }
        true
    }

    fn fields(&self, fields: &[(String, String)]) -> String {
        let mut text = String::new();
        for (name, value) in fields.iter().take(self.limits.fields) {
            if !text.is_empty() {
                text.push(' ');
            }
            // Writing to a string can not fail.
            let _ = write!(
                text,
                "{}={}",
                printable(name, MAX_NAME_BYTES),
                printable(value, self.limits.text_bytes)
            );
        }
        if fields.len() > self.limits.fields {
            let _ = write!(
                text,
                " … ({} more fields)",
                fields.len() - self.limits.fields
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn events_above_the_rate_are_dropped_until_the_bucket_fills_again() {
        let limits = LogLimits {
            burst: 2,
            per_second: 10,
            ..LogLimits::default()
        };
        let mut gate = LogGate::new("writer 0".into(), limits);
        let start = gate.refilled;
        assert!(gate.admit(start) && gate.admit(start));
        assert!(!gate.admit(start));
        assert_eq!(gate.suppressed, 1);
        assert!(gate.admit(start + Duration::from_millis(100)));
        assert_eq!(gate.suppressed, 0);
        assert!(!gate.admit(start + Duration::from_millis(100)));
    }

    #[test]
    fn surplus_fields_are_counted() {
        let limits = LogLimits {
            fields: 1,
            text_bytes: 3,
            ..LogLimits::default()
        };
        let gate = LogGate::new(String::new(), limits);
        let fields = [
            ("a".to_owned(), "12345".to_owned()),
            ("b".into(), "x".into()),
        ];
        assert_eq!(
            gate.fields(&fields),
            "a=123… (2 more bytes) … (1 more fields)"
        );
    }
}

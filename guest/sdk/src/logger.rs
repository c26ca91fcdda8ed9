//! Events for the host's log.

use crate::bindings::longshore::sink::log;

/// How important an event is.
pub use crate::bindings::longshore::sink::log::Level;

/// Whether the host would keep an event of this level. Ask before building a costly message.
pub fn enabled(level: Level) -> bool {
    log::enabled(level)
}

/// Hands an event to the host if it keeps events of this level.
///
/// `target` names the part of the sink that speaks, for example `maxcompute.session`. Never put an
/// option value marked secret into `message` or `fields`.
pub fn emit(level: Level, target: &str, message: &str, fields: &[(String, String)]) {
    if log::enabled(level) {
        log::emit(level, target, message, fields);
    }
}

/// Sends the message of a panic to the host's log, at level error.
///
/// A component has no standard error, so without this a panic shows as a bare trap. Install it when
/// the writer or committer opens; installing it again does no harm.
pub fn install_panic_hook(target: &'static str) {
    std::panic::set_hook(Box::new(move |panic| {
        log::emit(log::Level::Error, target, &panic.to_string(), &[]);
    }));
}

//! What a writer that died left at the service, and what its state says.

use longshore_core::contract::State;

use crate::driver::{Driver, declaration, rows};
use crate::service::{Fault, Service, error};
use longshore_core::request::Method;

/// A writer with an open session, killed: its last state.
fn killed(d: &mut Driver) -> State {
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    d.checkpoint();
    d.write(t, false, &[(0, 2, Some("b"), None)]).unwrap();
    d.pump();
    d.sink.snapshot(1)
}

#[test]
fn the_next_writer_ends_the_sessions_of_a_dead_one() {
    let mut d = Driver::new(Service::usual(), &[]);
    let state = killed(&mut d);
    d.restart(&[], Some(state));
    d.pump();
    assert_eq!(d.service.aborted(), 1);
    assert_eq!(d.metric("orphaned_sessions_aborted_total", ""), 1.0);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, &[(0, 2, Some("b"), None)]).unwrap();
    d.checkpoint();
    assert_eq!(d.keyed("d"), rows(&[("", 1, "a"), ("", 2, "b")]));
    assert_eq!(d.service.aborted(), 1);
}

#[test]
fn a_prepared_session_is_nobodys_orphan() {
    let mut d = Driver::new(Service::usual(), &[]);
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    let items = d.prepare().unwrap();
    let state = d.sink.snapshot(1);
    d.restart(&[], Some(state));
    d.pump();
    assert_eq!(d.service.aborted(), 0);
    d.commit(items);
    assert_eq!(d.keyed("d"), rows(&[("", 1, "a")]));
}

#[test]
fn orphans_that_can_not_be_ended_stay_known_and_stop_nobody() {
    let mut d = Driver::new(Service::usual(), &[]);
    let state = killed(&mut d);
    for _ in 0..3 {
        d.service
            .fail(Method::Delete, "upsertid", Fault::LostBefore);
    }
    d.restart(&[], Some(state));
    d.pump();
    // Dying again before they were ended passes them on.
    let state = d.sink.snapshot(1);
    d.restart(&[], Some(state));
    let t = d.declare(declaration("d", false, &["id"])).unwrap();
    d.write(t, false, &[(0, 2, Some("b"), None)]).unwrap();
    d.checkpoint();
    while d.service.aborted() == 0 {
        d.now = d.sink.wake_at().unwrap();
        d.pump();
    }
    let payload = d.sink.snapshot(1).payload;
    let payload = String::from_utf8(payload).unwrap();
    assert!(!payload.contains("session"), "{payload}");

    let state = killed(&mut d);
    d.service.fail(
        Method::Delete,
        "upsertid",
        error(404, "UpsertSessionNotFound"),
    );
    d.restart(&[], Some(state));
    d.pump();
    assert_eq!(d.metric("orphaned_sessions_aborted_total", ""), 0.0);
}

#[test]
fn a_state_taken_after_later_rows_tells_only_what_was_replaced_before() {
    let more = [("overwrite", "true")];
    let mut d = Driver::new(Service::usual(), &more);
    let old = ("pt=y".to_owned(), 90, Some("old".to_owned()));
    d.service.tables.get_mut("pt").unwrap().appended = vec![old];
    let t = d.declare(declaration("pt", true, &[])).unwrap();
    d.write(t, true, &[(0, 1, Some("a"), Some("x"))]).unwrap();
    d.checkpoint();
    d.write(t, true, &[(0, 2, Some("b"), Some("y"))]).unwrap();
    let state = d.sink.snapshot(1);
    d.restart(&more, Some(state));
    let t = d.declare(declaration("pt", true, &[])).unwrap();
    let again = [(0, 2, Some("b"), Some("y")), (0, 3, Some("c"), Some("x"))];
    d.write(t, true, &again).unwrap();
    d.checkpoint();
    assert_eq!(
        d.appended("pt"),
        rows(&[("pt=x", 1, "a"), ("pt=x", 3, "c"), ("pt=y", 2, "b")])
    );
}

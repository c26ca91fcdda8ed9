//! Runs that replace what partitions held.

use longshore_core::contract::{CommitOutcome, State};
use longshore_core::request::Method;
use longshore_core::sink::Sink;

use crate::driver::{Driver, declaration, options, rows};
use crate::service::{Service, error};

#[test]
fn the_first_commit_of_a_run_replaces_and_the_next_ones_append() {
    for tunnel in ["batch", "arrow"] {
        let more = [("overwrite", "true"), ("tunnel", tunnel)];
        let mut d = Driver::new(Service::usual(), &more);
        let old = |p: &str, id| (p.to_owned(), id, Some("old".to_owned()));
        d.service.tables.get_mut("pt").unwrap().appended =
            vec![old("pt=x", 90), old("pt=y", 91), old("pt=z", 92)];
        let t = d.declare(declaration("pt", true, &[])).unwrap();
        d.write(t, true, &[(0, 1, Some("a"), Some("x"))]).unwrap();
        let items = d.prepare().unwrap();
        let first: State = d.sink.snapshot(1);
        assert_eq!(d.appended("pt").len(), 3);
        d.commit(items);
        d.write(
            t,
            true,
            &[(0, 2, Some("b"), Some("x")), (0, 3, Some("c"), Some("y"))],
        )
        .unwrap();
        d.prepare().unwrap();

        // Killed: what was prepared after the first checkpoint is gone, and comes again.
        d.restart(&more, Some(first));
        let t = d.declare(declaration("pt", true, &[])).unwrap();
        d.write(
            t,
            true,
            &[(0, 2, Some("b"), Some("x")), (0, 3, Some("c"), Some("y"))],
        )
        .unwrap();
        d.checkpoint();
        let mut expected = rows(&[("pt=x", 1, "a"), ("pt=x", 2, "b"), ("pt=y", 3, "c")]);
        expected.push(old("pt=z", 92));
        assert_eq!(d.appended("pt"), expected, "{tunnel}");
    }
}

#[test]
fn what_replaces_is_committed_before_what_was_written_after_it() {
    let more = [("overwrite", "true")];
    let mut d = Driver::new(Service::usual(), &more);
    let t = d.declare(declaration("t", false, &[])).unwrap();
    d.write(t, false, &[(0, 1, Some("a"), None)]).unwrap();
    // A column more parts the rows of one checkpoint into two sessions.
    d.service
        .tables
        .get_mut("t")
        .unwrap()
        .columns
        .push(("more".into(), "string".into(), true));
    let mut next = declaration("t", false, &[]);
    next.schema_version = 2;
    d.declare(next).unwrap();
    d.write_version(t, 2, &[(0, 2, Some("b"), None)]).unwrap();
    let mut items = d.prepare().unwrap();
    assert_eq!(items.len(), 2);
    items.reverse();
    // While the first is not committed the other must wait.
    d.service
        .fail(Method::Post, "uploadid", error(403, "NoPermission"));
    let outcomes = d.commit(items.clone());
    assert!(
        matches!(outcomes[0], CommitOutcome::Retry(_)),
        "{outcomes:?}"
    );
    assert!(
        matches!(outcomes[1], CommitOutcome::Failed(_)),
        "{outcomes:?}"
    );
    assert!(d.appended("t").is_empty());
    assert_eq!(
        d.commit(items),
        [CommitOutcome::Committed, CommitOutcome::Committed]
    );
    assert_eq!(d.appended("t"), rows(&[("", 1, "a"), ("", 2, "b")]));
}

#[test]
fn writers_do_not_overwrite_each_other() {
    let d = Driver::new(Service::usual(), &[]);
    let error = Sink::open(&options(&[("overwrite", "true")]), 0, 2, None, d.clock()).err();
    let error = error.unwrap();
    assert!(error.message.contains("`parallelism`"), "{error}");
}

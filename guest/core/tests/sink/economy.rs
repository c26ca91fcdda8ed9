//! What the sink does not do more often, or longer, than it must.

use longshore_core::request::Method;

use crate::driver::{Driver, declaration, rows};
use crate::service::Service;

#[test]
fn a_table_is_looked_up_once_however_many_checkpoints_there_are() {
    let service =
        Service::new()
            .with_table("append", true, None)
            .with_table("delta", false, Some(4));
    let mut d = Driver::new(service, &[]);
    let append = d.declare(declaration("append", true, &[])).unwrap();
    let delta = d.declare(declaration("delta", false, &["id"])).unwrap();
    // What is asked about a table, not about a session on it.
    let lookups = |d: &Driver| {
        let of_table = |target: &str| {
            target.contains("/tables/")
                && !target.contains("uploadid")
                && !target.contains("upsert")
        };
        let seen = d.service.seen.iter();
        seen.filter(|seen| seen.method == Method::Get && of_table(&seen.target))
            .count()
    };
    let declared = lookups(&d);
    assert!(declared > 0);
    for id in 0..5 {
        d.write(append, true, &[(0, id, Some("a"), Some("x"))])
            .unwrap();
        d.write(append, true, &[(0, id, Some("a"), Some("y"))])
            .unwrap();
        d.write(delta, false, &[(0, id, Some("b"), None)]).unwrap();
        assert_eq!(d.checkpoint(), 3);
    }
    assert_eq!(lookups(&d), declared);
}

#[test]
fn a_commit_takes_no_longer_than_its_answers() {
    let service = Service::new().with_table("delta", false, Some(4));
    let mut d = Driver::new(service, &[]);
    let delta = d.declare(declaration("delta", false, &["id"])).unwrap();
    for id in 0..3 {
        d.write(delta, false, &[(0, id, Some("b"), None)]).unwrap();
        let before = d.now;
        assert_eq!(d.checkpoint(), 1);
        // The clock turns only when the sink waits for something that is not an answer.
        assert_eq!(d.now, before);
    }
    assert_eq!(
        d.keyed("delta"),
        rows(&[("", 0, "b"), ("", 1, "b"), ("", 2, "b")])
    );
}

#[test]
fn an_append_table_that_exists_needs_no_entry_about_keys() {
    // The service's description of such a table has an empty `Reserved`, without `PrimaryKey`.
    let service = Service::new().with_table("there", false, None);
    let mut d = Driver::new(service, &[]);
    let table = d.declare(declaration("there", false, &[])).unwrap();
    d.write(table, false, &[(0, 1, Some("a"), None)]).unwrap();
    assert_eq!(d.checkpoint(), 1);
    assert_eq!(d.appended("there"), rows(&[("", 1, "a")]));
    assert!(d.service.statements.is_empty());
}

//! Routes in Flink CDC's syntax.
#![cfg(test)]

use longshore_pipeline::definition::RouteMode;
use longshore_pipeline::route::{RouteRule, Router};
use longshore_pipeline::source::TableId;

fn router(rules: &[(&str, &str, Option<&str>)], mode: RouteMode) -> Router {
    let rules = rules
        .iter()
        .map(|(source, sink, symbol)| RouteRule::new(source, sink, *symbol).unwrap())
        .collect();
    Router::new(rules, mode)
}

fn targets(router: &mut Router, table: &str) -> Vec<String> {
    router
        .route(&TableId::parse(table).unwrap())
        .unwrap()
        .iter()
        .map(ToString::to_string)
        .collect()
}

#[test]
fn without_a_match_a_table_keeps_its_name() {
    let mut router = router(&[("a.b", "c", None)], RouteMode::AllMatch);
    assert_eq!(targets(&mut router, "shop.orders"), ["orders"]);
    assert_eq!(targets(&mut router, "shop.orders"), ["orders"]);
    let other = TableId::parse("web.orders").unwrap();
    let collision = router.route(&other).unwrap_err().to_string();
    assert!(
        collision.contains("shop.orders and web.orders"),
        "{collision}"
    );
}

#[test]
fn dots_separate_and_escaped_dots_are_expressions() {
    let mut router = router(
        &[
            (r"mydb.app_order_\.*", "ods.app_order", None),
            (r"adb.\.*, bdb.user_[0-9]{1,3}", "ods_<>.t_<>", Some("<>")),
            ("x.y.z_.*", "p.q.merged", None),
            (r"cap.(\.*)_(\d+)", "$1_of_${2}", None),
            ("exact", "whole", None),
        ],
        RouteMode::AllMatch,
    );
    assert_eq!(targets(&mut router, "mydb.app_order_7"), ["ods.app_order"]);
    assert_eq!(
        targets(&mut router, "mydbX.app_order_8"),
        ["app_order_8"],
        "levels match as a whole"
    );
    assert_eq!(
        targets(&mut router, "adb.anything"),
        ["ods_anything.t_anything"]
    );
    assert_eq!(
        targets(&mut router, "bdb.user_12"),
        ["ods_user_12.t_user_12"]
    );
    assert_eq!(targets(&mut router, "bdb.user_1234"), ["user_1234"]);
    assert_eq!(targets(&mut router, "x.y.z_1"), ["p.q.merged"]);
    // As in Flink CDC, a level that the table lacks is not compared.
    assert_eq!(
        targets(&mut router, "exact"),
        ["ods_exact.t_exact", "whole"]
    );
    assert_eq!(
        targets(&mut router, "schema.exact"),
        ["exact"],
        "one level is for tables of one level"
    );
}

#[test]
fn groups_are_filled_in() {
    let mut router = router(
        &[(r"db.(\w+)_(\d+)", "ods.$1_x$2", None)],
        RouteMode::AllMatch,
    );
    assert_eq!(targets(&mut router, "db.orders_42"), ["ods.orders_x42"]);
}

#[test]
fn all_matches_or_the_first() {
    let rules = [
        (r"db.\.*", "all", None),
        ("db.a", "one", None),
        ("db.(a)", "all", None),
    ];
    assert_eq!(
        targets(&mut router(&rules, RouteMode::AllMatch), "db.a"),
        ["all", "one"]
    );
    assert_eq!(
        targets(&mut router(&rules, RouteMode::FirstMatch), "db.a"),
        ["all"]
    );
}

#[test]
fn rules_that_can_not_work_are_refused() {
    let fault =
        |source: &str, sink: &str| RouteRule::new(source, sink, None).unwrap_err().to_string();
    assert!(fault("db.(", "x").contains("no regular expression"));
    assert!(fault("a.b.c.d", "x").contains("at most three levels"));
    assert!(fault("a,,b", "x").contains("alternative is empty"));
    assert!(fault("db.a", "$1").contains("refers to group $1"));
    assert!(fault("db.a", "a..b").contains("no table name"));
}

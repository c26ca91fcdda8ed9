//! What is refused before anything is compiled, and what a loaded component says.

use crate::support::{guest, options, trusted};
use longshore_runtime::contract::{Delivery, ErrorClass};
use longshore_runtime::{Engine, EngineConfig, LoadError};

fn load(text: &str) -> LoadError {
    let bytes = wat::parse_str(text).unwrap();
    Engine::new(EngineConfig::default())
        .unwrap()
        .load(&bytes)
        .unwrap_err()
}

#[test]
fn files_and_sockets_are_refused_by_name() {
    for name in [
        "wasi:filesystem/preopens@0.2.6",
        "wasi:sockets/tcp@0.2.0",
        "wasi:cli/environment@0.2.0",
    ] {
        let error = load(&format!(r#"(component (import "{name}" (instance)))"#));
        assert_eq!(
            error,
            LoadError::ForbiddenImports {
                names: vec![name.into()]
            }
        );
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn a_component_of_another_kind_lacks_the_exports() {
    assert!(matches!(
        load("(component)"),
        LoadError::MissingExport {
            name: "longshore:sink/describe@0.1.0"
        }
    ));
}

#[test]
fn exports_of_the_right_name_and_wrong_type_do_not_fit() {
    let error = load(
        r#"(component
            (instance $empty)
            (export "longshore:sink/describe@0.1.0" (instance $empty))
            (export "longshore:sink/blocking-sink@0.1.0" (instance $empty))
        )"#,
    );
    assert!(matches!(error, LoadError::Contract { .. }), "{error:?}");
}

#[test]
fn modules_garbage_and_giants_are_told_apart() {
    assert!(matches!(load("(module)"), LoadError::NotAComponent { .. }));
    let engine = Engine::new(EngineConfig {
        max_component_bytes: 100,
        ..EngineConfig::default()
    });
    assert_eq!(
        engine.unwrap().load(guest()).unwrap_err(),
        LoadError::TooLarge {
            bytes: guest().len(),
            limit: 100
        }
    );
    let cut_short = guest().split_at(guest().len() / 2).0;
    let engine = Engine::new(EngineConfig::default()).unwrap();
    assert!(matches!(
        engine.load(cut_short),
        Err(LoadError::NotAComponent { .. })
    ));
}

#[tokio::test]
async fn a_component_describes_itself_and_checks_options() {
    let component = trusted();
    let info = component.describe().await.unwrap();
    assert_eq!(
        (info.name.as_str(), info.version.as_str()),
        ("test-sink", "1.2.3")
    );
    assert_eq!(info.delivery, Delivery::IdempotentUpsert);
    assert_eq!(info.options.first().unwrap().aliases, ["behavior"]);

    assert_eq!(
        component
            .validate(&options([("right", "x")]))
            .await
            .unwrap(),
        Ok(())
    );
    let errors = component
        .validate(&options([("wrong", "a"), ("wrong", "b")]))
        .await
        .unwrap()
        .unwrap_err();
    let messages: Vec<_> = errors.iter().map(|error| error.message.as_str()).collect();
    assert_eq!(messages, ["a", "b"]);
    assert_eq!(errors.first().unwrap().class, ErrorClass::Permanent);
}

#[test]
fn imports_are_listed_and_hold_nothing_ambient() {
    let component = trusted();
    let imports = component.imports();
    assert!(
        imports
            .iter()
            .any(|name| name == "longshore:sink/signer@0.1.0"),
        "{imports:?}"
    );
    assert!(
        imports
            .iter()
            .all(|name| !name.contains("cli") && !name.contains("filesystem")),
        "{imports:?}"
    );
}

#[tokio::test]
async fn a_pool_of_instances_serves_and_bounds_them() {
    let engine = Engine::new(EngineConfig {
        pooled_instances: Some(2),
        ..EngineConfig::default()
    })
    .unwrap();
    let component = engine.load(guest()).unwrap();
    let first = component.instantiate(Default::default()).await.unwrap();
    let second = component.instantiate(Default::default()).await.unwrap();
    assert!(component.instantiate(Default::default()).await.is_err());
    drop(first);
    assert!(component.instantiate(Default::default()).await.is_ok());
    drop(second);
}

//! Modules that call WASI preview 1, run as components with known clocks and dice.

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};

use super::*;

const WORLD: &str = "package test:stub; world stub { export ask: func() -> u64; }";

/// Encodes a module that exports `ask`.
fn component(wat: &str) -> Vec<u8> {
    let mut module = wat::parse_str(wat).unwrap();
    let mut resolve = Resolve::default();
    let package = resolve.push_str("test.wit", WORLD).unwrap();
    let world = resolve.select_world(&[package], None).unwrap();
    wit_component::embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)
        .unwrap();
    encode(&module, &stub(&Project::locate().unwrap()).unwrap()).unwrap()
}

/// Calls `ask` on a host whose calendar says 7.5 s, whose monotonic clock says 42 ns and whose dice
/// always fall 0x1122334455667788.
fn ask(component: &[u8]) -> u64 {
    let engine = Engine::default();
    let mut linker = Linker::<()>::new(&engine);
    let mut wall = linker.instance("wasi:clocks/wall-clock@0.2.12").unwrap();
    wall.func_new("now", |_, _, _, results| {
        use wasmtime::component::Val;
        results[0] = Val::Record(vec![
            ("seconds".to_owned(), Val::U64(7)),
            ("nanoseconds".to_owned(), Val::U32(500_000_000)),
        ]);
        Ok(())
    })
    .unwrap();
    let mut monotonic = linker
        .instance("wasi:clocks/monotonic-clock@0.2.12")
        .unwrap();
    monotonic
        .func_wrap("now", |_, (): ()| Ok((42_u64,)))
        .unwrap();
    let mut random = linker.instance("wasi:random/random@0.2.12").unwrap();
    random
        .func_wrap("get-random-u64", |_, (): ()| {
            Ok((0x1122_3344_5566_7788_u64,))
        })
        .unwrap();
    let component = Component::new(&engine, component).unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &component).unwrap();
    let ask = instance
        .get_typed_func::<(), (u64,)>(&mut store, "ask")
        .unwrap();
    ask.call(&mut store, ()).unwrap().0
}

#[test]
fn the_calendar_is_the_hosts_and_the_borrowed_memory_is_put_back() {
    let component = component(
        r#"(module
          (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
          (memory (export "memory") 1)
          (data (i32.const 0) "0123456789abcdef")
          (func (export "ask") (result i64)
            (if (call $time (i32.const 0) (i64.const 1) (i32.const 64)) (then unreachable))
            (if (i64.ne (i64.load (i32.const 0)) (i64.const 0x3736353433323130)) (then unreachable))
            (if (i64.ne (i64.load (i32.const 8)) (i64.const 0x6665646362613938)) (then unreachable))
            (i64.load (i32.const 64))))"#,
    );
    assert_eq!(ask(&component), 7_500_000_000);
}

#[test]
fn the_monotonic_clock_is_the_hosts() {
    let component = component(
        r#"(module
          (import "wasi_snapshot_preview1" "clock_time_get" (func $time (param i32 i64 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "ask") (result i64)
            (if (call $time (i32.const 1) (i64.const 1) (i32.const 64)) (then unreachable))
            (i64.load (i32.const 64))))"#,
    );
    assert_eq!(ask(&component), 42);
}

#[test]
fn random_bytes_fill_the_buffer_and_not_more() {
    let component = component(
        r#"(module
          (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "ask") (result i64)
            (if (call $random (i32.const 61) (i32.const 11)) (then unreachable))
            (if (i32.load8_u (i32.const 72)) (then unreachable))
            (if (i32.load8_u (i32.const 60)) (then unreachable))
            (i64.load (i32.const 64))))"#,
    );
    // Bytes 61 to 68 are the first throw, 69 to 71 the first three bytes of the second.
    assert_eq!(ask(&component), 0x6677_8811_2233_4455);
}

#[test]
fn a_module_that_prints_still_imports_nothing() {
    let component = component(
        r#"(module
          (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
          (import "wasi_snapshot_preview1" "environ_sizes_get" (func $environ (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "ask") (result i64)
            (i32.store (i32.const 0) (i32.const -1))
            (drop (call $environ (i32.const 0) (i32.const 4)))
            (if (i32.load (i32.const 0)) (then unreachable))
            (i64.extend_i32_u (call $write (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 8)))))"#,
    );
    assert_eq!(
        Interface::of(&component).unwrap().imports,
        Vec::<String>::new()
    );
    assert_eq!(ask(&component), 8, "standard output is not open");
}

#[test]
fn the_interface_text_is_wit_that_parses_again() {
    let component = component(
        r#"(module
          (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
          (memory (export "memory") 1)
          (func (export "ask") (result i64) (i64.extend_i32_u (call $random (i32.const 0) (i32.const 8)))))"#,
    );
    let interface = Interface::of(&component).unwrap();
    assert_eq!(interface.imports, ["wasi:random/random@0.2.12"]);
    Resolve::default()
        .push_str("again.wit", &interface.wit)
        .unwrap();
}

;; Answers the few preview1 functions that Rust's standard library keeps in this program.
(module
  (import "env" "memory" (memory 0))
  (func (export "environ_get") (param i32 i32) (result i32) i32.const 0)
  (func (export "environ_sizes_get") (param i32 i32) (result i32)
    (i32.store (local.get 0) (i32.const 0)) (i32.store (local.get 1) (i32.const 0)) i32.const 0)
  (func (export "clock_time_get") (param i32 i64 i32) (result i32) i32.const 28)
  (func (export "random_get") (param i32 i32) (result i32) i32.const 52)
  (func (export "fd_write") (param i32 i32 i32 i32) (result i32) i32.const 8)
  (func (export "proc_exit") (param i32) unreachable))

;; Stands in for WASI's preview1 adapter when a `wasm32-wasip1` module becomes a sink component.
;;
;; Rust's standard library for that target calls WASI preview 1. The usual adapter maps those calls to
;; WASI 0.2 and so gives every component files, environment, arguments and standard streams. This one
;; answers them with "there is none". Only time and randomness are real: they come from the world's
;; own `wasi:clocks` and `wasi:random`, and the encoder leaves out what the component does not reach.
;;
;; `preview1-stub.wit` beside this file types the imports. `cargo xtask encode` applies both.
(module
  (import "wasi:clocks/monotonic-clock@0.2.12" "now" (func $monotonic_now (result i64)))
  (import "wasi:clocks/wall-clock@0.2.12" "now" (func $wall_now (param i32)))
  (import "wasi:random/random@0.2.12" "get-random-u64" (func $random_u64 (result i64)))
  (import "env" "memory" (memory 0))

  ;; No arguments, no environment.
  (func $nothing (param $count i32) (param $size i32) (result i32)
    (i32.store (local.get $count) (i32.const 0))
    (i32.store (local.get $size) (i32.const 0))
    (i32.const 0))
  (func (export "args_sizes_get") (param i32 i32) (result i32)
    (call $nothing (local.get 0) (local.get 1)))
  (func (export "environ_sizes_get") (param i32 i32) (result i32)
    (call $nothing (local.get 0) (local.get 1)))
  (func (export "args_get") (param i32 i32) (result i32) (i32.const 0))
  (func (export "environ_get") (param i32 i32) (result i32) (i32.const 0))

  ;; Clock 0 is the calendar, 1 monotonic; there is no CPU time (28 = EINVAL).
  (func (export "clock_time_get") (param $clock i32) (param $precision i64) (param $out i32) (result i32)
    (if (i32.eqz (local.get $clock))
      (then (i64.store (local.get $out) (call $calendar_nanos)) (return (i32.const 0))))
    (if (i32.eq (local.get $clock) (i32.const 1))
      (then (i64.store (local.get $out) (call $monotonic_now)) (return (i32.const 0))))
    (i32.const 28))
  (func (export "clock_res_get") (param $clock i32) (param $out i32) (result i32)
    (if (i32.gt_u (local.get $clock) (i32.const 1)) (then (return (i32.const 28))))
    (i64.store (local.get $out) (i64.const 1))
    (i32.const 0))

  ;; `wall-clock.now` returns its record through memory. The adapter owns none, so it borrows the
  ;; module's first 16 bytes and puts them back; nothing else runs in between.
  (func $calendar_nanos (result i64)
    (local $saved_low i64) (local $saved_high i64) (local $nanos i64)
    (local.set $saved_low (i64.load (i32.const 0)))
    (local.set $saved_high (i64.load (i32.const 8)))
    (call $wall_now (i32.const 0))
    (local.set $nanos
      (i64.add
        (i64.mul (i64.load (i32.const 0)) (i64.const 1000000000))
        (i64.load32_u (i32.const 8))))
    (i64.store (i32.const 0) (local.get $saved_low))
    (i64.store (i32.const 8) (local.get $saved_high))
    (local.get $nanos))

  ;; Fills a buffer eight bytes at a time, the rest byte by byte.
  (func (export "random_get") (param $at i32) (param $len i32) (result i32)
    (local $bits i64)
    (block $whole_words_done
      (loop $words
        (br_if $whole_words_done (i32.lt_u (local.get $len) (i32.const 8)))
        (i64.store align=1 (local.get $at) (call $random_u64))
        (local.set $at (i32.add (local.get $at) (i32.const 8)))
        (local.set $len (i32.sub (local.get $len) (i32.const 8)))
        (br $words)))
    (if (local.get $len) (then (local.set $bits (call $random_u64))))
    (block $done
      (loop $bytes
        (br_if $done (i32.eqz (local.get $len)))
        (i64.store8 (local.get $at) (local.get $bits))
        (local.set $bits (i64.shr_u (local.get $bits) (i64.const 8)))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (local.set $len (i32.sub (local.get $len) (i32.const 1)))
        (br $bytes)))
    (i32.const 0))

  ;; No file descriptor is open, not even standard output (8 = EBADF).
  (func (export "fd_close") (param i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_fdstat_set_flags") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_filestat_set_size") (param i32 i64) (result i32) (i32.const 8))
  (func (export "fd_pread") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_dir_name") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_prestat_get") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_pwrite") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_read") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_readdir") (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func (export "fd_seek") (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "fd_sync") (param i32) (result i32) (i32.const 8))
  (func (export "fd_tell") (param i32 i32) (result i32) (i32.const 8))
  (func (export "fd_write") (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_create_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_filestat_get") (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_open") (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func (export "path_readlink") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_remove_directory") (param i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_rename") (param i32 i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func (export "path_unlink_file") (param i32 i32 i32) (result i32) (i32.const 8))

  ;; Waiting goes through `wasi:io/poll` (52 = ENOSYS); yielding has nobody to yield to.
  (func (export "poll_oneoff") (param i32 i32 i32 i32) (result i32) (i32.const 52))
  (func (export "sched_yield") (result i32) (i32.const 0))
  (func (export "proc_exit") (param i32) unreachable))

//! Guests that take too much: memory, time, handles, stack.

use crate::support::{trusted, untrusted, writer};
use longshore_runtime::{Call, CallError, InstanceConfig, Limits, SinkInstance};
use std::time::{Duration, Instant};

async fn flush_with(limits: Limits, behaviour: &[(&str, &str)]) -> (SinkInstance, CallError) {
    let config = InstanceConfig {
        limits,
        ..InstanceConfig::default()
    };
    let mut sink = writer(&untrusted(), config, behaviour.iter().copied()).await;
    let error = sink.flush().await.unwrap_err();
    (sink, error)
}

/// After this the instance answers nothing but that it is gone.
async fn assert_poisoned(sink: &mut SinkInstance) {
    assert!(sink.is_poisoned());
    let Err(CallError::Poisoned { call, cause }) = sink.snapshot(1).await else {
        panic!()
    };
    assert_eq!(call, Call::Snapshot);
    assert!(cause.contains("writer.flush"), "{cause}");
}

fn short() -> Limits {
    Limits {
        call_timeout: Duration::from_millis(300),
        ..Limits::default()
    }
}

#[tokio::test]
async fn an_endless_loop_is_stopped_and_leaves_other_tasks_running() {
    let start = Instant::now();
    let looping = flush_with(short(), &[("behaviour", "loop")]);
    let other = async {
        tokio::time::sleep(Duration::from_millis(50)).await;
        start.elapsed()
    };
    // Both on this one thread: the loop must give way.
    let ((mut sink, error), other_done) = tokio::join!(looping, other);
    assert_eq!(
        error,
        CallError::Timeout {
            call: Call::Flush,
            limit: Duration::from_millis(300)
        }
    );
    assert!(other_done < Duration::from_millis(290), "{other_done:?}");
    assert_poisoned(&mut sink).await;
}

#[tokio::test]
async fn a_guest_that_waits_too_long_is_stopped_even_when_trusted() {
    let config = InstanceConfig {
        limits: short(),
        ..InstanceConfig::default()
    };
    let options = [("behaviour", "sleep"), ("milliseconds", "60000")];
    let mut sink = writer(&trusted(), config, options).await;
    let start = Instant::now();
    assert!(matches!(sink.flush().await, Err(CallError::Timeout { .. })));
    assert!(start.elapsed() < Duration::from_secs(10));
    assert_poisoned(&mut sink).await;
}

#[tokio::test]
async fn a_memory_bomb_hits_the_limit_with_its_figures() {
    let limits = Limits {
        memory_bytes: 64 << 20,
        ..Limits::default()
    };
    let (mut sink, error) = flush_with(limits, &[("behaviour", "alloc")]).await;
    let CallError::MemoryLimit {
        call,
        requested,
        limit,
    } = error
    else {
        panic!("{error:?}")
    };
    assert_eq!((call, limit), (Call::Flush, 64 << 20));
    assert!(requested > limit);
    assert!(sink.memory_peak() <= limit && sink.memory_peak() > 60 << 20);
    assert_poisoned(&mut sink).await;
}

#[tokio::test]
async fn traps_of_every_kind_stay_in_their_instance() {
    let mut neighbour = writer(&untrusted(), InstanceConfig::default(), []).await;
    for behaviour in ["trap", "exit", "overflow", "handles"] {
        let (mut sink, error) = flush_with(Limits::default(), &[("behaviour", behaviour)]).await;
        assert!(
            matches!(
                error,
                CallError::Trap {
                    call: Call::Flush,
                    ..
                }
            ),
            "{behaviour}: {error:?}"
        );
        assert_poisoned(&mut sink).await;
        neighbour.flush().await.unwrap();
    }
}

#[tokio::test]
async fn a_value_longer_than_the_transfer_limit_traps_instead_of_filling_the_host() {
    let config = InstanceConfig::default();
    let options = [("behaviour", "big-list"), ("bytes", "30000000")];
    let mut sink = writer(&untrusted(), config, options).await;
    let error = sink.prepare(1).await.unwrap_err();
    let CallError::Trap { reason, .. } = &error else {
        panic!("{error:?}")
    };
    assert!(reason.contains("fuel"), "{reason}");
}

#[tokio::test]
async fn a_cancelled_call_poisons_the_instance() {
    let options = [("behaviour", "sleep"), ("milliseconds", "60000")];
    let mut sink = writer(&trusted(), InstanceConfig::default(), options).await;
    let cancelled = tokio::time::timeout(Duration::from_millis(50), sink.flush()).await;
    assert!(cancelled.is_err());
    assert_poisoned(&mut sink).await;
}

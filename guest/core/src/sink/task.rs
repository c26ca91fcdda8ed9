//! Cooperative tasks without a runtime: operations that take several answers are written as
//! futures, and the sink polls them when an answer or a moment has come. Nothing here waits.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

pub(super) type LocalFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Numbers of tasks to poll. Wakers must be `Send`, hence the lock; it is never contended.
#[derive(Default)]
struct Ready(Mutex<VecDeque<u64>>);

impl Ready {
    fn push(&self, id: u64) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push_back(id);
    }

    fn pop(&self) -> Option<u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop_front()
    }
}

struct TaskWaker {
    id: u64,
    ready: Arc<Ready>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.ready.push(self.id);
    }
}

/// All unfinished tasks.
#[derive(Default)]
pub(super) struct Tasks {
    next: u64,
    live: BTreeMap<u64, (LocalFuture, Waker)>,
    ready: Arc<Ready>,
}

impl Tasks {
    /// Take over tasks spawned meanwhile and poll all that can go on, until none can.
    pub(super) fn run(&mut self, spawned: &RefCell<Vec<LocalFuture>>) {
        loop {
            for future in spawned.take() {
                self.next += 1;
                let id = self.next;
                let waker = Waker::from(Arc::new(TaskWaker {
                    id,
                    ready: Arc::clone(&self.ready),
                }));
                self.live.insert(id, (future, waker));
                self.ready.push(id);
            }
            let Some(id) = self.ready.pop() else { break };
            // A finished task may be woken once more.
            if let Some((mut future, waker)) = self.live.remove(&id) {
                let pending = future
                    .as_mut()
                    .poll(&mut Context::from_waker(&waker))
                    .is_pending();
                if pending {
                    self.live.insert(id, (future, waker));
                }
            }
        }
    }
}

/// A value that arrives once.
pub(super) struct Slot<T>(Rc<RefCell<(Option<T>, Option<Waker>)>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<T> Slot<T> {
    pub(super) fn new() -> Self {
        Self(Rc::new(RefCell::new((None, None))))
    }

    pub(super) fn fill(&self, value: T) {
        let waker = {
            let mut inner = self.0.borrow_mut();
            inner.0 = Some(value);
            inner.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    pub(super) fn take(&self) -> Option<T> {
        self.0.borrow_mut().0.take()
    }
}

impl<T> Future for Slot<T> {
    type Output = T;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<T> {
        let mut inner = self.0.borrow_mut();
        match inner.0.take() {
            Some(value) => Poll::Ready(value),
            None => {
                inner.1 = Some(cx.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// Wakes everyone who waits for a change of something they then look at themselves.
#[derive(Default)]
pub(super) struct Signal {
    waiting: RefCell<Vec<Waker>>,
}

impl Signal {
    pub(super) fn notify(&self) {
        for waker in self.waiting.take() {
            waker.wake();
        }
    }

    /// Pending until `ready` gives a value; asked again after each `notify`.
    pub(super) async fn until<T>(&self, mut ready: impl FnMut() -> Option<T>) -> T {
        std::future::poll_fn(|cx| match ready() {
            Some(value) => Poll::Ready(value),
            None => {
                self.waiting.borrow_mut().push(cx.waker().clone());
                Poll::Pending
            }
        })
        .await
    }
}

/// A bounded number of permits.
pub(super) struct Permits {
    free: Cell<usize>,
    changed: Signal,
}

impl Permits {
    pub(super) fn new(count: usize) -> Rc<Self> {
        Rc::new(Self {
            free: Cell::new(count.max(1)),
            changed: Signal::default(),
        })
    }

    pub(super) async fn acquire(self: &Rc<Self>) -> Permit {
        self.changed
            .until(|| {
                let left = self.free.get().checked_sub(1)?;
                self.free.set(left);
                Some(())
            })
            .await;
        Permit(Rc::clone(self))
    }
}

/// Given back when dropped.
pub(super) struct Permit(Rc<Permits>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.free.set(self.0.free.get() + 1);
        self.0.changed.notify();
    }
}

/// Moments somebody waits for, on the monotonic clock.
#[derive(Default)]
pub(super) struct Timers {
    now: Cell<u64>,
    next: Cell<u64>,
    waiting: RefCell<BTreeMap<(u64, u64), Waker>>,
}

impl Timers {
    /// The clock shows `now`: wake whoever waited for it.
    pub(super) fn advance(&self, now: u64) {
        self.now.set(self.now.get().max(now));
        let due = {
            let mut waiting = self.waiting.borrow_mut();
            let later = waiting.split_off(&(self.now.get() + 1, 0));
            std::mem::replace(&mut *waiting, later)
        };
        for (_, waker) in due {
            waker.wake();
        }
    }

    pub(super) fn next_due(&self) -> Option<u64> {
        self.waiting.borrow().keys().next().map(|(due, _)| *due)
    }

    pub(super) fn sleep(self: &Rc<Self>, ms: u64) -> Sleep {
        let number = self.next.get();
        self.next.set(number + 1);
        Sleep {
            timers: Rc::clone(self),
            key: (self.now.get().saturating_add(ms), number),
        }
    }
}

/// Ready when its moment has come.
pub(super) struct Sleep {
    timers: Rc<Timers>,
    key: (u64, u64),
}

impl Sleep {
    /// True when the moment came, false when `stopped` became true first.
    pub(super) async fn unless(mut self, signal: &Signal, stopped: impl Fn() -> bool) -> bool {
        std::future::poll_fn(move |cx| {
            if stopped() {
                return Poll::Ready(false);
            }
            signal.waiting.borrow_mut().push(cx.waker().clone());
            Pin::new(&mut self).poll(cx).map(|()| true)
        })
        .await
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.timers.now.get() >= self.key.0 {
            return Poll::Ready(());
        }
        self.timers
            .waiting
            .borrow_mut()
            .insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.timers.waiting.borrow_mut().remove(&self.key);
    }
}

/// Something asked of the service once and then remembered; who asks meanwhile waits.
pub(super) struct Once<T> {
    state: RefCell<OnceState<T>>,
    changed: Signal,
}

enum OnceState<T> {
    Unknown,
    Asking,
    Known(T),
}

impl<T> Default for Once<T> {
    fn default() -> Self {
        Self {
            state: RefCell::new(OnceState::Unknown),
            changed: Signal::default(),
        }
    }
}

impl<T: Clone> Once<T> {
    /// The value; `ask` runs where nobody knows it yet. A failure is not remembered.
    pub(super) async fn get<E>(&self, ask: impl AsyncFnOnce() -> Result<T, E>) -> Result<T, E> {
        let known = self
            .changed
            .until(|| {
                let mut state = self.state.borrow_mut();
                match &*state {
                    OnceState::Known(value) => Some(Some(value.clone())),
                    OnceState::Asking => None,
                    OnceState::Unknown => {
                        *state = OnceState::Asking;
                        Some(None)
                    }
                }
            })
            .await;
        if let Some(value) = known {
            return Ok(value);
        }
        let answer = ask().await;
        *self.state.borrow_mut() = match &answer {
            Ok(value) => OnceState::Known(value.clone()),
            Err(_) => OnceState::Unknown,
        };
        self.changed.notify();
        answer
    }
}

//! The resource `committer`.

use std::cell::RefCell;

use longshore_core::contract::{CallId, Committable as CoreCommittable, Reply};
use longshore_core::sink::Sink;
use longshore_sdk::blocking_sink::{self, GuestCommitter};
use longshore_sdk::logger;
use longshore_sdk::types::{CommitOutcome, Committable, SinkError};

use crate::driver::{Driver, now};
use crate::writer::{mismatched, reentered};
use crate::{LOG_TARGET, convert};

/// Makes committables visible.
#[derive(Debug)]
pub struct Committer {
    driver: RefCell<Driver>,
}

impl Committer {
    /// One outcome for each item. Where the whole call fails, every item fails with that error: the
    /// contract gives no other place for it.
    fn settle(
        &self,
        items: Vec<Committable>,
        start: impl FnOnce(&mut Sink, Vec<CoreCommittable>) -> CallId,
    ) -> Vec<CommitOutcome> {
        let count = items.len();
        let Ok(mut driver) = self.driver.try_borrow_mut() else {
            return failed(count, &reentered());
        };
        let items = items.into_iter().map(convert::core_committable).collect();
        let call = start(driver.sink(), items);
        let reply = driver.wait_for(call);
        driver.report();
        match reply {
            Ok(Reply::Outcomes(outcomes)) if outcomes.len() == count => {
                outcomes.into_iter().map(convert::commit_outcome).collect()
            }
            Ok(_) => failed(count, &convert::sink_error(mismatched())),
            Err(error) => failed(count, &convert::sink_error(error)),
        }
    }
}

impl GuestCommitter for Committer {
    fn open(options: Vec<(String, String)>) -> Result<blocking_sink::Committer, SinkError> {
        logger::install_panic_hook(LOG_TARGET);
        let sink = Sink::committer(&options, now()).map_err(convert::sink_error)?;
        let mut driver = Driver::new(sink);
        driver.report();
        Ok(blocking_sink::Committer::new(Self {
            driver: RefCell::new(driver),
        }))
    }

    fn commit(&self, items: Vec<Committable>) -> Vec<CommitOutcome> {
        self.settle(items, Sink::commit)
    }

    fn abort(&self, items: Vec<Committable>) -> Vec<CommitOutcome> {
        self.settle(items, Sink::abort)
    }
}

fn failed(count: usize, error: &SinkError) -> Vec<CommitOutcome> {
    (0..count)
        .map(|_| CommitOutcome::Failed(error.clone()))
        .collect()
}

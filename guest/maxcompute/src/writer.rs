//! The resource `writer`.

use std::cell::RefCell;

use longshore_core as core;
use longshore_core::contract::{CallId, Reply};
use longshore_core::sink::Sink;
use longshore_sdk::blocking_sink::{self, GuestWriter};
use longshore_sdk::logger;
use longshore_sdk::types::{
    Batch, CheckpointId, Committable, Metric, Progress, SchemaChange, SinkError, State, TableDecl,
    TableId,
};

use crate::driver::{Driver, now};
use crate::{LOG_TARGET, convert};

/// Takes rows and makes them durable at MaxCompute.
#[derive(Debug)]
pub struct Writer {
    driver: RefCell<Driver>,
}

impl Writer {
    fn with<T>(
        &self,
        work: impl FnOnce(&mut Driver) -> Result<T, core::error::SinkError>,
    ) -> Result<T, SinkError> {
        let mut driver = self.driver.try_borrow_mut().map_err(|_| reentered())?;
        let result = work(&mut driver);
        driver.report();
        result.map_err(convert::sink_error)
    }

    /// Starts a call and works until it is answered.
    fn call<T>(
        &self,
        start: impl FnOnce(&mut Sink) -> CallId,
        expect: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<T, SinkError> {
        self.with(|driver| {
            let call = start(driver.sink());
            let reply = driver.wait_for(call)?;
            expect(reply).ok_or_else(mismatched)
        })
    }
}

impl GuestWriter for Writer {
    fn open(
        options: Vec<(String, String)>,
        subtask: u32,
        parallelism: u32,
        restore: Option<State>,
    ) -> Result<blocking_sink::Writer, SinkError> {
        logger::install_panic_hook(LOG_TARGET);
        let restore = restore.map(convert::core_state);
        let sink = Sink::open(&options, subtask, parallelism, restore, now())
            .map_err(convert::sink_error)?;
        let mut driver = Driver::new(sink);
        driver.report();
        Ok(blocking_sink::Writer::new(Self {
            driver: RefCell::new(driver),
        }))
    }

    fn declare_table(&self, table: TableDecl) -> Result<TableId, SinkError> {
        self.call(
            |sink| sink.declare_table(convert::core_table_decl(table)),
            |reply| match reply {
                Reply::Table(id) => Some(id),
                _ => None,
            },
        )
    }

    fn change_schema(&self, change: SchemaChange, next: TableDecl) -> Result<(), SinkError> {
        self.call(
            |sink| {
                let change = convert::core_schema_change(change);
                sink.change_schema(change, convert::core_table_decl(next))
            },
            done,
        )
    }

    fn write(&self, data: Batch) -> Result<Progress, SinkError> {
        self.with(|driver| {
            let outcome = driver.sink().write(convert::core_batch(data), now());
            // Rows that were accepted go out even when others of the batch were not.
            let kept = driver.hand_over_dead_letters();
            driver.move_on();
            outcome.and(kept)?;
            Ok(convert::progress(driver.progress()))
        })
    }

    fn drive(&self, budget_ms: u32) -> Result<Progress, SinkError> {
        self.with(|driver| {
            driver.drive(budget_ms);
            Ok(convert::progress(driver.progress()))
        })
    }

    fn flush(&self) -> Result<(), SinkError> {
        self.call(Sink::flush, done)
    }

    fn prepare(&self, checkpoint: CheckpointId) -> Result<Vec<Committable>, SinkError> {
        self.call(
            |sink| sink.prepare(checkpoint),
            |reply| match reply {
                Reply::Prepared(items) => {
                    Some(items.into_iter().map(convert::committable).collect())
                }
                _ => None,
            },
        )
    }

    fn prepare_table(
        &self,
        table: TableId,
        checkpoint: CheckpointId,
    ) -> Result<Vec<Committable>, SinkError> {
        self.call(
            |sink| sink.prepare_table(table, checkpoint),
            |reply| match reply {
                Reply::Prepared(items) => {
                    Some(items.into_iter().map(convert::committable).collect())
                }
                _ => None,
            },
        )
    }

    fn snapshot(&self, checkpoint: CheckpointId) -> Result<State, SinkError> {
        self.with(|driver| Ok(convert::state(driver.sink().snapshot(checkpoint))))
    }

    fn metrics(&self) -> Vec<Metric> {
        // The contract has no error here; a call that is still running has newer values anyway.
        self.driver.try_borrow_mut().map_or_else(
            |_| Vec::new(),
            |mut driver| {
                driver
                    .sink()
                    .metrics()
                    .into_iter()
                    .map(convert::metric)
                    .collect()
            },
        )
    }

    fn close(&self) -> Result<(), SinkError> {
        self.call(Sink::close, done)
    }
}

fn done(reply: Reply) -> Option<()> {
    matches!(reply, Reply::Done).then_some(())
}

pub(crate) fn reentered() -> SinkError {
    convert::sink_error(core::error::SinkError::permanent(
        "component.Reentered",
        "the host called the sink while another call was still running; calls must follow each other",
    ))
}

pub(crate) fn mismatched() -> core::error::SinkError {
    core::error::SinkError::permanent(
        "component.Reply",
        "the sink answered a call with the reply of another; this is a defect of the component, please report it",
    )
}

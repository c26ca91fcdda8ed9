//! What a person sees while a pipeline runs.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use longshore_pipeline::report::LiveCounters;

use crate::display::{bytes, number};
use crate::logging::screen;
use crate::sink::Sink;

const REFRESH: Duration = Duration::from_millis(200);

/// A line that is redrawn until it is finished; nothing at all where stderr is no terminal.
pub(super) struct Display {
    bar: Option<ProgressBar>,
    task: Option<tokio::task::JoinHandle<()>>,
}

/// Shows the counters until [`Display::finish`].
pub(super) fn start(live: Arc<LiveCounters>) -> Display {
    if !std::io::stderr().is_terminal() {
        return Display {
            bar: None,
            task: None,
        };
    }
    let bar = screen().add(ProgressBar::new_spinner());
    if let Ok(style) = ProgressStyle::with_template("{spinner} {elapsed}  {msg}") {
        bar.set_style(style);
    }
    let line = bar.clone();
    let task = tokio::spawn(async move {
        let started = std::time::Instant::now();
        loop {
            let rows = live.rows.load(Ordering::Relaxed);
            let read = live.bytes.load(Ordering::Relaxed);
            let visible = live.visible.load(Ordering::Relaxed);
            let rate = rows as f64 / started.elapsed().as_secs_f64().max(0.001);
            line.set_message(format!(
                "{} rows read ({} rows/s, {}), {} visible",
                number(rows),
                number(rate as u64),
                bytes(read),
                number(visible)
            ));
            line.tick();
            tokio::time::sleep(REFRESH).await;
        }
    });
    Display {
        bar: Some(bar),
        task: Some(task),
    }
}

impl Display {
    /// Removes the line.
    pub(super) fn finish(self) {
        if let Some(task) = self.task {
            task.abort();
        }
        if let Some(bar) = self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A line for people, on stderr.
pub(crate) fn say(text: &str) {
    screen().suspend(|| eprintln!("{text}"));
}

/// How to look at what the embedded server holds.
pub(super) fn hint(sink: &Sink) {
    if let Some(data) = &sink.local {
        let data = data.display();
        say(&format!(
            "look at it:  longshore local tables --data {data}\n             longshore local show TABLE --data {data}"
        ));
    }
}

//! The native side of the comparison as a process, so that it is built with the component's own
//! profile. For each line on standard input it makes one block and answers `BYTES NANOSECONDS`.

use std::io::{self, BufRead, Write};
use std::time::Instant;

use longshore_bench_guest::Work;

fn main() -> io::Result<()> {
    let arguments: Vec<usize> = std::env::args()
        .skip(1)
        .filter_map(|argument| argument.parse().ok())
        .collect();
    let work = match arguments.as_slice() {
        [wide, compression] => Work::new(*wide != 0, *compression),
        _ => None,
    };
    let mut work = work.ok_or_else(|| io::Error::other("usage: WIDE COMPRESSION, as numbers"))?;
    let mut out = io::stdout();
    for line in io::stdin().lock().lines() {
        line?;
        let start = Instant::now();
        let bytes = work
            .block()
            .ok_or_else(|| io::Error::other("a row can not be encoded"))?;
        writeln!(out, "{bytes} {}", start.elapsed().as_nanos())?;
        out.flush()?;
    }
    Ok(())
}

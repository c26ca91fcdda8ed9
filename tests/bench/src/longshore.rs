//! `longshore run` as a writer, and the Parquet files it reads.

use std::fs::File;
use std::path::Path;
use std::process::Command;

use anyhow::Result;
use longshore_bench_rows::Shape;
use longshore_tests::{LocalServer, longshore};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;

/// What is written where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) shape: Shape,
    pub(crate) delta: bool,
    pub(crate) compression: &'static str,
    /// One row in place of all.
    pub(crate) one_row: bool,
}

impl Target {
    pub(crate) fn table(self) -> &'static str {
        match (self.one_row, self.shape, self.delta) {
            (true, ..) => "one_row",
            (_, Shape::Narrow, false) => "narrow_append",
            (_, Shape::Narrow, true) => "narrow_delta",
            (_, Shape::Wide, false) => "wide_append",
            (_, Shape::Wide, true) => "wide_delta",
        }
    }

    /// Rows of this shape where there are so many narrow ones.
    pub(crate) fn rows(self, narrow: u64) -> u64 {
        match (self.one_row, self.shape) {
            (true, _) => 1,
            (_, Shape::Narrow) => narrow,
            (_, Shape::Wide) => narrow / 5,
        }
    }

    fn file(self) -> &'static str {
        match (self.one_row, self.shape) {
            (true, _) => "one.parquet",
            (_, Shape::Narrow) => "narrow.parquet",
            (_, Shape::Wide) => "wide.parquet",
        }
    }
}

/// The rows as files.
pub(crate) fn write_files(directory: &Path, narrow: u64) -> Result<()> {
    for (shape, one_row) in [
        (Shape::Narrow, false),
        (Shape::Wide, false),
        (Shape::Narrow, true),
    ] {
        let target = Target {
            shape,
            delta: false,
            compression: "zlib",
            one_row,
        };
        let properties = WriterProperties::builder()
            .set_compression(Compression::SNAPPY)
            .build();
        let file = File::create(directory.join(target.file()))?;
        let mut writer = ArrowWriter::try_new(file, shape.schema(), Some(properties))?;
        for batch in shape.batches(target.rows(narrow), 8_192)? {
            writer.write(&batch?)?;
        }
        writer.close()?;
    }
    Ok(())
}

/// The command that writes them.
pub(crate) fn command(directory: &Path, server: &LocalServer, target: Target) -> Result<Command> {
    let key = if target.delta {
        "  primary-key: id\n"
    } else {
        ""
    };
    let table = target.table();
    let definition = format!(
        "source:\n  type: file\n  path: {}\n  table: {table}\n{key}{}  compress.algorithm: {}\n  buckets-num: 16\npipeline:\n  \
         name: {table}-{}\n",
        target.file(),
        server.sink()?,
        target.compression,
        target.compression,
    );
    std::fs::write(directory.join("bench.yaml"), definition)?;
    let mut command = longshore(&["run", "bench.yaml", "--fresh", "--output", "json"])?;
    command.current_dir(directory);
    Ok(command)
}

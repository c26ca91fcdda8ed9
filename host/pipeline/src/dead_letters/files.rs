//! Dead letters as files beside the store, one for each group.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use arrow_ipc::writer::FileWriter;

use super::export::{ExportError, ExportForm, exported_rows, file_name};
use crate::checkpoint_store::{CheckpointStore, StoredDeadLetters};

/// Writes the groups of dead letters that have no file yet. A group has the same file name each
/// time, so that one which was written and not noted is written again.
pub(crate) fn write_files(
    store: &mut CheckpointStore,
    directory: &Path,
) -> Result<(), ExportError> {
    let written = store.dead_letters_in_files()?;
    for (group, _) in store.dead_letter_groups()? {
        if group > written {
            write(&store.dead_letter_group(group)?, group, directory)?;
            store.note_dead_letters_in_files(group)?;
        }
    }
    Ok(())
}

fn write(letters: &StoredDeadLetters, group: i64, directory: &Path) -> Result<(), ExportError> {
    let name = file_name(&letters.table);
    let path = directory.join(format!("{name}-{}-{group}.arrow", letters.checkpoint));
    let unfinished = path.with_extension("arrow.unfinished");
    let io = |source| ExportError::Io {
        path: path.clone(),
        source,
    };
    let broken = |source| ExportError::Arrow {
        table: letters.table.clone(),
        source,
    };
    let rows = exported_rows(letters, ExportForm::WithReasons).map_err(broken)?;
    let Some(first) = rows.first() else {
        return Ok(());
    };
    std::fs::create_dir_all(directory).map_err(io)?;
    let file = File::create(&unfinished).map_err(io)?;
    let mut writer = FileWriter::try_new(BufWriter::new(file), &first.schema()).map_err(broken)?;
    for rows in &rows {
        writer.write(rows).map_err(broken)?;
    }
    let file = writer.into_inner().map_err(broken)?;
    let file = file.into_inner().map_err(|error| io(error.into_error()))?;
    file.sync_all()
        .and_then(|()| std::fs::rename(&unfinished, &path))
        .map_err(io)
}

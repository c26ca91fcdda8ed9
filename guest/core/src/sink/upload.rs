//! The batch upload session of a part: create, blocks, block list.

use std::rc::Rc;

use super::client::malformed;
use super::mode::Mode;
use super::part::{Pack, Part, Session};
use crate::error::{ErrorClass, SinkError};
use crate::request::{Framing, Method};
use crate::session::tunnel::UploadInfo;

impl Part {
    pub(super) async fn open_upload(self: &Rc<Self>) -> Result<(), SinkError> {
        let create_partition = (!self.partition.is_empty()).then_some("true");
        let draft = self
            .draft(
                Method::Post,
                self.target.tunnel_path(),
                "upload-create",
                "creating the upload session",
            )
            .query("uploads", "")
            .query_some("create_partition", create_partition)
            .query_some("overwrite", self.overwrites.get().then_some("true"));
        let response = self.client.call(&draft).await?;
        let info = UploadInfo::read(&response.body).map_err(|why| {
            malformed(
                &draft,
                &format!("the session is unreadable: {why}"),
                &response,
            )
        })?;
        let created_unix_ms = self.client.now().unix_ms;
        self.state().session = Session::Open {
            id: info.id,
            created_unix_ms,
        };
        Ok(())
    }

    /// Send one block; a repeat under the same id replaces it, so repeats are harmless.
    pub(super) async fn put_block(self: Rc<Self>, block: u32, pack: Pack) {
        let Some(id) = self.session_id().await else {
            self.settle(&pack, false);
            self.changed.notify();
            return;
        };
        let permit = self.permits.acquire().await;
        let draft = self
            .draft(
                Method::Put,
                self.target.tunnel_path(),
                "block",
                "writing a block",
            )
            .query("uploadid", id)
            .query("blockid", block.to_string())
            .query_some("arrow", matches!(self.mode, Mode::Arrow(_)).then_some(""))
            .header("Content-Type", "application/octet-stream")
            .body(Framing::Chunked, pack.body.clone());
        let result = self.client.call(&self.with_encoding(draft)).await;
        drop(permit);
        match result {
            Ok(_) => {
                self.settle(&pack, true);
                self.state().blocks.insert(block);
            }
            Err(error) => {
                self.settle(&pack, false);
                self.fail(error);
            }
        }
        self.changed.notify();
    }

    /// Compare the blocks the service has with those it confirmed.
    pub(super) async fn check_blocks(&self, id: &str) -> Result<(), SinkError> {
        let draft = self
            .draft(
                Method::Get,
                self.target.tunnel_path(),
                "upload-status",
                "reading the block list",
            )
            .query("uploadid", id)
            .query("getblockid", "true");
        let response = self.client.call(&draft).await?;
        let info = UploadInfo::read(&response.body).map_err(|why| {
            malformed(
                &draft,
                &format!("the session is unreadable: {why}"),
                &response,
            )
        })?;
        let expected = &self.state.borrow().blocks;
        if info.blocks == *expected {
            return Ok(());
        }
        Err(block_mismatch(&self.place, id, expected, &info))
    }
}

/// The service has other blocks than were written.
pub(super) fn block_mismatch(
    place: &str,
    session: &str,
    expected: &std::collections::BTreeSet<u32>,
    info: &UploadInfo,
) -> SinkError {
    let missing: Vec<String> = expected
        .difference(&info.blocks)
        .take(10)
        .map(ToString::to_string)
        .collect();
    let extra: Vec<String> = info
        .blocks
        .difference(expected)
        .take(10)
        .map(ToString::to_string)
        .collect();
    SinkError::new(
        ErrorClass::Fenced,
        "session.blocks",
        format!(
            "{place}: upload session {session} has {} blocks where {} were written (missing: [{}], \
             foreign: [{}]); start again from the last checkpoint",
            info.blocks.len(),
            expected.len(),
            missing.join(", "),
            extra.join(", ")
        ),
    )
}

//! The service's answers, as texts.

use longshore_core::request::Response;

use super::{SLOTS, Table};

pub(super) const PROJECT: &str = "<Project><Name>p</Name><Properties></Properties></Project>";
pub(super) const TERMINATED: &str = "<Instance><Status>Terminated</Status></Instance>";
pub(super) const SUCCESS: &str = "<Instance><Status>Terminated</Status><Tasks><Task Type=\"SQL\">\
     <Name>x</Name><Status>Success</Status></Task></Tasks></Instance>";

pub(super) fn ok(body: String) -> Response {
    Response {
        status: 200,
        headers: Vec::new(),
        body: body.into_bytes(),
    }
}

/// An instance runs.
pub(super) fn accepted(instance: &str) -> Response {
    Response {
        status: 201,
        headers: vec![(
            "Location".to_owned(),
            format!("http://rest/api/projects/p/instances/{instance}"),
        )],
        body: Vec::new(),
    }
}

pub(super) fn rest_error(status: u16, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>{code} happened</Message></Error>");
    Response { status, ..ok(body) }
}

/// An error of the tunnel.
pub(crate) fn tunnel_error(status: u16, code: &str) -> Response {
    let body = format!("{{\"Code\":\"{code}\",\"Message\":\"{code} happened\"}}");
    Response { status, ..ok(body) }
}

pub(super) fn table(table: &Table) -> String {
    let keys = match table.partitioned {
        true => "{\"name\":\"pt\",\"type\":\"string\"}",
        false => "",
    };
    let nullable = !table.keyed;
    in_table(&format!(
        "{{\"columns\":[{{\"name\":\"id\",\"type\":\"bigint\",\"isNullable\":{nullable}}},\
         {{\"name\":\"text\",\"type\":\"string\",\"isNullable\":true}}],\"partitionKeys\":[{keys}]}}"
    ))
}

pub(super) fn extended(table: &Table, buckets: u32) -> String {
    if !table.keyed {
        return in_table("{\"Reserved\":\"{}\"}");
    }
    in_table(&format!(
        "{{\"Reserved\":\"{{\\\"Transactional\\\":\\\"true\\\",\\\"PrimaryKey\\\":[\\\"id\\\"],\
         \\\"BucketNum\\\":{buckets}}}\"}}"
    ))
}

fn in_table(json: &str) -> String {
    format!(
        "<Table format=\"Json\"><Type>MANAGED_TABLE</Type><Schema format=\"Json\">\
         <![CDATA[{json}]]></Schema></Table>"
    )
}

pub(super) fn upload<'a>(id: &str, status: &str, blocks: impl Iterator<Item = &'a u32>) -> String {
    let blocks: Vec<String> = blocks.map(|b| format!("{{\"BlockID\":{b}}}")).collect();
    format!(
        "{{\"UploadID\":\"{id}\",\"Status\":\"{status}\",\"UploadedBlockList\":[{}]}}",
        blocks.join(",")
    )
}

pub(super) fn upsert(id: &str, status: &str, buckets: u32, generation: u64) -> String {
    let slot = |slot: u32| {
        let held: Vec<String> = (0..buckets)
            .filter(|bucket| bucket % SLOTS == slot)
            .map(|bucket| bucket.to_string())
            .collect();
        format!(
            "{{\"slot_id\":\"{slot}\",\"worker_addr\":\"{}\",\"buckets\":[{}]}}",
            server(generation, slot),
            held.join(",")
        )
    };
    let slots: Vec<String> = (0..SLOTS).map(slot).collect();
    format!(
        "{{\"id\":\"{id}\",\"status\":\"{status}\",\"hasher\":\"default\",\"hash_key\":[\"id\"],\
         \"slots\":[{}]}}",
        slots.join(",")
    )
}

/// The server that holds a slot.
pub(super) fn server(generation: u64, slot: u32) -> String {
    format!("w{generation}-{slot}:1")
}

//! Partitions.

use std::sync::Arc;

use axum::response::Response;
use serde_json::{Map, Value, json};

use super::xml::{Document, cdata, escape};
use super::{Call, STORAGE_TIER, rest_error, xml_response};
use crate::catalog::{PartitionInfo, PartitionSpec, StoreError, TableMeta, same_name};
use crate::server::ApiError;

pub(super) async fn list(call: &Call<'_>, table: &Arc<TableMeta>) -> Result<Response, ApiError> {
    if !table.is_partitioned() {
        return Err(ApiError::bad_request(
            "InvalidParameter",
            format!("table {} is not a partitioned table", table.full_name()),
        ));
    }
    let wanted = table.clone();
    let mut partitions = call
        .state
        .store()
        .blocking(move |store| store.partitions(&wanted))
        .await?;
    if let Some(text) = call.filled("partition") {
        let pairs = PartitionSpec::parse_pairs(text).map_err(|reason| {
            rest_error(StoreError::InvalidPartition {
                table: table.full_name(),
                text: text.to_owned(),
                reason,
            })
        })?;
        partitions.retain(|partition| {
            pairs.iter().all(|(name, value)| {
                partition
                    .spec
                    .0
                    .iter()
                    .any(|(n, v)| same_name(n, name) && v == value)
            })
        });
    }
    if call.has("reverse") {
        partitions.reverse();
    }
    // Clients that ask for no page do not look for a next one.
    let paged = ["maxitems", "marker", "expectmarker"];
    let (page, marker, size) = if paged.iter().any(|name| call.has(name)) {
        call.page(partitions)?
    } else {
        let all = partitions.len();
        (partitions, String::new(), all)
    };
    let mut document = Document::new("Partitions");
    document
        .text("Marker", &marker)
        .text("MaxItems", &size.to_string());
    for partition in page {
        document.open("Partition");
        if call.has("name") {
            document
                .text("Name", &partition.spec.path())
                .close("Partition");
            continue;
        }
        for (name, value) in &partition.spec.0 {
            document.raw(&format!(
                "<Column Name=\"{}\" Value=\"{}\"/>",
                escape(name),
                escape(value)
            ));
        }
        document
            .text("CreationTime", &(partition.created_ms / 1000).to_string())
            .text("LastDDLTime", &(partition.created_ms / 1000).to_string())
            .text(
                "LastModifiedTime",
                &(partition.modified_ms / 1000).to_string(),
            )
            .text("PartitionSize", &partition.bytes.to_string())
            .text("PartitionRecordCount", &partition.rows.to_string())
            .close("Partition");
    }
    Ok(xml_response(document.finish("Partitions")))
}

pub(super) async fn show(call: &Call<'_>, table: &Arc<TableMeta>) -> Result<Response, ApiError> {
    let spec =
        PartitionSpec::resolve(table, call.param("partition").unwrap_or("")).map_err(rest_error)?;
    let wanted = table.clone();
    let partitions = call
        .state
        .store()
        .blocking(move |store| store.partitions(&wanted))
        .await?;
    let partition = partitions
        .into_iter()
        .find(|p| p.spec == spec)
        .ok_or_else(|| {
            ApiError::not_found(
                "NoSuchPartition",
                format!(
                    "The specified partition {} of table {} does not exist",
                    spec.rest_text(),
                    table.full_name()
                ),
            )
        })?;
    let json = partition_json(table, &partition, call.has("extended"));
    Ok(xml_response(format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Partition><Schema>{}</Schema></Partition>",
        cdata(&json.to_string())
    )))
}

fn reserved(table: &TableMeta, partition: &PartitionInfo) -> Value {
    let properties = table.partition_properties.get(&partition.spec.directory());
    let mut map = Map::new();
    for (key, value) in properties.into_iter().flatten() {
        map.insert(key.clone(), json!(value));
        if key == STORAGE_TIER {
            map.insert("StorageTier".to_owned(), json!(value));
        }
    }
    Value::Object(map)
}

fn partition_json(table: &TableMeta, partition: &PartitionInfo, extended: bool) -> Value {
    if extended {
        return json!({
            "IsArchived": false,
            "IsExstore": false,
            "LifeCycle": table.lifecycle.unwrap_or(-1),
            "PhysicalSize": partition.bytes,
            "FileNum": partition.files,
            "Reserved": reserved(table, partition).to_string(),
        });
    }
    json!({
        "createTime": partition.created_ms / 1000,
        "lastDDLTime": partition.created_ms / 1000,
        "lastModifiedTime": partition.modified_ms / 1000,
        "partitionSize": partition.bytes,
        "partitionRecordNum": partition.rows,
    })
}

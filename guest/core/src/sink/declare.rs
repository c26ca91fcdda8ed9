//! Declaring a table: look it up, create it where allowed, see that the rows fit.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use arrow_schema::Schema;

use super::client::{Client, Draft, malformed};
use super::mode::{self, Mode};
use super::part::{Routing, Target};
use super::table::{Layout, Parts, Table, fit};
use super::{ipc, partitioning, sql};
use crate::bucket::HasherKind;
use crate::contract::{LogLevel, TableDecl};
use crate::ddl::CreateTable;
use crate::error::SinkError;
use crate::request::{Framing, Method};
use crate::schema::{COMMENT_METADATA_KEY, Column, TABLE_PROPERTY_PREFIX, same_name};
use crate::session::metadata::{TableExtension, TableMeta, create_schema_document};

/// Property of a Delta table: its number of buckets.
const BUCKETS_PROPERTY: &str = "write.bucket.num";

pub(super) type Tables = Rc<RefCell<Vec<Table>>>;

/// Make a table ready; its number.
pub(super) async fn declare(
    client: Rc<Client>,
    tables: Tables,
    decl: TableDecl,
) -> Result<u32, SinkError> {
    let schema = ipc::read_schema(&decl.arrow_schema).map_err(|why| {
        SinkError::permanent(
            "contract.schema",
            format!("table {}: its Arrow schema is unreadable: {why}", decl.path),
        )
    })?;
    if schema
        .fields()
        .iter()
        .any(|f| f.name() == ipc::OPERATION_COLUMN)
    {
        return Err(SinkError::schema(
            "table.column",
            format!(
                "table {}: the column name `{}` is reserved",
                decl.path,
                ipc::OPERATION_COLUMN
            ),
        ));
    }
    let rows = schema.clone();
    let (decl, schema) = mode::adapt(&client.options, decl, schema)?;
    let target = Rc::new(resolve(&client, &decl).await?);
    let (layout, buckets) = ensure(&client, &target, &decl, &schema).await?;
    mode::check(&client.options, &target, &layout)?;
    // Rows already here must have found their place before their table may change.
    super::prepare::confirmed(&client, &tables).await?;

    let mut tables = tables.borrow_mut();
    let known = tables.iter().position(|t| t.target.path == decl.path);
    if known.is_none()
        && let Some(other) = tables.iter().find(|t| same_table(&t.target, &target))
    {
        return Err(SinkError::permanent(
            "table.collision",
            format!(
                "{}: both {} and {} would be written to it; give one of them another name with a route",
                target.place(""),
                other.target.path,
                decl.path
            ),
        ));
    }
    let hasher = known
        .and_then(|i| tables.get(i))
        .and_then(|t| t.routing.as_ref())
        .map_or(HasherKind::Default, |r| r.hasher.get());
    let mut version = fit(&target, &layout, &decl, &schema, hasher, &client.options)?;
    if client.options.operation_column.is_some() {
        version.decoder = ipc::Decoder::new(Arc::new(rows)).with_operation_text(Arc::new(schema));
    }
    let routing = (!layout.primary_key.is_empty()).then(|| {
        Rc::new(Routing {
            hasher: Cell::new(HasherKind::Default),
            buckets: Cell::new(buckets),
            confirmed: Cell::new(false),
            correction: Cell::new(None),
            changed: super::task::Signal::default(),
            keys: layout.primary_key.clone(),
            column_ids: RefCell::default(),
        })
    });
    let index = match known.and_then(|i| Some((i, tables.get_mut(i)?))) {
        Some((index, table)) => {
            if table.layout != layout {
                table.retire();
                if client.options.partial_columns {
                    // Its columns have other numbers now, which the next session tells.
                    table.routing = routing;
                }
                table.mode = Mode::new(&client, &target, &layout, table.routing.as_ref())?;
                table.layout = layout;
                // Older rows can not be encoded for the new columns.
                table.versions.clear();
            }
            table.versions.insert(decl.schema_version, version);
            index
        }
        None => {
            tables.push(Table {
                mode: Mode::new(&client, &target, &layout, routing.as_ref())?,
                target,
                layout,
                versions: BTreeMap::from([(decl.schema_version, version)]),
                routing,
                parts: Parts::default(),
                retired: Vec::new(),
                kept: Vec::new(),
                changing: None,
                counters: Rc::default(),
            });
            tables.len() - 1
        }
    };
    u32::try_from(index).map_err(|_| SinkError::permanent("table.count", "too many tables"))
}

fn same_table(a: &Target, b: &Target) -> bool {
    let lower = |s: &Option<String>| s.as_deref().unwrap_or("default").to_lowercase();
    a.project.eq_ignore_ascii_case(&b.project)
        && lower(&a.schema) == lower(&b.schema)
        && a.name.to_lowercase() == b.name.to_lowercase()
}

/// Project, schema and table that a declared path means.
pub(super) async fn resolve(client: &Client, decl: &TableDecl) -> Result<Target, SinkError> {
    let place = format!("table {}", decl.path);
    let project = decl
        .path
        .catalog
        .clone()
        .unwrap_or_else(|| client.options.project.clone());
    let tiers = [
        Some(&project),
        decl.path.schema.as_ref(),
        Some(&decl.path.table),
    ];
    for name in tiers.into_iter().flatten() {
        let bad = |c: char| c.is_control() || c.is_whitespace() || "/\\.`'\"?#%".contains(c);
        if name.is_empty() || name.contains(bad) {
            return Err(SinkError::permanent(
                "table.name",
                format!(
                    "{place}: `{name}` can not be part of a table's name; rename it with a route"
                ),
            ));
        }
    }
    let three_tier = client.project(&project, &place).await?.three_tier;
    if !three_tier && let Some(schema) = &client.options.schema {
        return Err(SinkError::permanent(
            "option.schema",
            format!(
                "{place}: project {project} has no schemas, but option schema is `{schema}`; remove the option"
            ),
        ));
    }
    let given = decl
        .path
        .schema
        .clone()
        .or_else(|| client.options.schema.clone());
    if !three_tier && let Some(schema) = &given {
        client.log(
            LogLevel::Info,
            format!("{place}: project {project} has no schemas, so `{schema}` is not part of the table's name"),
            &[],
        );
    }
    let schema = three_tier.then(|| given.unwrap_or_else(|| "default".to_owned()));
    Ok(Target {
        path: decl.path.clone(),
        project,
        schema,
        name: decl.path.table.clone(),
    })
}

/// Layout and number of buckets of the table, which is created if need be.
async fn ensure(
    client: &Client,
    target: &Target,
    decl: &TableDecl,
    schema: &Schema,
) -> Result<(Layout, u32), SinkError> {
    let place = target.place("");
    if let Some(found) = look_up(client, target, &place).await? {
        return Ok(found);
    }
    if !client.options.create_table {
        return Err(SinkError::schema(
            "table.missing",
            format!(
                "{place}: it does not exist and create-table is false; create it, or set create-table to true"
            ),
        ));
    }
    create(client, target, decl, schema, &place).await?;
    look_up(client, target, &place).await?.ok_or_else(|| {
        SinkError::schema(
            "table.missing",
            format!("{place}: it was created but can not be seen; check the account's permissions"),
        )
    })
}

fn table_draft(target: &Target, place: &str, what: &'static str) -> Draft {
    let path = format!("/projects/{}/tables/{}", target.project, target.name);
    sql::rest(target, Method::Get, path).kind("table", what, place)
}

pub(super) async fn look_up(
    client: &Client,
    target: &Target,
    place: &str,
) -> Result<Option<(Layout, u32)>, SinkError> {
    let draft = table_draft(target, place, "reading the table");
    let response = match client.call_raw(&draft).await {
        Ok(response) => response,
        Err(failure) if failure.is_not_found() && failure.code != "NoSuchProject" => {
            return Ok(None);
        }
        Err(failure) => return Err(failure.error("rest", draft.what, place)),
    };
    let meta = TableMeta::read(&response.body).map_err(|why| {
        malformed(
            &draft,
            &format!("the table's description is unreadable: {why}"),
            &response,
        )
    })?;
    if !meta.kind.is_empty() && meta.kind != "MANAGED_TABLE" {
        return Err(SinkError::schema(
            "table.kind",
            format!(
                "{place}: it is a {}, which takes no rows; name a table",
                meta.kind
            ),
        ));
    }
    let draft = table_draft(target, place, "reading the table's keys").query("extended", "");
    let response = client.call(&draft).await?;
    let extension = TableExtension::read(&response.body).map_err(|why| {
        malformed(
            &draft,
            &format!("the table's keys are unreadable: {why}"),
            &response,
        )
    })?;
    let buckets = extension
        .buckets
        .unwrap_or(client.options.buckets_num)
        .max(1);
    let primary_key = if extension.is_delta() {
        extension.primary_key
    } else {
        Vec::new()
    };
    let layout = Layout {
        columns: meta.columns,
        partition_columns: meta.partition_columns,
        primary_key,
    };
    Ok(Some((layout, buckets)))
}

async fn create(
    client: &Client,
    target: &Target,
    decl: &TableDecl,
    schema: &Schema,
    place: &str,
) -> Result<(), SinkError> {
    let mut columns = Vec::new();
    let mut faults = Vec::new();
    for field in schema.fields() {
        match Column::from_arrow_as(field, client.options.type_mapping) {
            Ok(column) => columns.push(column),
            Err(unsupported) => faults.push(format!("column `{}`: {unsupported}", field.name())),
        }
    }
    let terms = client.options.partition.with_columns(&decl.partition_by);
    let partition_columns = partitioning::columns(&terms, &mut columns, &mut faults);
    for name in &decl.primary_key {
        if !columns.iter().any(|c| same_name(&c.name, name)) {
            faults.push(format!(
                "the primary key names `{name}`, which is not a data column"
            ));
        }
    }
    if columns.is_empty() && faults.is_empty() {
        faults.push("it would have no data column".to_owned());
    }
    if !faults.is_empty() {
        return Err(SinkError::schema(
            "table.create",
            format!(
                "{place}: the table can not be created: {}",
                faults.join("; ")
            ),
        ));
    }
    if let Some(schema) = target.schema.as_deref().filter(|s| *s != "default") {
        create_schema(client, target, schema, place).await?;
    }
    let mut properties: Vec<(String, String)> = schema
        .metadata()
        .iter()
        .filter_map(|(key, value)| {
            let name = key.strip_prefix(TABLE_PROPERTY_PREFIX)?;
            Some((name.to_owned(), value.clone()))
        })
        .collect();
    properties.sort();
    if !decl.primary_key.is_empty() {
        properties.retain(|(name, _)| name != "transactional");
        properties.push(("transactional".to_owned(), "true".to_owned()));
        if !properties.iter().any(|(name, _)| name == BUCKETS_PROPERTY) {
            let buckets = client.options.buckets_num.to_string();
            properties.push((BUCKETS_PROPERTY.to_owned(), buckets));
        }
        if client.options.partial_columns {
            let property = "acid.partial.fields.update.enable".to_owned();
            properties.retain(|(name, _)| *name != property);
            properties.push((property, "true".to_owned()));
        }
    }
    let query = CreateTable {
        name: sql::table_name(target),
        columns,
        partition_columns,
        primary_key: decl.primary_key.clone(),
        comment: schema.metadata().get(COMMENT_METADATA_KEY).cloned(),
        properties,
        lifecycle_days: client.options.lifecycle_days,
        if_not_exists: true,
    }
    .sql();
    let statement = sql::Statement {
        target,
        task: "SQLCreateTableTask",
        query: &query,
        what: "creating the table",
        place,
    };
    sql::run(client, &statement).await?;
    client.log(LogLevel::Info, format!("{place}: created"), &[]);
    Ok(())
}

async fn create_schema(
    client: &Client,
    target: &Target,
    schema: &str,
    place: &str,
) -> Result<(), SinkError> {
    let schemas = format!("/projects/{}/schemas", target.project);
    let no_schema = Target {
        schema: None,
        ..target.clone()
    };
    let get = sql::rest(&no_schema, Method::Get, format!("{schemas}/{schema}")).kind(
        "schema",
        "reading the schema",
        place,
    );
    match client.call_raw(&get).await {
        Ok(_) => return Ok(()),
        Err(failure) if failure.is_not_found() => {}
        Err(failure) => return Err(failure.error("rest", get.what, place)),
    }
    let body = create_schema_document(&target.project, schema);
    let post = sql::rest(&no_schema, Method::Post, schemas)
        .kind("schema", "creating the schema", place)
        .header("Content-Type", "application/xml")
        .body(Framing::ContentLength, body.into_bytes());
    client.call(&post).await?;
    client.log(
        LogLevel::Info,
        format!("{place}: created schema {schema}"),
        &[],
    );
    Ok(())
}

//! Which operation of the protocols a request is, as rules name them.

use http::Method;
use http::request::Parts;
use percent_encoding::percent_decode_str;

use crate::rest::query_pairs;

/// Which of the two protocols a request speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// Metadata and SQL.
    Rest,
    /// Bulk data.
    Tunnel,
}

/// An operation of one of the protocols.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    UploadCreate,
    UploadBlock,
    UploadGet,
    UploadCommit,
    UpsertCreate,
    UpsertPack,
    UpsertGet,
    UpsertCommit,
    UpsertAbort,
    StreamCreate,
    StreamPack,
    StreamGet,
    StreamAbort,
    DownloadCreate,
    DownloadGet,
    DownloadRead,
    Preview,
    TunnelOther,
    Project,
    TunnelAddress,
    Table,
    Partitions,
    Sql,
    SqlStatus,
    RestOther,
}

use Operation as Op;

/// Names of operations and of groups of them, with what they stand for.
const ROUTES: &[(&str, &[Operation])] = &[
    ("upload-create", &[Op::UploadCreate]),
    ("upload-block", &[Op::UploadBlock]),
    ("upload-get", &[Op::UploadGet]),
    ("upload-commit", &[Op::UploadCommit]),
    ("upsert-create", &[Op::UpsertCreate]),
    ("upsert-pack", &[Op::UpsertPack]),
    ("upsert-get", &[Op::UpsertGet]),
    ("upsert-commit", &[Op::UpsertCommit]),
    ("upsert-abort", &[Op::UpsertAbort]),
    ("stream-create", &[Op::StreamCreate]),
    ("stream-pack", &[Op::StreamPack]),
    ("stream-get", &[Op::StreamGet]),
    ("stream-abort", &[Op::StreamAbort]),
    ("download-create", &[Op::DownloadCreate]),
    ("download-get", &[Op::DownloadGet]),
    ("download-read", &[Op::DownloadRead]),
    ("preview", &[Op::Preview]),
    ("project", &[Op::Project]),
    ("tunnel-address", &[Op::TunnelAddress]),
    ("table", &[Op::Table]),
    ("partitions", &[Op::Partitions]),
    ("sql", &[Op::Sql]),
    ("sql-status", &[Op::SqlStatus]),
    (
        "create-session",
        &[Op::UploadCreate, Op::UpsertCreate, Op::StreamCreate],
    ),
    (
        "write-data",
        &[Op::UploadBlock, Op::UpsertPack, Op::StreamPack],
    ),
    (
        "get-session",
        &[Op::UploadGet, Op::UpsertGet, Op::StreamGet],
    ),
    ("commit-session", &[Op::UploadCommit, Op::UpsertCommit]),
    ("abort-session", &[Op::UpsertAbort, Op::StreamAbort]),
    (
        "tunnel",
        &[
            Op::UploadCreate,
            Op::UploadBlock,
            Op::UploadGet,
            Op::UploadCommit,
            Op::UpsertCreate,
            Op::UpsertPack,
            Op::UpsertGet,
            Op::UpsertCommit,
            Op::UpsertAbort,
            Op::StreamCreate,
            Op::StreamPack,
            Op::StreamGet,
            Op::StreamAbort,
            Op::DownloadCreate,
            Op::DownloadGet,
            Op::DownloadRead,
            Op::Preview,
            Op::TunnelOther,
        ],
    ),
    (
        "rest",
        &[
            Op::Project,
            Op::TunnelAddress,
            Op::Table,
            Op::Partitions,
            Op::Sql,
            Op::SqlStatus,
            Op::RestOther,
        ],
    ),
];

impl Operation {
    /// The operations a route stands for; none for a name that is not known.
    pub(super) fn of_route(name: &str) -> Option<&'static [Self]> {
        let found = ROUTES.iter().find(|(known, _)| *known == name);
        found.map(|(_, operations)| *operations)
    }

    /// Names that rules may use.
    pub(super) fn routes() -> impl Iterator<Item = &'static str> {
        ROUTES.iter().map(|(name, _)| *name)
    }

    /// Whether requests of this kind name a session.
    pub(super) fn has_session(self) -> bool {
        matches!(
            self,
            Self::UploadBlock
                | Self::UploadGet
                | Self::UploadCommit
                | Self::UpsertPack
                | Self::UpsertGet
                | Self::UpsertCommit
                | Self::UpsertAbort
                | Self::StreamPack
                | Self::StreamGet
                | Self::StreamAbort
                | Self::DownloadGet
                | Self::DownloadRead
        )
    }

    /// Whether requests of this kind say which server they take the slot to be at.
    pub(super) fn is_routed(self) -> bool {
        matches!(
            self,
            Self::UpsertPack | Self::UpsertCommit | Self::UpsertAbort | Self::StreamPack
        )
    }
}

/// A request as rules see it.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) operation: Operation,
    /// Empty where none is named.
    pub(super) table: String,
    /// `a=1,b=2`, without quotes; empty where none is named.
    pub(super) partition: String,
    /// Id of the session, where one is named.
    pub(super) session: Option<String>,
    /// The body of an SQL job.
    pub(super) statement: String,
}

impl Call {
    /// Reads a request's head.
    pub(super) fn read(side: Side, parts: &Parts) -> Self {
        let path: Vec<String> = parts
            .uri
            .path()
            .split('/')
            .filter(|word| !word.is_empty())
            .map(|word| percent_decode_str(word).decode_utf8_lossy().into_owned())
            .collect();
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let query = query_pairs(parts.uri.query().unwrap_or_default());
        let value = |name: &str| {
            let found = query.iter().find(|(given, _)| given == name);
            found.map(|(_, value)| value.as_str())
        };
        let session = ["uploadid", "upsertid", "downloadid"]
            .into_iter()
            .find_map(value);
        let operation = match side {
            Side::Rest => rest(&parts.method, &path, &value),
            Side::Tunnel => tunnel(&parts.method, &path, &value),
        };
        let table = path.iter().skip_while(|word| **word != "tables").nth(1);
        Self {
            operation,
            table: table.copied().unwrap_or_default().to_owned(),
            partition: plain_partition(value("partition").unwrap_or_default()),
            session: session.map(str::to_owned),
            statement: String::new(),
        }
    }
}

/// A partition without quotes and spaces, so that both protocols' spellings are the same.
pub(super) fn plain_partition(text: &str) -> String {
    text.replace(['\'', '"', ' '], "")
}

fn tunnel<'a>(
    method: &Method,
    path: &[&str],
    value: &impl Fn(&str) -> Option<&'a str>,
) -> Operation {
    let has = |name| value(name).is_some();
    let kind = path.last().copied().unwrap_or_default();
    match (kind, method) {
        ("upserts", &Method::PUT) => Op::UpsertPack,
        ("upserts", &Method::GET) => Op::UpsertGet,
        ("upserts", &Method::DELETE) => Op::UpsertAbort,
        ("upserts", &Method::POST) if has("upsertid") => Op::UpsertCommit,
        ("upserts", &Method::POST) => Op::UpsertCreate,
        ("streams", &Method::PUT) => Op::StreamPack,
        ("streams", &Method::GET) => Op::StreamGet,
        ("streams", &Method::POST) if has("uploadid") => Op::StreamAbort,
        ("streams", &Method::POST) => Op::StreamCreate,
        ("preview", _) => Op::Preview,
        (_, &Method::POST) if has("uploads") => Op::UploadCreate,
        (_, &Method::PUT) if has("uploadid") => Op::UploadBlock,
        (_, &Method::GET) if has("uploadid") => Op::UploadGet,
        (_, &Method::POST) if has("uploadid") => Op::UploadCommit,
        (_, &Method::POST) if has("downloads") => Op::DownloadCreate,
        (_, &Method::GET) if has("data") => Op::DownloadRead,
        (_, &Method::GET) if has("downloadid") => Op::DownloadGet,
        _ => Op::TunnelOther,
    }
}

fn rest<'a>(method: &Method, path: &[&str], value: &impl Fn(&str) -> Option<&'a str>) -> Operation {
    let below = path.iter().position(|word| *word == "projects");
    let below = below.and_then(|at| path.get(at + 1..)).unwrap_or_default();
    let get = method == Method::GET;
    match below {
        [_] if get => Op::Project,
        [_, "tunnel"] if get => Op::TunnelAddress,
        [_, .., "tables", _] if get && (value("partitions").or(value("partition"))).is_some() => {
            Op::Partitions
        }
        [_, .., "tables", _] if get => Op::Table,
        [_, "instances"] if method == Method::POST => Op::Sql,
        [_, "instances", _] if get => Op::SqlStatus,
        _ => Op::RestOther,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(side: Side, method: &str, uri: &str) -> Call {
        let request = http::Request::builder().method(method).uri(uri);
        Call::read(side, &request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn a_request_is_told_by_its_method_path_and_parameters() {
        let tunnel = [
            ("POST", "?uploads", Op::UploadCreate),
            ("PUT", "?uploadid=u&blockid=0", Op::UploadBlock),
            ("GET", "?uploadid=u", Op::UploadGet),
            ("POST", "?uploadid=u", Op::UploadCommit),
            ("POST", "/upserts?slotnum=1", Op::UpsertCreate),
            ("PUT", "/upserts?upsertid=u&bucketid=1", Op::UpsertPack),
            ("POST", "/upserts?upsertid=u", Op::UpsertCommit),
            ("DELETE", "/upserts?upsertid=u", Op::UpsertAbort),
            ("PUT", "/streams?uploadid=u", Op::StreamPack),
            ("GET", "?data&downloadid=d", Op::DownloadRead),
        ];
        for (method, tail, expected) in tunnel {
            let found = call(Side::Tunnel, method, &format!("/projects/p/tables/t{tail}"));
            assert_eq!(found.operation, expected, "{method} {tail}");
            assert_eq!(found.table, "t");
        }
        let rest = [
            ("GET", "/api/projects/p", Op::Project),
            ("GET", "/api/projects/p/tunnel?service", Op::TunnelAddress),
            ("GET", "/api/projects/p/tables/t", Op::Table),
            ("GET", "/api/projects/p/tables/t?partitions", Op::Partitions),
            ("POST", "/api/projects/p/instances", Op::Sql),
            ("GET", "/api/projects/p/instances/i?result", Op::SqlStatus),
        ];
        for (method, uri, expected) in rest {
            assert_eq!(call(Side::Rest, method, uri).operation, expected, "{uri}");
        }
        let named = call(
            Side::Tunnel,
            "PUT",
            "/projects/p/tables/t?uploadid=u&partition=a%3D1,b%3D'x'",
        );
        assert_eq!(named.session.as_deref(), Some("u"));
        assert_eq!(named.partition, "a=1,b=x");
    }

    #[test]
    fn every_operation_can_be_named() {
        for name in Operation::routes() {
            assert!(Operation::of_route(name).is_some_and(|found| !found.is_empty()));
        }
    }
}

//! A tunnel request taken apart: resource, query, headers, body.

use std::net::SocketAddr;
use std::str::FromStr;

use axum::{body::Body, extract::Request};
use http::{HeaderMap, Method, header};
use percent_encoding::percent_decode_str;

use crate::{
    catalog::{PartitionSpec, TableMeta},
    server::ApiError,
    wire::{Compression, DecimalForm},
};

/// What a path names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Resource {
    /// `/projects/p[/schemas/s]/tables/t[/…]`
    Table(TableVerb),
    /// `/projects/p/instances/i`
    Instance(String),
}

/// The part of a path after the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TableVerb {
    Data,
    Streams,
    Upserts,
    Preview,
}

/// A request for the tunnel.
#[derive(Debug)]
pub(super) struct TunnelRequest {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) project: String,
    /// Empty for the default schema.
    pub(super) schema: String,
    /// Empty for instances.
    pub(super) table: String,
    pub(super) resource: Resource,
    pub(super) query: Query,
    pub(super) headers: HeaderMap,
    /// The server's address as this client knows it, for slots.
    pub(super) server: String,
}

impl TunnelRequest {
    /// Takes a request apart; the body comes on its own, since it goes its own way.
    pub(super) fn parse(request: Request, addr: SocketAddr) -> Result<(Self, Body), ApiError> {
        let (parts, body) = request.into_parts();
        let path = parts.uri.path().to_owned();
        let invalid = || {
            let message = format!(
                "{path} is no resource of the tunnel: /projects/PROJECT[/schemas/SCHEMA]/tables/TABLE[/streams|/upserts|/preview] or /projects/PROJECT/instances/ID"
            );
            ApiError::bad_request("InvalidURI", message)
        };
        let words: Vec<String> = path
            .split('/')
            .filter(|word| !word.is_empty())
            .map(|word| {
                percent_decode_str(word)
                    .decode_utf8()
                    .map(|word| word.into_owned())
            })
            .collect::<Result<_, _>>()
            .map_err(|_| invalid())?;
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        // Any base path may stand in front.
        let start = words
            .iter()
            .position(|word| *word == "projects")
            .ok_or_else(invalid)?;
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let verb = |tail: &[&str]| match tail {
            [] => Some(TableVerb::Data),
            ["streams"] => Some(TableVerb::Streams),
            ["upserts"] => Some(TableVerb::Upserts),
            ["preview"] => Some(TableVerb::Preview),
            _ => None,
        };
        let (project, schema, table, resource) = match words.get(start..).unwrap_or_default() {
            [
                "projects",
                project,
                "schemas",
                schema,
                "tables",
                table,
                tail @ ..,
            ] => (
                *project,
                *schema,
                *table,
                Resource::Table(verb(tail).ok_or_else(invalid)?),
            ),
            ["projects", project, "tables", table, tail @ ..] => {
                let schema = query.get("curr_schema").unwrap_or_default();
                (
                    *project,
                    schema,
                    *table,
                    Resource::Table(verb(tail).ok_or_else(invalid)?),
                )
            }
            ["projects", project, "instances", instance] => {
                (*project, "", "", Resource::Instance((*instance).to_owned()))
            }
            _ => return Err(invalid()),
        };
        let host = parts
            .headers
            .get(header::HOST)
            .and_then(|host| host.to_str().ok())
            .unwrap_or_default();
        let server = match host.rsplit_once(':') {
            Some((_, port)) if port.parse::<u16>().is_ok() => host.to_owned(),
            _ if host.is_empty() => addr.to_string(),
            _ => format!("{host}:{}", addr.port()),
        };
        let (project, schema, table) = (project.to_owned(), schema.to_owned(), table.to_owned());
        let method = parts.method;
        let request = Self {
            method,
            project,
            schema,
            table,
            resource,
            query,
            headers: parts.headers,
            server,
            path,
        };
        Ok((request, body))
    }

    /// A header as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// Tunnel protocol version of the client.
    pub(super) fn version(&self) -> u32 {
        self.header("x-odps-tunnel-version")
            .and_then(|text| text.parse().ok())
            .unwrap_or(6)
    }

    /// How the client carries DECIMAL without precision in Arrow streams: Python gives it 54 digits,
    /// which take 256 bits, the others at most 38 in 128 bits.
    pub(super) fn decimals(&self) -> DecimalForm {
        let agent = self.header("user-agent").unwrap_or_default();
        if agent.to_ascii_lowercase().contains("pyodps") {
            DecimalForm::Wide
        } else {
            DecimalForm::Narrow
        }
    }

    /// Set when the body is an Arrow stream.
    pub(super) fn arrow(&self) -> Option<DecimalForm> {
        self.query.has("arrow").then(|| self.decimals())
    }

    /// How the body is compressed.
    pub(super) fn content_encoding(&self) -> Result<Option<Compression>, ApiError> {
        let name = self.header("content-encoding").unwrap_or_default();
        Compression::of_content(name).ok_or_else(|| {
            let message = format!(
                "Content-Encoding `{name}` is none of deflate, zstd, x-snappy-framed, x-lz4-frame, x-odps-lz4-frame"
            );
            ApiError::bad_request("MalformedHeaderValue", message)
        })
    }

    /// How the client wants the answer compressed.
    pub(super) fn accept_encoding(&self) -> Option<Compression> {
        self.header("accept-encoding")
            .and_then(Compression::of_accept)
    }

    /// The partition named in the query, checked against the table; a partitioned table needs one.
    pub(super) fn partition(&self, table: &TableMeta) -> Result<Option<PartitionSpec>, ApiError> {
        match self.query.get("partition").filter(|text| !text.is_empty()) {
            Some(text) => Ok(Some(PartitionSpec::resolve(table, text)?)),
            None if table.is_partitioned() => {
                let message = format!(
                    "table {} is partitioned: name a partition",
                    table.full_name()
                );
                Err(ApiError::bad_request("MissingPartitionSpec", message))
            }
            None => Ok(None),
        }
    }
}

/// The parameters of a query, decoded, in the order given.
#[derive(Debug, Default, Clone)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    fn parse(text: &str) -> Self {
        let decode = |text: &str| {
            percent_decode_str(&text.replace('+', " "))
                .decode_utf8_lossy()
                .into_owned()
        };
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(name), decode(value))
        });
        Self(pairs.collect())
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(given, _)| given == name)
            .map(|(_, value)| value.as_str())
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// A switch: present without a value, or `true`.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.is_empty() || value.eq_ignore_ascii_case("true"))
    }

    /// A number, or an error that names the parameter.
    pub(super) fn number<T: FromStr>(&self, name: &str) -> Result<Option<T>, ApiError> {
        match self.get(name).filter(|text| !text.is_empty()) {
            None => Ok(None),
            Some(text) => text.parse().map(Some).map_err(|_| {
                ApiError::bad_request(
                    "InvalidArgument",
                    format!("parameter {name}=`{text}` is not a number in range"),
                )
            }),
        }
    }

    /// As [`number`](Self::number), and it must be there.
    pub(super) fn required<T: FromStr>(&self, name: &str) -> Result<T, ApiError> {
        self.number(name)?.ok_or_else(|| {
            ApiError::bad_request("InvalidArgument", format!("parameter {name} is missing"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, uri: &str) -> Result<TunnelRequest, ApiError> {
        let request = Request::builder()
            .method(method)
            .uri(uri)
            .header("host", "h")
            .body(Body::empty())
            .unwrap();
        TunnelRequest::parse(request, "127.0.0.1:7".parse().unwrap()).map(|(request, _)| request)
    }

    #[test]
    fn paths_with_and_without_schema() {
        let request = parse(
            "PUT",
            "/projects/p/schemas/s/tables/t/upserts?upsertid=u&partition=pt%3Da%2Bb+c",
        )
        .unwrap();
        assert_eq!(
            (
                request.project.as_str(),
                request.schema.as_str(),
                request.table.as_str()
            ),
            ("p", "s", "t")
        );
        assert_eq!(request.resource, Resource::Table(TableVerb::Upserts));
        assert_eq!(request.query.get("partition"), Some("pt=a+b c"));
        assert_eq!(request.server, "h:7");
        let request = parse("GET", "/base/projects/p/tables/t?data&downloadid=1").unwrap();
        assert_eq!(request.resource, Resource::Table(TableVerb::Data));
        assert!(request.query.flag("data") && !request.query.flag("arrow"));
        assert_eq!(
            parse("GET", "/projects/p/nothing").unwrap_err().code,
            "InvalidURI"
        );
    }
}

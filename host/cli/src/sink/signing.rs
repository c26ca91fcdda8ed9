//! What the sink may have signed: requests about tables of the projects that the definition names,
//! and nothing else. A component brought with `--component` holds no key, but whatever it got
//! signed it could send, so every text is read before it is signed.

use std::sync::Arc;

use longshore_pipeline::route::RouteRule;
use longshore_runtime::{
    Algorithm, Credential, CredentialSource, Credentials, SigningPolicy, SigningRequest,
};

/// Name of the sink's only credential.
const CREDENTIAL: &str = "default";
/// The only service that keys are derived for.
const PRODUCT: &str = "odps";
/// Lines before the headers: method, MD5 of the body, its type, date.
const FIXED_LINES: usize = 4;

/// The sink's credential, which signs requests about `project` and the projects that `sink-table` of
/// a route names; with a region, by keys derived for it. `source` renews it.
pub(super) fn credentials(
    credential: Credential,
    source: Option<Arc<dyn CredentialSource>>,
    project: &str,
    region: Option<&str>,
    routes: &[RouteRule],
) -> Credentials {
    let mut projects = vec![Name::exactly(project.trim())];
    projects.extend(routes.iter().filter_map(project_of_route));
    let scope = Scope {
        projects,
        region: region.map(|region| region.trim().to_owned()),
    };
    let credentials = match source {
        Some(source) => Credentials::new().with_source(CREDENTIAL, credential, source),
        None => Credentials::new().with(CREDENTIAL, credential),
    };
    credentials.with_policy(scope)
}

/// What may be signed.
#[derive(Debug)]
struct Scope {
    projects: Vec<Name>,
    region: Option<String>,
}

impl Scope {
    fn check_algorithm(&self, request: &SigningRequest<'_>) -> Result<(), String> {
        match request.algorithm {
            Algorithm::HmacSha1 => Ok(()),
            Algorithm::AliyunV4 => {
                let mut parts = request.scope.split('/').skip(1);
                let (region, product) = (parts.next(), parts.next());
                if product != Some(PRODUCT) || region != self.region.as_deref() {
                    return Err(format!(
                        "the key would be derived for {:?}, not for {PRODUCT} and the sink's `region`",
                        request.scope
                    ));
                }
                Ok(())
            }
            Algorithm::HmacSha256 => {
                Err("requests to MaxCompute are not signed with HMAC-SHA256".into())
            }
        }
    }

    fn check_request(&self, request: &Canonical<'_>) -> Result<(), String> {
        let refuse = |why: &str| {
            Err(format!(
                "{} {}: {why}",
                request.method.escape_debug(),
                request.path.escape_debug()
            ))
        };
        let Some(rest) = request.path.strip_prefix("/projects/") else {
            return refuse("it is not about a project");
        };
        let mut segments = rest.split('/');
        let project = segments.next().unwrap_or_default();
        let resource: Vec<&str> = segments.collect();
        if resource.iter().any(|part| matches!(*part, "" | "." | "..")) {
            return refuse("the path does not name one resource");
        }
        if !self.projects.iter().any(|name| name.is(project)) {
            return refuse(
                "the project is neither the sink's `project` nor that of a `sink-table` in `route`",
            );
        }
        if is_use_of_sink(request.method, &resource) {
            Ok(())
        } else {
            refuse("writing to tables needs no such request")
        }
    }
}

impl SigningPolicy for Scope {
    fn check(&self, request: &SigningRequest<'_>) -> Result<(), String> {
        if request.credential != CREDENTIAL {
            return Err(format!("`{}` is not for the sink", request.credential));
        }
        self.check_algorithm(request)?;
        let canonical = Canonical::read(request.payload)
            .ok_or("the text to sign is not that of a request to MaxCompute")?;
        self.check_request(&canonical)
    }
}

/// What a sink does: look up and create schemas and tables, run SQL, write through the tunnel.
fn is_use_of_sink(method: &str, resource: &[&str]) -> bool {
    let table = match resource {
        ["schemas", _, table @ ..] if table.first() == Some(&"tables") => table,
        other => other,
    };
    match table {
        // The project itself, its tunnel's address, a schema, a statement under way.
        [] | ["tunnel"] | ["schemas", _] | ["instances", _] => method == "GET",
        ["schemas"] | ["instances"] => method == "POST",
        // The table, and its upload sessions, which are told by the query.
        ["tables", _] => matches!(method, "GET" | "POST" | "PUT"),
        ["tables", _, "streams"] => matches!(method, "GET" | "POST" | "PUT"),
        ["tables", _, "upserts"] => matches!(method, "GET" | "POST" | "PUT" | "DELETE"),
        _ => false,
    }
}

/// The parts of a text to sign that matter here.
struct Canonical<'a> {
    method: &'a str,
    /// Not percent-encoded, without the query.
    path: &'a str,
}

impl<'a> Canonical<'a> {
    /// Method, three lines, lines of `x-odps-` headers, then path and query on a single line. A
    /// query can hold a line break, which would make one text stand for two requests; none of the
    /// sink's does, so none is accepted.
    fn read(payload: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(payload).ok()?;
        if text.chars().any(|c| c.is_control() && c != '\n') {
            return None;
        }
        let (head, resource) = text.rsplit_once('\n')?;
        let mut lines = head.split('\n');
        let method = lines.next()?;
        if lines.by_ref().take(FIXED_LINES - 1).count() < FIXED_LINES - 1 {
            return None;
        }
        let headers = lines.all(|line| line.starts_with("x-odps-") && line.contains(':'));
        let path = resource.split('?').next()?;
        (headers && path.starts_with('/')).then_some(Self { method, path })
    }
}

/// The name of a project, parts of which may come from the name of a source table.
#[derive(Debug)]
struct Name {
    /// Fixed pieces; anything may stand between two of them.
    pieces: Vec<String>,
}

impl Name {
    fn exactly(name: &str) -> Self {
        Self {
            pieces: vec![name.to_ascii_lowercase()],
        }
    }

    /// Names of projects differ by more than letter case.
    fn is(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        let Some((first, others)) = self.pieces.split_first() else {
            return false;
        };
        let Some(mut rest) = name.strip_prefix(first.as_str()) else {
            return false;
        };
        let Some((last, middle)) = others.split_last() else {
            return rest.is_empty() && !name.is_empty();
        };
        for piece in middle {
            let Some((_, behind)) = rest.split_once(piece.as_str()) else {
                return false;
            };
            rest = behind;
        }
        rest.ends_with(last.as_str()) && !name.is_empty()
    }
}

/// The project that `sink-table` names where it has three levels.
fn project_of_route(rule: &RouteRule) -> Option<Name> {
    if rule.sink_table.matches('.').count() < 2 {
        return None;
    }
    let (project, _) = rule.sink_table.split_once('.')?;
    let project = project.trim().to_ascii_lowercase();
    let pieces = match &rule.replace_symbol {
        Some(symbol) => project
            .split(symbol.to_ascii_lowercase().as_str())
            .map(str::to_owned)
            .collect(),
        None => around_groups(&project),
    };
    Some(Name { pieces })
}

/// What stands around `$1`, `$2`, …; a dollar that no digit follows stands for itself.
fn around_groups(text: &str) -> Vec<String> {
    let mut parts = text.split('$');
    let mut pieces = vec![parts.next().unwrap_or_default().to_owned()];
    for part in parts {
        let rest = part.trim_start_matches(|c: char| c.is_ascii_digit());
        if rest.len() < part.len() {
            pieces.push(rest.to_owned());
        } else if let Some(piece) = pieces.last_mut() {
            piece.push('$');
            piece.push_str(part);
        }
    }
    pieces
}

#[cfg(test)]
mod tests {
    use longshore_runtime::{Signer, SignerError};

    use super::*;

    fn signer(region: Option<&str>, routes: &[(&str, &str, Option<&str>)]) -> Credentials {
        let routes: Vec<RouteRule> = routes
            .iter()
            .map(|(source, sink, symbol)| RouteRule::new(source, sink, *symbol).unwrap())
            .collect();
        let key = || Credential::new("id", "key".to_owned());
        credentials(key(), None, "Shop", region, &routes).with("other", key())
    }

    fn text(method: &str, resource: &str) -> String {
        format!(
            "{method}\n\napplication/xml\nSat, 21 Nov 2026 15:00:00 GMT\n\
             x-odps-tunnel-version:6\nx-odps-user-agent:longshore/0.1\n{resource}"
        )
    }

    fn sign(signer: &Credentials, payload: &str) -> Result<Vec<u8>, String> {
        let credential = signer.open(CREDENTIAL).unwrap();
        match credential.sign(Algorithm::HmacSha1, "", payload.as_bytes()) {
            Err(SignerError::Denied(why)) => Err(why),
            signed => Ok(signed.unwrap()),
        }
    }

    #[test]
    fn what_the_sink_does_is_signed() {
        let signer = signer(None, &[]);
        for (method, resource) in [
            ("GET", "/projects/shop?curr_project=shop"),
            ("GET", "/projects/SHOP/tunnel?curr_project=SHOP&service"),
            ("GET", "/projects/shop/tables/订单?extended"),
            ("GET", "/projects/shop/schemas/s"),
            ("POST", "/projects/shop/schemas"),
            ("POST", "/projects/shop/instances?curr_schema=s"),
            ("GET", "/projects/shop/instances/20261121x?taskstatus"),
            ("POST", "/projects/shop/tables/t?partition=pt=a,b=c&uploads"),
            ("PUT", "/projects/shop/tables/t?blockid=1&uploadid=u"),
            ("POST", "/projects/shop/schemas/s/tables/t?uploads"),
            ("POST", "/projects/shop/schemas/s/tables/t/upserts"),
            ("DELETE", "/projects/shop/tables/t/upserts?upsertid=u"),
            ("POST", "/projects/shop/tables/t/streams?create_partition"),
            ("PUT", "/projects/shop/tables/t/streams?slotid=0&uploadid=u"),
        ] {
            let signed = sign(&signer, &text(method, resource));
            assert_eq!(signed.map(|mac| mac.len()), Ok(20), "{method} {resource}");
        }
    }

    #[test]
    fn nothing_else_is_signed() {
        let signer = signer(None, &[("a\\.*", "dw.ods.orders", None)]);
        for (method, resource, why) in [
            ("GET", "/projects/other/tables/t", "neither the sink's"),
            ("GET", "/projects/shopping", "neither the sink's"),
            ("GET", "/projects//tables/t", "neither the sink's"),
            ("GET", "/projects/ods/tables/t", "neither the sink's"),
            ("GET", "/projects", "not about a project"),
            ("GET", "/bucket/object", "not about a project"),
            ("GET", "/projects/shop/../other", "one resource"),
            ("GET", "/projects/shop/tables//t", "one resource"),
            ("DELETE", "/projects/shop/tables/t", "no such request"),
            ("PUT", "/projects/shop", "no such request"),
            ("GET", "/projects/shop/users", "no such request"),
            ("PUT", "/projects/shop/instances/i", "no such request"),
            ("HEAD", "/projects/shop", "no such request"),
            ("get", "/projects/shop", "no such request"),
        ] {
            let denied = sign(&signer, &text(method, resource)).unwrap_err();
            assert!(denied.contains(why), "{method} {resource}: {denied}");
        }
    }

    #[test]
    fn a_text_that_can_be_read_in_two_ways_is_not_signed() {
        let signer = signer(None, &[]);
        for payload in [
            "",
            "a text",
            "GET\n\n\n/projects/shop",
            "GET\n\n\ndate\nprojects/shop",
            // Object storage's headers.
            "GET\n\n\ndate\nx-oss-date:1\n/projects/shop",
            // A parameter `x-odps-a` of another project's resource counts as a header.
            "GET\n\n\ndate\nx-odps-a:1\n/projects/shop?b\n/projects/other?x-odps-a=1\n/projects/shop?b",
            "GET\n\n\ndate\nx-odps-a:1\n/projects/other?x-odps-a=1\n/projects/shop",
            "GET\n\n\ndate\n/projects/shop\r",
            "GET\n\n\ndate\n/projects/shop\n",
        ] {
            let denied = sign(&signer, payload).unwrap_err();
            assert!(
                denied.contains("not that of a request"),
                "{payload}: {denied}"
            );
        }
    }

    #[test]
    fn projects_named_by_routes_are_allowed() {
        let signer = signer(
            None,
            &[
                ("a\\.*", "DW.ods.orders", None),
                ("(\\.*)_(\\.*)", "p_$1_x$2.s.t", None),
                ("b\\.*", "team<>.s.<>", Some("<>")),
                ("c", "schema_only.c", None),
            ],
        );
        for (project, allowed) in [
            ("dw", true),
            ("p_eu_x7", true),
            ("p_x", false),
            ("team_a", true),
            ("a_team", false),
            ("schema_only", false),
            ("shop", true),
        ] {
            let signed = sign(&signer, &text("GET", &format!("/projects/{project}")));
            assert_eq!(signed.is_ok(), allowed, "{project}: {signed:?}");
        }
    }

    #[test]
    fn keys_are_derived_for_this_service_only_and_algorithms_are_its_own() {
        let payload = text("GET", "/projects/shop");
        let sign = |name: &str, region: Option<&str>, algorithm, scope: &str| {
            let credential = signer(region, &[]).open(name).unwrap();
            credential
                .sign(algorithm, scope, payload.as_bytes())
                .is_ok()
        };
        let region = Some("cn-hangzhou");
        let v4 = Algorithm::AliyunV4;
        assert!(sign(CREDENTIAL, region, v4, "20261121/cn-hangzhou/odps"));
        assert!(!sign(CREDENTIAL, region, v4, "20261121/cn-hangzhou/oss"));
        assert!(!sign(CREDENTIAL, region, v4, "20261121/cn-beijing/odps"));
        assert!(!sign(CREDENTIAL, None, v4, "20261121/cn-hangzhou/odps"));
        assert!(sign(CREDENTIAL, None, Algorithm::HmacSha1, ""));
        assert!(!sign(CREDENTIAL, None, Algorithm::HmacSha256, ""));
        assert!(!sign("other", None, Algorithm::HmacSha1, ""));
    }
}

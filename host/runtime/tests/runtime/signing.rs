//! Signatures: the golden vectors, what reaches a guest, and what must not.

use crate::support::{report, trusted, writer};
use base64::Engine as _;
use longshore_runtime::{
    Algorithm, Credential, CredentialSource, Credentials, InstanceConfig, Sensitive, Signer,
    SignerError, SigningCredential, SigningRequest,
};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, SystemTime};

const KEY: &str = "Ck5-never-in-linear-memory-9Qz";

fn credentials() -> Credentials {
    Credentials::new().with(
        "default",
        Credential::new("the-access-id", KEY.to_owned())
            .with_header("session-token", "token-1".to_owned()),
    )
}

fn config(credentials: Credentials) -> InstanceConfig {
    InstanceConfig {
        signer: Arc::new(credentials),
        ..InstanceConfig::default()
    }
}

#[test]
fn the_golden_vectors_come_out() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/auth-vectors.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut derived = 0;
    let mut plain = 0;
    for vector in vectors["vectors"].as_array().unwrap() {
        let text = |name: &str| vector[name].as_str().unwrap_or_default();
        if text("authorization").is_empty() || text("canonical_string").is_empty() {
            continue;
        }
        let signer = Credentials::new().with(
            "default",
            Credential::new(text("access_id"), text("secret").to_owned()),
        );
        let (algorithm, scope) = if text("v4_date").is_empty() {
            plain += 1;
            (Algorithm::HmacSha1, String::new())
        } else {
            derived += 1;
            (
                Algorithm::AliyunV4,
                format!("{}/{}/odps", text("v4_date"), text("region")),
            )
        };
        let mac = signer
            .open("default")
            .unwrap()
            .sign(algorithm, &scope, text("canonical_string").as_bytes())
            .unwrap();
        let mac = base64::engine::general_purpose::STANDARD.encode(mac);
        let expected = text("authorization").rsplit_once(':').unwrap().1;
        assert_eq!(mac, expected, "{}", text("name"));
    }
    assert!(
        plain >= 8 && derived >= 2,
        "{plain} plain and {derived} derived vectors"
    );
}

#[tokio::test]
async fn a_guest_gets_signature_id_and_headers_but_not_the_key() {
    let keys = credentials();
    let options = [
        ("behaviour", "sign"),
        ("credential", "default"),
        ("payload", "text"),
    ];
    let mut sink = writer(&trusted(), config(keys.clone()), options).await;
    let mac = keys
        .open("default")
        .unwrap()
        .sign(Algorithm::HmacSha1, "", b"text")
        .unwrap();
    let mac: String = mac.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        report(&mut sink).await,
        format!("the-access-id {mac} [(\"session-token\", \"token-1\")]")
    );
}

fn flipped(text: &str) -> String {
    text.bytes().map(|byte| format!("{:02x}", !byte)).collect()
}

#[tokio::test]
async fn the_key_is_nowhere_in_the_guests_memory() {
    let found = async |pattern: &str| {
        let mut sink = trusted().instantiate(config(credentials())).await.unwrap();
        let sign = [
            ("behaviour", "sign"),
            ("credential", "default"),
            ("payload", "text"),
        ];
        sink.open_writer(&crate::support::options(sign), 0, 1, None)
            .await
            .unwrap();
        report(&mut sink).await;
        sink.close().await.unwrap();
        // The same memory, after signing; freed memory is not wiped by the guest.
        let scan = flipped(pattern);
        let scan = [("behaviour", "scan"), ("pattern", scan.as_str())];
        sink.open_writer(&crate::support::options(scan), 0, 1, None)
            .await
            .unwrap();
        let report = report(&mut sink).await;
        report.split_once(' ').unwrap().0.parse::<usize>().unwrap()
    };
    assert_eq!(found(KEY).await, 0);
    assert_eq!(found(KEY.split_at(12).0).await, 0);
    assert!(found("access-id").await > 0, "the scan finds what is there");
}

#[tokio::test]
async fn what_cannot_be_signed_is_refused_with_the_reason() {
    let unknown = [("behaviour", "sign"), ("credential", "other")];
    let mut sink = writer(&trusted(), config(credentials()), unknown).await;
    assert_eq!(report(&mut sink).await, "SignerError::UnknownCredential");

    let policy = |request: &SigningRequest<'_>| {
        if request.payload.starts_with(b"DELETE") {
            Err(format!("{} may not sign a DELETE", request.credential))
        } else {
            Ok(())
        }
    };
    let guarded = credentials().with_policy(policy);
    let delete = [
        ("behaviour", "sign"),
        ("credential", "default"),
        ("payload", "DELETE\n"),
    ];
    let mut sink = writer(&trusted(), config(guarded), delete).await;
    assert_eq!(
        report(&mut sink).await,
        "SignerError::Denied(\"default may not sign a DELETE\")"
    );

    let scope = [
        ("behaviour", "sign"),
        ("credential", "default"),
        ("algorithm", "aliyun-v4"),
        ("scope", "20240615/cn-hangzhou"),
    ];
    let mut sink = writer(&trusted(), config(credentials()), scope).await;
    let denied = report(&mut sink).await;
    assert!(denied.contains("<yyyyMMdd>/<region>/<product>"), "{denied}");
}

#[test]
fn refreshed_and_expired_credentials_reach_open_handles() {
    let keys = credentials();
    let open = keys.open("default").unwrap();
    let before = open.sign(Algorithm::HmacSha256, "", b"x").unwrap();
    keys.replace("default", Credential::new("second-id", "other".to_owned()));
    assert_ne!(open.sign(Algorithm::HmacSha256, "", b"x").unwrap(), before);
    assert_eq!(open.id(), "second-id");
    let past = SystemTime::now() - Duration::from_secs(1);
    keys.replace(
        "default",
        Credential::new("third-id", "old".to_owned()).expiring_at(past),
    );
    assert_eq!(
        open.sign(Algorithm::HmacSha256, "", b"x"),
        Err(SignerError::Expired)
    );
}

/// A source that numbers what it hands out, and fails when it is told to.
struct Numbered {
    asked: AtomicU32,
    fails: AtomicBool,
    life: Duration,
}

impl Numbered {
    fn living(life: Duration) -> Arc<Self> {
        Arc::new(Self {
            asked: AtomicU32::new(0),
            fails: AtomicBool::new(false),
            life,
        })
    }

    fn next(&self) -> Credential {
        let number = self.asked.fetch_add(1, Ordering::Relaxed);
        Credential::new(format!("id-{number}"), "key".to_owned())
            .expiring_at(SystemTime::now() + self.life)
    }
}

#[async_trait::async_trait]
impl CredentialSource for Numbered {
    async fn fetch(&self) -> Result<Credential, String> {
        if self.fails.load(Ordering::Relaxed) {
            return Err("the vault is sealed".into());
        }
        Ok(self.next())
    }
}

fn renewed_by(source: &Arc<Numbered>) -> Arc<dyn SigningCredential> {
    let first = source.next();
    let source: Arc<dyn CredentialSource> = Arc::clone(source) as _;
    Credentials::new()
        .with_source("default", first, source)
        .open("default")
        .unwrap()
}

#[tokio::test]
async fn a_credential_is_renewed_when_it_is_refused_and_once_for_all() {
    let source = Numbered::living(Duration::from_secs(3600));
    let handle = renewed_by(&source);
    handle.renew(false).await;
    assert_eq!(handle.id(), "id-0", "it is good for an hour");
    tokio::join!(handle.renew(true), handle.renew(true));
    assert_eq!(handle.id(), "id-1");
    handle.renew(true).await;
    assert_eq!(handle.id(), "id-1", "a late refusal of the old one");
}

#[tokio::test]
async fn a_credential_is_renewed_before_it_expires() {
    let source = Numbered::living(Duration::ZERO);
    let handle = renewed_by(&source);
    assert_eq!(
        handle.sign(Algorithm::HmacSha1, "", b"x"),
        Err(SignerError::Expired)
    );
    handle.renew(false).await;
    assert_eq!(handle.id(), "id-1");
    source.fails.store(true, Ordering::Relaxed);
    handle.renew(false).await;
    assert_eq!(
        handle.sign(Algorithm::HmacSha1, "", b"x"),
        Err(SignerError::Unavailable("the vault is sealed".into()))
    );
    source.fails.store(false, Ordering::Relaxed);
    handle.renew(false).await;
    assert_eq!(handle.id(), "id-1", "a source that failed has a rest");
}

#[test]
fn secrets_do_not_print() {
    let credential = Credential::new("id", KEY.to_owned()).with_header("t", "token-1".to_owned());
    let keys = Credentials::new().with("default", credential.clone());
    let printed = format!(
        "{credential:?} {keys:?} {:?}",
        Sensitive::new(KEY.to_owned())
    );
    assert!(
        !printed.contains(KEY) && !printed.contains("token-1"),
        "{printed}"
    );
}

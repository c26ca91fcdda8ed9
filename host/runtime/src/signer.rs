//! Signatures for components: the [`Signer`] interface and [`Credentials`], the signer that keeps
//! its keys in memory.
//!
//! A component names a credential and hands over the text to sign; it gets back the MAC and never
//! the key. A [`SigningPolicy`] sees every text before it is signed. A credential with a
//! [`CredentialSource`] is renewed before it expires and after the service has refused it.

mod renewal;

pub use renewal::CredentialSource;

use crate::sensitive::Sensitive;
use async_trait::async_trait;
use hmac::{Hmac, KeyInit, Mac};
use sha1::Sha1;
use sha2::Sha256;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;
use zeroize::Zeroizing;

use renewal::Renewal;

/// How to sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// HMAC-SHA1 with the key itself.
    HmacSha1,
    /// HMAC-SHA256 with the key itself.
    HmacSha256,
    /// HMAC-SHA1 with a key derived by the HMAC-SHA256 chain `aliyun_v4` + key, date, region,
    /// product, `aliyun_v4_request`; the scope is `<yyyyMMdd>/<region>/<product>`.
    AliyunV4,
}

/// Why nothing was signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SignerError {
    /// The host has no credential of that name.
    #[error("there is no credential of that name")]
    UnknownCredential,
    /// The host's policy forbids signing this, or the request makes no sense.
    #[error("signing was denied: {0}")]
    Denied(String),
    /// The credential has expired and could not be refreshed.
    #[error("the credential has expired")]
    Expired,
    /// The host's credential source does not answer.
    #[error("the source of credentials does not answer: {0}")]
    Unavailable(String),
}

/// Where a component's signatures come from. Calls must not block for long.
pub trait Signer: Send + Sync + 'static {
    /// Looks a credential up by its name in the host's configuration.
    fn open(&self, name: &str) -> Result<Arc<dyn SigningCredential>, SignerError>;
}

/// One credential a component has opened. It stays usable across refreshes.
#[async_trait]
pub trait SigningCredential: Send + Sync + 'static {
    /// Called before headers are handed out. `refused` = since the last call the service has
    /// answered a request of this instance with 401. Whatever renews the credential happens here;
    /// by default nothing does.
    async fn renew(&self, refused: bool) {
        let _ = refused;
    }

    /// Public part, for example the access-key id.
    fn id(&self) -> String;

    /// Headers to send as they are, for example a session token. They reach the component.
    fn headers(&self) -> Vec<(String, String)>;

    /// The MAC of `payload`. `scope` is for derived keys, empty otherwise.
    fn sign(
        &self,
        algorithm: Algorithm,
        scope: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, SignerError>;
}

/// What a component wants signed.
#[derive(Clone, Copy)]
pub struct SigningRequest<'a> {
    /// Name of the credential.
    pub credential: &'a str,
    /// How it is to be signed.
    pub algorithm: Algorithm,
    /// Scope of a derived key, empty otherwise.
    pub scope: &'a str,
    /// The text to sign.
    pub payload: &'a [u8],
}

/// Decides what may be signed, so that a component can not use the host to sign requests it has no
/// business with. Closures of the same shape implement it.
pub trait SigningPolicy: Send + Sync + 'static {
    /// An error refuses the signature; its text reaches the component.
    fn check(&self, request: &SigningRequest<'_>) -> Result<(), String>;
}

impl<F> SigningPolicy for F
where
    F: Fn(&SigningRequest<'_>) -> Result<(), String> + Send + Sync + 'static,
{
    fn check(&self, request: &SigningRequest<'_>) -> Result<(), String> {
        self(request)
    }
}

/// One key with what belongs to it.
#[derive(Clone, Debug)]
pub struct Credential {
    id: String,
    key: Sensitive<String>,
    headers: Vec<(String, Sensitive<String>)>,
    expires_at: Option<SystemTime>,
    renew_at: Option<SystemTime>,
}

impl Credential {
    /// A key that does not expire. `id` is its public part.
    pub fn new(id: impl Into<String>, key: impl Into<Sensitive<String>>) -> Self {
        Self {
            id: id.into(),
            key: key.into(),
            headers: Vec::new(),
            expires_at: None,
            renew_at: None,
        }
    }

    /// Adds a header that every request with this credential carries, for example a session token.
    #[must_use]
    pub fn with_header(
        mut self,
        name: impl Into<String>,
        value: impl Into<Sensitive<String>>,
    ) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// From this time on the credential signs nothing.
    #[must_use]
    pub fn expiring_at(mut self, time: SystemTime) -> Self {
        self.expires_at = Some(time);
        self
    }

    /// From this time on its source is asked again, although it has not expired.
    #[must_use]
    pub fn renewed_at(mut self, time: SystemTime) -> Self {
        self.renew_at = Some(time);
        self
    }

    fn has_expired(&self) -> bool {
        self.expires_at
            .is_some_and(|time| time <= SystemTime::now())
    }

    fn mac(
        &self,
        algorithm: Algorithm,
        scope: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, SignerError> {
        let key = self.key.expose().as_bytes();
        match algorithm {
            Algorithm::HmacSha1 | Algorithm::HmacSha256 if !scope.is_empty() => {
                Err(SignerError::Denied(format!(
                    "a scope ({scope:?}) was given to an algorithm that derives no key"
                )))
            }
            Algorithm::HmacSha1 => mac::<Hmac<Sha1>>(key, payload),
            Algorithm::HmacSha256 => mac::<Hmac<Sha256>>(key, payload),
            Algorithm::AliyunV4 => mac::<Hmac<Sha1>>(&derive_aliyun_v4(key, scope)?, payload),
        }
    }
}

fn mac<M: Mac + KeyInit>(key: &[u8], payload: &[u8]) -> Result<Vec<u8>, SignerError> {
    // HMAC takes keys of any length; the error exists for other MACs behind the same trait.
    let mut mac = M::new_from_slice(key)
        .map_err(|_| SignerError::Unavailable("the key does not fit the algorithm".into()))?;
    mac.update(payload);
    Ok(mac.finalize().into_bytes().to_vec())
}

fn derive_aliyun_v4(key: &[u8], scope: &str) -> Result<Zeroizing<Vec<u8>>, SignerError> {
    let mut parts = scope.split('/');
    let (Some(date), Some(region), Some(product), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(bad_scope(scope));
    };
    let is_date = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
    if !is_date || region.is_empty() || product.is_empty() {
        return Err(bad_scope(scope));
    }
    let mut derived = Zeroizing::new(b"aliyun_v4".to_vec());
    derived.extend_from_slice(key);
    for part in [date, region, product, "aliyun_v4_request"] {
        derived = Zeroizing::new(mac::<Hmac<Sha256>>(&derived, part.as_bytes())?);
    }
    Ok(derived)
}

fn bad_scope(scope: &str) -> SignerError {
    SignerError::Denied(format!(
        "the scope {scope:?} is not of the form <yyyyMMdd>/<region>/<product>"
    ))
}

/// A [`Signer`] that keeps keys in memory, by name. Clones share the same keys.
///
/// ```
/// use longshore_runtime::{Algorithm, Credential, Credentials, Signer};
///
/// let credentials = Credentials::new()
///     .with("default", Credential::new("my-access-id", String::from("my-secret-key")));
/// let mac = credentials.open("default")?.sign(Algorithm::HmacSha1, "", b"text")?;
/// assert_eq!(mac.len(), 20);
/// # Ok::<(), longshore_runtime::SignerError>(())
/// ```
#[derive(Clone, Default)]
pub struct Credentials {
    keys: Arc<RwLock<HashMap<String, Held>>>,
    policy: Option<Arc<dyn SigningPolicy>>,
}

/// A credential and where the next one comes from.
#[derive(Clone)]
struct Held {
    credential: Arc<Credential>,
    renewal: Option<Arc<Renewal>>,
}

impl Credentials {
    /// A signer without any key.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a credential under a name; `default` is the one components ask for unless configured otherwise.
    #[must_use]
    pub fn with(self, name: impl Into<String>, credential: Credential) -> Self {
        self.replace(name, credential);
        self
    }

    /// Adds a credential that its source renews: before it expires, when its time to be renewed has
    /// come, and after the service has refused it.
    #[must_use]
    pub fn with_source(
        self,
        name: impl Into<String>,
        credential: Credential,
        source: Arc<dyn CredentialSource>,
    ) -> Self {
        let renewal = Renewal::new(source, &credential);
        self.write().insert(
            name.into(),
            Held {
                credential: Arc::new(credential),
                renewal: Some(Arc::new(renewal)),
            },
        );
        self
    }

    /// Has every signature approved by a policy.
    #[must_use]
    pub fn with_policy(mut self, policy: impl SigningPolicy) -> Self {
        self.policy = Some(Arc::new(policy));
        self
    }

    /// Adds or refreshes a credential. Handles that components hold see the new one at once; a
    /// source it had stays.
    pub fn replace(&self, name: impl Into<String>, credential: Credential) {
        let credential = Arc::new(credential);
        self.write()
            .entry(name.into())
            .and_modify(|held| held.credential = Arc::clone(&credential))
            .or_insert(Held {
                credential,
                renewal: None,
            });
    }

    fn write(&self) -> std::sync::RwLockWriteGuard<'_, HashMap<String, Held>> {
        self.keys.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn current(&self, name: &str) -> Option<Held> {
        self.keys
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(name)
            .cloned()
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_struct("Credentials")
            .field("names", &keys.keys().collect::<Vec<_>>())
            .field("policy", &self.policy.is_some())
            .finish()
    }
}

impl Signer for Credentials {
    fn open(&self, name: &str) -> Result<Arc<dyn SigningCredential>, SignerError> {
        if self.current(name).is_none() {
            return Err(SignerError::UnknownCredential);
        }
        Ok(Arc::new(Opened {
            credentials: self.clone(),
            name: name.to_owned(),
        }))
    }
}

/// A credential looked up anew at each use, so that a refresh reaches handles already open.
struct Opened {
    credentials: Credentials,
    name: String,
}

#[async_trait]
impl SigningCredential for Opened {
    async fn renew(&self, refused: bool) {
        let held = self.credentials.current(&self.name);
        if let Some(renewal) = held.and_then(|held| held.renewal)
            && let Some(credential) = renewal.due(refused).await
        {
            self.credentials.replace(self.name.clone(), credential);
        }
    }

    fn id(&self) -> String {
        self.credentials
            .current(&self.name)
            .map(|held| held.credential.id.clone())
            .unwrap_or_default()
    }

    fn headers(&self) -> Vec<(String, String)> {
        let Some(held) = self.credentials.current(&self.name) else {
            return Vec::new();
        };
        held.credential
            .headers
            .iter()
            .map(|(name, value)| (name.clone(), value.expose().clone()))
            .collect()
    }

    fn sign(
        &self,
        algorithm: Algorithm,
        scope: &str,
        payload: &[u8],
    ) -> Result<Vec<u8>, SignerError> {
        let Held {
            credential,
            renewal,
        } = self
            .credentials
            .current(&self.name)
            .ok_or(SignerError::UnknownCredential)?;
        if credential.has_expired() {
            let failure = renewal.and_then(|renewal| renewal.failure());
            return Err(failure.map_or(SignerError::Expired, SignerError::Unavailable));
        }
        if let Some(policy) = &self.credentials.policy {
            policy
                .check(&SigningRequest {
                    credential: &self.name,
                    algorithm,
                    scope,
                    payload,
                })
                .map_err(SignerError::Denied)?;
        }
        credential.mac(algorithm, scope, payload)
    }
}

/// Refuses every name. For components that sign nothing, and for `describe`.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

impl Signer for NoCredentials {
    fn open(&self, _name: &str) -> Result<Arc<dyn SigningCredential>, SignerError> {
        Err(SignerError::UnknownCredential)
    }
}

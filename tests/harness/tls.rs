//! TLS in front of a server that speaks plain HTTP, as a gateway would do it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio_rustls::rustls::{ServerConfig, crypto};

/// A TLS listener that hands what it decrypts to a plain server; ends when dropped.
#[derive(Debug)]
pub struct TlsFront {
    _runtime: Runtime,
    authority: String,
    certificate_authority: PathBuf,
}

impl TlsFront {
    /// Listens on a free port for `localhost`, in front of `server` (`HOST:PORT`), with a certificate
    /// of an authority of its own, written to `directory`.
    ///
    /// # Errors
    /// When no port is free or the file can not be written.
    pub fn before(server: &str, directory: &Path) -> Result<Self> {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate()?)?;
        let key = KeyPair::generate()?;
        let certificate =
            CertificateParams::new(["localhost".to_owned()])?.signed_by(&key, &issuer)?;
        let certificate_authority = directory.join("ca.pem");
        std::fs::write(&certificate_authority, issuer.pem())?;

        let provider = Arc::new(crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der())),
            )?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        let listener = runtime.block_on(TcpListener::bind("localhost:0"))?;
        let port = listener.local_addr()?.port();
        runtime.spawn(serve(
            listener,
            TlsAcceptor::from(Arc::new(config)),
            server.to_owned(),
        ));
        Ok(Self {
            _runtime: runtime,
            authority: format!("localhost:{port}"),
            certificate_authority,
        })
    }

    /// `HOST:PORT` it listens on.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// The PEM file whoever shall trust this front needs.
    #[must_use]
    pub fn certificate_authority(&self) -> &Path {
        &self.certificate_authority
    }
}

async fn serve(listener: TcpListener, acceptor: TlsAcceptor, server: String) {
    while let Ok((client, _)) = listener.accept().await {
        let (acceptor, server) = (acceptor.clone(), server.clone());
        tokio::spawn(async move {
            // What breaks here, the client sees and the test asserts on.
            let _ = connect(client, acceptor, &server).await;
        });
    }
}

async fn connect(client: TcpStream, acceptor: TlsAcceptor, server: &str) -> Result<()> {
    let mut client = acceptor.accept(client).await.context("TLS handshake")?;
    let mut server = TcpStream::connect(server).await?;
    tokio::io::copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

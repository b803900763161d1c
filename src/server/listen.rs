//! The door: TCP, TLS and HTTP/1.1, each with a limit on time and number before anything is read.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use super::browser::Peer;
use super::connections::{Connection, Connections};
use super::{ServeError, bind};
use crate::site::Serve;
use crate::site::serve::Tls;

/// Headers fit into one packet or two; a sender that needs longer has another purpose.
const HEADER_TIME: Duration = Duration::from_secs(10);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// Room for a token, a signature and what proxies add.
const LARGEST_HEADERS: usize = 16 << 10;
const MOST_HEADERS: usize = 64;
/// Out of file handles, accepting fails at once and would spin.
const PAUSE: Duration = Duration::from_millis(100);

/// The certificate of the server, if it has one, as it is now. Connections that are open keep theirs.
#[derive(Clone)]
pub(super) struct Encryption(Arc<RwLock<Option<TlsAcceptor>>>);

impl Encryption {
    pub(super) fn of(serve: &Serve) -> Result<Self, ServeError> {
        let acceptor = serve.tls.as_ref().map(acceptor).transpose()?;
        Ok(Encryption(Arc::new(RwLock::new(acceptor))))
    }

    fn now(&self) -> Option<TlsAcceptor> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// From now on connections get the certificate of `next`.
    pub(super) fn renew(&self, next: &Encryption) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next.now();
    }
}

pub(super) struct Listener {
    tcp: TcpListener,
    encryption: Encryption,
    connections: Connections,
}

impl Listener {
    pub(super) async fn open(serve: &Serve) -> Result<Self, ServeError> {
        let address = serve.address;
        if !address.ip().is_loopback() && serve.tls.is_none() && !serve.behind_proxy {
            return Err(ServeError::InClear { address });
        }
        let encryption = Encryption::of(serve)?;
        Ok(Listener { tcp: bind(address).await?, encryption, connections: Connections::new(serve.connections) })
    }

    pub(super) fn address(&self) -> String {
        let scheme = if self.encryption.now().is_some() { "https" } else { "http" };
        self.tcp.local_addr().map_or_else(|_| scheme.to_owned(), |address| format!("{scheme}://{address}"))
    }

    pub(super) fn encryption(&self) -> Encryption {
        self.encryption.clone()
    }

    /// Takes connections until `stop`; those that are being answered are finished.
    pub(super) async fn run(self, router: Router, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                accepted = self.tcp.accept() => accepted,
                () = stop.cancelled() => return,
            };
            match accepted {
                Ok((stream, peer)) => self.take(stream, Peer(peer.ip()), router.clone(), stop.clone()),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn take(&self, stream: TcpStream, peer: Peer, router: Router, stop: CancellationToken) {
        // Without room the stream is closed at once.
        let Some(connection) = self.connections.open() else { return };
        let tls = self.encryption.now();
        tokio::spawn(async move {
            let close = connection.close.clone();
            tokio::select! {
                () = close.cancelled() => {}
                () = serve(stream, peer, tls, router, connection, stop) => {}
            }
        });
    }
}

async fn serve(
    stream: TcpStream,
    peer: Peer,
    tls: Option<TlsAcceptor>,
    router: Router,
    connection: Connection,
    stop: CancellationToken,
) {
    // Answers are small; waiting for more of them would only delay them.
    let _ = stream.set_nodelay(true);
    match tls {
        None => speak(stream, peer, router, connection, stop).await,
        Some(tls) => {
            if let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIME, tls.accept(stream)).await {
                speak(stream, peer, router, connection, stop).await;
            }
        }
    }
}

async fn speak<S>(stream: S, peer: Peer, router: Router, connection: Connection, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = hyper::service::service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let (answering, mut router) = (connection.answering(), router.clone());
        async move {
            let response = tower_service::Service::call(&mut router, request.map(axum::body::Body::new)).await;
            drop(answering);
            response
        }
    });
    let http = hyper::server::conn::http1::Builder::new()
        // Without a timer the limit on the time for headers does nothing.
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIME)
        .max_buf_size(LARGEST_HEADERS)
        .max_headers(MOST_HEADERS)
        .serve_connection(TokioIo::new(stream), service);
    let mut http = std::pin::pin!(http);
    tokio::select! {
        result = http.as_mut() => said(result),
        () = stop.cancelled() => {
            http.as_mut().graceful_shutdown();
            said(http.await);
        }
    }
}

/// What goes wrong with one connection concerns nobody else.
fn said(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended early");
    }
}

fn acceptor(tls: &Tls) -> Result<TlsAcceptor, ServeError> {
    let wrong = |what: String| ServeError::Tls { what };
    let certificates = CertificateDer::pem_file_iter(&tls.certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| wrong(format!("{}: {error}", tls.certificate.display())))?;
    let key =
        PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| wrong(format!("{}: {error}", tls.key.display())))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(certificates, key)
        .map_err(|error| wrong(format!("{} with {}: {error}", tls.certificate.display(), tls.key.display())))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

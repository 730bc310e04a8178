//! A way through an outbound proxy to a server that is spoken to with TLS: `CONNECT`.
//!
//! Only the way is made here. What travels on it is awc's, TLS with the server included, so that
//! the proxy sees the server's name and nothing else of what we say.

use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use actix_rt::net::{ActixStream, Ready, TcpStream};
use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use actix_web::http::Uri;
use futures_util::future::{FutureExt, LocalBoxFuture};
use rustls::{ClientConfig, pki_types::ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::config::OutboundProxy;

/// The longest answer to `CONNECT`.
const MAX_HEAD_BYTES: usize = 16 * 1024;

/// Makes ways through one proxy.
#[derive(Clone)]
pub(super) struct Tunnel {
    proxy: OutboundProxy,
    /// For the connection to the proxy, where that is one with TLS.
    tls: Arc<ClientConfig>,
}

/// A connection to the proxy, as far as it is ours to see into.
pub(super) enum Way {
    Plain(TcpStream),
    Secure(Box<TlsStream<TcpStream>>),
}

/// Why the proxy gave no way. Whose fault: the proxy's, or that of whoever named it.
#[derive(Debug, thiserror::Error)]
enum TunnelError {
    #[error("the outbound proxy `{proxy}` cannot be reached: {err}")]
    Unreachable { proxy: String, err: io::Error },
    #[error("the outbound proxy answered `407`: it wants other credentials")]
    Unauthorized,
    #[error("the outbound proxy answered `{0}` when it was asked for a way to upstream")]
    Refused(u16),
    #[error("the outbound proxy closed the connection before it had answered")]
    Closed,
    #[error("the outbound proxy's answer is not one of HTTP")]
    Unreadable,
}

// === impl Tunnel ===

impl Tunnel {
    pub(super) fn new(proxy: OutboundProxy, tls: Arc<ClientConfig>) -> Self {
        Self { proxy, tls }
    }

    async fn dig(&self, uri: &Uri) -> Result<Way, TunnelError> {
        let unreachable = |err| TunnelError::Unreachable { proxy: self.proxy.authority(), err };
        let mut way = self.connect().await.map_err(unreachable)?;
        way.write_all(self.question(uri).as_bytes()).await.map_err(|_| TunnelError::Closed)?;
        way.flush().await.map_err(|_| TunnelError::Closed)?;
        let mut head = Vec::with_capacity(512);
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MAX_HEAD_BYTES {
                return Err(TunnelError::Unreadable);
            }
            // Byte by byte: the next one after the head is the server's, for awc to read.
            let byte = way.read_u8().await.map_err(|_| TunnelError::Closed)?;
            head.push(byte);
        }
        match status(&head).ok_or(TunnelError::Unreadable)? {
            200..300 => Ok(way),
            407 => Err(TunnelError::Unauthorized),
            other => Err(TunnelError::Refused(other)),
        }
    }

    async fn connect(&self) -> io::Result<Way> {
        let host = self.proxy.host.trim_matches(['[', ']']);
        let stream = TcpStream::connect((host, self.proxy.port)).await?;
        // Small questions, and each waits for its answer.
        stream.set_nodelay(true)?;
        if !self.proxy.tls {
            return Ok(Way::Plain(stream));
        }
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let stream = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await?;
        Ok(Way::Secure(Box::new(stream)))
    }

    fn question(&self, uri: &Uri) -> String {
        let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16().unwrap_or(443));
        let authorization = self.proxy.authorization.as_ref().map_or_else(String::new, |token| {
            format!("Proxy-Authorization: {}\r\n", token.secret())
        });
        format!("CONNECT {host}:{port} HTTP/1.1\r\nHost: {host}:{port}\r\n{authorization}\r\n")
    }
}

impl Service<ConnectInfo<Uri>> for Tunnel {
    type Response = Connection<Uri, Way>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, Self::Error>>;

    actix_service::always_ready!();

    fn call(&self, info: ConnectInfo<Uri>) -> Self::Future {
        let (tunnel, uri) = (self.clone(), info.request().clone());
        let way = async move {
            let way = tunnel.dig(&uri).await;
            let way = way.map_err(|err| ConnectError::Io(io::Error::other(err)))?;
            Ok(Connection::new(uri, way))
        };
        way.boxed_local()
    }
}

/// The status of an answer, `HTTP/1.1 200 …`.
fn status(head: &[u8]) -> Option<u16> {
    let line = head.strip_prefix(b"HTTP/1.")?;
    let digits = std::str::from_utf8(line.get(2..5)?).ok()?;
    digits.parse().ok().filter(|status| (100..600).contains(status))
}

// === impl Way ===

impl Way {
    fn tcp(&self) -> &TcpStream {
        match self {
            Self::Plain(stream) => stream,
            Self::Secure(stream) => stream.get_ref().0,
        }
    }
}

impl fmt::Debug for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Plain(_) => "Way::Plain",
            Self::Secure(_) => "Way::Secure",
        })
    }
}

impl AsyncRead for Way {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Secure(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Way {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Secure(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Secure(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Secure(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

// Readiness is that of the socket: whoever reads asks TLS again when there is nothing whole yet.
impl ActixStream for Way {
    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_read_ready(self.tcp(), cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<Ready>> {
        ActixStream::poll_write_ready(self.tcp(), cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Token;

    #[test]
    fn a_status_is_read_from_any_answer_of_http_1() {
        assert_eq!(status(b"HTTP/1.1 200 Connection established\r\n\r\n"), Some(200));
        assert_eq!(status(b"HTTP/1.0 407\r\n\r\n"), Some(407));
        for head in [&b"HTTP/2 200 \r\n\r\n"[..], b"200\r\n\r\n", b"HTTP/1.1 abc", b"HTTP/1.1 999"]
        {
            assert_eq!(status(head), None, "{head:?}");
        }
    }

    #[test]
    fn the_question_names_the_server_and_shows_the_credentials() {
        let mut proxy = OutboundProxy {
            host: "proxy".to_owned(),
            port: 3128,
            tls: false,
            authorization: Some(Token::new("Basic eA==")),
        };
        let tls = crate::upstream::tls::client_config(&Default::default());
        let ask = |proxy: &OutboundProxy, uri: &str| {
            Tunnel::new(proxy.clone(), Arc::clone(&tls)).question(&uri.parse().unwrap())
        };
        assert_eq!(
            ask(&proxy, "https://[::1]:4242/api"),
            "CONNECT [::1]:4242 HTTP/1.1\r\nHost: [::1]:4242\r\nProxy-Authorization: Basic \
             eA==\r\n\r\n"
        );
        proxy.authorization = None;
        let bare = "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n";
        assert_eq!(ask(&proxy, "https://h/api"), bare);
    }
}

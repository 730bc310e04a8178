//! HTTP/1.1 as nearly all callers speak it, without actix-http
//! (`docs/adr/0008-the-usual-request-is-read-by-us.md`).
//!
//! A connection is read here for as long as its requests are plain: a whole head and a whole body,
//! answered at once, after which the connection goes on. The first one that is anything else is
//! left unread, and the connection is actix-http's from there to its end: bodies in chunks or of
//! any size, upgrades, what is no HTTP, whoever is slow, and tokens that upstream has to be asked
//! about.

mod connection;
mod request;
mod response;
mod resumed;
mod watch;

use std::{cell::RefCell, convert::Infallible, fmt, future::poll_fn, net::SocketAddr, rc::Rc};

use actix_http::error::DispatchError;
use actix_rt::net::TcpStream;
use actix_server::GracefulShutdownSignal;
use actix_service::{
    Service, ServiceFactory as _, always_ready,
    boxed::{RcService, rc_service},
};
use futures_util::future::LocalBoxFuture;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};

pub(super) use self::watch::Times;
use self::{connection::Connection, response::CrossOrigin, resumed::Resumed};
use super::{Hall, connections::Connections, worker::Worker};

/// How much of what a connection sent is looked at, in bytes: the longest request that is read here.
const INBOX: usize = 64 << 10;

/// Receives connections, on one worker.
pub struct Host<S>(Rc<House<S>>);

/// What those connections share.
struct House<S> {
    worker: Rc<Worker>,
    connections: Connections,
    times: Times,
    stopping: GracefulShutdownSignal,
    cross_origin: CrossOrigin,
    actix: RcService<(Resumed<S>, Option<SocketAddr>), (), DispatchError>,
    // INVARIANT: neither is borrowed when a poll ends.
    inbox: RefCell<Box<[u8]>>,
    head: RefCell<Vec<u8>>,
}

/// How a connection ends here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// What it sent and nobody has read yet is for actix-http.
    HandOver,
    Close,
}

// === impl Host ===

impl<S: AsyncRead + AsyncWrite + Unpin + 'static> Host<S> {
    /// # Errors
    ///
    /// When its worker could not be made, which whoever listens has tried before.
    pub(super) async fn new(hall: Hall) -> Result<Self, ()> {
        let clerks = hall.clerks(false);
        let worker = clerks.worker().ok_or(())?;
        let http = hall.http(hall.times.head_left()).h1(clerks);
        let actix = rc_service(http.new_service(()).await?);
        let Hall { connections, times, stopping, .. } = hall;
        let cross_origin = CrossOrigin::new(&worker.cors);
        let (inbox, head) = (RefCell::new(vec![0; INBOX].into()), RefCell::default());
        let house =
            House { worker, connections, times, stopping, cross_origin, actix, inbox, head };
        Ok(Self(Rc::new(house)))
    }

    /// Serves a connection to its end. `peer`: who is at the other one.
    pub async fn serve(&self, socket: S, peer: Option<SocketAddr>) {
        let house = &*self.0;
        let _open = house.connections.take();
        let mut connection = Connection::new(socket, peer, house);
        let end = poll_fn(|cx| connection.poll(cx, house)).await;
        let (mut socket, unread) = connection.into_parts();
        // What breaks a connection ends it, and is nobody's concern here.
        match end {
            End::Close => drop(socket.shutdown().await),
            End::HandOver => {
                house.connections.hand_over();
                drop(house.actix.call((Resumed::new(socket, unread), peer)).await);
            }
        }
    }
}

impl Service<TcpStream> for Host<TcpStream> {
    type Response = ();
    type Error = Infallible;
    type Future = LocalBoxFuture<'static, Result<(), Infallible>>;

    always_ready!();

    fn call(&self, socket: TcpStream) -> Self::Future {
        let host = self.clone();
        Box::pin(async move {
            // Where that fails answers wait a little for more to be sent with them.
            let _ = socket.set_nodelay(true);
            let peer = socket.peer_addr().ok();
            host.serve(socket, peer).await;
            Ok(())
        })
    }
}

impl<S> Clone for Host<S> {
    fn clone(&self) -> Self {
        Self(Rc::clone(&self.0))
    }
}

impl<S> fmt::Debug for Host<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Host").field(&self.0.worker).finish()
    }
}

#[cfg(test)]
mod tests;

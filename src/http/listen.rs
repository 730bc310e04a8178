//! The sockets that are listened on: how they are opened, and how they are shut without a loss.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
};

use socket2::{Domain, Protocol, Socket, Type};

/// Connections the system holds until a worker takes them.
const BACKLOG: i32 = 2048;

/// The sockets that connections come in by.
// Second handles of sockets that the server owns: each has to be gone before its socket closes.
#[derive(Debug)]
pub(super) struct Doors(Vec<TcpListener>);

/// Listens on one address; by default on every address, IPv6 and IPv4, or IPv4 alone where the
/// system has no IPv6.
pub(super) fn everywhere_or(interface: Option<IpAddr>, port: u16) -> io::Result<TcpListener> {
    let Some(interface) = interface else {
        return match open(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))) {
            Err(err) if err.kind() == io::ErrorKind::AddrInUse => Err(err),
            Err(_) => open(SocketAddr::from((Ipv4Addr::UNSPECIFIED, port))),
            Ok(listener) => Ok(listener),
        };
    };
    open(SocketAddr::new(interface, port))
}

// By hand, because whether `[::]` takes IPv4 too is the system's setting elsewhere.
fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

// === impl Doors ===

impl Doors {
    pub(super) fn of<'l>(listeners: impl Iterator<Item = &'l TcpListener>) -> io::Result<Self> {
        listeners.map(TcpListener::try_clone).collect::<io::Result<_>>().map(Self)
    }

    /// Lets nobody in any more; those who are in the queue stay there, to be taken.
    ///
    /// A socket that closes resets whoever is in its queue, connections whose request is on its way
    /// among them. Who is not let in tries again within a second, and is refused then, or finds
    /// the next process.
    pub(super) fn shut(&mut self) {
        for listener in self.0.drain(..) {
            if let Err(err) = refuse_newcomers(&listener) {
                tracing::debug!("connections that come now may be reset: {err}");
            }
        }
    }
}

/// Has the system drop every segment that asks for a new connection. Handshakes that have begun
/// may end.
#[cfg(target_os = "linux")]
fn refuse_newcomers(listener: &TcpListener) -> io::Result<()> {
    use socket2::{SockFilter, SockRef};
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const ACK: u32 = 0x10;
    // Classic BPF over the TCP header: load a byte, mask it, compare it, keep nothing or all.
    let program = [
        SockFilter::new(0x30, 0, 0, FLAGS_AT),
        SockFilter::new(0x54, 0, 0, SYN | ACK),
        SockFilter::new(0x15, 0, 1, SYN),
        SockFilter::new(0x06, 0, 0, 0),
        SockFilter::new(0x06, 0, 0, u32::MAX),
    ];
    SockRef::from(listener).attach_filter(&program)
}

#[cfg(not(target_os = "linux"))]
fn refuse_newcomers(_: &TcpListener) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::TcpStream,
        time::Duration,
    };

    use super::*;

    #[test]
    fn a_shut_door_keeps_who_is_in_and_lets_nobody_in() {
        for interface in [Some(IpAddr::V4(Ipv4Addr::LOCALHOST)), None] {
            let listener = everywhere_or(interface, 0).unwrap();
            let port = listener.local_addr().unwrap().port();
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
            let mut waiting = TcpStream::connect(address).unwrap();
            Doors::of([&listener].into_iter()).unwrap().shut();
            let refused = TcpStream::connect_timeout(&address, Duration::from_millis(200));
            assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::TimedOut);
            let (mut taken, _) = listener.accept().unwrap();
            waiting.write_all(b"ask").unwrap();
            taken.read_exact(&mut [0; 3]).unwrap();
            taken.write_all(b"tell").unwrap();
            waiting.read_exact(&mut [0; 4]).unwrap();
        }
    }
}

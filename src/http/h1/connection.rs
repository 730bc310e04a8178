//! One connection, from its first byte to the first that is for somebody else.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll, ready},
};

use actix_web::{
    HttpResponse,
    body::MessageBody as _,
    http::ConnectionType,
    web::{Buf as _, Bytes},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{
    End, House, INBOX,
    request::{Limits, Parsed, Room},
    response,
    watch::{Waiting, Watch},
};
use crate::http::{
    answer::{Flags, Reply},
    errand::Errand,
    head::Head,
    worker::Desk,
};

/// A body up to this long is sent in one piece with its head, in bytes.
const SHORT_BODY: usize = 16 << 10;

/// A connection while it is read here.
pub(super) struct Connection<S> {
    socket: S,
    peer: Option<SocketAddr>,
    /// What came and is not answered yet.
    unread: Vec<u8>,
    /// Whether that may begin with a whole request.
    is_unseen: bool,
    /// What the socket had no room for. Nothing is read until it had.
    unsent: VecDeque<Bytes>,
    /// What follows once everything is sent.
    end: Option<End>,
    watch: Watch,
}

/// What became of the bytes that came.
enum Step {
    /// This many were a request, which is answered.
    Answered(usize),
    /// They are no whole request yet.
    Wait,
    /// They are not for us.
    HandOver,
}

// === impl Connection ===

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(super) fn new(socket: S, peer: Option<SocketAddr>, house: &House<S>) -> Self {
        let House { times, stopping, .. } = house;
        Self {
            socket,
            peer,
            unread: Vec::new(),
            is_unseen: false,
            unsent: VecDeque::new(),
            end: None,
            watch: Watch::new(times, stopping.clone()),
        }
    }

    /// What the socket and those bytes of it are that nobody has answered.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.socket, self.unread)
    }

    /// Answers what comes. Ready when that is over.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, house: &House<S>) -> Poll<End> {
        let mut has_read = false;
        loop {
            match self.poll_send(cx, house) {
                Poll::Pending => {
                    return self.watch.poll(cx, &house.times, Waiting::Reader, has_read);
                }
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(End::Close),
            }
            if let Some(end) = self.end {
                return Poll::Ready(end);
            }
            let mut inbox = house.inbox.borrow_mut();
            let mut length = self.unread.len();
            let Some((before, free)) = inbox.split_at_mut_checked(length) else {
                return Poll::Ready(End::HandOver);
            };
            before.copy_from_slice(&self.unread);
            if !std::mem::take(&mut self.is_unseen) {
                let waiting = if length == 0 { Waiting::Request } else { Waiting::Rest };
                let mut free = ReadBuf::new(free);
                match Pin::new(&mut self.socket).poll_read(cx, &mut free) {
                    Poll::Pending => {
                        return self.watch.poll(cx, &house.times, waiting, has_read);
                    }
                    Poll::Ready(Err(_)) => return Poll::Ready(End::Close),
                    Poll::Ready(Ok(())) => {}
                }
                if free.filled().is_empty() {
                    // What broke off is told so.
                    let has_part = waiting == Waiting::Rest;
                    return Poll::Ready(if has_part { End::HandOver } else { End::Close });
                }
                length += free.filled().len();
                has_read = true;
                self.watch.moved(&house.times);
            }
            let came = inbox.get(..length).unwrap_or_default();
            let answered = self.answer_all(cx, house, came);
            self.keep(came.get(answered..).unwrap_or_default());
        }
    }

    /// Answers what requests `came` begins with, as long as the socket takes the answers. Returns
    /// their length in bytes.
    // However many they are: the runtime's budget for a poll ends with some hundred answers, and
    // then the socket takes no more.
    fn answer_all(&mut self, cx: &mut Context<'_>, house: &House<S>, came: &[u8]) -> usize {
        let mut answered = 0;
        while self.unsent.is_empty() && self.end.is_none() {
            let rest = came.get(answered..).unwrap_or_default();
            // Empty lines before a request are none of it, and so are those behind the last one.
            let empty =
                if rest.starts_with(b"\r\n") { 2 } else { usize::from(rest.starts_with(b"\n")) };
            if empty > 0 {
                answered += empty;
                continue;
            }
            if rest.is_empty() {
                return answered;
            }
            match self.answer(cx, house, rest) {
                Ok(Step::Answered(length)) => {
                    answered += length;
                    self.watch.answered();
                }
                Ok(Step::Wait) => return answered,
                Ok(Step::HandOver) => self.end = Some(End::HandOver),
                Err(_) => self.end = Some(End::Close),
            }
        }
        self.is_unseen = true;
        answered
    }

    /// Answers the request that `came` begins with.
    ///
    /// # Errors
    ///
    /// When the connection broke.
    fn answer(&mut self, cx: &mut Context<'_>, house: &House<S>, came: &[u8]) -> io::Result<Step> {
        let worker = &*house.worker;
        let mut room = Room::new();
        let limits = Limits { request: INBOX, body: worker.surfaces.body_limit };
        let (head, body, length) = match Parsed::read(came, limits, &mut room) {
            Parsed::Whole(head, body, length) => (head, body, length),
            Parsed::Partial => return Ok(Step::Wait),
            Parsed::Odd => return Ok(Step::HandOver),
        };
        let head = Head { peer: self.peer, ..head };
        match Errand::run(worker, head, Bytes::copy_from_slice(body)) {
            None => return Ok(Step::HandOver),
            Some(Reply::Flags(flags)) => self.tell_flags(cx, house, head, flags)?,
            Some(Reply::Other(response)) => self.tell(cx, house, response)?,
        }
        Ok(Step::Answered(length))
    }

    fn tell_flags(
        &mut self,
        cx: &mut Context<'_>,
        house: &House<S>,
        request: Head<'_>,
        flags: Flags,
    ) -> io::Result<()> {
        let House { worker, cross_origin, head, .. } = house;
        let Desk { sheet, .. } = &mut *worker.desk.borrow_mut();
        let head = &mut *head.borrow_mut();
        head.clear();
        // Whose flags are held has no body; on the sheet is somebody else's.
        let plain = if flags.are_held { &[] } else { sheet.body() };
        let packed = worker.compressor.pack(request.headers, plain);
        let (coding, length) = match &packed {
            Some((coding, packed)) => (Some(*coding), packed.len()),
            None => (None, plain.len()),
        };
        response::push_flags(head, &flags, (coding, length));
        head.extend_from_slice(cross_origin.lines(request.headers));
        self.push_end(head, house);
        match packed {
            _ if flags.are_held => self.send(cx, head),
            Some((_, packed)) => self.send_with(cx, head, packed),
            None => match sheet.headed(head) {
                Some(whole) => self.send(cx, whole),
                None => {
                    self.send(cx, head)?;
                    self.send(cx, sheet.body())
                }
            },
        }
    }

    fn tell(
        &mut self,
        cx: &mut Context<'_>,
        house: &House<S>,
        response: HttpResponse,
    ) -> io::Result<()> {
        let (response, body) = response.into_parts();
        let (size, head) = (body.size(), &mut *house.head.borrow_mut());
        // Nobody in the house answers with a stream.
        let body = body.try_into_bytes().map_err(|_| io::ErrorKind::Unsupported)?;
        head.clear();
        let has_body = response::push_head(head, response.head(), size);
        if response.head().connection_type() == ConnectionType::Close {
            self.end = Some(End::Close);
        }
        self.push_end(head, house);
        self.send_with(cx, head, if has_body { body } else { Bytes::new() })
    }

    /// Ends the head of an answer, and says in it whether the connection ends too.
    fn push_end(&mut self, head: &mut Vec<u8>, house: &House<S>) {
        let worker = &house.worker;
        if worker.is_closing() || self.watch.is_stopping() {
            self.end = Some(End::Close);
        }
        response::push_end(head, self.end == Some(End::Close), &worker.date.get());
    }

    /// Keeps what is not answered yet.
    fn keep(&mut self, rest: &[u8]) {
        self.unread.clear();
        match rest {
            // Most connections never need that memory.
            [] => self.unread = Vec::new(),
            _ => self.unread.extend_from_slice(rest),
        }
    }

    fn send_with(
        &mut self,
        cx: &mut Context<'_>,
        head: &mut Vec<u8>,
        mut body: Bytes,
    ) -> io::Result<()> {
        if body.len() <= SHORT_BODY {
            head.extend_from_slice(&body);
            return self.send(cx, head);
        }
        self.send(cx, head)?;
        body.advance(self.write(cx, &body)?);
        self.postpone(body);
        Ok(())
    }

    fn send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<()> {
        let written = self.write(cx, bytes)?;
        self.postpone(Bytes::copy_from_slice(bytes.get(written..).unwrap_or_default()));
        Ok(())
    }

    fn postpone(&mut self, rest: Bytes) {
        if !rest.is_empty() {
            self.unsent.push_back(rest);
        }
    }

    /// Writes as much of `bytes` as the socket takes. Returns how much that was.
    fn write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> io::Result<usize> {
        let mut written = 0;
        while self.unsent.is_empty() && written < bytes.len() {
            let rest = bytes.get(written..).unwrap_or_default();
            match write(&mut self.socket, cx, rest) {
                Poll::Ready(result) => written += result?,
                Poll::Pending => break,
            }
        }
        Ok(written)
    }

    /// Sends what is unsent. Ready once nothing is.
    fn poll_send(&mut self, cx: &mut Context<'_>, house: &House<S>) -> Poll<io::Result<()>> {
        while let Some(next) = self.unsent.front_mut() {
            next.advance(ready!(write(&mut self.socket, cx, next))?);
            self.watch.moved(&house.times);
            if next.is_empty() {
                self.unsent.pop_front();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes some of `bytes`. Ready when that was at least one.
fn write<S: AsyncWrite + Unpin>(
    socket: &mut S,
    cx: &mut Context<'_>,
    bytes: &[u8],
) -> Poll<io::Result<usize>> {
    match ready!(Pin::new(socket).poll_write(cx, bytes))? {
        0 => Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
        written => Poll::Ready(Ok(written)),
    }
}

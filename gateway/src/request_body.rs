//! The body of a client's request, on its way in: who sends too slowly is given up, and what came is counted.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};
use understudy_common::cluster::BoxError;

use crate::{
    admission::{Admission, Client},
    refusal::Refusal,
};

/// A client must send so much within each `body_timeout`, or the rest of its body.
const LEAST: usize = 16 << 10;

/// A body that must not come too slowly.
pub struct RequestBody {
    inner: Incoming,
    // Its end is told by a flag of the last frame.
    http2: bool,
    timeout: Duration,
    // Of the time that runs, while somebody waits for the client.
    left: Duration,
    deadline: Pin<Box<Sleep>>,
    armed: bool,
    // In the time that runs.
    came: usize,
    payer: (Admission, Client),
    fault: Fault,
}

/// What went wrong with a body, for whoever has handed it on.
#[derive(Clone, Debug, Default)]
pub struct Fault(Arc<Faults>);

#[derive(Debug, Default)]
struct Faults {
    slow: AtomicBool,
    broken: AtomicBool,
}

impl Fault {
    /// What its client is told, when something went wrong.
    #[must_use]
    pub fn refusal(&self) -> Option<Refusal> {
        if self.0.slow.load(Ordering::Acquire) {
            let reason = "the body came too slowly, or not at all (gateway.body_timeout)";
            return Some(Refusal::request_timeout(reason));
        }
        let broken = self.0.broken.load(Ordering::Acquire);
        broken.then(|| Refusal::malformed("the body was not sent whole, or its chunks are malformed"))
    }
}

impl RequestBody {
    /// The body of a request whose client pays for it.
    #[must_use]
    pub fn new(inner: Incoming, http2: bool, timeout: Duration, payer: (Admission, Client)) -> Self {
        let deadline = Box::pin(tokio::time::sleep(timeout));
        Self { inner, http2, timeout, left: timeout, deadline, armed: false, came: 0, payer, fault: Fault::default() }
    }

    /// Tells what went wrong, also after the body is gone.
    #[must_use]
    pub fn fault(&self) -> Fault {
        self.fault.clone()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match Pin::new(&mut this.inner).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.payer.0.charge(this.payer.1, bytes as u64);
                this.came += bytes;
                if std::mem::take(&mut this.armed) {
                    this.left = this.deadline.deadline().saturating_duration_since(Instant::now());
                }
                if this.came >= LEAST {
                    (this.left, this.came) = (this.timeout, 0);
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                this.fault.0.broken.store(true, Ordering::Release);
                Poll::Ready(Some(Err(error.into())))
            }
            // hyper (1.12, `body/incoming.rs`) takes a stream that its client resets with `NO_ERROR` for one that is whole.
            Poll::Ready(None) if this.http2 && !this.inner.is_end_stream() => {
                this.fault.0.broken.store(true, Ordering::Release);
                Poll::Ready(Some(Err("the client gave up in the middle of its body".into())))
            }
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                // The time runs only while somebody waits for the client.
                if !this.armed {
                    this.armed = true;
                    this.deadline.as_mut().reset(Instant::now() + this.left);
                }
                if this.deadline.as_mut().poll(context).is_pending() {
                    return Poll::Pending;
                }
                this.fault.0.slow.store(true, Ordering::Release);
                Poll::Ready(Some(Err("the client sends its body too slowly".into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

//! A body that is lent to a connection, and comes back when nobody began to read it.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};

use super::{Body, BoxError};

/// Where a body lies until somebody begins to read it.
#[derive(Clone)]
pub(super) struct Owner(Arc<Mutex<Option<Body>>>);

/// The body as a connection gets it.
pub(super) struct Lent {
    owner: Owner,
    begun: Option<Body>,
}

/// Lends a body.
pub(super) fn lend(body: Body) -> (Owner, Lent) {
    let owner = Owner(Arc::new(Mutex::new(Some(body))));
    (owner.clone(), Lent { owner, begun: None })
}

impl Owner {
    /// The body, if nobody began to read it.
    pub(super) fn take_back(&self) -> Option<Body> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Lent {
    fn look<T>(&self, look: impl Fn(&Body) -> T, otherwise: T) -> T {
        match &self.begun {
            Some(body) => look(body),
            None => self.owner.0.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map_or(otherwise, look),
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.begun.is_none() {
            self.begun = self.owner.take_back();
        }
        match &mut self.begun {
            Some(body) => Pin::new(body).poll_frame(context),
            // Never an end: half a request would look whole.
            None => Poll::Ready(Some(Err("the body was taken back".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.look(Body::is_end_stream, false)
    }

    fn size_hint(&self) -> SizeHint {
        self.look(Body::size_hint, SizeHint::default())
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;
    use crate::cluster::full;

    #[tokio::test]
    async fn a_body_comes_back_only_while_nobody_began_to_read_it() {
        let (owner, lent) = lend(full("abc"));
        assert_eq!(lent.size_hint().exact(), Some(3));
        drop(lent);
        let (owner, mut lent) = lend(owner.take_back().unwrap());
        assert_eq!(lent.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert!(owner.take_back().is_none());

        let (owner, mut lent) = lend(full("abc"));
        owner.take_back().unwrap();
        assert!(lent.frame().await.unwrap().is_err(), "what was taken back is no end of a body");
    }
}

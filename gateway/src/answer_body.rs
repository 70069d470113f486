//! The body of an answer on its way out, with what is to be given back when it has left, or its client has.

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use understudy_common::cluster::{Body, BoxError};

/// What is handed to a connection at once: a slow reader keeps the rest here, where it is counted.
const SLICE: usize = 64 << 10;

/// An answer that holds things until it has left.
pub struct AnswerBody<G> {
    content: Content,
    _held: G,
}

enum Content {
    Stream(Body),
    Whole(Bytes),
}

impl<G> AnswerBody<G> {
    /// An answer that comes piece by piece.
    pub fn stream(body: Body, held: G) -> Self {
        Self { content: Content::Stream(body), _held: held }
    }

    /// An answer that is here already.
    pub fn whole(bytes: Bytes, held: G) -> Self {
        Self { content: Content::Whole(bytes), _held: held }
    }
}

impl<G: Unpin> HttpBody for AnswerBody<G> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.content {
            Content::Stream(body) => Pin::new(body).poll_frame(context),
            Content::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Content::Whole(bytes) => {
                let slice = bytes.split_to(bytes.len().min(SLICE));
                Poll::Ready(Some(Ok(Frame::data(slice))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.content {
            Content::Stream(body) => body.is_end_stream(),
            Content::Whole(bytes) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.content {
            Content::Stream(body) => body.size_hint(),
            Content::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_whole_answer_leaves_in_slices_and_gives_back_at_its_end() {
        let token = CancellationToken::new();
        let bytes: Bytes = (0..200_000u32).map(|n| n as u8).collect();
        let mut body = AnswerBody::whole(bytes.clone(), token.clone().drop_guard());
        assert_eq!(body.size_hint().exact(), Some(200_000));
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            let slice = frame.unwrap().into_data().unwrap();
            assert!(slice.len() <= SLICE);
            got.extend_from_slice(&slice);
        }
        assert_eq!(got, bytes);
        assert!(!token.is_cancelled());
        drop(body);
        assert!(token.is_cancelled());
    }
}

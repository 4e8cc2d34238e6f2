//! The body of an answer, which may break off.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Frame, SizeHint};

/// Answers longer than this go out in chunks, as real servers send them.
const LONG: usize = 2_048;

/// The body of an answer.
#[derive(Debug)]
pub(super) struct Body {
    data: Option<Bytes>,
    /// What is announced; none for chunks.
    length: Option<u64>,
    end: End,
}

/// What comes after the data.
#[derive(Debug, PartialEq, Eq)]
enum End {
    Good,
    /// The data goes out first.
    Flush,
    Broken,
}

impl Body {
    /// All of this.
    pub(super) fn whole(data: Bytes) -> Self {
        let length = (data.len() <= LONG).then_some(data.len() as u64);
        Self { data: Some(data), length, end: End::Good }
    }

    /// Announces all of this, and breaks off after so many bytes.
    pub(super) fn broken(data: Bytes, after: usize) -> Self {
        Self { length: Some(data.len() as u64), data: Some(data.slice(..after)), end: End::Flush }
    }
}

impl hyper::body::Body for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(data) = self.data.take().filter(|data| !data.is_empty()) {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        match self.end {
            End::Good => Poll::Ready(None),
            End::Flush => {
                self.end = End::Broken;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            End::Broken => Poll::Ready(Some(Err(io::Error::other("the answer breaks off")))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.end == End::Good && self.data.as_ref().is_none_or(Bytes::is_empty)
    }

    fn size_hint(&self) -> SizeHint {
        self.length.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

//! A client that hides nothing: one connection, one request, and what came back.

#![allow(clippy::unwrap_used, reason = "a test whose peer is not there cannot go on")]

use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Sends one request over a connection of its own. An error means that there was no answer.
pub(crate) async fn send(to: SocketAddr, request: Request<Bytes>) -> Result<Response<Bytes>, hyper::Error> {
    let stream = TcpStream::connect(to).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let mut request = request.map(Full::new);
    request.headers_mut().entry(http::header::HOST).or_insert(http::HeaderValue::from_str(&to.to_string()).unwrap());
    let (parts, body) = sender.send_request(request).await?.into_parts();
    let body = body.collect().await?.to_bytes();
    connection.abort();
    Ok(Response::from_parts(parts, body))
}

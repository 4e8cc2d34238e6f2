//! Whoever gives AWS's credentials to what runs on its machines: AWS's own mock of a machine's metadata, which
//! `tools/peers.sh` installs, and the endpoint of a container, as ECS and EKS have it, which exists nowhere else.

#![allow(clippy::unwrap_used, reason = "a test whose peer is not there cannot go on")]

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::{JoinSet, spawn_blocking};
use tokio_util::task::AbortOnDropHandle;

use super::aws::{Server, ask, free, python};
use super::aws_api::Session;

/// The metadata of a machine of EC2, in the version that wants a token for each question; killed when dropped.
pub(crate) struct Machine {
    server: Server,
}

impl Machine {
    /// At a port that was free. The role of the machine gives this.
    pub(crate) fn start(session: &Session) -> Self {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/peers/bin/ec2-metadata-mock");
        assert!(program.exists(), "{} is missing: run `tools/peers.sh ec2-metadata-mock`", program.display());
        let credentials = json!({
            "Code": "Success",
            "LastUpdated": "2026-11-22T10:00:00Z",
            "Type": "AWS-HMAC",
            "AccessKeyId": session.key.id,
            "SecretAccessKey": session.key.secret,
            "Token": session.token,
            "Expiration": "2099-11-22T10:00:00Z",
        });
        let config = json!({ "metadata": { "values": { "iam-security-credentials": credentials } } }).to_string();
        for _ in 0..5 {
            let address = free();
            let port = address.port().to_string();
            let args = ["-c", "config.json", "-n", "127.0.0.1", "-p", &port, "-I"];
            let files = [("config.json", config.as_str())];
            let mut server = Server::spawn("ec2-metadata-mock", &program, &args, &[], &files);
            server.address = address;
            let ours = server.wait("an answer", |server| match ask(address, "GET", "/latest/meta-data/", "") {
                // Without a token.
                Some((401, _)) => Some(true),
                _ => server.log().contains("address already in use").then_some(false),
            });
            if ours {
                return Self { server };
            }
        }
        panic!("every port was taken by another");
    }

    /// For `AWS_EC2_METADATA_SERVICE_ENDPOINT`.
    pub(crate) fn url(&self) -> String {
        self.server.url()
    }

    /// How often it was asked with a token that it gave.
    pub(crate) fn answered(&self) -> usize {
        self.server.log().matches("Token validated!").count()
    }
}

struct Given {
    session: Session,
    times: u64,
    refused: u64,
}

/// The endpoint of a container; ended when dropped.
pub(crate) struct Container {
    address: SocketAddr,
    given: Arc<Mutex<Given>>,
    _server: AbortOnDropHandle<()>,
}

impl Container {
    /// What it wants to be shown.
    pub(crate) const TOKEN: &str = "Bearer of-this-container";

    pub(crate) async fn start(session: &Session) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let given = Arc::new(Mutex::new(Given { session: session.clone(), times: 0, refused: 0 }));
        let shared = Arc::clone(&given);
        let server = AbortOnDropHandle::new(tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let given = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let answer = answer(&request, &mut given.lock().unwrap());
                    async move { Ok::<_, Infallible>(answer) }
                });
                let builder = hyper::server::conn::http1::Builder::new();
                connections.spawn(builder.serve_connection(TokioIo::new(stream), service));
            }
        }));
        Self { address, given, _server: server }
    }

    /// For `AWS_CONTAINER_CREDENTIALS_FULL_URI`.
    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1/credentials", self.address)
    }

    /// From now on it gives this.
    pub(crate) fn give(&self, session: &Session) {
        self.given.lock().unwrap().session = session.clone();
    }

    /// How often it gave something, and how often it gave nothing.
    pub(crate) fn answered(&self) -> (u64, u64) {
        let given = self.given.lock().unwrap();
        (given.times, given.refused)
    }

    /// The id of the key that AWS's library for Python gets there.
    pub(crate) async fn asked_by_botocore(&self) -> String {
        let script = "import botocore.session; print(botocore.session.Session().get_credentials().access_key)";
        let mut command = Command::new(python("moto"));
        command.args(["-c", script]).env_clear();
        for name in ["AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"] {
            command.env(name, "/nonexistent");
        }
        command.env("AWS_CONTAINER_CREDENTIALS_FULL_URI", self.url());
        command.env("AWS_CONTAINER_AUTHORIZATION_TOKEN", Self::TOKEN);
        let output = spawn_blocking(move || command.output()).await.unwrap().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn answer(request: &Request<Incoming>, given: &mut Given) -> Response<Full<Bytes>> {
    let shown = request.headers().get(AUTHORIZATION).is_some_and(|shown| shown == Container::TOKEN);
    let mut response = Response::new(Full::default());
    if request.method() != "GET" || request.uri().path() != "/v1/credentials" || !shown {
        given.refused += 1;
        *response.status_mut() = StatusCode::FORBIDDEN;
        return response;
    }
    given.times += 1;
    let credentials = json!({
        "AccessKeyId": given.session.key.id,
        "SecretAccessKey": given.session.key.secret,
        "Token": given.session.token,
        "Expiration": "2099-11-22T10:00:00Z",
    });
    *response.body_mut() = credentials.to_string().into();
    response
}

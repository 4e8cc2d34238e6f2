//! The one HTTP client against peers on this machine: whom it trusts, what it bounds, which way it goes, what it says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use http::{Method, Request, Response};
use http_body_util::Full;
use ring::digest;
use rustls::version::{TLS12, TLS13};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use url::Url;
use vmware_event_router::http::{Client, HttpError, HttpErrorKind, Limits, Thumbprint, TlsOptions, inspect_tls};

use crate::support::gateway::{Function, Gateway, State};
use crate::support::proxy::{Proxy, Rules};
use crate::support::router::{Router, metrics, processor, run_with, stream};
use crate::support::soap::SoapClient;
use crate::support::tls::{Authority, WebServer, server_config};
use crate::support::vcsim::Vcsim;

const BOTH: &[&rustls::SupportedProtocolVersion] = &[&TLS12, &TLS13];
const LIMITS: Limits = Limits { timeout: Duration::from_secs(30), body: 1 << 20 };
const IMPATIENT: Limits = Limits { timeout: Duration::from_millis(200), body: 1 << 20 };

async fn get(client: &Client, url: &str, limits: Limits) -> Result<Response<Bytes>, HttpError> {
    client.send(Request::get(url).body(Full::default()).unwrap(), limits).await
}

/// Asks once, trusting like this.
async fn ask(tls: TlsOptions, url: &str) -> Result<Response<Bytes>, HttpError> {
    get(&Client::new(tls), url, LIMITS).await
}

async fn fails(tls: TlsOptions, url: &str) -> (HttpErrorKind, String) {
    let error = ask(tls, url).await.unwrap_err();
    (error.kind, error.to_string())
}

fn trusting(authority: &Authority) -> TlsOptions {
    TlsOptions { root_cas: vec![authority.certificate()], ..TlsOptions::default() }
}

fn insecure() -> TlsOptions {
    TlsOptions { insecure: true, ..TlsOptions::default() }
}

fn https(server: &WebServer) -> String {
    format!("https://{}/", server.address)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":")
}

#[tokio::test]
async fn a_further_authority_is_trusted_and_no_other() {
    // Those of all vCenters have the same name.
    let (authority, other, namesake) = (Authority::new("CA"), Authority::new("other"), Authority::new("CA"));
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let server = WebServer::start(Some(server_config(authority.sign(&["127.0.0.1"]), None, versions))).await;
        assert_eq!(ask(trusting(&authority), &https(&server)).await.unwrap().body(), "/");
        let both = TlsOptions { root_cas: vec![other.certificate(), authority.certificate()], ..TlsOptions::default() };
        assert_eq!(ask(both, &https(&server)).await.unwrap().status(), 200);
        for tls in [trusting(&other), TlsOptions::default()] {
            let (kind, text) = fails(tls, &https(&server)).await;
            assert_eq!(kind, HttpErrorKind::Tls);
            assert!(text.contains("signed by an authority that is not trusted here"), "{text}");
        }
        let (kind, text) = fails(trusting(&namesake), &https(&server)).await;
        assert_eq!(kind, HttpErrorKind::Tls);
        assert!(text.contains("another authority of the same name"), "{text}");
        assert_eq!(ask(insecure(), &https(&server)).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_certificate_that_is_its_own_authority_is_told_as_such() {
    let authority = Authority::new("127.0.0.1");
    let server = WebServer::start(Some(server_config(authority.itself(), None, BOTH))).await;
    let (kind, text) = fails(trusting(&authority), &https(&server)).await;
    assert_eq!(kind, HttpErrorKind::Tls);
    assert!(text.contains("an authority's own"), "{text}");
    let facts = inspect_tls(&Url::parse(&https(&server)).unwrap()).await.unwrap();
    let pinned = TlsOptions { thumbprint: Thumbprint::parse(&facts.thumbprint), ..TlsOptions::default() };
    assert_eq!(ask(pinned, &https(&server)).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_certificate_that_is_expired_or_for_another_name_is_told_as_such() {
    let authority = Authority::new("CA");
    for (identity, told) in [
        (authority.sign_until(&["127.0.0.1"], 2001), "the certificate has expired"),
        (authority.sign(&["vcenter.test"]), "the certificate is for another name"),
    ] {
        let server = WebServer::start(Some(server_config(identity, None, BOTH))).await;
        let (kind, text) = fails(trusting(&authority), &https(&server)).await;
        assert_eq!(kind, HttpErrorKind::Tls);
        assert!(text.contains(told), "{text}");
        assert_eq!(ask(insecure(), &https(&server)).await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn a_pinned_certificate_is_trusted_whoever_signed_it() {
    let identity = Authority::new("CA").sign_until(&["vcenter.test"], 2001);
    let sha1 = digest::digest(&digest::SHA1_FOR_LEGACY_USE_ONLY, &identity.0);
    let sha256 = digest::digest(&digest::SHA256, &identity.0);
    let server = WebServer::start(Some(server_config(identity, None, BOTH))).await;
    let pinned = |text: &str| TlsOptions { thumbprint: Thumbprint::parse(text), ..TlsOptions::default() };
    for digest in [sha1, sha256] {
        let real = hex(digest.as_ref());
        assert_eq!(ask(pinned(&real), &https(&server)).await.unwrap().status(), 200);
        let mut wrong = digest.as_ref().to_vec();
        wrong[0] ^= 1;
        let wrong = hex(&wrong);
        let (kind, text) = fails(pinned(&wrong), &https(&server)).await;
        assert_eq!(kind, HttpErrorKind::Tls);
        assert!(text.contains("not the pinned one") && text.contains(&real) && !text.contains(&wrong), "{text}");
        // A pin is stricter than no pin, whatever else is said.
        let both = TlsOptions { insecure: true, ..pinned(&wrong) };
        assert_eq!(fails(both, &https(&server)).await.0, HttpErrorKind::Tls);
    }
}

#[tokio::test]
async fn a_client_certificate_is_shown_where_it_is_wanted() {
    let (authority, clients, namesake) = (Authority::new("CA"), Authority::new("clients"), Authority::new("clients"));
    for versions in [&[&TLS12][..], &[&TLS13]] {
        let config = server_config(authority.sign(&["127.0.0.1"]), Some(&clients), versions);
        let server = WebServer::start(Some(config)).await;
        let with = |signer: Option<&Authority>| {
            let client = signer.map(|signer| signer.sign(&["router"])).map(|(chain, key)| (vec![chain], key));
            TlsOptions { client, ..trusting(&authority) }
        };
        assert_eq!(ask(with(Some(&clients)), &https(&server)).await.unwrap().body(), "/");
        let (kind, text) = fails(with(None), &https(&server)).await;
        assert_eq!(kind, HttpErrorKind::Tls, "{text}");
        if versions == [&TLS13] {
            assert!(text.contains("client certificate") && text.contains("client_cert"), "{text}");
        }
        for signer in [&authority, &namesake] {
            let (kind, text) = fails(with(Some(signer)), &https(&server)).await;
            assert_eq!(kind, HttpErrorKind::Tls, "{text}");
            assert!(text.contains("does not trust the client certificate"), "{text}");
        }
    }
}

#[tokio::test]
async fn what_a_server_shows_can_be_looked_at() {
    let identity = Authority::new("CA").sign_until(&["vcenter.test"], 2001);
    let thumbprint = hex(digest::digest(&digest::SHA256, &identity.0).as_ref());
    for (version, name) in [(&TLS12, "TLSv1.2"), (&TLS13, "TLSv1.3")] {
        let identity = (identity.0.clone(), identity.1.clone_key());
        let server = WebServer::start(Some(server_config(identity, None, &[version]))).await;
        let facts = inspect_tls(&Url::parse(&https(&server)).unwrap()).await.unwrap();
        assert_eq!((facts.version.as_str(), &facts.thumbprint), (name, &thumbprint));
    }
    let plain = WebServer::start(None).await;
    assert_eq!(inspect_tls(&Url::parse(&https(&plain)).unwrap()).await.unwrap_err().kind, HttpErrorKind::Tls);
}

#[tokio::test]
async fn tls_where_there_is_none_and_none_where_there_is() {
    let plain = WebServer::start(None).await;
    let (kind, text) = fails(TlsOptions::default(), &https(&plain)).await;
    assert_eq!(kind, HttpErrorKind::Tls);
    assert!(text.contains("does not speak TLS"), "{text}");
    let server = WebServer::start(Some(server_config(Authority::new("CA").sign(&["127.0.0.1"]), None, BOTH))).await;
    let (kind, _) = fails(insecure(), &format!("http://{}/", server.address)).await;
    assert!(matches!(kind, HttpErrorKind::Protocol | HttpErrorKind::Reset), "{kind:?}");
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let server = WebServer::start(None).await;
    let client = Client::new(TlsOptions::default());
    for number in 0..10 {
        let path = format!("/{number}");
        let answer = get(&client, &format!("http://{}{path}", server.address), LIMITS).await.unwrap();
        assert_eq!(answer.body(), &path);
    }
    assert_eq!(server.connections(), 1);
    let url = format!("http://{}/", server.address);
    let (one, other) = tokio::join!(get(&client, &url, LIMITS), get(&client, &url, LIMITS));
    assert!(one.is_ok() && other.is_ok());
    assert!(server.connections() <= 2, "one for each call in flight");
}

#[tokio::test]
async fn a_connection_is_used_again_after_an_answer_in_chunks() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        // Whoever comes with another connection finds nobody.
        let (mut stream, _) = listener.accept().await.unwrap();
        drop(listener);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await.unwrap());
            }
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").await.unwrap();
            stream.write_all(b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n").await.unwrap();
        }
    });
    let client = Client::new(TlsOptions::default());
    for _ in 0..3 {
        assert_eq!(get(&client, &url, LIMITS).await.unwrap().body(), "abc");
        let request = Request::get(&url).body(Full::default()).unwrap();
        assert_eq!(client.send_for_status(request, LIMITS).await.unwrap().body(), "abc");
    }
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let server = WebServer::start(None).await;
    let client = Client::new(TlsOptions::default());
    let limits = Limits { body: 1000, ..LIMITS };
    let at = |count: usize| format!("http://{}/bytes/{count}", server.address);
    assert_eq!(get(&client, &at(1000), limits).await.unwrap().body().len(), 1000);
    let error = get(&client, &at(1001), limits).await.unwrap_err();
    assert_eq!((error.kind, error.to_string().as_str()), (HttpErrorKind::TooLarge, "the answer exceeds 1000 bytes"));
    let request = Request::get(at(1_000_000)).body(Full::default()).unwrap();
    let cut = client.send_for_status(request, limits).await.unwrap();
    assert_eq!((cut.status().as_u16(), cut.body().len()), (200, 1000), "a status is enough");
    assert_eq!(get(&client, &at(3), limits).await.unwrap().body(), "xxx", "and the client goes on");
}

#[tokio::test]
async fn an_answer_that_does_not_come_is_waited_for_no_longer_than_allowed() {
    let server = WebServer::start(None).await;
    let client = Client::new(TlsOptions::default());
    let url = format!("http://{}/hang", server.address);
    let error = get(&client, &url, IMPATIENT).await.unwrap_err();
    assert_eq!((error.kind, error.to_string().as_str()), (HttpErrorKind::Timeout, "no complete answer within 200ms"));
    let request = Request::get(&url).body(Full::default()).unwrap();
    assert_eq!(client.send_for_status(request, IMPATIENT).await.unwrap_err().kind, HttpErrorKind::Timeout);
}

/// A server that says this to every request, then closes the connection or leaves it open.
struct Sayer {
    address: SocketAddr,
    _serving: JoinSet<()>,
}

async fn sayer(says: &'static str, close: bool) -> Sayer {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut open = Vec::new();
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let Ok(byte) = stream.read_u8().await else { break };
                head.push(byte);
            }
            stream.write_all(says.as_bytes()).await.ok();
            if !close {
                open.push(stream);
            }
        }
    });
    Sayer { address, _serving: serving }
}

#[tokio::test]
async fn a_connection_that_was_closed_meanwhile_is_replaced() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let close = Arc::new(Notify::new());
    let mut serving = JoinSet::new();
    serving.spawn({
        let close = Arc::clone(&close);
        async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await.unwrap();
                close.notified().await;
            }
        }
    });
    let client = Client::new(TlsOptions::default());
    for _ in 0..3 {
        assert_eq!(get(&client, &url, LIMITS).await.unwrap().body(), "ok");
        close.notify_one();
        // Who is answered next tells that the connection before has been closed.
        let next = Client::new(TlsOptions::default());
        assert_eq!(get(&next, &url, LIMITS).await.unwrap().body(), "ok");
        close.notify_one();
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_or_is_none_is_told_as_such() {
    use HttpErrorKind::{Protocol, Reset};
    for (says, kind, told) in [
        ("", Reset, "closed in the middle"),
        ("HTTP/1.1 200", Reset, "closed in the middle"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", Reset, "closed in the middle"),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhalf", Reset, "closed in the middle"),
        ("SSH-2.0-OpenSSH_9.6\r\n", Protocol, "not HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", Protocol, "not HTTP"),
    ] {
        let server = sayer(says, true).await;
        let (is, text) = fails(TlsOptions::default(), &format!("http://{}/", server.address)).await;
        assert_eq!(is, kind, "{says:?}: {text}");
        assert!(text.contains(told), "{says:?}: {text}");
    }
}

#[tokio::test]
async fn a_status_counts_though_its_body_breaks_off_or_stands_still() {
    let client = Client::new(TlsOptions::default());
    let says = "HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\nhalf";
    for close in [true, false] {
        let server = sayer(says, close).await;
        let url = format!("http://{}/", server.address);
        let request = Request::get(&url).body(Full::default()).unwrap();
        let answer = client.send_for_status(request, IMPATIENT).await.unwrap();
        assert_eq!((answer.status().as_u16(), &answer.body()[..]), (503, &b"half"[..]));
        let kind = get(&client, &url, IMPATIENT).await.unwrap_err().kind;
        assert_eq!(kind, if close { HttpErrorKind::Reset } else { HttpErrorKind::Timeout });
    }
}

#[tokio::test]
async fn an_address_without_a_server_or_a_name_without_an_address() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for scheme in ["http", "https"] {
        let (kind, text) = fails(insecure(), &format!("{scheme}://127.0.0.1:{port}/")).await;
        assert_eq!((kind, text.as_str()), (HttpErrorKind::Refused, "connection refused"));
        let (kind, text) = fails(insecure(), &format!("{scheme}://nobody.invalid/")).await;
        assert_eq!(kind, HttpErrorKind::Dns);
        assert!(text.starts_with("the name cannot be resolved: "), "{text}");
    }
}

// What follows is the binary's, since proxies come from the environment of a process.

const VCENTER: &str = "vcenter.test";
const GATEWAY: &str = "gateway.test";

/// A vCenter and a gateway that only a proxy finds, and the configuration with their names.
async fn behind_a_proxy() -> (Vcsim, Gateway, Vec<serde_json::Value>, Rules) {
    let vcsim = Vcsim::start(&[]);
    let gateway = Gateway::start([Function::subscribed("echo", "GeneralUserEvent")]).await;
    let vcenter = SocketAddr::from(([127, 0, 0, 1], vcsim.url.port().unwrap()));
    let mut processor = processor(&gateway, &json!({}));
    processor["address"] = json!(format!("http://{GATEWAY}:8080"));
    let config = vec![stream(&Url::parse(&format!("https://{VCENTER}/sdk")).unwrap()), processor, metrics()];
    let names = [(VCENTER, vcenter), (GATEWAY, gateway.address())].into();
    (vcsim, gateway, config, Rules { names, ..Rules::default() })
}

#[tokio::test]
async fn everything_goes_through_the_proxies_that_the_environment_names() {
    for (password, credentials) in [(None, ""), (Some("us er:p@ss"), "us%20er:p%40ss")] {
        let (vcsim, gateway, config, rules) = behind_a_proxy().await;
        let proxy = Proxy::start(Rules { password, ..rules }).await;
        let url = proxy.url(credentials);
        let env = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", url.as_str())];
        let router = Router::start_with(&config, &["-verbose"], &env).await;
        router.ready().await;
        SoapClient::login(&vcsim.url).await.unwrap().post("through a proxy").await.unwrap();
        gateway.wait_for_calls("echo", 1).await;
        let log = router.stop().await;
        let asked = proxy.asked();
        assert!(asked.contains(&(Method::CONNECT, format!("{VCENTER}:443"))), "{asked:?}");
        for (method, path) in [(Method::GET, "system/functions?namespace=openfaas-fn"), (Method::POST, "function/echo")]
        {
            assert!(asked.contains(&(method, format!("http://{GATEWAY}:8080/{path}"))), "{path} in {asked:?}");
        }
        // The vCenter's password went through a tunnel, and the proxy's own went no further.
        assert!(asked.iter().all(|(method, to)| *method == Method::CONNECT || to.contains(GATEWAY)), "{asked:?}");
        gateway.read(|state| assert_eq!(state.invocations[0].header("proxy-authorization"), None));
        assert!(!log.iter().any(|line| line.contains("p%40ss") || line.contains("p@ss")), "{log:#?}");
        let (code, text) = run_with(&["check"], &config, &env).await;
        assert_eq!(code, Some(0), "{text}");
        assert!(text.contains("TLSv1.3 with the certificate "), "seen through the proxy: {text}");
    }
}

#[tokio::test]
async fn what_no_proxy_names_goes_directly() {
    let (vcsim, gateway, mut config, rules) = behind_a_proxy().await;
    // Leads to this machine, but is not one of its loopback addresses.
    config[1]["address"] = json!(format!("http://0.0.0.0:{}", gateway.address().port()));
    let proxy = Proxy::start(rules).await;
    let url = proxy.url("");
    let env = [("HTTPS_PROXY", url.as_str()), ("HTTP_PROXY", url.as_str()), ("NO_PROXY", "other.test,0.0.0.0")];
    let (code, text) = run_with(&["check"], &config, &env).await;
    assert_eq!(code, Some(0), "{text}");
    let asked = proxy.asked();
    assert!(!asked.is_empty() && asked.iter().all(|(method, _)| *method == Method::CONNECT), "{asked:?}");
    drop(proxy);
    config[0]["address"] = json!(vcsim.url.as_str());
    config[1]["address"] = json!(format!("http://LocalHost:{}", gateway.address().port()));
    let (code, text) = run_with(&["check"], &config, &env[..2]).await;
    assert_eq!(code, Some(0), "the proxy is down, and nobody needs it: {text}");
}

/// What `check` says of the vCenter and of the gateway.
async fn refused_by(rules: Rules, config: &[serde_json::Value]) -> [String; 2] {
    let proxy = Proxy::start(rules).await;
    let url = proxy.url("somebody:hunter2");
    let (code, text) = run_with(&["check"], config, &[("HTTPS_PROXY", &url), ("HTTP_PROXY", &url)]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
    let mut failures = text.lines().filter(|line| line.contains("FAILURE")).map(str::to_owned);
    let failures = [(); 2].map(|()| failures.next().unwrap_or_else(|| panic!("{text}")));
    assert!(!proxy.asked().is_empty());
    failures
}

#[tokio::test]
async fn a_proxy_that_refuses_is_told_as_such() {
    let (_vcsim, _gateway, config, rules) = behind_a_proxy().await;
    let of_both = refused_by(Rules { password: Some("somebody:else"), ..rules.clone() }, &config).await;
    for text in of_both {
        assert!(text.contains("the proxy at 127.0.0.1:") && text.contains("wants a user name and password"), "{text}");
        assert!(text.contains("HTTPS_PROXY"), "{text}");
    }
    let [vcenter, gateway] = refused_by(Rules { refuse: Some(403), ..rules }, &config).await;
    assert!(vcenter.contains("the proxy at 127.0.0.1:") && vcenter.contains("refuses to connect"), "{vcenter}");
    assert!(gateway.contains("403"), "{gateway}");
}

#[tokio::test]
async fn a_proxy_that_is_down_is_told_as_such() {
    let (_vcsim, _gateway, config, _) = behind_a_proxy().await;
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    let (code, text) = run_with(&["check"], &config, &[("HTTPS_PROXY", &url), ("HTTP_PROXY", &url)]).await;
    assert_eq!(code, Some(1), "{text}");
    let told = format!("the proxy at 127.0.0.1:{port}: connection refused");
    assert_eq!(text.matches(&told).count(), 2, "{text}");
}

#[tokio::test]
async fn calls_go_on_however_much_their_task_does() {
    // tokio lets a task that has done much come back later: in the middle of these calls, each time at another place.
    let mut state = State::default();
    state.deploy(Function::new("function"));
    let gateway = Gateway::listen(([127, 0, 0, 1], 0).into(), state).await.unwrap();
    let url = format!("{}/function/function", gateway.url().trim_end_matches('/'));
    let client = Client::new(TlsOptions::default());
    for done in 0..16 {
        let calls = || (0..64).map(|_| get(&client, &url, LIMITS)).collect::<FuturesUnordered<_>>();
        let answers = calls().collect::<Vec<_>>().await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        // All connections are closed meanwhile.
        gateway.restart().await;
        tokio::task::yield_now().await;
        for _ in 0..done {
            tokio::task::coop::consume_budget().await;
        }
        let answers = tokio::time::timeout(Duration::from_secs(5), calls().collect::<Vec<_>>()).await;
        let answers = answers.expect("every call goes on");
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    }
}

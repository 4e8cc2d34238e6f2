//! The stub gateway keeps to what was observed of a real one.

use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};

use crate::support::gateway::{Annotations, Answer, Function, Gateway, Namespaces, Queue, State};
use crate::support::raw;

/// `admin:secret`
const ADMIN: &str = "Basic YWRtaW46c2VjcmV0";

async fn call(
    gateway: &Gateway,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: &'static str,
) -> Result<Response<Bytes>, hyper::Error> {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    raw::send(gateway.address(), request.body(Bytes::from_static(body.as_bytes())).unwrap()).await
}

async fn get(gateway: &Gateway, path: &str) -> Response<Bytes> {
    call(gateway, Method::GET, path, &[("authorization", ADMIN)], "").await.unwrap()
}

async fn post(gateway: &Gateway, path: &str) -> Response<Bytes> {
    call(gateway, Method::POST, path, &[], "{}").await.unwrap()
}

fn json(response: &Response<Bytes>) -> serde_json::Value {
    assert_eq!(response.status(), 200);
    serde_json::from_slice(response.body()).unwrap()
}

fn header<'a>(response: &'a Response<Bytes>, name: &str) -> Option<&'a str> {
    response.headers().get(name).map(|value| value.to_str().unwrap())
}

#[tokio::test]
async fn the_system_api_wants_basic_auth_and_functions_do_not() {
    let gateway = Gateway::start([Function::new("echo")]).await;
    for credentials in [None, Some("Basic YWRtaW46d3Jvbmc="), Some("Bearer secret"), Some("nonsense")] {
        let headers: Vec<_> = credentials.iter().map(|value| ("authorization", *value)).collect();
        for path in ["/system/functions", "/system/namespaces", "/system/info"] {
            let refused = call(&gateway, Method::GET, path, &headers, "").await.unwrap();
            assert_eq!(refused.status(), 401, "{path} with {credentials:?}");
            assert!(header(&refused, "www-authenticate").unwrap().starts_with("Basic "));
        }
    }
    assert_eq!(get(&gateway, "/system/functions").await.status(), 200);
    assert_eq!(post(&gateway, "/function/echo").await.status(), 200);
    assert_eq!(post(&gateway, "/async-function/echo").await.status(), 202);
    assert_eq!(gateway.take_leaks(), Vec::<String>::new());
}

#[tokio::test]
async fn a_password_that_is_sent_to_a_function_is_noticed() {
    let gateway = Gateway::start([Function::new("echo")]).await;
    call(&gateway, Method::POST, "/function/echo", &[("authorization", ADMIN)], "").await.unwrap();
    assert_eq!(gateway.take_leaks(), ["POST /function/echo"]);
}

#[tokio::test]
async fn namespaces_are_a_list_that_may_be_empty_or_unknown_to_old_gateways() {
    let gateway = Gateway::start([Function::new("echo"), Function::new("audit.ops")]).await;
    assert_eq!(json(&get(&gateway, "/system/namespaces").await), serde_json::json!(["openfaas-fn", "ops"]));
    gateway.change(|state| state.namespaces = Namespaces::Listed(Vec::new()));
    assert_eq!(json(&get(&gateway, "/system/namespaces").await), serde_json::json!([]));
    gateway.change(|state| state.namespaces = Namespaces::Unknown);
    assert_eq!(get(&gateway, "/system/namespaces").await.status(), 404);
}

#[tokio::test]
async fn functions_are_listed_by_namespace_without_zero_and_absent_fields() {
    let mut idle = Function::new("idle");
    idle.replicas = 0;
    let mut null = Function::new("null.ops");
    null.annotations = Annotations::Null;
    let gateway = Gateway::start([Function::subscribed("echo", "A, B"), idle, null]).await;

    let listed = json(&get(&gateway, "/system/functions").await);
    let names: Vec<_> = listed.as_array().unwrap().iter().map(|function| &function["name"]).collect();
    assert_eq!(names, ["echo", "idle"]);
    assert_eq!(listed[0]["annotations"], serde_json::json!({ "topic": "A, B" }));
    assert_eq!(listed[0]["replicas"], 1);
    assert_eq!(listed[0]["availableReplicas"], 1);
    for field in ["image", "labels", "createdAt"] {
        assert!(listed[0].get(field).is_some(), "{field}");
    }
    for field in ["annotations", "replicas", "availableReplicas", "namespace"] {
        assert!(listed[1].get(field).is_none(), "{field}");
    }

    let ops = json(&get(&gateway, "/system/functions?namespace=ops").await);
    assert_eq!(ops.as_array().unwrap().len(), 1);
    assert_eq!(ops[0]["namespace"], "ops");
    assert!(ops[0].as_object().unwrap().contains_key("annotations") && ops[0]["annotations"].is_null());
    assert_eq!(json(&get(&gateway, "/system/functions?namespace=none").await), serde_json::json!([]));
}

#[tokio::test]
async fn lookups_fail_with_502_or_without_an_answer() {
    let gateway = Gateway::start([Function::new("echo")]).await;
    gateway.change(|state| state.provider_down = true);
    assert_eq!(get(&gateway, "/system/functions").await.status(), 502);
    let refused = post(&gateway, "/function/echo").await;
    assert_eq!((refused.status(), refused.body().len()), (StatusCode::BAD_GATEWAY, 0));

    gateway.change(|state| (state.provider_down, state.prometheus_down) = (false, true));
    let dropped = call(&gateway, Method::GET, "/system/functions", &[("authorization", ADMIN)], "").await;
    assert!(dropped.unwrap_err().is_incomplete_message());
    assert_eq!(post(&gateway, "/function/echo").await.status(), 200, "calls need no Prometheus");

    gateway.change(|state| state.prometheus_down = false);
    assert_eq!(get(&gateway, "/system/functions").await.status(), 200);
    assert_eq!(
        gateway.read(|state| state.lookups.iter().map(|lookup| lookup.status).collect::<Vec<_>>()),
        [Some(502), None, Some(200)]
    );
}

#[tokio::test]
async fn a_function_s_own_answer_is_passed_on() {
    let gateway = Gateway::start([]).await;
    for status in [200, 201, 204, 301, 400, 401, 404, 408, 409, 429, 500, 501, 503, 504, 505] {
        let answer = Answer::text(status, format!("it was {status}")).header("retry-after", "7");
        gateway.change(|state| state.deploy(Function::new("echo").always(answer)));
        let response = post(&gateway, "/function/echo").await;
        assert_eq!(response.status(), status);
        assert_eq!(header(&response, "retry-after"), Some("7"));
        if status != 204 {
            assert_eq!(response.body(), format!("it was {status}").as_bytes());
        }
    }
}

#[tokio::test]
async fn a_function_is_addressed_with_its_namespace_outside_the_default_one() {
    let gateway = Gateway::start([Function::new("echo"), Function::new("audit.ops")]).await;
    for (path, status) in [
        ("/function/echo", 200),
        ("/function/echo.openfaas-fn", 200),
        ("/function/echo/sub/path?a=b", 200),
        ("/function/audit.ops", 200),
        ("/function/audit", 404),
        ("/function/echo.ops", 404),
        ("/function/nobody", 404),
        ("/elsewhere", 404),
    ] {
        assert_eq!(post(&gateway, path).await.status(), status, "{path}");
    }
    let rest = gateway.read(|state| state.invocations[2].rest.clone());
    assert_eq!(rest, "/sub/path?a=b");
    let calls = gateway.read(|state| state.invocations.iter().map(|call| call.function.clone()).collect::<Vec<_>>());
    assert_eq!(calls, ["echo", "echo.openfaas-fn", "echo", "audit.ops"]);
}

#[tokio::test]
async fn a_function_that_hangs_or_drops_is_a_502_with_no_body() {
    let gateway =
        Gateway::start([Function::new("hang").always(Answer::Hang), Function::new("drop").always(Answer::Drop)]).await;
    gateway.change(|state| {
        state.deploy(Function::new("slow").always(Answer::ok().after(Duration::from_secs(3600))));
        state.deploy(Function::new("waking").always(Answer::ok().after(Duration::from_millis(1))));
    });
    assert_eq!(post(&gateway, "/function/waking").await.status(), 200);
    gateway.change(|state| state.upstream_timeout = Duration::from_millis(20));
    for function in ["hang", "drop", "slow"] {
        let response = post(&gateway, &format!("/function/{function}")).await;
        assert_eq!((response.status(), response.body().len()), (StatusCode::BAD_GATEWAY, 0), "{function}");
    }
}

#[tokio::test]
async fn a_script_answers_call_by_call_and_every_call_is_kept() {
    let gateway = Gateway::start([Function::new("flaky").first(2, Answer::status(500), Answer::ok())]).await;
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let event = r#"{"id":"e-1","subject":"VmPoweredOnEvent"}"#;
        let sent = call(&gateway, Method::POST, "/function/flaky", &[("x-topic", "VmPoweredOnEvent")], event);
        statuses.push(sent.await.unwrap().status().as_u16());
    }
    assert_eq!(statuses, [500, 500, 200, 200]);
    gateway.wait_for_calls("flaky", 4).await;
    gateway.read(|state| {
        assert_eq!(state.invocations.iter().map(|call| call.number).collect::<Vec<_>>(), [1, 2, 3, 4]);
        let last = &state.invocations[3];
        assert_eq!(last.header("x-topic"), Some("VmPoweredOnEvent"));
        assert_eq!((last.event_id(), last.subject()), ("e-1".to_owned(), "VmPoweredOnEvent".to_owned()));
        assert_eq!(last.method, Method::POST);
    });
}

#[tokio::test]
async fn a_call_id_is_kept_or_made() {
    let gateway = Gateway::start([Function::new("echo")]).await;
    let made = post(&gateway, "/function/echo").await;
    let made = header(&made, "x-call-id").unwrap();
    assert_eq!(made.len(), 36);
    let ours = call(&gateway, Method::POST, "/function/echo", &[("x-call-id", "ours")], "").await.unwrap();
    assert_eq!(header(&ours, "x-call-id"), Some("ours"));
    gateway.read(|state| {
        assert_eq!(state.invocations[0].header("x-call-id"), Some(made));
        assert_eq!(state.invocations[1].header("x-call-id"), Some("ours"));
    });
}

#[tokio::test]
async fn the_queue_takes_posts_for_known_and_unknown_functions() {
    let gateway = Gateway::start([Function::new("echo")]).await;
    for function in ["echo", "nobody"] {
        let taken = post(&gateway, &format!("/async-function/{function}")).await;
        assert_eq!((taken.status(), taken.body().len()), (StatusCode::ACCEPTED, 0));
        assert!(header(&taken, "x-call-id").is_some());
    }
    gateway.wait_for_calls("echo", 1).await;
    assert!(gateway.read(|state| state.invocations[0].asynchronous));
    for method in [Method::GET, Method::PUT, Method::DELETE] {
        let refused = call(&gateway, method, "/async-function/echo", &[], "").await.unwrap();
        assert_eq!(refused.status(), 405);
    }
    gateway.change(|state| state.queue = Queue::Down);
    assert_eq!(post(&gateway, "/async-function/echo").await.status(), 500);
    gateway.change(|state| state.queue = Queue::Absent);
    assert_eq!(post(&gateway, "/async-function/echo").await.status(), 404);
}

#[tokio::test]
async fn the_worker_calls_back_with_the_function_s_answer_and_never_again() {
    let function = Function::new("broken").always(Answer::text(500, "it broke").header("content-type", "text/x-own"));
    let gateway = Gateway::start([function]).await;
    let receiver = Gateway::start([Function::new("inbox")]).await;
    let url = format!("{}/function/inbox/done?signed=yes", receiver.url());
    for function in ["broken", "nobody.ops"] {
        let headers = [("x-callback-url", url.as_str()), ("x-call-id", "call-7")];
        let taken = call(&gateway, Method::POST, &format!("/async-function/{function}"), &headers, "{}").await;
        assert_eq!(taken.unwrap().status(), 202);
        gateway.wait_for(|state| state.callbacks.last().is_some_and(|last| last.url == url)).await;
        gateway.change(|state| state.callbacks.clear());
    }
    receiver.wait_for_calls("inbox", 2).await;
    receiver.read(|state| {
        let [broken, nobody] = &state.invocations[..] else { panic!("{state:?}") };
        assert_eq!(broken.rest, "/done?signed=yes");
        assert_eq!(broken.header("x-function-name"), Some("broken"));
        assert_eq!(broken.header("x-function-status"), Some("500"));
        assert_eq!(broken.header("x-call-id"), Some("call-7"));
        assert_eq!(broken.header("content-type"), Some("text/x-own"));
        assert!(broken.header("x-duration-seconds").unwrap().parse::<f64>().is_ok());
        assert_eq!(broken.body, "it broke");
        assert_eq!(nobody.header("x-function-name"), Some("nobody.ops"));
        assert_eq!(nobody.header("x-function-status"), Some("404"));
    });
    assert_eq!(gateway.read(|state| state.count("broken")), 1, "the worker does not repeat what failed");
}

#[tokio::test]
async fn a_paused_worker_goes_on_where_it_stood() {
    let gateway = Gateway::start([Function::new("echo")]).await;
    gateway.change(|state| state.queue = Queue::Paused);
    assert_eq!(post(&gateway, "/async-function/echo").await.status(), 202);
    assert_eq!(post(&gateway, "/function/echo").await.status(), 200);
    gateway.change(|state| state.queue = Queue::Up);
    gateway.wait_for_calls("echo", 2).await;
    gateway.read(|state| assert!(!state.invocations[0].asynchronous && state.invocations[1].asynchronous));
}

#[tokio::test]
async fn a_killed_gateway_refuses_and_a_restarted_one_has_its_port() {
    let gateway = Gateway::start([Function::new("hang").always(Answer::Hang), Function::new("echo")]).await;
    let address = gateway.address();
    let waiting = tokio::spawn(raw::send(address, Request::post("/function/hang").body(Bytes::new()).unwrap()));
    gateway.wait_for_calls("hang", 1).await;
    gateway.kill().await;
    assert!(waiting.await.unwrap().is_err(), "a call in flight gets no answer");
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
    gateway.restart().await;
    assert_eq!(gateway.address(), address);
    assert_eq!(post(&gateway, "/function/echo").await.status(), 200);
}

#[tokio::test]
async fn the_port_is_the_system_s_or_the_caller_s() {
    let gateway = Gateway::start([]).await;
    assert_ne!(gateway.address().port(), 0);
    let taken = Gateway::listen(gateway.address(), State::default()).await;
    assert!(taken.is_err(), "another's port is not taken");
}

/// Another client than our own sees the same, where there is one.
#[tokio::test]
async fn curl_agrees() {
    let gateway = Gateway::start([Function::subscribed("echo", "A")]).await;
    let curl = |arguments: &[&str]| {
        let mut command = std::process::Command::new("curl");
        command.args(["--noproxy", "*", "--silent", "--max-time", "30", "--output", "-"]);
        command.args(["--write-out", " %{http_code}"]).args(arguments);
        tokio::task::spawn_blocking(move || command.output())
    };
    let functions = format!("{}/system/functions", gateway.url());
    let Ok(refused) = curl(&[&functions]).await.unwrap() else {
        eprintln!("skipped: there is no curl");
        return;
    };
    assert!(String::from_utf8_lossy(&refused.stdout).ends_with(" 401"));
    let listed = curl(&["--user", "admin:secret", &functions]).await.unwrap().unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    assert!(listed.contains(r#""topic":"A""#) && listed.ends_with(" 200"), "{listed}");
    let function = format!("{}/function/echo", gateway.url());
    let called = curl(&["--data", "{}", &function]).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&called.stdout), "ok 200");
    let queued = curl(&["--data", "{}", &function.replace("/function/", "/async-function/")]).await.unwrap().unwrap();
    assert_eq!(String::from_utf8_lossy(&queued.stdout), " 202");
    gateway.change(|state| state.prometheus_down = true);
    let dropped = curl(&["--user", "admin:secret", &functions]).await.unwrap().unwrap();
    assert_eq!(dropped.status.code(), Some(52), "curl's code for an empty reply");
}

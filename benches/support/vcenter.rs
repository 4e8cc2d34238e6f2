//! A vCenter that has nothing but events: as many as are read, or so many a second. Plain HTTP, one thread.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::Result;

const HEAD: &str = r#"<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>"#;
const TAIL: &str = "</soapenv:Body></soapenv:Envelope>";
pub const PAGE: usize = 1000;

struct VCenter {
    started: Instant,
    began: jiff::Timestamp,
    /// None: as fast as they are read.
    rate: Option<f64>,
    page: Vec<u8>,
    /// Where each event's key and time stand in the page.
    places: Vec<(usize, usize)>,
    /// How many events each collector has read.
    collectors: Mutex<Vec<u64>>,
}

/// The kinds of events that it has.
pub fn subject(at: usize) -> String {
    format!("com.example.load.kind{at:03}")
}

fn page() -> (Vec<u8>, Vec<(usize, usize)>) {
    let mut page = format!("{HEAD}<ReadNextEventsResponse xmlns=\"urn:vim25\">").into_bytes();
    let mut places = Vec::new();
    for at in 0..PAGE {
        page.extend_from_slice(b"<returnval xsi:type=\"EventEx\"><key>");
        let key = page.len();
        page.extend_from_slice(b"0000000000</key><chainId>1</chainId><createdTime>");
        let time = page.len();
        page.extend_from_slice(format!("2026-11-22T10:57:17.980199Z</createdTime><userName>VSPHERE.LOCAL\\Administrator</userName><datacenter><name>Datacenter</name><datacenter type=\"Datacenter\">datacenter-2</datacenter></datacenter><computeResource><name>Cluster-1</name><computeResource type=\"ClusterComputeResource\">domain-c8</computeResource></computeResource><host><name>esx-01.example.com</name><host type=\"HostSystem\">host-21</host></host><vm><name>machine-{at}</name><vm type=\"VirtualMachine\">vm-{at}</vm></vm><fullFormattedMessage>The state of machine-{at} on esx-01.example.com in Datacenter has changed from green to yellow</fullFormattedMessage><eventTypeId>{}</eventTypeId><severity>info</severity><message>The state has changed</message><arguments><key>from</key><value xsi:type=\"xsd:string\">green</value></arguments><arguments><key>to</key><value xsi:type=\"xsd:string\">yellow</value></arguments><objectId>vm-{at}</objectId><objectType>VirtualMachine</objectType><objectName>machine-{at}</objectName></returnval>", subject(at)).as_bytes());
        places.push((key, time));
    }
    page.extend_from_slice(format!("</ReadNextEventsResponse>{TAIL}").as_bytes());
    (page, places)
}

impl VCenter {
    fn happened(&self) -> u64 {
        self.rate.map_or(u64::MAX, |rate| (self.started.elapsed().as_secs_f64() * rate) as u64)
    }

    fn created(&self, event: u64) -> jiff::Timestamp {
        match self.rate {
            Some(rate) => self.began + Duration::from_secs_f64((event + 1) as f64 / rate),
            None => jiff::Timestamp::now(),
        }
    }

    /// The next events from one on, at most a page.
    fn read(&self, from: u64) -> (Vec<u8>, u64) {
        let count = self.happened().saturating_sub(from).min(PAGE as u64) as usize;
        let mut body = self.page.clone();
        if count < PAGE {
            let end = self.places[count].0 - b"<returnval xsi:type=\"EventEx\"><key>".len();
            body.truncate(end);
            body.extend_from_slice(format!("</ReadNextEventsResponse>{TAIL}").as_bytes());
        }
        let now = self.created(from);
        let mut text = String::new();
        for (i, (key, time)) in self.places.iter().take(count).enumerate() {
            let event = from + i as u64;
            if text.is_empty() || self.rate.is_some() {
                let at = if self.rate.is_some() { self.created(event) } else { now };
                text = format!("{at:.6}");
            }
            body[*key..key + 10].copy_from_slice(format!("{:010}", event + 1).as_bytes());
            body[*time..time + text.len()].copy_from_slice(text.as_bytes());
        }
        (body, from + count as u64)
    }

    async fn answer(&self, method: &str, request: &str) -> Vec<u8> {
        let content = match method {
            "RetrieveServiceContent" => r#"<returnval><rootFolder type="Folder">group-d1</rootFolder><propertyCollector type="PropertyCollector">propertyCollector</propertyCollector><viewManager type="ViewManager">ViewManager</viewManager><about><name>VMware vCenter Server</name><fullName>VMware vCenter Server 8.0.3</fullName><vendor>VMware, Inc.</vendor><version>8.0.3</version><build>1</build><osType>linux-x64</osType><productLineId>vpx</productLineId><apiType>VirtualCenter</apiType><apiVersion>8.0.3.0</apiVersion><instanceUuid>b19b33b6-9d25-5511-9b53-c54bf7f91ccc</instanceUuid></about><sessionManager type="SessionManager">SessionManager</sessionManager><eventManager type="EventManager">EventManager</eventManager></returnval>"#.to_owned(),
            "Login" => "<returnval><key>1</key><userName>user</userName><fullName>user</fullName><loginTime>2026-11-22T10:44:29Z</loginTime><lastActiveTime>2026-11-22T10:44:29Z</lastActiveTime><locale>en</locale><messageLocale>en</messageLocale></returnval>".to_owned(),
            "CurrentTime" => format!("<returnval>{:.6}</returnval>", jiff::Timestamp::now()),
            "CreateCollectorForEvents" => {
                let mut collectors = self.collectors.lock().expect("nobody panics");
                collectors.push(if self.rate.is_some() { self.happened() } else { 0 });
                format!("<returnval type=\"EventHistoryCollector\">{}</returnval>", collectors.len() - 1)
            }
            "CreateFilter" => "<returnval type=\"PropertyFilter\">filter</returnval>".to_owned(),
            "ReadNextEvents" => {
                let which = request.split("EventHistoryCollector\">").nth(1).and_then(|rest| rest.split('<').next());
                let which: usize = which.and_then(|which| which.parse().ok()).unwrap_or_default();
                let mut collectors = self.collectors.lock().expect("nobody panics");
                let (body, next) = self.read(collectors[which]);
                collectors[which] = next;
                return body;
            }
            "WaitForUpdatesEx" => {
                let known: u64 = request
                    .split("<version>")
                    .nth(1)
                    .and_then(|rest| rest.split('<').next()?.parse().ok())
                    .unwrap_or_default();
                let rate = self.rate.unwrap_or(1e-9);
                let next = (known + 1) as f64 / rate - self.started.elapsed().as_secs_f64();
                tokio::time::sleep(Duration::from_secs_f64(next.clamp(0.0, 25.0))).await;
                let newest = self.happened();
                if newest <= known {
                    return format!("{HEAD}<WaitForUpdatesExResponse xmlns=\"urn:vim25\"></WaitForUpdatesExResponse>{TAIL}").into_bytes();
                }
                let at = newest.saturating_sub(1);
                format!("<returnval><version>{newest}</version><filterSet><filter type=\"PropertyFilter\">filter</filter><objectSet><kind>modify</kind><obj type=\"EventHistoryCollector\">0</obj><changeSet><name>latestPage</name><op>assign</op><val xsi:type=\"ArrayOfEvent\"><Event xsi:type=\"EventEx\"><key>{newest}</key><chainId>1</chainId><createdTime>{:.6}</createdTime></Event></val></changeSet></objectSet></filterSet></returnval>", self.created(at))
            }
            _ => String::new(),
        };
        format!("{HEAD}<{method}Response xmlns=\"urn:vim25\">{content}</{method}Response>{TAIL}").into_bytes()
    }
}

async fn serve(
    vcenter: Arc<VCenter>,
    request: Request<Incoming>,
) -> std::result::Result<Response<Full<Bytes>>, Infallible> {
    if request.method() == http::Method::GET {
        let mut response = Response::new(Full::default());
        *response.status_mut() = http::StatusCode::NOT_FOUND;
        return Ok(response);
    }
    let body = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let text = String::from_utf8_lossy(&body);
    let method = text.split("Body>").nth(1).unwrap_or_default().trim_start_matches('<');
    let method = method.split([' ', '>']).next().unwrap_or_default();
    let answer = vcenter.answer(method, &text).await;
    let mut response = Response::new(Full::new(Bytes::from(answer)));
    response.headers_mut().insert("content-type", http::HeaderValue::from_static("text/xml; charset=utf-8"));
    if method == "Login" {
        let cookie = http::HeaderValue::from_static("vmware_soap_session=\"1\"; Path=/; HttpOnly");
        response.headers_mut().insert("set-cookie", cookie);
    }
    Ok(response)
}

/// Serves until the process ends.
pub async fn run(rate: Option<f64>) -> Result<()> {
    let (page, places) = page();
    let vcenter = Arc::new(VCenter {
        started: Instant::now(),
        began: jiff::Timestamp::now(),
        rate,
        page,
        places,
        collectors: Mutex::default(),
    });
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listening on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let vcenter = Arc::clone(&vcenter);
        tokio::spawn(async move {
            let service = service_fn(|request| serve(Arc::clone(&vcenter), request));
            drop(hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

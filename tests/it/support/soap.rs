//! A small SOAP client of the tests' own, to make vcsim do things.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use url::Url;
use vmware_event_router::http::{Client, Limits, TlsOptions};

use super::vcsim::{PASSWORD, USER};

/// A session of its own.
pub(crate) struct SoapClient {
    client: Client,
    url: Url,
    cookie: Option<String>,
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

impl SoapClient {
    pub(crate) async fn login(url: &Url) -> Result<Self, String> {
        let client = Client::new(TlsOptions { insecure: true, ..TlsOptions::default() });
        let mut this = Self { client, url: url.clone(), cookie: None };
        let body = format!(
            r#"<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this><userName>{}</userName><password>{}</password></Login>"#,
            escape(USER),
            escape(PASSWORD)
        );
        this.call(&body).await?;
        Ok(this)
    }

    /// Calls with this body, and gives the answer's.
    pub(crate) async fn call(&mut self, body: &str) -> Result<String, String> {
        let envelope = format!(
            r#"<?xml version="1.0" encoding="UTF-8"?><soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"><soapenv:Body>{body}</soapenv:Body></soapenv:Envelope>"#
        );
        let mut request = Request::post(self.url.as_str()).header("SOAPAction", "urn:vim25/6.7");
        if let Some(cookie) = &self.cookie {
            request = request.header("Cookie", cookie);
        }
        let request = request.body(Full::new(Bytes::from(envelope))).unwrap();
        let limits = Limits { timeout: Duration::from_secs(30), body: 1 << 26 };
        let response = self.client.send(request, limits).await.map_err(|error| error.to_string())?;
        if let Some(set) = response.headers().get("set-cookie") {
            self.cookie = set.to_str().unwrap().split(';').next().map(str::to_owned);
        }
        let text = String::from_utf8_lossy(response.body()).into_owned();
        if response.status().is_success() { Ok(text) } else { Err(text) }
    }

    /// Posts a GeneralUserEvent.
    pub(crate) async fn post(&mut self, message: &str) -> Result<(), String> {
        let body = format!(
            r#"<PostEvent xmlns="urn:vim25"><_this type="EventManager">EventManager</_this><eventToPost xsi:type="GeneralUserEvent"><key>0</key><chainId>0</chainId><createdTime>2020-01-01T00:00:00Z</createdTime><userName></userName><message>{message}</message></eventToPost></PostEvent>"#
        );
        self.call(&body).await.map(drop)
    }

    /// Posts a GeneralUserEvent of a VM, whose events stay in order.
    pub(crate) async fn post_of(&mut self, vm: &str, message: &str) -> Result<(), String> {
        let body = format!(
            r#"<PostEvent xmlns="urn:vim25"><_this type="EventManager">EventManager</_this><eventToPost xsi:type="GeneralUserEvent"><key>0</key><chainId>0</chainId><createdTime>2020-01-01T00:00:00Z</createdTime><userName></userName><vm><name>{vm}</name><vm type="VirtualMachine">{vm}</vm></vm><message>{message}</message></eventToPost></PostEvent>"#
        );
        self.call(&body).await.map(drop)
    }

    /// Every event that the server still has, page by page, oldest first: the answers as they came.
    pub(crate) async fn all_pages(&mut self) -> Result<Vec<String>, String> {
        let made = self
            .call(r#"<CreateCollectorForEvents xmlns="urn:vim25"><_this type="EventManager">EventManager</_this><filter></filter></CreateCollectorForEvents>"#)
            .await?;
        let collector = made.split_once("</returnval>").and_then(|(head, _)| head.rsplit_once('>'));
        let collector = collector.ok_or("no collector is given")?.1.to_owned();
        let of = |method: &str, rest: &str| {
            format!(
                r#"<{method} xmlns="urn:vim25"><_this type="EventHistoryCollector">{collector}</_this>{rest}</{method}>"#
            )
        };
        self.call(&of("RewindCollector", "")).await?;
        let mut pages = Vec::new();
        loop {
            let page = self.call(&of("ReadNextEvents", "<maxCount>1000</maxCount>")).await?;
            if !page.contains("<returnval") {
                break;
            }
            pages.push(page);
        }
        self.call(&of("DestroyCollector", "")).await?;
        Ok(pages)
    }

    /// Every event that the server still has, as (key, CreatedTime).
    pub(crate) async fn all_events(&mut self) -> Result<Vec<(i32, String)>, String> {
        let text = self
            .call(r#"<QueryEvents xmlns="urn:vim25"><_this type="EventManager">EventManager</_this><filter><maxCount>1000</maxCount></filter></QueryEvents>"#)
            .await?;
        let mut events = Vec::new();
        for part in text.split("<returnval ").skip(1) {
            let Some((key, rest)) = part.split_once("<key>").and_then(|(_, rest)| rest.split_once("</key>")) else {
                continue;
            };
            let Some((_, rest)) = rest.split_once("<createdTime>") else { continue };
            let Some((created, _)) = rest.split_once("</createdTime>") else { continue };
            if let Ok(key) = key.parse() {
                events.push((key, created.to_owned()));
            }
        }
        Ok(events)
    }
}

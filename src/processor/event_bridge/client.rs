//! Who asks AWS: the clients, and the credentials that they show.

use std::sync::Arc;
use std::time::Duration;

use aws_config::sts::AssumeRoleProvider;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{self, ProvideCredentials, SharedCredentialsProvider, future};
use aws_sdk_eventbridge::config::StalledStreamProtectionConfig;
use aws_smithy_types::retry::RetryConfig;
use aws_smithy_types::timeout::TimeoutConfig;
use tokio::sync::{Mutex, OnceCell};
use tokio::time::Instant;
use tracing::debug;
use url::Url;

use super::body::PutIn;
use super::config::{AccessKey, Config, Role};
use super::connector::Connector;
use super::failure::failure;
use crate::config::SecretError;

/// The name of a session under a role, and of ours in what AWS logs.
const OURSELVES: &str = "vmware-event-router";

/// How long credentials that were refused are looked for again and again, at least.
const RENEWAL: Duration = Duration::from_secs(5);

/// The clients of one set of credentials.
pub(super) struct Sdk {
    pub(super) events: aws_sdk_eventbridge::Client,
    pub(super) sts: aws_sdk_sts::Client,
    account: OnceCell<String>,
    made: Instant,
}

impl Sdk {
    /// Whose account the credentials are of, if STS says so: asked until it answers, and then known.
    pub(super) async fn account(&self) -> Option<String> {
        let ask = || async {
            let answer = self.sts.get_caller_identity().send().await;
            let answer =
                answer.map_err(|error| debug!(why = failure("GetCallerIdentity", &error).why.text, "no account"));
            answer?.account.filter(|account| !account.is_empty()).ok_or(())
        };
        self.account.get_or_try_init(ask).await.ok().cloned()
    }
}

/// Makes the clients, and makes them anew when credentials are refused: keys rotate.
pub(super) struct Aws {
    region: String,
    endpoint: Option<String>,
    sts_endpoint: Option<String>,
    timeout: Duration,
    access_key: Option<AccessKey>,
    role: Option<Role>,
    connector: Connector,
    current: Mutex<Option<Arc<Sdk>>>,
}

impl Aws {
    /// Asks nobody yet.
    pub(super) fn new(config: &Config) -> Self {
        let text = |url: &Url| url.as_str().trim_end_matches('/').to_owned();
        Self {
            region: config.region.clone(),
            endpoint: config.endpoint.as_ref().map(text),
            sts_endpoint: config.sts_endpoint.as_deref().or(config.endpoint.as_ref()).map(text),
            timeout: config.timeout,
            access_key: config.access_key.clone(),
            role: config.role.clone(),
            connector: Connector::new(&config.tls, config.timeout),
            current: Mutex::new(None),
        }
    }

    /// The clients of now.
    pub(super) async fn sdk(&self) -> Arc<Sdk> {
        let mut current = self.current.lock().await;
        if let Some(sdk) = &*current {
            return Arc::clone(sdk);
        }
        let (events, sts) = self.configurations().await;
        let events = aws_sdk_eventbridge::config::Builder::from(&events).interceptor(PutIn).build();
        let sdk = Arc::new(Sdk {
            events: aws_sdk_eventbridge::Client::from_conf(events),
            sts: aws_sdk_sts::Client::new(&sts),
            account: OnceCell::new(),
            made: Instant::now(),
        });
        *current = Some(Arc::clone(&sdk));
        sdk
    }

    /// Somebody's credentials were refused: whoever asks next reads them anew, wherever they are.
    pub(super) async fn refused(&self, used: &Arc<Sdk>) {
        let mut current = self.current.lock().await;
        if current.as_ref().is_some_and(|sdk| Arc::ptr_eq(sdk, used)) && used.made.elapsed() >= RENEWAL {
            *current = None;
        }
    }

    /// How EventBridge and STS are asked, with the same credentials.
    async fn configurations(&self) -> (SdkConfig, SdkConfig) {
        let config = self.load(self.endpoint.as_deref()).await;
        let Some(mut credentials) = config.credentials_provider() else { return (config.clone(), config) };
        let sts = self.load(self.sts_endpoint.as_deref()).await;
        if let Some(role) = &self.role {
            let mut asks = AssumeRoleProvider::builder(&role.arn).session_name(OURSELVES).configure(&sts);
            if let Some(id) = &role.external_id {
                asks = asks.external_id(id);
            }
            credentials = SharedCredentialsProvider::new(asks.build_from_provider(credentials).await);
        }
        // One cache, so that credentials are fetched, or a role is taken on, once for both.
        let cache = config.identity_cache();
        let with = |config: SdkConfig| {
            let mut builder = config.into_builder().credentials_provider(credentials.clone());
            builder.set_identity_cache(cache.clone());
            builder.build()
        };
        (with(config), with(sts))
    }

    /// An endpoint goes before those that the environment and profiles name, for all services or one.
    async fn load(&self, endpoint: Option<&str>) -> SdkConfig {
        // When and how often to try again is delivery's.
        let mut loader = aws_config::defaults(BehaviorVersion::latest())
            .region(Region::new(self.region.clone()))
            .http_client(self.connector.clone())
            .retry_config(RetryConfig::disabled())
            .timeout_config(TimeoutConfig::builder().operation_timeout(self.timeout).build())
            .stalled_stream_protection(StalledStreamProtectionConfig::disabled());
        if let Ok(name) = AppName::new(OURSELVES) {
            loader = loader.app_name(name);
        }
        if let Some(endpoint) = endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(key) = &self.access_key {
            loader = loader.credentials_provider(Keys(key.clone()));
        }
        loader.load().await
    }
}

/// The access key of the configuration, read when it is needed.
#[derive(Debug)]
struct Keys(AccessKey);

impl Keys {
    fn read(&self) -> provider::Result {
        let read = || -> Result<_, SecretError> {
            let token = self.0.token.as_ref().map(|token| token.read()).transpose()?;
            Ok((self.0.id.read()?, self.0.secret.read()?, token))
        };
        let (id, secret, token) = read().map_err(CredentialsError::invalid_configuration)?;
        let token = token.map(|token| token.expose().to_owned());
        Ok(Credentials::new(id.expose(), secret.expose(), token, None, "configuration"))
    }
}

impl ProvideCredentials for Keys {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::ready(self.read())
    }
}

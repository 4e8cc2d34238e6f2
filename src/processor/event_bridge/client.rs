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
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::config::{AccessKey, Config, Role};
use super::connector::Connector;
use crate::config::SecretError;

/// The name of a session under a role, and of ours in what AWS logs.
const OURSELVES: &str = "vmware-event-router";

/// How long credentials that were refused are looked for again and again, at least.
const RENEWAL: Duration = Duration::from_secs(5);

/// The clients of one set of credentials.
pub(super) struct Sdk {
    pub(super) events: aws_sdk_eventbridge::Client,
    pub(super) sts: aws_sdk_sts::Client,
    made: Instant,
}

/// Makes the clients, and makes them anew when credentials are refused: keys rotate.
pub(super) struct Aws {
    region: String,
    endpoint: Option<String>,
    timeout: Duration,
    access_key: Option<AccessKey>,
    role: Option<Role>,
    connector: Connector,
    current: Mutex<Option<Arc<Sdk>>>,
}

impl Aws {
    /// Asks nobody yet.
    pub(super) fn new(config: &Config) -> Self {
        Self {
            region: config.region.clone(),
            endpoint: config.endpoint.as_ref().map(|url| url.as_str().trim_end_matches('/').to_owned()),
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
        let config = self.configuration().await;
        let sdk = Arc::new(Sdk {
            events: aws_sdk_eventbridge::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
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

    async fn configuration(&self) -> SdkConfig {
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
        if let Some(endpoint) = &self.endpoint {
            loader = loader.endpoint_url(endpoint);
        }
        if let Some(key) = &self.access_key {
            loader = loader.credentials_provider(Keys(key.clone()));
        }
        let config = loader.load().await;
        let (Some(role), Some(base)) = (&self.role, config.credentials_provider()) else { return config };
        let mut asks = AssumeRoleProvider::builder(&role.arn).session_name(OURSELVES).configure(&config);
        if let Some(id) = &role.external_id {
            asks = asks.external_id(id);
        }
        let assumed = SharedCredentialsProvider::new(asks.build_from_provider(base).await);
        config.into_builder().credentials_provider(assumed).build()
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

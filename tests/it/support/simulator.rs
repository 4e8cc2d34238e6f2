//! The simulated vCenter, in this process.

use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use url::Url;
use vmware_event_router::simulator::vcenter::{Handle, Options, Rate, Server, Tls};

use super::vcsim::{PASSWORD, USER};

/// A simulated vCenter; ended when dropped.
pub(crate) struct Simulated {
    pub(crate) url: Url,
    /// Where faults can be asked for over HTTP, if the options say so.
    pub(crate) control: Option<std::net::SocketAddr>,
    pub(crate) handle: Handle,
    stop: CancellationToken,
    task: Option<JoinHandle<()>>,
}

/// Plain HTTP at a port that the system chooses, and nothing happens by itself.
pub(crate) fn quiet() -> Options {
    Options {
        listen: ([127, 0, 0, 1], 0).into(),
        username: USER.to_owned(),
        password: PASSWORD.to_owned(),
        rate: Rate::PerSecond(0.0),
        tls: Tls::Off,
        ..Options::default()
    }
}

impl Simulated {
    pub(crate) async fn start(options: Options) -> Self {
        let server = Server::start(options).await.unwrap();
        let (url, control) = (server.url().parse().unwrap(), server.control());
        let (handle, stop) = (server.handle(), CancellationToken::new());
        let task = Some(tokio::spawn(server.run(stop.clone())));
        Self { url, control, handle, stop, task }
    }

    /// Lets these faults happen, or plans them.
    pub(crate) fn plan(&self, faults: &str) {
        self.handle.plan(faults).unwrap();
    }

    /// Ends it, and waits for that.
    pub(crate) async fn stop(mut self) {
        self.stop.cancel();
        self.task.take().unwrap().await.unwrap();
    }
}

impl Drop for Simulated {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

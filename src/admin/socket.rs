//! The socket in the journal's folder: whoever may open it may do everything.

use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use tokio::net::UnixListener;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{debug, warn};

use super::server::{Admin, Caller, Trust, serve};

/// The file's name in the folder.
pub const NAME: &str = "socket";

/// Callers at once; others wait.
const MOST: usize = 32;

fn listen(folder: &Path) -> io::Result<UnixListener> {
    let path = folder.join(NAME);
    // Of a router that ended without removing it: this one has the folder to itself.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves commands until stopped.
pub async fn run(folder: &Path, admin: Arc<Admin>, stop: CancellationToken) {
    let listener = match listen(folder) {
        Ok(listener) => listener,
        Err(error) => {
            warn!(folder = %folder.display(), %error, "commands cannot reach the router, since its socket cannot be made");
            return;
        }
    };
    let (tasks, places) = (TaskTracker::new(), Arc::new(Semaphore::new(MOST)));
    loop {
        let accepted = tokio::select! {
            accepted = async {
                let place = Arc::clone(&places).acquire_owned().await;
                listener.accept().await.map(|(stream, _)| (stream, place))
            } => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok((stream, place)) => {
                let (admin, stop) = (Arc::clone(&admin), stop.clone());
                tasks.spawn(async move {
                    serve(stream, admin, stop, Arc::new(Caller::new()), Trust::Full).await;
                    drop(place);
                });
            }
            Err(error) => {
                debug!(%error, "a command could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
    tasks.close();
    tasks.wait().await;
    // The next router would remove it, too.
    drop(fs::remove_file(folder.join(NAME)));
}

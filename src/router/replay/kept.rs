//! What replays are to do, in the journal's folder: a file for each, until it has ended.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use tracing::warn;
use uuid::Uuid;

use crate::admin::api::replay::Part;

/// The folder's name in that of the journal.
const FOLDER: &str = "replays";

/// A file has no more bytes.
const MOST: u64 = 1 << 20;

/// What replays are to do. Where the journal is in memory, nothing is kept.
#[derive(Clone)]
pub(super) struct Kept(Option<PathBuf>);

/// What a new replay is called: never as one before, so that whoever asks for that one is not told of this.
pub(super) fn new_id() -> String {
    let mut id = Uuid::new_v4().simple().to_string();
    id.truncate(12);
    id
}

impl Kept {
    pub(super) fn new(journal: Option<&Path>) -> Self {
        Self(journal.map(|folder| folder.join(FOLDER)))
    }

    /// Writes down what a replay is to do: durable on return.
    ///
    /// # Errors
    /// It cannot be written; in words.
    pub(super) async fn add(&self, id: &str, part: &Part) -> Result<(), String> {
        let (id, part) = (id.to_owned(), part.clone());
        self.blocking("written", move |folder| write(folder, &id, &part)).await
    }

    /// Forgets it, durably.
    ///
    /// # Errors
    /// It cannot be removed; in words.
    pub(super) async fn remove(&self, id: &str) -> Result<(), String> {
        let name = format!("{id}.json");
        self.blocking("removed", move |folder| {
            match fs::remove_file(folder.join(name)) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            fs::File::open(folder)?.sync_all()
        })
        .await
    }

    /// All that are there, each with what it is to do.
    pub(super) async fn all(&self) -> Vec<(String, Part)> {
        let read = self.blocking("read", |folder| {
            let files = match fs::read_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
                files => files?,
            };
            let mut all = Vec::new();
            for file in files {
                let path = file?.path();
                let id = path.file_stem().and_then(|stem| stem.to_str());
                let Some(id) = id.filter(|_| path.extension().is_some_and(|is| is == "json")) else { continue };
                match read(&path) {
                    Ok(part) => all.push((id.to_owned(), part)),
                    Err(error) => {
                        warn!(file = %path.display(), %error, "what a replay was to do cannot be read: start it again, and remove this file");
                    }
                }
            }
            Ok(all)
        });
        read.await.unwrap_or_else(|why| {
            warn!(why, "replays that were under way are not known");
            Vec::new()
        })
    }

    async fn blocking<T: Default + Send + 'static>(
        &self,
        what: &str,
        run: impl FnOnce(&Path) -> io::Result<T> + Send + 'static,
    ) -> Result<T, String> {
        let Some(folder) = self.0.clone() else { return Ok(T::default()) };
        let text = folder.display().to_string();
        let done = tokio::task::spawn_blocking(move || run(&folder)).await;
        let done = done.unwrap_or_else(|_| Err(io::Error::other("its thread ended")));
        done.map_err(|error| format!("what a replay is to do cannot be {what} in {text}: {error}"))
    }
}

fn write(folder: &Path, id: &str, part: &Part) -> io::Result<()> {
    match fs::DirBuilder::new().mode(0o700).create(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    let new = folder.join(format!("{id}.new"));
    let mut file = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&serde_json::to_vec(part)?)?;
    file.sync_all()?;
    fs::rename(&new, folder.join(format!("{id}.json")))?;
    fs::File::open(folder)?.sync_all()?;
    folder.parent().map_or(Ok(()), |journal| fs::File::open(journal)?.sync_all())
}

fn read(path: &Path) -> io::Result<Part> {
    if fs::metadata(path)?.len() > MOST {
        return Err(io::Error::other("it is too large"));
    }
    Ok(serde_json::from_slice(&fs::read(path)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_kept_is_read_again_and_what_is_damaged_is_left_out() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Kept::new(Some(folder.path()));
        assert_eq!(kept.all().await, Vec::new());
        let pattern = Some(r#"{"subject":["a"]}"#.to_owned());
        let part = |after| Part { processor: "p".to_owned(), target: None, pattern: pattern.clone(), after, to: 9 };
        let (one, two) = (new_id(), new_id());
        assert_ne!(one, two);
        kept.add(&one, &part(1)).await.unwrap();
        kept.add(&two, &part(2)).await.unwrap();
        for (name, bytes) in [("x.json", &b"{"[..]), ("y.new", b"{}"), ("z.json", b"{\"processor\":7}")] {
            fs::write(folder.path().join(FOLDER).join(name), bytes).unwrap();
        }
        let again = Kept::new(Some(folder.path()));
        let mut all = again.all().await;
        all.sort_by_key(|(_, part)| part.after);
        assert_eq!(all, [(one.clone(), part(1)), (two.clone(), part(2))]);
        again.remove(&one).await.unwrap();
        again.remove(&one).await.unwrap();
        assert_eq!(again.all().await, [(two, part(2))]);
        let memory = Kept::new(None);
        memory.add(&one, &part(1)).await.unwrap();
        assert_eq!((memory.all().await, memory.remove(&one).await), (Vec::new(), Ok(())));
    }
}

//! Reading a segment from its first frame to its last, and telling a torn tail from damage.

use std::io;
use std::ops::Range;

use super::disk::File;
use super::frame::{HEAD, HEADER, Head, Header, HeaderError, RawHead};

/// So much is read at once.
const WINDOW: usize = 128 * 1024;

/// Where frames are read one after the other.
pub(super) struct Scan<'a> {
    file: &'a dyn File,
    salt: u64,
    /// Where the next frame begins.
    at: u64,
    /// Where the file ends, or what counts of it.
    end: u64,
    /// What was read, and where in the file it begins.
    window: Vec<u8>,
    start: u64,
    /// Where in it the payload is of the frame that came last.
    payload: Range<usize>,
    torn: bool,
}

/// What comes next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A frame that begins there; its payload can be had until the next one is asked for.
    Frame(u64, Head),
    /// What is there is no frame.
    Bad(u64),
    /// Nothing.
    End,
}

/// The segment's header.
///
/// # Errors
/// It cannot be read, or is none: then the inner one.
pub(super) fn header(file: &dyn File) -> io::Result<Result<Header, HeaderError>> {
    let mut bytes = [0; HEADER];
    let read = file.read_at(&mut bytes, 0)?;
    Ok(Header::decode(&bytes[..read]))
}

/// Whether the file was blanked to become a segment, and no header was written to its end since.
///
/// # Errors
/// The file cannot be read.
pub(super) fn is_blank(file: &dyn File) -> io::Result<bool> {
    // The checksum is last. No bit that turns over, nor a few of them, make it nothing.
    let mut sum = [1; 4];
    Ok(file.read_at(&mut sum, HEADER as u64 - 4)? == 4 && sum == [0; 4])
}

impl<'a> Scan<'a> {
    /// From a frame's beginning at `at` on, to `end` at the most.
    pub(super) fn new(file: &'a dyn File, salt: u64, at: u64, end: u64) -> Self {
        Self { file, salt, at, end, window: Vec::new(), start: at, payload: 0..0, torn: false }
    }

    /// Where the next frame begins.
    pub(super) fn at(&self) -> u64 {
        self.at
    }

    /// Makes so many bytes from `at` on be in the window, as far as there are so many.
    fn fill(&mut self, at: u64, count: usize) -> io::Result<&[u8]> {
        let count = count.min(usize::try_from(self.end.saturating_sub(at)).unwrap_or(usize::MAX));
        // The window begins at or before `at`: reading never goes back.
        let skip = usize::try_from(at - self.start).unwrap_or(usize::MAX);
        if self.window.len() < skip.saturating_add(count) {
            self.window.drain(..skip.min(self.window.len()));
            self.start = at;
            let have = self.window.len();
            let want = count.max(WINDOW).min(usize::try_from(self.end - at).unwrap_or(usize::MAX));
            self.window.resize(want, 0);
            let read = self.file.read_at(&mut self.window[have..], at + have as u64)?;
            self.window.truncate(have + read);
            return Ok(&self.window[..count.min(self.window.len())]);
        }
        Ok(&self.window[skip..skip + count])
    }

    /// The frame that begins there, if one does.
    fn frame_at(&mut self, at: u64) -> io::Result<Option<(Head, usize)>> {
        let salt = self.salt;
        let Some(raw) = RawHead::find(self.fill(at, HEAD)?, salt) else { return Ok(None) };
        let whole = HEAD + raw.length();
        if whole as u64 > self.end.saturating_sub(at) {
            return Ok(None);
        }
        // Of a file that was cut off, the length is no reason to make room.
        if whole > WINDOW && whole as u64 > self.file.len()?.saturating_sub(at) {
            return Ok(None);
        }
        let bytes = self.fill(at, whole)?;
        let head = bytes.get(HEAD..whole).and_then(|payload| raw.check(payload));
        Ok(head.map(|head| (head, whole)))
    }

    /// Goes on to the next frame.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn next(&mut self) -> io::Result<Next> {
        let at = self.at;
        if at >= self.end {
            return Ok(Next::End);
        }
        match self.frame_at(at)? {
            None => Ok(Next::Bad(at)),
            Some((head, whole)) => {
                let begin = usize::try_from(at - self.start).unwrap_or(usize::MAX);
                self.payload = begin + HEAD..begin + whole;
                self.at += whole as u64;
                Ok(Next::Frame(at, head))
            }
        }
    }

    /// Whether there was something of a frame, where frames ended. What else lies there was in the file before.
    pub(super) fn is_torn(&self) -> bool {
        self.torn
    }

    /// The payload of the frame that came last.
    pub(super) fn payload(&self) -> &[u8] {
        self.window.get(self.payload.clone()).unwrap_or_default()
    }

    /// Looks behind bad bytes for a frame that was written when they had been durable: then they are damage. Otherwise
    /// they are what a crash has left of a write that nobody was told of.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn testifies(&mut self, bad: u64) -> io::Result<Option<u64>> {
        Ok(self.find(bad, |head| u64::from(head.synced) > bad)?.map(|(at, _)| at))
    }

    /// The first frame behind bad bytes that is wanted. What comes before it cannot be read any more.
    ///
    /// # Errors
    /// The file cannot be read.
    pub(super) fn find(&mut self, bad: u64, wanted: impl Fn(&Head) -> bool) -> io::Result<Option<(u64, Head)>> {
        let salt = self.salt.to_le_bytes();
        self.torn = self.fill(bad, salt.len())? == salt;
        let mut at = bad + 1;
        while at + HEAD as u64 <= self.end {
            let bytes = self.fill(at, WINDOW)?;
            let Some(found) = memchr::memmem::find(bytes, &salt) else {
                if bytes.len() < salt.len() {
                    break;
                }
                at += (bytes.len() - salt.len() + 1) as u64;
                continue;
            };
            at += found as u64;
            self.torn = true;
            if let Some((head, _)) = self.frame_at(at)?
                && wanted(&head)
            {
                return Ok(Some((at, head)));
            }
            at += 1;
        }
        Ok(None)
    }
}

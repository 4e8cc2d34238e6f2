//! What a segment's file holds: a header, and frames one behind the other.
//!
//! All numbers are little-endian.

use std::io;

use crate::attempt::Position;

/// What every segment begins with.
pub(super) const MAGIC: [u8; 8] = *b"VER-LOG\n";

/// The format's version. A router reads every version up to its own.
pub(super) const VERSION: u16 = 1;

/// How long a segment's header is.
pub(super) const HEADER: usize = 64;

/// How long a frame is without its payload.
pub(super) const HEAD: usize = 40;

/// A frame's batch is whole with it.
pub(super) const LAST: u8 = 1;

/// No position is higher, nor is one zero: what says so is none of ours, and what follows can be counted on.
pub(super) const HIGHEST: u64 = 1 << 62;

/// No file is longer.
const LONGEST: u64 = u32::MAX as u64;

fn is_position(position: u64) -> bool {
    (1..=HIGHEST).contains(&position)
}

/// The header of a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// What the log holds.
    pub(super) log: u16,
    /// In every frame: what was in the file's place before is no frame of it.
    pub(super) salt: u64,
    /// No position in it is lower.
    pub(super) base: Position,
    /// When it was made, in microseconds since 1970.
    pub(super) created: i64,
    /// The segment before it. The first one has none.
    pub(super) before: Option<Before>,
}

/// What a segment says of the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Before {
    pub(super) base: Position,
    /// How much of the file was acknowledged.
    pub(super) end: u64,
    /// The position of its last record; lower than `base`, if it has none.
    pub(super) last: Position,
}

/// Why a file is no segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HeaderError {
    #[error("it does not begin as a segment does")]
    Strange,
    #[error("its header is damaged")]
    Damaged,
    #[error("it is of version {0}, and this router knows versions up to {VERSION}")]
    Newer(u16),
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut part = [0; N];
    part.copy_from_slice(&bytes[at..at + N]);
    part
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let none = Before { base: Position(u64::MAX), end: 0, last: Position(0) };
        let before = self.before.unwrap_or(none);
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[10..12].copy_from_slice(&self.log.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.salt.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.base.0.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.created.to_le_bytes());
        bytes[36..44].copy_from_slice(&before.base.0.to_le_bytes());
        bytes[44..52].copy_from_slice(&before.end.to_le_bytes());
        bytes[52..60].copy_from_slice(&before.last.0.to_le_bytes());
        let sum = crc32fast::hash(&bytes[..60]);
        bytes[60..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Whether the checksum is right, whatever the version says.
    pub(super) fn is_whole(bytes: &[u8]) -> bool {
        bytes.len() >= HEADER && crc32fast::hash(&bytes[..60]) == u32::from_le_bytes(take(bytes, 60))
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        if bytes.len() < HEADER || bytes[..8] != MAGIC {
            return Err(HeaderError::Strange);
        }
        let version = u16::from_le_bytes(take(bytes, 8));
        if version > VERSION {
            return Err(HeaderError::Newer(version));
        }
        if crc32fast::hash(&bytes[..60]) != u32::from_le_bytes(take(bytes, 60)) {
            return Err(HeaderError::Damaged);
        }
        let number = |at| u64::from_le_bytes(take(bytes, at));
        let before = Before { base: Position(number(36)), end: number(44), last: Position(number(52)) };
        let is_first = before.base.0 == u64::MAX;
        let fits = is_first || is_position(before.base.0) && before.last.0 <= HIGHEST && before.end <= LONGEST;
        if !is_position(number(20)) || !fits {
            return Err(HeaderError::Damaged);
        }
        Ok(Self {
            log: u16::from_le_bytes(take(bytes, 10)),
            salt: u64::from_le_bytes(take(bytes, 12)),
            base: Position(u64::from_le_bytes(take(bytes, 20))),
            created: i64::from_le_bytes(take(bytes, 28)),
            before: (!is_first).then_some(before),
        })
    }
}

/// A frame, without its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// What it holds.
    pub(super) kind: u8,
    /// [`LAST`], or none.
    pub(super) flags: u8,
    /// How many records: they have the positions from `first` on.
    pub(super) count: u16,
    pub(super) first: Position,
    /// How much of the file was durable when the frame was written.
    pub(super) synced: u32,
    /// When it was written, in microseconds since 1970.
    pub(super) time: i64,
}

impl Head {
    /// The position of its last record; what comes before `first`, if it has none.
    pub(super) fn last(&self) -> Position {
        Position(self.first.0.saturating_add(u64::from(self.count)).saturating_sub(1))
    }

    /// Adds a frame to what is to be written. `payload` writes its payload.
    pub(super) fn encode(&self, salt: u64, out: &mut Vec<u8>, payload: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let start = out.len();
        out.extend_from_slice(&[0; HEAD]);
        payload(out);
        let length = u32::try_from(out.len() - start - HEAD).map_err(io::Error::other)?;
        let (head, payload) = out[start..].split_at_mut(HEAD);
        head[..8].copy_from_slice(&salt.to_le_bytes());
        head[8..12].copy_from_slice(&length.to_le_bytes());
        head[16..20].copy_from_slice(&self.synced.to_le_bytes());
        head[20..22].copy_from_slice(&self.count.to_le_bytes());
        head[22] = self.kind;
        head[23] = self.flags;
        head[24..32].copy_from_slice(&self.first.0.to_le_bytes());
        head[32..40].copy_from_slice(&self.time.to_le_bytes());
        let sum = sum(head, payload);
        head[12..16].copy_from_slice(&sum.to_le_bytes());
        Ok(())
    }
}

/// The checksum of a frame: of all but itself.
fn sum(head: &[u8], payload: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&head[..12]);
    hasher.update(&head[16..HEAD]);
    hasher.update(payload);
    hasher.finalize()
}

/// Makes the salts and checksums of a segment's file right, and lengths that are too long, so that what is behind them
/// is looked at.
#[cfg(any(test, fuzzing))]
pub(super) fn set_right(bytes: &mut [u8]) {
    if bytes.len() < HEADER {
        return;
    }
    bytes[..8].copy_from_slice(&MAGIC);
    let header = crc32fast::hash(&bytes[..60]);
    bytes[60..HEADER].copy_from_slice(&header.to_le_bytes());
    let salt: [u8; 8] = take(bytes, 12);
    let mut at = HEADER;
    while let Some((head, rest)) = bytes[at..].split_at_mut_checked(HEAD) {
        let length = (u32::from_le_bytes(take(head, 8)) as usize).min(rest.len());
        head[..8].copy_from_slice(&salt);
        // No file is longer.
        head[8..12].copy_from_slice(&(length as u32).to_le_bytes());
        let sum = sum(head, &rest[..length]);
        head[12..16].copy_from_slice(&sum.to_le_bytes());
        at += HEAD + length;
    }
}

/// A frame's head as it is in a file: how long the payload is that should follow, before anything is checked.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawHead([u8; HEAD]);

impl RawHead {
    /// The head at the front of these bytes, if it may be one of the segment with this salt.
    pub(super) fn find(bytes: &[u8], salt: u64) -> Option<Self> {
        let head = Self(*bytes.first_chunk()?);
        (u64::from_le_bytes(take(&head.0, 0)) == salt).then_some(head)
    }

    /// How long the payload should be.
    pub(super) fn length(&self) -> usize {
        u32::from_le_bytes(take(&self.0, 8)) as usize
    }

    /// The frame, if this is its payload.
    pub(super) fn check(&self, payload: &[u8]) -> Option<Head> {
        let head = &self.0;
        if sum(head, payload) != u32::from_le_bytes(take(head, 12)) {
            return None;
        }
        let head = Head {
            kind: head[22],
            flags: head[23],
            count: u16::from_le_bytes(take(head, 20)),
            first: Position(u64::from_le_bytes(take(head, 24))),
            synced: u32::from_le_bytes(take(head, 16)),
            time: i64::from_le_bytes(take(head, 32)),
        };
        is_position(head.first.0).then_some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_comes_back_as_it_was_and_no_bit_may_change() {
        for before in [None, Some(Before { base: Position(7), end: 12_345, last: Position(60) })] {
            let header = Header { log: 2, salt: u64::MAX - 5, base: Position(70), created: -3, before };
            let bytes = header.encode();
            assert_eq!(Header::decode(&bytes), Ok(header));
            for bit in 0..HEADER * 8 {
                let mut other = bytes;
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(Header::decode(&other).is_err(), "bit {bit}");
            }
            assert_eq!(Header::decode(&bytes[..63]), Err(HeaderError::Strange));
        }
    }

    #[test]
    fn a_frame_comes_back_as_it_was_and_no_bit_may_change() {
        let head = Head { kind: 3, flags: LAST, count: 4, first: Position(9), synced: 77, time: 1_700_000_000_000_000 };
        let mut out = vec![1];
        head.encode(42, &mut out, |out| out.extend_from_slice(b"payload")).unwrap();
        let read = |bytes: &[u8]| {
            let raw = RawHead::find(bytes, 42)?;
            raw.check(bytes.get(HEAD..HEAD + raw.length())?)
        };
        assert_eq!((read(&out[1..]), head.last()), (Some(head), Position(12)));
        for bit in 0..(out.len() - 1) * 8 {
            let mut other = out[1..].to_vec();
            other[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&other), None, "bit {bit}");
        }
        assert!(RawHead::find(&out[1..], 43).is_none() && RawHead::find(&out[1..HEAD], 42).is_none());
    }
}

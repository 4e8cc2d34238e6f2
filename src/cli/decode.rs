//! `decode`: what captured SOAP responses become.

use std::fs::File;
use std::io::{self, BufWriter, Read as _, Write};
use std::path::Path;
use std::process::ExitCode;

use uuid::Uuid;

use super::args::Decode;
use super::{FAILED, OK, USAGE, complain};
use crate::stream::vcenter::PageReader;
use crate::vim25::Shape;

/// The largest capture that is read.
const MOST: u64 = 256 * 1024 * 1024;

/// What stands for a source that is not given.
const SOURCE: &str = "https://vcenter.invalid/sdk";

pub(super) fn run(args: &Decode) -> ExitCode {
    let shape = match args.api_version.parse::<Shape>() {
        Ok(shape) => shape,
        Err(error) => {
            complain(&format!("--api-version: {error}\n"));
            return USAGE.into();
        }
    };
    let source = args.source.as_deref().unwrap_or(SOURCE);
    let instance = args.instance_uuid.unwrap_or(Uuid::nil());
    let mut reader = PageReader::new("decode".into(), source, shape, instance, shape.api_version());
    let mut out = BufWriter::new(io::stdout().lock());
    let mut whole = true;
    for file in &args.files {
        match decode(&mut reader, file, args.payload, &mut out) {
            Ok(all) => whole &= all,
            // Whoever read the output has seen enough.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return FAILED.into(),
            Err(error) => {
                complain(&format!("{}: {error}\n", file.display()));
                whole = false;
            }
        }
    }
    if let Err(error) = out.flush() {
        complain(&format!("standard output: {error}\n"));
        return FAILED.into();
    }
    if whole { OK.into() } else { FAILED.into() }
}

/// Prints the events of one capture. Whether all of it could be decoded.
fn decode(reader: &mut PageReader, file: &Path, payload: bool, out: &mut impl Write) -> io::Result<bool> {
    let mut xml = Vec::new();
    if file.as_os_str() == "-" {
        io::stdin().lock().take(MOST + 1).read_to_end(&mut xml)?;
    } else {
        File::open(file)?.take(MOST + 1).read_to_end(&mut xml)?;
    }
    if xml.len() as u64 > MOST {
        return Err(io::Error::other(format!("is larger than {MOST} bytes")));
    }
    let page = reader.read_at_once(&xml, |_| true);
    for event in &page.events {
        out.write_all(&if payload { event.data() } else { event.json() })?;
        out.write_all(b"\n")?;
    }
    // What was printed comes before what is said of it.
    out.flush()?;
    for undecoded in &page.undecoded {
        complain(&format!("{}: event {} ({}): {}\n", file.display(), undecoded.id, undecoded.subject, undecoded.why));
    }
    if let Some(error) = &page.error {
        complain(&format!("{}: {error}\n", file.display()));
    }
    Ok(page.undecoded.is_empty() && page.error.is_none())
}

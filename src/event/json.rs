//! Strings as JSON has them.

/// Whether a JSON string cannot have it as it is.
pub(super) fn needs_escape(text: &str) -> bool {
    // Without a branch for each byte, so that many are looked at together.
    text.bytes().fold(false, |found, b| found | (b < 0x20) | (b == b'"') | (b == b'\\'))
}

/// Each of the eight bytes of a word.
const fn each(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Where in eight bytes JSON must escape the first, if anywhere. A subtraction that borrows makes false ones after it
/// only.
#[inline]
fn special(word: [u8; 8]) -> Option<usize> {
    let word = u64::from_le_bytes(word);
    let below = |word: u64, bound: u8| word.wrapping_sub(each(bound)) & !word;
    let found = below(word, b' ') | below(word ^ each(b'"'), 1) | below(word ^ each(b'\\'), 1);
    let found = found & each(0x80);
    (found != 0).then_some(found.trailing_zeros() as usize / 8)
}

/// Writes `text` as a JSON string. It may be JSON itself, with a quotation mark every few bytes: eight bytes are copied at
/// a time, and those after a mark once more.
pub fn write_json_string(out: &mut Vec<u8>, text: &str) {
    let (bytes, start) = (text.as_bytes(), out.len());
    // Each may become two, and a last word goes as a whole.
    out.resize(start + bytes.len() * 2 + 10, 0);
    out[start] = b'"';
    let (mut to, mut from) = (start + 1, 0);
    while let Some(rest) = bytes.get(from..).filter(|rest| !rest.is_empty()) {
        let word = rest.first_chunk().copied().unwrap_or_else(|| {
            let mut word = [b'.'; 8];
            word[..rest.len()].copy_from_slice(rest);
            word
        });
        out[to..to + 8].copy_from_slice(&word);
        let Some(at) = special(word) else {
            let all = rest.len().min(8);
            (to, from) = (to + all, from + all);
            continue;
        };
        if word[at] < b' ' {
            // Rare: no JSON has such a thing.
            out.truncate(start);
            // A vector takes whatever is written.
            drop(serde_json::to_writer(out, text));
            return;
        }
        out[to + at..to + at + 2].copy_from_slice(&[b'\\', word[at]]);
        (to, from) = (to + at + 2, from + at + 1);
    }
    out[to] = b'"';
    out.truncate(to + 1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_written_wherever_they_end() {
        for text in
            ["", "\"", "\\", "\u{8}\t\n\u{c}\r\u{1f}\u{0}", "1234567", "12345678", "123456789", "é\u{7f}€𝄞\u{80}"]
        {
            for before in ["", "1", "1234567", "12345678", "\"\"\"\"\"\"\"\"", "\u{80}"] {
                let text = format!("{before}{text}");
                for text in [text.clone(), format!("{text}\""), format!("{text}12345678\\")] {
                    let mut body = b"[".to_vec();
                    write_json_string(&mut body, &text);
                    assert_eq!(String::from_utf8(body).unwrap(), format!("[{}", serde_json::to_string(&text).unwrap()));
                }
            }
        }
    }
}

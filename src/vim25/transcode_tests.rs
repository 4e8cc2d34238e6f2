#![allow(clippy::unwrap_used)]
use super::*;
#[test]
fn compiles() {
    let _ = Decoder::new(Shape::V6_7);
}

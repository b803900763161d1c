//! The one place that asks for randomness.

/// 64 random bits from the operating system.
///
/// A system without a random source cannot make run identifiers that do not collide, so failure
/// to read it is a bug of the machine that ends the program.
#[expect(clippy::disallowed_methods, reason = "this is the one place that asks for randomness")]
pub fn random() -> u64 {
    let mut bytes = [0_u8; 8];
    getrandom::fill(&mut bytes).expect("the operating system provides random bytes");
    u64::from_le_bytes(bytes)
}

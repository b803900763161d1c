//! Values that must not be shown.

use std::fmt;

/// Holds a value that neither `Debug` nor `Display` reveals; `reveal` marks each place that uses it.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    pub fn new(value: T) -> Self {
        Secret(value)
    }

    /// The value itself. It may go to the peer it is meant for and nowhere else.
    pub fn reveal(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_does_not_reveal() {
        assert_eq!(format!("{:?}", Secret::new("hunter22hunter22")), "[secret]");
    }
}

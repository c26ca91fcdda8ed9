//! A value that must not be printed and must not outlive its use.

use std::fmt;
use zeroize::Zeroize;

/// Holds a secret: it prints as `<secret>` and its memory is overwritten when it is dropped.
///
/// ```
/// use longshore_runtime::Sensitive;
/// let key = Sensitive::new(String::from("my-secret-key"));
/// assert_eq!(format!("{key:?}"), "<secret>");
/// assert_eq!(key.expose(), "my-secret-key");
/// ```
pub struct Sensitive<T: Zeroize>(T);

impl<T: Zeroize> Sensitive<T> {
    /// Takes a secret into custody.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// The secret itself. Call it where the secret is used, and keep no copy.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T: Zeroize> From<T> for Sensitive<T> {
    fn from(value: T) -> Self {
        Self::new(value)
    }
}

impl<T: Zeroize + Clone> Clone for Sensitive<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T: Zeroize> fmt::Debug for Sensitive<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

impl<T: Zeroize> Drop for Sensitive<T> {
    fn drop(&mut self) {
        self.0.zeroize();
    }
}

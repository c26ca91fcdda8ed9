//! Text that comes out of a component, made safe to print.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Escapes control characters and characters that reorder a terminal line, and cuts the text at
/// `max_bytes`, saying how much was cut.
pub(crate) fn printable(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes && !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let kept = text
        .split_at_checked(text.floor_char_boundary(max_bytes))
        .map_or(text, |(kept, _)| kept);
    let mut out = String::with_capacity(kept.len() + 32);
    for character in kept.chars() {
        if is_unsafe(character) {
            out.extend(character.escape_default());
        } else {
            out.push(character);
        }
    }
    let cut = text.len() - kept.len();
    if cut > 0 {
        // Writing to a string can not fail.
        let _ = write!(out, "… ({cut} more bytes)");
    }
    Cow::Owned(out)
}

fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn terminal_escapes_and_line_breaks_are_spelled_out() {
        assert_eq!(printable("a\u{1b}[2Jb\nc", 100), "a\\u{1b}[2Jb\\nc");
        assert_eq!(printable("x\u{202e}y", 100), "x\\u{202e}y");
        assert_eq!(printable("naïve 杭州", 100), "naïve 杭州");
    }

    #[test]
    fn long_text_is_cut_between_characters_and_says_so() {
        assert_eq!(printable("杭州", 4), "杭… (3 more bytes)");
        assert_eq!(printable("abc", 3), "abc");
    }
}

//! Words of MaxCompute SQL.

use super::SqlError;

/// One word and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// Line and column, from 1.
    pub(super) at: (usize, usize),
    /// Byte offsets in the text.
    pub(super) start: usize,
    pub(super) end: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Bare word.
    Word(String),
    /// Name in backticks, unescaped.
    Quoted(String),
    /// String in single or double quotes, unescaped.
    Text(String),
    /// Number as written.
    Number(String),
    /// Anything else, one character.
    Symbol(char),
}

impl Token {
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(&self.kind, Kind::Word(text) if text.eq_ignore_ascii_case(word))
    }

    pub(super) fn is_symbol(&self, symbol: char) -> bool {
        self.kind == Kind::Symbol(symbol)
    }

    /// The token as an error message names it.
    pub(super) fn shown(&self) -> String {
        match &self.kind {
            Kind::Word(text) | Kind::Number(text) => text.clone(),
            Kind::Quoted(text) => format!("`{text}`"),
            Kind::Text(text) => format!("'{text}'"),
            Kind::Symbol(c) => c.to_string(),
        }
    }
}

/// Splits a text into tokens; comments are left out.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, SqlError> {
    let mut lexer = Lexer {
        text,
        at: 0,
        line: 1,
        column: 1,
    };
    let mut tokens = Vec::new();
    while let Some(token) = lexer.token()? {
        tokens.push(token);
    }
    Ok(tokens)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
    column: usize,
}

impl Lexer<'_> {
    fn rest(&self) -> &str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        if c == '\n' {
            self.line += 1;
            self.column = 1;
        } else {
            self.column += 1;
        }
        Some(c)
    }

    fn skip_blank(&mut self) -> Result<(), SqlError> {
        loop {
            if self.rest().starts_with("--") {
                while self.peek().is_some_and(|c| c != '\n') {
                    self.next();
                }
            } else if self.rest().starts_with("/*") {
                let start = (self.line, self.column);
                while !self.rest().starts_with("*/") {
                    if self.next().is_none() {
                        return Err(SqlError::parse(start, "a comment is not closed"));
                    }
                }
                self.next();
                self.next();
            } else if self.peek().is_some_and(char::is_whitespace) {
                self.next();
            } else {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Option<Token>, SqlError> {
        self.skip_blank()?;
        let at = (self.line, self.column);
        let start = self.at;
        let Some(c) = self.peek() else {
            return Ok(None);
        };
        let kind = match c {
            '`' => Kind::Quoted(self.quoted_name(at)?),
            '\'' | '"' => Kind::Text(self.string(at, c)?),
            c if c.is_ascii_digit() => Kind::Number(self.number()),
            c if c.is_alphabetic() || c == '_' => {
                Kind::Word(self.take(|c| c.is_alphanumeric() || c == '_' || c == '$'))
            }
            c => {
                self.next();
                Kind::Symbol(c)
            }
        };
        Ok(Some(Token {
            kind,
            at,
            start,
            end: self.at,
        }))
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> String {
        let start = self.at;
        while self.peek().is_some_and(&wanted) {
            self.next();
        }
        self.text.get(start..self.at).unwrap_or("").to_owned()
    }

    fn number(&mut self) -> String {
        let mut text = self.take(|c| c.is_ascii_digit());
        if self.rest().starts_with('.')
            && self
                .rest()
                .chars()
                .nth(1)
                .is_none_or(|c| c.is_ascii_digit() || !c.is_alphabetic())
        {
            self.next();
            text.push('.');
            text.push_str(&self.take(|c| c.is_ascii_digit()));
        }
        let mut after = self.rest().chars();
        if matches!(after.next(), Some('e' | 'E')) {
            let sign = after.clone().next().filter(|c| matches!(c, '+' | '-'));
            let digit = if sign.is_some() {
                after.nth(1)
            } else {
                after.next()
            };
            if digit.is_some_and(|c| c.is_ascii_digit()) {
                self.next();
                text.push('e');
                if sign.is_some() {
                    text.extend(self.next());
                }
                text.push_str(&self.take(|c| c.is_ascii_digit()));
            }
        }
        // Suffixes of literals: 1L, 1Y, 1S, 1.5BD; a name that starts with a digit stays whole.
        let suffix = self.take(|c| c.is_alphanumeric() || c == '_');
        if !["L", "Y", "S", "BD"].contains(&suffix.to_uppercase().as_str()) {
            text.push_str(&suffix);
        }
        text
    }

    fn quoted_name(&mut self, at: (usize, usize)) -> Result<String, SqlError> {
        self.next();
        let mut name = String::new();
        loop {
            match self.next() {
                None => return Err(SqlError::parse(at, "a backtick is not closed")),
                Some('`') if self.peek() == Some('`') => {
                    self.next();
                    name.push('`');
                }
                Some('`') => return Ok(name),
                Some(c) => name.push(c),
            }
        }
    }

    fn string(&mut self, at: (usize, usize), quote: char) -> Result<String, SqlError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None => return Err(SqlError::parse(at, "a string is not closed")),
                Some(c) if c == quote => {
                    return Ok(text);
                }
                Some('\\') => {
                    let Some(escaped) = self.next() else {
                        return Err(SqlError::parse(at, "a string is not closed"));
                    };
                    match escaped {
                        'n' => text.push('\n'),
                        't' => text.push('\t'),
                        'r' => text.push('\r'),
                        'b' => text.push('\u{8}'),
                        '0' => text.push('\0'),
                        '\'' | '"' | '\\' => text.push(escaped),
                        'u' => text.push(self.unicode(at)?),
                        // Unknown escapes stay as written.
                        other => {
                            text.push('\\');
                            text.push(other);
                        }
                    }
                }
                Some(c) => text.push(c),
            }
        }
    }

    fn unicode(&mut self, at: (usize, usize)) -> Result<char, SqlError> {
        let mut code = 0;
        for _ in 0..4 {
            let digit = self.next().and_then(|c| c.to_digit(16));
            code = code * 16
                + digit.ok_or_else(|| SqlError::parse(at, "\\u needs four hex digits"))?;
        }
        char::from_u32(code)
            .ok_or_else(|| SqlError::parse(at, format!("\\u{code:04x} is not a character")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_names_and_numbers() {
        let kinds: Vec<Kind> =
            tokens("a `b``c` 'it\\'s' \"x\\\\\" 1L 1.5BD 2e3 -- end\n/* c */ t.c;")
                .unwrap()
                .into_iter()
                .map(|t| t.kind)
                .collect();
        let word = |s: &str| Kind::Word(s.into());
        let number = |s: &str| Kind::Number(s.into());
        assert_eq!(
            kinds,
            [
                word("a"),
                Kind::Quoted("b`c".into()),
                Kind::Text("it's".into()),
                Kind::Text("x\\".into()),
                number("1"),
                number("1.5"),
                number("2e3"),
                word("t"),
                Kind::Symbol('.'),
                word("c"),
                Kind::Symbol(';'),
            ]
        );
        assert!(tokens("'open").is_err());
    }
}

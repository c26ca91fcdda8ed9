//! Reading projections and filters: SQL expressions in the syntax Flink CDC takes (Calcite's with
//! the lexical rules of Java: names are case-sensitive, back ticks quote them).

use datafusion::sql::sqlparser::ast::{Expr, Ident};
use datafusion::sql::sqlparser::dialect::Dialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::{Parser, ParserError};
use datafusion::sql::sqlparser::tokenizer::{Token, TokenWithSpan, Tokenizer, Word};

/// A longer chain of operators would be a tree so deep that letting go of it overflows the stack.
const MAX_WORDS: usize = 5000;

/// One entry of a projection.
#[derive(Debug, Clone)]
pub(super) enum Item {
    /// `*`: every column of the table.
    All,
    /// A column.
    Column {
        /// Its name in the result.
        name: String,
        expr: Box<Expr>,
    },
}

/// Reads the entries of a projection.
///
/// # Errors
///
/// What is wrong with it, for a person.
pub(super) fn projection(text: &str) -> Result<Vec<Item>, String> {
    let mut parser = parser(text)?;
    let mut items = Vec::new();
    loop {
        if parser.consume_token(&Token::Mul) {
            items.push(Item::All);
        } else {
            if parser.peek_token_ref().token == Token::EOF {
                return Err("a column is missing after the last comma".to_owned());
            }
            let expr = parser.parse_expr().map_err(reason)?;
            let name = alias(&mut parser)?;
            let name = match (name, &expr) {
                (Some(name), _) => name,
                (None, Expr::Identifier(column)) => column.value.clone(),
                (None, Expr::CompoundIdentifier(parts)) => last(parts),
                (None, other) => {
                    return Err(format!("`{other}` needs a name: write `{other} AS name`"));
                }
            };
            items.push(Item::Column {
                name,
                expr: Box::new(expr),
            });
        }
        if !parser.consume_token(&Token::Comma) {
            break;
        }
    }
    end(&parser)?;
    Ok(items)
}

/// Reads one expression.
///
/// # Errors
///
/// What is wrong with it, for a person.
pub(super) fn expression(text: &str) -> Result<Expr, String> {
    let mut parser = parser(text)?;
    let expr = parser.parse_expr().map_err(reason)?;
    end(&parser)?;
    Ok(expr)
}

/// The column that a name with levels before it means.
pub(super) fn last(parts: &[Ident]) -> String {
    parts
        .last()
        .map(|part| part.value.clone())
        .unwrap_or_default()
}

fn alias(parser: &mut Parser<'_>) -> Result<Option<String>, String> {
    let named = parser.parse_keyword(Keyword::AS);
    if named || matches!(parser.peek_token_ref().token, Token::Word(_)) {
        return Ok(Some(parser.parse_identifier().map_err(reason)?.value));
    }
    Ok(None)
}

fn end(parser: &Parser<'_>) -> Result<(), String> {
    let next = parser.peek_token_ref();
    match &next.token {
        Token::EOF => Ok(()),
        token => Err(format!(
            "unexpected `{token}` at line {}, column {}",
            next.span.start.line, next.span.start.column
        )),
    }
}

fn parser(text: &str) -> Result<Parser<'static>, String> {
    let tokens = Tokenizer::new(&FlinkDialect, text)
        .tokenize_with_location()
        .map_err(|error| error.to_string())?;
    let tokens = rewritten(tokens);
    let words = tokens
        .iter()
        .filter(|token| !matches!(token.token, Token::EOF | Token::Whitespace(_)))
        .count();
    if words == 0 {
        return Err("there is nothing in it".to_owned());
    }
    if words > MAX_WORDS {
        return Err(format!(
            "it has {words} words and signs; {MAX_WORDS} are the most"
        ));
    }
    Ok(Parser::new(&FlinkDialect).with_tokens_with_locations(tokens))
}

fn reason(error: ParserError) -> String {
    match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text,
        ParserError::RecursionLimitExceeded => "it is nested too deeply".to_owned(),
    }
}

/// What the parser does not know: the escaped star `\*`, `MAP[…]`, and the start of a `POSITION`.
fn rewritten(mut tokens: Vec<TokenWithSpan>) -> Vec<TokenWithSpan> {
    let mut index = 0;
    while index < tokens.len() {
        let next = next_token(&tokens, index + 1);
        let word = match tokens.get(index).map(|token| &token.token) {
            Some(Token::Backslash) if is(&tokens, next, &Token::Mul) => {
                tokens.remove(index);
                continue;
            }
            Some(Token::Word(word)) if word.quote_style.is_none() => word.value.to_uppercase(),
            _ => String::new(),
        };
        if word == "MAP" && is(&tokens, next, &Token::LBracket) {
            if let (Some(open), Some((close, _))) = (next, inside(&tokens, next)) {
                set(&mut tokens, open, Token::LParen);
                set(&mut tokens, close, Token::RParen);
            }
        } else if word == "POSITION"
            && is(&tokens, next, &Token::LParen)
            && let Some((_, top)) = inside(&tokens, next)
        {
            let keyword = |keyword: &str| {
                top.iter().copied().find(|at| {
                    matches!(tokens.get(*at).map(|token| &token.token),
                        Some(Token::Word(word)) if word.value.eq_ignore_ascii_case(keyword))
                })
            };
            if let (Some(within), Some(from)) = (keyword("IN"), keyword("FROM")) {
                set(&mut tokens, index, plain_word("LOCATE"));
                set(&mut tokens, within, Token::Comma);
                set(&mut tokens, from, Token::Comma);
            }
        }
        index += 1;
    }
    tokens
}

fn plain_word(text: &str) -> Token {
    Token::Word(Word {
        value: text.to_owned(),
        quote_style: None,
        keyword: Keyword::NoKeyword,
    })
}

fn set(tokens: &mut [TokenWithSpan], index: usize, token: Token) {
    if let Some(place) = tokens.get_mut(index) {
        place.token = token;
    }
}

fn is(tokens: &[TokenWithSpan], index: Option<usize>, wanted: &Token) -> bool {
    index
        .and_then(|index| tokens.get(index))
        .is_some_and(|token| token.token == *wanted)
}

/// The first token from `from` on that is no white space.
fn next_token(tokens: &[TokenWithSpan], from: usize) -> Option<usize> {
    (from..tokens.len()).find(|index| {
        tokens
            .get(*index)
            .is_some_and(|token| !matches!(token.token, Token::Whitespace(_)))
    })
}

/// The place of the bracket that closes the one at `open`, and the tokens directly within.
fn inside(tokens: &[TokenWithSpan], open: Option<usize>) -> Option<(usize, Vec<usize>)> {
    let open = open?;
    let (mut depth, mut top) = (0_usize, Vec::new());
    for (index, token) in tokens.iter().enumerate().skip(open) {
        match token.token {
            Token::LParen | Token::LBracket => depth += 1,
            Token::RParen | Token::RBracket => {
                depth = depth.checked_sub(1)?;
                if depth == 0 {
                    return Some((index, top));
                }
            }
            _ if depth == 1 => top.push(index),
            _ => {}
        }
    }
    None
}

#[derive(Debug)]
struct FlinkDialect;

impl Dialect for FlinkDialect {
    fn is_delimited_identifier_start(&self, c: char) -> bool {
        c == '`' || c == '"'
    }

    fn is_identifier_start(&self, c: char) -> bool {
        c.is_alphabetic() || c == '_' || c == '$'
    }

    fn is_identifier_part(&self, c: char) -> bool {
        c.is_alphanumeric() || c == '_' || c == '$'
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<String> {
        projection(text)
            .unwrap()
            .into_iter()
            .map(|item| match item {
                Item::All => "*".to_owned(),
                Item::Column { name, expr } => format!("{name}={expr}"),
            })
            .collect()
    }

    #[test]
    fn projections_as_the_documentation_writes_them() {
        assert_eq!(
            names("\\*, UPPER(product_name) as product_name"),
            ["*", "product_name=UPPER(product_name)"]
        );
        assert_eq!(
            names("id, __namespace_name__ || '.' || __table_name__ identifier_name, *"),
            [
                "id=id",
                "identifier_name=__namespace_name__ || '.' || __table_name__",
                "*"
            ]
        );
        assert_eq!(names("t.`order id`"), ["order id=t.`order id`"]);
        assert_eq!(names("MAP['a', f(1)] m"), ["m=MAP('a', f(1))"]);
        assert_eq!(
            names("POSITION('a' IN concat(x, 'b') FROM 3) p"),
            ["p=LOCATE('a', concat(x, 'b'), 3)"]
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        assert!(projection("a, UPPER(b)").unwrap_err().contains("AS name"));
        assert!(projection("a,").unwrap_err().contains("missing"));
        assert!(projection("a b c").unwrap_err().contains("unexpected `c`"));
        assert!(expression(" ").unwrap_err().contains("nothing"));
        assert!(expression("a >").is_err());
    }
}

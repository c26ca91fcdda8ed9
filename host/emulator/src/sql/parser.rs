//! Parser of the statements MaxCompute writes differently from standard SQL. Queries are only
//! delimited here; DataFusion parses them.

use std::collections::BTreeMap;

use super::SqlError;
use super::lexer::{Kind, Token, tokens};
use super::statement::{Alter, PartitionPairs, Statement, TableName};
use crate::catalog::{Clustering, Column, ColumnType};
use crate::storage::{ColumnPlace, TableChange, TableSpec};

/// Line and column, from 1.
type Place = (usize, usize);

/// Parses a job: statements separated by `;`, each with its place.
pub(super) fn parse(text: &str) -> Result<Vec<(Place, Statement)>, SqlError> {
    let tokens = tokens(text)?;
    let mut statements = Vec::new();
    for part in tokens.split(|token| token.is_symbol(';')) {
        let Some(first) = part.first() else {
            continue;
        };
        let end = part.last().map_or(first.at, |last| {
            (last.at.0, last.at.1 + (last.end - last.start))
        });
        let mut parser = Parser {
            text,
            tokens: part,
            position: 0,
            end,
        };
        let statement = parser.statement()?;
        if let Some(token) = parser.peek() {
            return Err(parser.unexpected(token, "the end of the statement"));
        }
        statements.push((first.at, statement));
    }
    if statements.is_empty() {
        return Err(SqlError::parse((1, 1), "there is no statement"));
    }
    Ok(statements)
}

/// Column and unit of `trunc_time(column, 'unit')`, the one expression of automatic partitions.
pub(crate) fn trunc_time(text: &str) -> Option<(String, String)> {
    let tokens = tokens(text).ok()?;
    let mut parser = Parser {
        text,
        tokens: &tokens,
        position: 0,
        end: (1, 1),
    };
    parser.trunc_time().ok()
}

struct Parser<'a> {
    text: &'a str,
    tokens: &'a [Token],
    position: usize,
    end: (usize, usize),
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.position)
    }

    fn at(&self) -> (usize, usize) {
        self.peek().map_or(self.end, |token| token.at)
    }

    fn unexpected(&self, token: &Token, wanted: &str) -> SqlError {
        SqlError::parse(
            token.at,
            format!("invalid token '{}', expect {wanted}", token.shown()),
        )
    }

    fn expected<T>(&self, wanted: &str) -> Result<T, SqlError> {
        Err(match self.peek() {
            Some(token) => self.unexpected(token, wanted),
            None => SqlError::parse(
                self.end,
                format!("unexpected end of statement, expect {wanted}"),
            ),
        })
    }

    fn next(&mut self) -> Option<&'a Token> {
        let token = self.peek();
        self.position += 1;
        token
    }

    /// Takes these words when they come next, all of them or none.
    fn eat(&mut self, words: &str) -> bool {
        let wanted: Vec<&str> = words.split(' ').collect();
        let found = wanted.iter().enumerate().all(|(i, word)| {
            self.tokens
                .get(self.position + i)
                .is_some_and(|t| t.is_word(word))
        });
        if found {
            self.position += wanted.len();
        }
        found
    }

    fn expect(&mut self, words: &str) -> Result<(), SqlError> {
        if self.eat(words) {
            Ok(())
        } else {
            self.expected(words)
        }
    }

    fn eat_symbol(&mut self, symbol: char) -> bool {
        let found = self.peek().is_some_and(|token| token.is_symbol(symbol));
        if found {
            self.position += 1;
        }
        found
    }

    fn symbol(&mut self, symbol: char) -> Result<(), SqlError> {
        if self.eat_symbol(symbol) {
            Ok(())
        } else {
            self.expected(&format!("'{symbol}'"))
        }
    }

    fn name(&mut self) -> Result<String, SqlError> {
        match self.peek().map(|token| &token.kind) {
            Some(Kind::Word(text) | Kind::Quoted(text)) if !text.is_empty() => {
                self.position += 1;
                Ok(text.clone())
            }
            // Names may begin with a digit.
            Some(Kind::Number(text)) if text.chars().any(char::is_alphabetic) => {
                self.position += 1;
                Ok(text.clone())
            }
            _ => self.expected("a name"),
        }
    }

    fn string(&mut self) -> Result<String, SqlError> {
        match self.peek().map(|token| &token.kind) {
            Some(Kind::Text(text)) => {
                self.position += 1;
                Ok(text.clone())
            }
            _ => self.expected("a string"),
        }
    }

    fn integer(&mut self) -> Result<i64, SqlError> {
        let negative = self.eat_symbol('-');
        let at = self.at();
        match self.peek().map(|token| &token.kind) {
            Some(Kind::Number(text)) => {
                self.position += 1;
                let number: i64 = text.parse().map_err(|_| {
                    SqlError::parse(at, format!("invalid token '{text}', expect an integer"))
                })?;
                Ok(if negative { -number } else { number })
            }
            _ => self.expected("an integer"),
        }
    }

    fn table_name(&mut self) -> Result<TableName, SqlError> {
        let at = self.at();
        let mut parts = vec![self.name()?];
        while self.eat_symbol('.') {
            parts.push(self.name()?);
        }
        if parts.len() > 3 {
            return Err(SqlError::parse(at, "a table name has at most three parts"));
        }
        Ok(TableName { parts, at })
    }

    /// `( item, item )`.
    fn list<T>(
        &mut self,
        mut item: impl FnMut(&mut Self) -> Result<T, SqlError>,
    ) -> Result<Vec<T>, SqlError> {
        self.symbol('(')?;
        let mut items = vec![item(self)?];
        while self.eat_symbol(',') {
            items.push(item(self)?);
        }
        self.symbol(')')?;
        Ok(items)
    }

    /// The text from here to the end of the statement.
    fn rest(&mut self) -> String {
        let start = self.peek().map_or(self.text.len(), |token| token.start);
        let end = self.tokens.last().map_or(start, |token| token.end);
        self.position = self.tokens.len();
        // Blank lines keep line numbers of errors right.
        let before = self.text.get(..start).unwrap_or("");
        let lines = before.matches('\n').count();
        format!(
            "{}{}",
            "\n".repeat(lines),
            self.text.get(start..end).unwrap_or("")
        )
    }

    fn statement(&mut self) -> Result<Statement, SqlError> {
        let Some(first) = self.peek() else {
            return self.expected("a statement");
        };
        let word = match &first.kind {
            Kind::Word(word) => word.to_uppercase(),
            Kind::Symbol('(') => return Ok(Statement::Query { query: self.rest() }),
            _ => return self.expected("a statement"),
        };
        match word.as_str() {
            "SELECT" | "WITH" | "VALUES" | "FROM" => Ok(Statement::Query { query: self.rest() }),
            "CREATE" => self.create(),
            "DROP" => self.drop(),
            "TRUNCATE" => {
                self.expect("TRUNCATE TABLE")?;
                let name = self.table_name()?;
                Ok(Statement::Truncate {
                    name,
                    partitions: self.partitions()?,
                })
            }
            "ALTER" => self.alter(),
            "DESC" | "DESCRIBE" => self.describe(),
            "SHOW" => self.show(),
            "INSERT" => self.insert(),
            "SET" => self.set(),
            _ => Err(SqlError::parse(
                first.at,
                format!("invalid token '{}'", first.shown()),
            )),
        }
    }

    fn create(&mut self) -> Result<Statement, SqlError> {
        self.expect("CREATE")?;
        if self.eat("SCHEMA") || self.eat("DATABASE") {
            let if_not_exists = self.eat("IF NOT EXISTS");
            let name = self.table_name()?;
            let comment = if self.eat("COMMENT") {
                Some(self.string()?)
            } else {
                None
            };
            return Ok(Statement::CreateSchema {
                name,
                if_not_exists,
                comment,
            });
        }
        self.expect("TABLE")?;
        let if_not_exists = self.eat("IF NOT EXISTS");
        let name = self.table_name()?;
        if self.eat("LIKE") {
            let like = self.table_name()?;
            let lifecycle = if self.eat("LIFECYCLE") {
                Some(self.integer()?)
            } else {
                None
            };
            return Ok(Statement::CreateTableLike {
                name,
                if_not_exists,
                like,
                lifecycle,
            });
        }
        let mut spec = TableSpec::default();
        if self.peek().is_some_and(|token| token.is_symbol('(')) {
            self.columns(&mut spec)?;
        }
        self.table_options(&mut spec)?;
        if self.eat("AS") {
            let query = self.rest();
            return Ok(Statement::CreateTableAs {
                name,
                if_not_exists,
                spec: Box::new(spec),
                query,
            });
        }
        if spec.columns.is_empty() {
            return self.expected("'('");
        }
        Ok(Statement::CreateTable {
            name,
            if_not_exists,
            spec: Box::new(spec),
        })
    }

    fn columns(&mut self, spec: &mut TableSpec) -> Result<(), SqlError> {
        self.symbol('(')?;
        loop {
            let at = self.at();
            if self.eat("PRIMARY KEY") {
                if !spec.primary_key.is_empty() {
                    return Err(SqlError::parse(at, "there are two PRIMARY KEY clauses"));
                }
                spec.primary_key = self.list(Self::name)?;
            } else {
                let (column, key) = self.column()?;
                if key {
                    spec.primary_key.push(column.name.clone());
                }
                spec.columns.push(column);
            }
            if !self.eat_symbol(',') {
                return self.symbol(')');
            }
        }
    }

    /// Name, type and properties of a column; true when PRIMARY KEY stands with it.
    fn column(&mut self) -> Result<(Column, bool), SqlError> {
        let name = self.name()?;
        let ty = self.column_type()?;
        let mut column = Column::new(name, ty);
        let mut key = false;
        loop {
            if self.eat("NOT NULL") {
                column.nullable = false;
            } else if self.eat("NULL") {
                column.nullable = true;
            } else if self.eat("PRIMARY KEY") {
                key = true;
            } else if self.eat("COMMENT") {
                column.comment = Some(self.string()?);
            } else if self.eat("DEFAULT") {
                column.default_value = Some(self.literal()?);
            } else {
                return Ok((column, key));
            }
        }
    }

    fn literal(&mut self) -> Result<String, SqlError> {
        let sign = if self.eat_symbol('-') { "-" } else { "" };
        match self.next().map(|token| &token.kind) {
            Some(Kind::Text(text) | Kind::Number(text) | Kind::Word(text)) => {
                Ok(format!("{sign}{text}"))
            }
            _ => {
                self.position -= 1;
                self.expected("a literal")
            }
        }
    }

    fn column_type(&mut self) -> Result<ColumnType, SqlError> {
        let Some(first) = self.peek() else {
            return self.expected("a column type");
        };
        // A type is a word, then brackets that belong to it.
        let mut depth = 0_usize;
        let mut end = first.end;
        let mut count = 0;
        for token in self.tokens.get(self.position..).unwrap_or(&[]) {
            let opens = token.is_symbol('<') || token.is_symbol('(');
            let closes = token.is_symbol('>') || token.is_symbol(')');
            if depth == 0 && count > 0 && !opens {
                break;
            }
            if opens {
                depth += 1;
            }
            if closes {
                if depth == 0 {
                    break;
                }
                depth -= 1;
            }
            end = token.end;
            count += 1;
        }
        let text = self.text.get(first.start..end).unwrap_or("");
        let ty = text
            .parse()
            .map_err(|error| SqlError::parse(first.at, error))?;
        self.position += count;
        Ok(ty)
    }

    fn table_options(&mut self, spec: &mut TableSpec) -> Result<(), SqlError> {
        loop {
            if self.eat("COMMENT") {
                spec.comment = Some(self.string()?);
            } else if self.eat("PARTITIONED BY") {
                spec.partition_columns = self.list(|parser| Ok(parser.column()?.0))?;
            } else if self.eat("AUTO PARTITIONED BY") {
                spec.partition_columns = self.automatic_partition(&spec.columns)?;
            } else if self.eat("TBLPROPERTIES") {
                spec.properties.extend(self.properties()?);
            } else if self.eat("LIFECYCLE") {
                spec.lifecycle = Some(self.lifecycle()?);
            } else if let Some(clustering) = self.clustering()? {
                spec.clustering = Some(clustering);
            } else {
                return Ok(());
            }
        }
    }

    fn lifecycle(&mut self) -> Result<i64, SqlError> {
        let at = self.at();
        let days = self.integer()?;
        if days < 1 {
            return Err(SqlError::parse(
                at,
                "LIFECYCLE needs a positive number of days",
            ));
        }
        Ok(days)
    }

    /// `(trunc_time(c, 'day') [AS pt])`.
    fn automatic_partition(&mut self, columns: &[Column]) -> Result<Vec<Column>, SqlError> {
        self.symbol('(')?;
        let start = self.peek().map_or(0, |token| token.start);
        let at = self.at();
        let (source, _) = self.trunc_time()?;
        let end = self
            .tokens
            .get(self.position.saturating_sub(1))
            .map_or(start, |token| token.end);
        if !columns
            .iter()
            .any(|c| crate::catalog::same_name(&c.name, &source))
        {
            return Err(SqlError::semantic(
                at,
                format!("column {source} cannot be resolved"),
            ));
        }
        let name = if self.eat("AS") {
            self.name()?
        } else {
            "_partition_value".to_owned()
        };
        self.symbol(')')?;
        let mut column = Column::new(name, ColumnType::String);
        column.generate_expression = self.text.get(start..end).map(str::to_owned);
        Ok(vec![column])
    }

    /// `trunc_time(c, 'day')`: the column and the unit.
    fn trunc_time(&mut self) -> Result<(String, String), SqlError> {
        self.expect("TRUNC_TIME")?;
        self.symbol('(')?;
        let source = self.name()?;
        self.symbol(',')?;
        let at = self.at();
        let unit = self.string()?.to_lowercase();
        if !["hour", "day", "month", "year"].contains(&unit.as_str()) {
            return Err(SqlError::parse(
                at,
                format!("trunc_time cannot cut to '{unit}'"),
            ));
        }
        self.symbol(')')?;
        Ok((source, unit))
    }

    fn properties(&mut self) -> Result<BTreeMap<String, String>, SqlError> {
        let pairs = self.list(|parser| {
            let key = parser.string()?;
            parser.symbol('=')?;
            Ok((key, parser.string()?))
        })?;
        Ok(pairs.into_iter().collect())
    }

    /// `[RANGE] CLUSTERED BY (..) [SORTED BY (..)] [INTO n BUCKETS]`.
    fn clustering(&mut self) -> Result<Option<Clustering>, SqlError> {
        let range = self.eat("RANGE CLUSTERED BY");
        if !range && !self.eat("CLUSTERED BY") {
            return Ok(None);
        }
        let columns = self.list(Self::name)?;
        let mut sort = Vec::new();
        if self.eat("SORTED BY") {
            sort = self.list(|parser| {
                let name = parser.name()?;
                let order = if parser.eat("DESC") {
                    "desc"
                } else {
                    parser.eat("ASC");
                    "asc"
                };
                Ok((name, order.to_owned()))
            })?;
        }
        let mut buckets = 0;
        if self.eat("INTO") {
            let at = self.at();
            buckets = u32::try_from(self.integer()?)
                .ok()
                .filter(|n| *n > 0)
                .ok_or_else(|| SqlError::parse(at, "the number of buckets must be positive"))?;
            self.expect("BUCKETS")?;
        }
        Ok(Some(Clustering {
            range,
            columns,
            sort,
            buckets,
        }))
    }

    fn drop(&mut self) -> Result<Statement, SqlError> {
        self.expect("DROP")?;
        if self.eat("SCHEMA") || self.eat("DATABASE") {
            let if_exists = self.eat("IF EXISTS");
            return Ok(Statement::DropSchema {
                name: self.table_name()?,
                if_exists,
            });
        }
        self.expect("TABLE")?;
        let if_exists = self.eat("IF EXISTS");
        let name = self.table_name()?;
        self.eat("PURGE");
        Ok(Statement::DropTable { name, if_exists })
    }

    /// Any number of `[,] PARTITION (..)`.
    fn partitions(&mut self) -> Result<Vec<PartitionPairs>, SqlError> {
        let mut partitions = Vec::new();
        while self.eat("PARTITION") {
            partitions.push(self.pairs()?);
            self.eat_symbol(',');
        }
        Ok(partitions)
    }

    /// `(a='1', b)`.
    fn pairs(&mut self) -> Result<PartitionPairs, SqlError> {
        self.list(|parser| {
            let name = parser.name()?;
            let value = if parser.eat_symbol('=') {
                Some(parser.literal()?)
            } else {
                None
            };
            Ok((name, value))
        })
    }

    fn alter(&mut self) -> Result<Statement, SqlError> {
        self.expect("ALTER TABLE")?;
        let name = self.table_name()?;
        let change = self.alteration()?;
        Ok(Statement::Alter { name, change })
    }

    fn alteration(&mut self) -> Result<Alter, SqlError> {
        if self.eat("ADD") {
            let if_not_exists = self.eat("IF NOT EXISTS");
            if self.peek().is_some_and(|token| token.is_word("PARTITION")) {
                return Ok(Alter::AddPartitions {
                    if_not_exists,
                    partitions: self.partitions()?,
                });
            }
            if !self.eat("COLUMNS") {
                self.expect("COLUMN")?;
            }
            let if_not_exists = self.eat("IF NOT EXISTS") || if_not_exists;
            let columns = if self.peek().is_some_and(|token| token.is_symbol('(')) {
                self.list(|parser| Ok(parser.column()?.0))?
            } else {
                vec![self.column()?.0]
            };
            return Ok(Alter::Table(TableChange::AddColumns {
                columns,
                if_not_exists,
            }));
        }
        if self.eat("DROP") {
            let if_exists = self.eat("IF EXISTS");
            if self.peek().is_some_and(|token| token.is_word("PARTITION")) {
                return Ok(Alter::DropPartitions {
                    if_exists,
                    partitions: self.partitions()?,
                });
            }
            if !self.eat("COLUMNS") {
                self.expect("COLUMN")?;
            }
            let columns = if self.peek().is_some_and(|token| token.is_symbol('(')) {
                self.list(Self::name)?
            } else {
                let mut names = vec![self.name()?];
                while self.eat_symbol(',') {
                    names.push(self.name()?);
                }
                names
            };
            return Ok(Alter::Table(TableChange::DropColumns(columns)));
        }
        if self.eat("CHANGE") {
            self.eat("COLUMN");
            return Ok(Alter::Table(self.change_column()?));
        }
        if self.eat("SET COMMENT") {
            return Ok(Alter::Table(TableChange::Comment(self.string()?)));
        }
        if self.eat("SET LIFECYCLE") {
            return Ok(Alter::Table(TableChange::Lifecycle(self.lifecycle()?)));
        }
        if self.eat("SET TBLPROPERTIES") {
            return Ok(Alter::Table(TableChange::Properties(self.properties()?)));
        }
        if self.eat("ENABLE LIFECYCLE") {
            return Ok(Alter::Table(TableChange::LifecycleEnabled(true)));
        }
        if self.eat("DISABLE LIFECYCLE") {
            return Ok(Alter::Table(TableChange::LifecycleEnabled(false)));
        }
        if self.eat("CHANGEOWNER TO") {
            let owner = if matches!(self.peek().map(|t| &t.kind), Some(Kind::Text(_))) {
                self.string()?
            } else {
                self.name()?
            };
            return Ok(Alter::Table(TableChange::Owner(owner)));
        }
        if self.eat("RENAME TO") {
            return Ok(Alter::RenameTable(self.name()?));
        }
        if self.eat("NOT CLUSTERED") {
            return Ok(Alter::Table(TableChange::Clustering(None)));
        }
        if let Some(clustering) = self.clustering()? {
            return Ok(Alter::Table(TableChange::Clustering(Some(clustering))));
        }
        if self.eat("TOUCH") {
            if self.eat("PARTITION") {
                return Ok(Alter::TouchPartition(self.pairs()?));
            }
            return Ok(Alter::Table(TableChange::Touch));
        }
        if self.eat("PARTITION") {
            let from = self.pairs()?;
            if self.eat("RENAME TO PARTITION") {
                return Ok(Alter::RenamePartition {
                    from,
                    to: self.pairs()?,
                });
            }
            if self.eat("ENABLE LIFECYCLE") || self.eat("DISABLE LIFECYCLE") {
                return Ok(Alter::TouchPartition(from));
            }
            if self.eat("SET PARTITIONPROPERTIES") {
                return Ok(Alter::PartitionProperties {
                    partition: from,
                    properties: self.properties()?,
                });
            }
            return self.expected("RENAME TO PARTITION or SET PARTITIONPROPERTIES");
        }
        self.expected(
            "ADD, DROP, CHANGE, SET, RENAME, TOUCH, PARTITION, ENABLE, DISABLE or CHANGEOWNER",
        )
    }

    fn change_column(&mut self) -> Result<TableChange, SqlError> {
        let name = self.name()?;
        let mut change = Changes::default();
        if self.eat("RENAME TO") {
            change.rename = Some(self.name()?);
        } else if self.eat("COMMENT") {
            change.comment = Some(self.string()?);
        } else if self.eat("NOT NULL") {
            change.nullable = Some(false);
        } else if self.eat("NULL") {
            change.nullable = Some(true);
        } else {
            change.rename = Some(self.name()?);
            change.ty = Some(self.column_type()?);
            loop {
                if self.eat("COMMENT") {
                    change.comment = Some(self.string()?);
                } else if self.eat("NOT NULL") {
                    change.nullable = Some(false);
                } else if self.eat("NULL") {
                    change.nullable = Some(true);
                } else if self.eat("FIRST") {
                    change.place = Some(ColumnPlace::First);
                } else if self.eat("AFTER") {
                    change.place = Some(ColumnPlace::After(self.name()?));
                } else {
                    break;
                }
            }
        }
        let Changes {
            rename,
            ty,
            comment,
            nullable,
            place,
        } = change;
        Ok(TableChange::ChangeColumn {
            name,
            rename,
            ty,
            comment,
            nullable,
            place,
        })
    }

    fn describe(&mut self) -> Result<Statement, SqlError> {
        self.next();
        let extended = self.eat("EXTENDED");
        self.eat("TABLE");
        let name = self.table_name()?;
        let partition = if self.eat("PARTITION") {
            Some(self.pairs()?)
        } else {
            None
        };
        Ok(Statement::Describe {
            name,
            extended,
            partition,
        })
    }

    fn show(&mut self) -> Result<Statement, SqlError> {
        self.expect("SHOW")?;
        if self.eat("CREATE TABLE") {
            return Ok(Statement::ShowCreateTable {
                name: self.table_name()?,
            });
        }
        if self.eat("PARTITIONS") {
            return Ok(Statement::ShowPartitions {
                name: self.table_name()?,
            });
        }
        if self.eat("SCHEMAS") || self.eat("DATABASES") {
            let project = if self.eat("IN") || self.eat("FROM") {
                Some(self.name()?)
            } else {
                None
            };
            return Ok(Statement::ShowSchemas { project });
        }
        self.expect("TABLES")?;
        let scope = if self.eat("IN") || self.eat("FROM") {
            Some(self.table_name()?)
        } else {
            None
        };
        let like = if self.eat("LIKE") {
            Some(self.string()?)
        } else {
            None
        };
        Ok(Statement::ShowTables { scope, like })
    }

    fn insert(&mut self) -> Result<Statement, SqlError> {
        self.expect("INSERT")?;
        let overwrite = self.eat("OVERWRITE");
        if !overwrite {
            self.expect("INTO")?;
        }
        self.eat("TABLE");
        let name = self.table_name()?;
        let partition = if self.eat("PARTITION") {
            self.pairs()?
        } else {
            Vec::new()
        };
        let selects = |token: &Token| {
            token.is_word("SELECT") || token.is_word("WITH") || token.is_symbol('(')
        };
        let columns = if self.peek().is_some_and(|token| token.is_symbol('('))
            && !self.tokens.get(self.position + 1).is_some_and(selects)
        {
            self.list(Self::name)?
        } else {
            Vec::new()
        };
        if self.peek().is_none() {
            return self.expected("VALUES or SELECT");
        }
        Ok(Statement::Insert {
            name,
            overwrite,
            partition,
            columns,
            query: self.rest(),
        })
    }

    fn set(&mut self) -> Result<Statement, SqlError> {
        self.expect("SET")?;
        let text = self.rest();
        match text.split_once('=') {
            Some((key, value)) => Ok(Statement::Set {
                key: key.trim().to_owned(),
                value: value.trim().to_owned(),
            }),
            None => Err(SqlError::parse(self.end, "SET needs key=value")),
        }
    }
}

#[derive(Default)]
struct Changes {
    rename: Option<String>,
    ty: Option<ColumnType>,
    comment: Option<String>,
    nullable: Option<bool>,
    place: Option<ColumnPlace>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn create_table_as_the_clients_write_it() {
        let text = "CREATE TABLE IF NOT EXISTS `p`.`t2` (`id` BIGINT NOT NULL,`na``me` STRING COMMENT 'it\\'s', m map<string,array<decimal(10,2)>>, PRIMARY KEY(`id`)) COMMENT 'a \\'c\\' \\ \n x'  PARTITIONED BY (`pt` STRING) TBLPROPERTIES('transactional'='true','write.bucket.num'='16') LIFECYCLE 7;";
        let parsed = parse(text).unwrap();
        let Statement::CreateTable {
            name,
            if_not_exists,
            spec,
        } = &parsed[0].1
        else {
            panic!("{parsed:?}");
        };
        assert!(if_not_exists);
        assert_eq!(name.parts, ["p", "t2"]);
        assert_eq!(spec.columns[1].name, "na`me");
        assert_eq!(spec.columns[1].comment.as_deref(), Some("it's"));
        assert_eq!(
            spec.columns[2].ty.to_string(),
            "MAP<STRING,ARRAY<DECIMAL(10,2)>>"
        );
        assert_eq!(spec.primary_key, ["id"]);
        assert_eq!(spec.properties["write.bucket.num"], "16");
        assert_eq!(spec.lifecycle, Some(7));
        assert_eq!(spec.comment.as_deref(), Some("a 'c' \\ \n x"));
    }

    #[test]
    fn what_is_not_understood_is_named_with_its_place() {
        let error = parse("x y;").unwrap_err();
        assert_eq!(
            error.to_string(),
            "ODPS-0130161:[1,1] Parse exception - invalid token 'x'"
        );
        let error = parse("create table t (\n  a nothing)").unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("ODPS-0130161:[2,5] Parse exception - `nothing`"),
            "{error}"
        );
        assert!(parse("alter table t frobnicate").is_err());
        assert!(parse("drop table t extra").is_err());
        assert!(parse(" ;; ").is_err());
    }

    #[test]
    fn every_alteration_is_parsed() {
        for text in [
            "ALTER TABLE t ADD IF NOT EXISTS  PARTITION (pt='b') PARTITION (pt='c')",
            "ALTER TABLE t DROP IF EXISTS PARTITION (pt='b'), PARTITION (pt='c')",
            "ALTER TABLE t ADD COLUMNS IF NOT EXISTS (`n1` STRING COMMENT 'cc', b int)",
            "ALTER TABLE t ADD COLUMN c array<int>",
            "ALTER TABLE t DROP COLUMNS a, b",
            "ALTER TABLE t DROP COLUMN a",
            "ALTER TABLE t CHANGE COLUMN a RENAME TO b",
            "ALTER TABLE t CHANGE COLUMN a b decimal(10,2) COMMENT 'x' AFTER c",
            "ALTER TABLE t CHANGE COLUMN a NULL",
            "ALTER TABLE t CHANGE COLUMN a COMMENT 'x'",
            "ALTER TABLE t SET COMMENT 'x'",
            "ALTER TABLE t SET LIFECYCLE 3",
            "ALTER TABLE t SET TBLPROPERTIES('a'='b')",
            "ALTER TABLE t DISABLE LIFECYCLE",
            "ALTER TABLE t CHANGEOWNER TO 'ALIYUN$me'",
            "ALTER TABLE t RENAME TO u",
            "ALTER TABLE t NOT CLUSTERED",
            "ALTER TABLE t RANGE CLUSTERED BY (a) SORTED BY (a desc) INTO 3 BUCKETS",
            "ALTER TABLE t TOUCH",
            "ALTER TABLE t TOUCH PARTITION (pt='x')",
            "ALTER TABLE t PARTITION (pt='x') RENAME TO PARTITION (pt='y')",
            "ALTER TABLE t PARTITION (pt='x') SET PARTITIONPROPERTIES('storagetier'='longterm')",
        ] {
            parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        }
    }
}

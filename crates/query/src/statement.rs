//! The gate: which texts become queries. It refuses everything that is not reading before the planner sees it, and
//! everything whose nesting could exhaust a stack before the parser sees it.

use crate::error::{SqlError, TooComplex, explain};
use crate::limits::{MAX_NESTING, MAX_OPERATORS, MAX_RELATIONS, MAX_SQL_BYTES};
use crate::nearest::nearest;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::{
    DescribeAlias, ObjectName, Query, SetExpr, Statement as Sql, TableFactor, Visit, Visitor,
};
use datafusion::sql::sqlparser::dialect::GenericDialect;
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};
use std::ops::ControlFlow;

/// A text that may run.
#[derive(Debug)]
pub(crate) enum Question {
    /// A query whose rows may be cut at the row limit.
    Rows(Statement),
    /// A plan, which is given as a whole.
    Plan(Statement),
    /// The tables.
    Tables,
    /// The columns of `reports`.
    Columns,
}

/// The longest text that the query holds, bytes.
pub(crate) fn longest_text(sql: &str) -> usize {
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().unwrap_or_default();
    let length = |token: &Token| match token {
        Token::Word(_) | Token::Whitespace(_) => 0,
        token => token.to_string().len(),
    };
    tokens.iter().map(length).max().unwrap_or(0)
}

/// Reads the text. On error nothing was planned, and the error says what is wrong or refused.
pub(crate) fn read(sql: &str) -> Result<Question, SqlError> {
    check_size(sql)?;
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(MAX_NESTING)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| explain(error, 0))?;
    let statement = statements.pop_front().ok_or_else(|| empty(sql))?;
    if !statements.is_empty() {
        return Err(refused("a second statement"));
    }
    admit(statement)
}

fn empty(_sql: &str) -> SqlError {
    SqlError::Syntax { message: "the query is empty".into(), position: None }
}

fn refused(what: &str) -> SqlError {
    SqlError::Refused { what: what.to_owned() }
}

fn admit(statement: Statement) -> Result<Question, SqlError> {
    match statement {
        Statement::Statement(sql) => admit_sql(*sql),
        Statement::Explain(explained) => match admit((*explained.statement).clone())? {
            Question::Rows(_) => Ok(Question::Plan(Statement::Explain(explained))),
            _ => Err(refused("EXPLAIN of anything but a query")),
        },
        Statement::CreateExternalTable(_) => Err(refused("CREATE EXTERNAL TABLE")),
        Statement::CopyTo(_) => Err(refused("COPY")),
        Statement::Reset(_) => Err(refused("RESET")),
    }
}

fn admit_sql(sql: Sql) -> Result<Question, SqlError> {
    match &sql {
        Sql::Query(query) => {
            check_query(query)?;
            Ok(Question::Rows(Statement::Statement(Box::new(sql))))
        }
        Sql::ShowTables { .. } => Ok(Question::Tables),
        Sql::ExplainTable { describe_alias: DescribeAlias::Describe | DescribeAlias::Desc, table_name, .. } => {
            columns_of(table_name)
        }
        other => Err(refused(&first_words(&other.to_string()))),
    }
}

fn columns_of(table: &ObjectName) -> Result<Question, SqlError> {
    let name = table.to_string().to_lowercase();
    match name.strip_prefix("main.").unwrap_or(&name) {
        "reports" => Ok(Question::Columns),
        other => Err(SqlError::UnknownTable {
            name: other.to_owned(),
            nearest: nearest(other, ["reports"]).map(str::to_owned),
        }),
    }
}

/// The statement's name in capitals, as far as it consists of words: `DROP TABLE`, `DELETE FROM`.
fn first_words(statement: &str) -> String {
    let words = statement.split_whitespace().take(2);
    let words = words.take_while(|word| word.chars().all(|c| c.is_ascii_uppercase()));
    let words = words.collect::<Vec<_>>().join(" ");
    if words.is_empty() { "this statement".into() } else { words }
}

/// Bounds what the parser and the planner walk recursively: parentheses, and operators, whose chains nest to the left.
fn check_size(sql: &str) -> Result<(), SqlError> {
    if sql.len() > MAX_SQL_BYTES {
        return Err(SqlError::TooComplex(TooComplex::Long));
    }
    let tokens = Tokenizer::new(&GenericDialect {}, sql).tokenize().map_err(|error| {
        let position = crate::TextPosition { line: error.location.line, column: error.location.column };
        SqlError::Syntax { message: error.message, position: Some(position) }
    })?;
    let (mut depth, mut operators) = (0_usize, 0_usize);
    for token in &tokens {
        match token {
            Token::LParen | Token::LBracket | Token::LBrace => depth += 1,
            Token::RParen | Token::RBracket | Token::RBrace => depth = depth.saturating_sub(1),
            token if is_operator(token) => operators += 1,
            _ => {}
        }
        if depth > MAX_NESTING {
            return Err(SqlError::TooComplex(TooComplex::Deep));
        }
    }
    if operators > MAX_OPERATORS { Err(SqlError::TooComplex(TooComplex::Operators)) } else { Ok(()) }
}

/// Whatever may nest: all but names, values and what separates them.
fn is_operator(token: &Token) -> bool {
    match token {
        Token::Word(word) => word.keyword != Keyword::NoKeyword,
        Token::Number(..)
        | Token::SingleQuotedString(_)
        | Token::DoubleQuotedString(_)
        | Token::Comma
        | Token::Period
        | Token::SemiColon
        | Token::Whitespace(_)
        | Token::EOF => false,
        _ => true,
    }
}

/// Refuses what hides in a query: writing into a table, files as tables, and joins beyond count.
fn check_query(query: &Query) -> Result<(), SqlError> {
    let mut relations = Relations { count: 0, refused: None };
    let _ = query.visit(&mut relations);
    match relations.refused {
        Some(error) => Err(error),
        None if relations.count > MAX_RELATIONS => Err(SqlError::TooComplex(TooComplex::Relations)),
        None => Ok(()),
    }
}

struct Relations {
    count: usize,
    refused: Option<SqlError>,
}

impl Relations {
    fn refuse(&mut self, what: &str) -> ControlFlow<()> {
        self.refused = Some(refused(what));
        ControlFlow::Break(())
    }

    fn check_body(&mut self, body: &SetExpr) -> ControlFlow<()> {
        match body {
            SetExpr::Select(select) if select.into.is_some() => self.refuse("SELECT INTO"),
            SetExpr::Insert(_) => self.refuse("INSERT"),
            SetExpr::Update(_) => self.refuse("UPDATE"),
            SetExpr::Delete(_) => self.refuse("DELETE"),
            SetExpr::Merge(_) => self.refuse("MERGE"),
            SetExpr::SetOperation { left, right, .. } => {
                self.count += 1;
                self.check_body(left)?;
                self.check_body(right)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}

impl Visitor for Relations {
    type Break = ();

    fn pre_visit_query(&mut self, query: &Query) -> ControlFlow<()> {
        if !query.locks.is_empty() {
            return self.refuse("FOR UPDATE");
        }
        self.check_body(&query.body)
    }

    fn pre_visit_table_factor(&mut self, _table: &TableFactor) -> ControlFlow<()> {
        self.count += 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &ObjectName) -> ControlFlow<()> {
        let name = relation.to_string();
        if name.contains(['/', '\\']) || name.contains("://") || name.contains(".parquet") {
            return self.refuse("a file as a table");
        }
        ControlFlow::Continue(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(sql: &str) -> String {
        read(sql).expect_err(sql).to_string()
    }

    #[test]
    fn queries_pass() {
        for sql in [
            "SELECT 1",
            "select id from reports where kind = 'driver' order by 1 limit 3",
            "WITH a AS (SELECT 1 AS x) SELECT x FROM a UNION ALL SELECT 2",
            "SELECT id FROM main.reports;",
        ] {
            assert!(matches!(read(sql), Ok(Question::Rows(_))), "{sql}");
        }
        assert!(matches!(read("EXPLAIN ANALYZE SELECT 1"), Ok(Question::Plan(_))));
        assert!(matches!(read("SHOW TABLES"), Ok(Question::Tables)));
        assert!(matches!(read("DESCRIBE reports"), Ok(Question::Columns)));
        assert!(matches!(read("desc main.reports"), Ok(Question::Columns)));
    }

    #[test]
    fn everything_but_reading_is_refused_by_name() {
        for (sql, name) in [
            ("DELETE FROM reports", "DELETE FROM"),
            ("INSERT INTO reports VALUES (1)", "INSERT INTO"),
            ("UPDATE reports SET id = 1", "UPDATE"),
            ("DROP TABLE reports", "DROP TABLE"),
            ("CREATE TABLE x AS SELECT 1", "CREATE TABLE"),
            ("CREATE VIEW x AS SELECT 1", "CREATE VIEW"),
            ("CREATE EXTERNAL TABLE x STORED AS PARQUET LOCATION '/etc'", "CREATE EXTERNAL TABLE"),
            ("COPY (SELECT 1) TO '/tmp/x.csv'", "COPY"),
            ("COPY reports TO 'x.parquet'", "COPY"),
            ("SET datafusion.execution.batch_size = 1", "SET"),
            ("RESET datafusion.execution.batch_size", "RESET"),
            ("SELECT id INTO copy FROM reports", "SELECT INTO"),
            ("EXPLAIN DELETE FROM reports", "DELETE FROM"),
            ("SELECT 1; SELECT 2", "a second statement"),
            ("SELECT * FROM '/etc/passwd'", "a file as a table"),
            ("SELECT * FROM \"s3://bucket/x.parquet\"", "a file as a table"),
            ("PREPARE x AS SELECT 1", "PREPARE"),
            ("BEGIN", "BEGIN"),
            ("SHOW ALL", "SHOW"),
        ] {
            let message = what(sql);
            assert!(message.starts_with(name) && message.contains("not allowed"), "{sql}: {message}");
        }
    }

    #[test]
    fn deep_long_and_wide_texts_are_refused_before_planning() {
        let nested = format!("SELECT {}1{}", "(".repeat(10_000), ")".repeat(10_000));
        assert_eq!(read(&nested).unwrap_err(), SqlError::TooComplex(TooComplex::Deep));
        let chain = format!("SELECT 1{}", " + 1".repeat(20_000));
        assert_eq!(read(&chain).unwrap_err(), SqlError::TooComplex(TooComplex::Operators));
        let nots = format!("SELECT {}true", "NOT ".repeat(20_000));
        assert_eq!(read(&nots).unwrap_err(), SqlError::TooComplex(TooComplex::Operators));
        let long = format!("SELECT '{}'", "x".repeat(MAX_SQL_BYTES));
        assert_eq!(read(&long).unwrap_err(), SqlError::TooComplex(TooComplex::Long));
        let wide =
            format!("SELECT 1 FROM reports r0{}", (1..100).map(|i| format!(", reports r{i}")).collect::<String>());
        assert_eq!(read(&wide).unwrap_err(), SqlError::TooComplex(TooComplex::Relations));
    }

    #[test]
    fn a_slip_of_the_pen_says_where() {
        let error = read("SELECT id\nFROM reports WHERE ) 1").unwrap_err();
        let SqlError::Syntax { position: Some(position), .. } = &error else { panic!("{error:?}") };
        assert_eq!(position.line, 2, "{error}");
    }

    #[test]
    fn nothing_is_no_query() {
        assert!(what("").contains("empty"));
        assert!(what(" ; ").contains("empty"));
    }
}

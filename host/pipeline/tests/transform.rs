//! The `transform` block: definitions, functions, declarations and rows.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

use std::path::Path;

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_cast::display::{ArrayFormatter, FormatOptions};
use longshore_pipeline::definition::{DefinitionError, PipelineDefinition};
use longshore_pipeline::source::types::ColumnType;
use longshore_pipeline::source::{self, SourceError, SourceEvent, SourceStats, SourceTable};

/// What came out of a source behind the rules.
#[derive(Debug, Default)]
struct Came {
    tables: Vec<SourceTable>,
    batches: Vec<RecordBatch>,
    positions: usize,
    places: Vec<String>,
    stats: SourceStats,
}

impl Came {
    /// `name TYPE` of every column of the only table.
    fn columns(&self) -> Vec<String> {
        assert_eq!(self.tables.len(), 1, "one table");
        let fields = self.tables[0].schema.fields();
        let column = |field: &std::sync::Arc<arrow_schema::Field>| {
            format!("{} {}", field.name(), ColumnType::of_field(field))
        };
        fields.iter().map(column).collect()
    }

    /// Every row: the operation, then the values.
    fn rows(&self) -> Vec<String> {
        self.batches.iter().flat_map(rows).collect()
    }
}

fn rows(batch: &RecordBatch) -> Vec<String> {
    let options = FormatOptions::default().with_null("NULL");
    let operations = batch
        .column_by_name("__op")
        .map(|column| column.as_primitive::<Int8Type>().values().to_vec());
    let values = batch.num_columns() - usize::from(operations.is_some());
    (0..batch.num_rows())
        .map(|row| {
            let operation = match &operations {
                None => "+I",
                Some(operations) => ["+I", "-U", "+U", "-D"][operations[row] as usize],
            };
            let mut text = operation.to_owned();
            for column in batch.columns().iter().take(values) {
                let formatter = ArrayFormatter::try_new(column, &options).unwrap();
                text += &format!(" {}", formatter.value(row));
            }
            text
        })
        .collect()
}

fn parse(directory: &Path, text: &str) -> Result<PipelineDefinition, DefinitionError> {
    PipelineDefinition::parse(text, "pipeline.yaml", directory, &|_| None)
}

fn read(definition: &PipelineDefinition) -> Result<Came, SourceError> {
    let mut source = definition
        .transforms()
        .wrap(source::open(&definition.source, None)?);
    let mut came = Came::default();
    while let Some(event) = source.next()? {
        match event {
            SourceEvent::Table(table) => came.tables.push(table),
            SourceEvent::Batch(batch) => {
                came.positions += usize::from(batch.position.is_some());
                for row in 0..batch.batch.num_rows() {
                    came.places
                        .push(batch.origin.locate(u32::try_from(row).unwrap()));
                }
                let table = &came
                    .tables
                    .iter()
                    .rfind(|table| table.id == batch.table)
                    .unwrap()
                    .schema;
                let columns = table.fields().len();
                let all: Vec<usize> = (0..columns).collect();
                assert_eq!(
                    batch.batch.project(&all).unwrap().schema().fields(),
                    table.fields()
                );
                came.batches.push(batch.batch);
            }
            SourceEvent::Truncate(_) | SourceEvent::Drop(_) => {}
        }
    }
    came.stats = source.stats();
    Ok(came)
}

const ORDERS: &str = "source:
  type: file
  path: orders.json
  format: debezium-json
  primary-key: id
  schema: {id: bigint not null, product: string, amount: int, price: 'decimal(10,2)', at: 'timestamp_ltz(3)'}
sink:
  type: maxcompute
pipeline:
  local-time-zone: Asia/Shanghai
";

fn image(id: i64, product: &str, amount: i64) -> String {
    format!(
        r#"{{"id":{id},"product":"{product}","amount":{amount},"price":"{amount}.50","at":"2024-02-29T16:30:00Z"}}"#
    )
}

fn change(op: &str, before: Option<String>, after: Option<String>) -> String {
    let image = |image: Option<String>| image.unwrap_or_else(|| "null".to_owned());
    format!(
        r#"{{"before":{},"after":{},"source":{{"db":"shop","table":"orders"}},"op":"{op}","ts_ms":1}}"#,
        image(before),
        image(after)
    ) + "\n"
}

/// Orders 1 to 3 are made, 2 grows, 3 shrinks, 1 goes.
fn changes() -> String {
    [
        change("c", None, Some(image(1, "tea", 5))),
        change("c", None, Some(image(2, "cup", 1))),
        change("c", None, Some(image(3, "pot", 9))),
        change("u", Some(image(2, "cup", 1)), Some(image(2, "cup", 7))),
        change("u", Some(image(3, "pot", 9)), Some(image(3, "pot", 2))),
        change("u", Some(image(1, "tea", 5)), Some(image(1, "tea", 6))),
        change("d", Some(image(1, "tea", 6)), None),
    ]
    .concat()
}

fn transformed(rules: &str, lines: &str) -> Result<Came, SourceError> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("orders.json"), lines).unwrap();
    let definition = parse(directory.path(), &format!("{ORDERS}transform:\n{rules}"))
        .unwrap_or_else(|error| panic!("{error}"));
    read(&definition)
}

fn definition_error(rules: &str) -> String {
    let text = format!("{ORDERS}transform:\n{rules}");
    parse(Path::new("."), &text).unwrap_err().to_string()
}

fn warnings(rules: &str) -> Vec<String> {
    let text = format!("{ORDERS}transform:\n{rules}");
    let definition = parse(Path::new("."), &text).unwrap_or_else(|error| panic!("{error}"));
    definition
        .warnings
        .iter()
        .map(|warning| warning.message.clone())
        .collect()
}

#[test]
fn projection_filter_keys_and_event_types() {
    let came = transformed(
        "  - source-table: shop.orders
    projection: \\*, UPPER(product) AS product, price * amount AS total, DATE_FORMAT(at, 'yyyyMMdd') AS dt, __data_event_type__ AS op, CONCAT(__schema_name__, '.', __table_name__) AS origin
    filter: amount > 3 AND dt = '20240301'
    primary-keys: id, dt
    partition-keys: dt
    description: all at once
",
        &changes(),
    )
    .unwrap();
    assert_eq!(
        came.columns(),
        [
            "id BIGINT NOT NULL",
            "product STRING",
            "amount INT",
            "price DECIMAL(10,2)",
            "at TIMESTAMP_LTZ(3)",
            "total DECIMAL(19,2)",
            "dt STRING NOT NULL",
            "op STRING NOT NULL",
            "origin STRING NOT NULL",
        ]
    );
    assert_eq!(came.tables[0].primary_key, ["id", "dt"]);
    assert_eq!(came.tables[0].partition_by, ["dt"]);
    let at = "2024-02-29T16:30:00Z";
    assert_eq!(
        came.rows(),
        [
            format!("+I 1 TEA 5 5.50 {at} 27.50 20240301 +I shop.orders"),
            format!("+I 3 POT 9 9.50 {at} 85.50 20240301 +I shop.orders"),
            format!("+I 2 CUP 7 7.50 {at} 52.50 20240301 +U shop.orders"),
            format!("-D 3 POT 9 9.50 {at} 85.50 20240301 -U shop.orders"),
            format!("-U 1 TEA 5 5.50 {at} 27.50 20240301 -U shop.orders"),
            format!("+U 1 TEA 6 6.50 {at} 39.00 20240301 +U shop.orders"),
            format!("-D 1 TEA 6 6.50 {at} 39.00 20240301 -D shop.orders"),
        ]
    );
    assert_eq!(came.stats.filtered, 1, "order 2 when it was made");
    let lines: Vec<&str> = came
        .places
        .iter()
        .map(|place| place.rsplit(':').next().unwrap())
        .collect();
    assert_eq!(
        lines,
        ["1", "3", "4", "5", "6", "6", "7"],
        "rows keep their places"
    );
}

#[test]
fn soft_deletes_are_inserts_that_tell() {
    let came = transformed(
        "  - source-table: \\.*.\\.*
    projection: \\*, __data_event_type__ AS op_type
    converter-after-transform: SOFT_DELETE
",
        &changes(),
    )
    .unwrap();
    assert!(came.rows().last().unwrap().starts_with("+I 1 tea 6"));
    assert!(came.rows().last().unwrap().ends_with(" -D"));
    assert!(!came.rows().iter().any(|row| row.starts_with("-D")));
}

#[test]
fn an_update_without_its_old_row_that_no_longer_passes_deletes_by_key() {
    let lines = change("u", None, Some(image(4, "mug", 1)));
    let rule = "  - source-table: shop.orders\n    filter: amount > 3\n";
    let came = transformed(rule, &lines).unwrap();
    assert_eq!(came.rows(), ["-D 4 mug 1 1.50 2024-02-29T16:30:00Z"]);
    let soft = format!("{rule}    converter-after-transform: SOFT_DELETE\n");
    assert!(transformed(&soft, &lines).unwrap().rows().is_empty());
}

#[test]
fn the_first_rule_that_matches_wins() {
    let came = transformed(
        "  - source-table: shop.orders
    projection: id, amount
    filter: id > 1
  - source-table: shop.\\.*
    projection: \\*, 'fallback' AS fallback
",
        &changes(),
    )
    .unwrap();
    assert_eq!(came.columns(), ["id BIGINT NOT NULL", "amount INT"]);
    assert_eq!(came.stats.filtered, 3, "those of order 1");
}

#[test]
fn rules_for_the_same_tables_sort_rows_by_their_filters() {
    let came = transformed(
        "  - source-table: shop.orders
    projection: id, 'many' AS kind
    filter: amount > 5
  - source-table: shop.orders
    projection: id, 'few' AS kind
    filter: amount < 3
",
        &changes(),
    )
    .unwrap();
    assert_eq!(
        came.rows(),
        [
            "+I 2 few",
            "+I 3 many",
            "-U 2 few",
            "+U 2 many",
            "-U 3 many",
            "+U 3 few",
            "+I 1 many",
            "-D 1 many"
        ]
    );
    assert_eq!(came.stats.filtered, 1);
    let error = transformed(
        "  - source-table: shop.orders
    projection: id, 'many' AS kind
    filter: amount > 5
  - source-table: shop.orders
    projection: id, amount AS kind
    filter: amount < 3
",
        &changes(),
    )
    .unwrap_err()
    .to_string();
    assert!(error.contains("kind INT"), "{error}");
}

#[test]
fn a_batch_of_which_nothing_is_left_still_carries_its_position() {
    let came = transformed(
        "  - source-table: shop.orders\n    filter: amount > 1000\n",
        &changes(),
    )
    .unwrap();
    assert!(came.rows().is_empty());
    assert!(came.positions > 0);
    assert_eq!(came.stats.filtered, 7, "an update counts once");
}

#[test]
fn tables_without_a_rule_are_as_they_were() {
    let with = transformed(
        "  - source-table: shop.customers\n    projection: name\n",
        &changes(),
    )
    .unwrap();
    let without = transformed("  - source-table: shop.orders\n", &changes()).unwrap();
    assert_eq!(with.tables, without.tables);
    assert_eq!(with.batches, without.batches);
}

#[test]
fn a_row_on_which_an_expression_fails_is_named() {
    let error = transformed(
        "  - source-table: shop.orders\n    projection: id, 10 / (amount - 7) AS x\n",
        &changes(),
    )
    .unwrap_err();
    let text = error.to_string();
    assert!(
        error.place.as_ref().unwrap().ends_with("orders.json:4"),
        "{text}"
    );
    assert!(
        text.contains("rule 1, column `x`, table shop.orders: division by zero"),
        "{text}"
    );
    let guarded = "  - source-table: shop.orders\n    projection: id, CASE WHEN amount <> 7 THEN 10 / (amount - 7) END AS x\n    filter: amount = 7 OR 10 / (amount - 7) > -100\n";
    assert_eq!(transformed(guarded, &changes()).unwrap().rows().len(), 10);
}

#[test]
fn a_key_that_is_null_is_an_error_with_its_place() {
    let lines = changes()
        + &change(
            "c",
            None,
            Some(r#"{"id":9,"product":null,"amount":1,"price":null,"at":null}"#.into()),
        );
    let error = transformed(
        "  - source-table: shop.orders\n    primary-keys: product\n",
        &lines,
    )
    .unwrap_err();
    assert!(
        error.place.as_ref().unwrap().ends_with("orders.json:8"),
        "{error}"
    );
    assert!(
        error
            .message
            .contains("`product` of table shop.orders is NULL"),
        "{error}"
    );
}

#[test]
fn rules_that_do_not_fit_the_table_are_told_with_what_is_near() {
    for (rule, expected) in [
        (
            "projection: id, prodct AS p",
            "column `prodct` of table shop.orders does not exist; did you mean `product`?",
        ),
        ("projection: ID", "did you mean `id`?"),
        ("filter: amont > 3", "filter: column `amont`"),
        (
            "projection: product",
            "column `id` of table shop.orders belongs to its primary key and is missing",
        ),
        ("partition-keys: dt", "table shop.orders has no column `dt`"),
        (
            "projection: id, product + 1 AS x",
            "`+` takes numbers, not STRING; `||` joins texts",
        ),
        (
            "projection: id, COALESCE(product, 1) AS x",
            "INT and STRING have no common type",
        ),
        ("projection: id, product[1] AS x", "STRING has no elements"),
        ("filter: amount", "a condition is needed here, not INT"),
        (
            "projection: id, DATE_FORMAT(at, product) AS x",
            "constant text as its pattern",
        ),
    ] {
        let error = transformed(
            &format!("  - source-table: shop.orders\n    {rule}\n"),
            &changes(),
        )
        .unwrap_err()
        .to_string();
        assert!(error.contains(expected), "{rule}: {error}");
        assert!(error.contains("transform rule 1"), "{error}");
    }
}

#[test]
fn what_is_wrong_with_a_rule_itself_is_told_at_its_line() {
    for (rule, expected) in [
        (
            "projection: id, UPER(product) AS p",
            "function UPER does not exist; did you mean UPPER?",
        ),
        (
            "projection: id, UPPER(product)",
            "needs a name: write `UPPER(product) AS name`",
        ),
        (
            "projection: id, LPAD(product, 3) AS p",
            "LPAD takes 3 argument(s), not 2",
        ),
        ("projection: id, PARSE_JSON(product) AS p", "VARIANT"),
        (
            "projection: id, product AS __table_name__",
            "name is that of a metadata column",
        ),
        ("projection: id, (SELECT 1) AS x", "not available"),
        ("projection: id, CAST('x' AS INT) AS y", "`x` is no INT"),
        (
            "projection: id, CAST(product AS INTT) AS y",
            "no type `INTT`",
        ),
        (
            "projection: id, DATE_FORMAT(at, 'YYYY') AS y",
            "write `y` for the year",
        ),
        (
            "projection: id, REGEXP_COUNT(product, '(?=a)') AS y",
            "no regular expression here",
        ),
        ("filter: amount >", "filter"),
        ("filter: \"'text'\"", "it is no condition but STRING"),
        (
            "projection: id\n    filter: u = 1\n    primary-keys: id, id",
            "column `id` is given twice",
        ),
        (
            "projection: id\n    primary-keys: product",
            "column `product` is not in the projection",
        ),
        (
            "converter-after-transform: HARD_DELETE",
            "is none of SOFT_DELETE",
        ),
        ("table-options: a=b;c", "is not of the form key=value"),
        ("projections: id", "did you mean `projection`?"),
    ] {
        let rule = if rule.starts_with("table-options") {
            format!("{rule}\n    table-options.delimiter: ';'")
        } else {
            rule.to_owned()
        };
        let error = definition_error(&format!("  - source-table: shop.orders\n    {rule}\n"));
        assert!(error.contains(expected), "{rule}: {error}");
        assert!(
            error.contains("pipeline.yaml:1"),
            "a line is named: {error}"
        );
    }
    let error = definition_error("  - source-table: a\n  - source-table: a\n    projection: id\n");
    assert!(
        error.contains("no row ever gets to transform rule 2"),
        "{error}"
    );
    assert!(definition_error("  source-table: a\n").contains("put a dash before each rule"));
    assert!(definition_error("  - projection: a\n").contains("has no `source-table`"));
}

#[test]
fn what_differs_from_flink_cdc_is_told() {
    let told = warnings("  - source-table: shop.orders\n    filter: product LIKE 'te%'\n");
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(
        told[0].contains("transform rule 1, filter") && told[0].contains("ESCAPE"),
        "{told:?}"
    );
    let told =
        warnings("  - source-table: shop.orders\n    filter: product LIKE 'te%' ESCAPE '\\'\n");
    assert!(told.is_empty(), "{told:?}");
    let came = transformed(
        "  - source-table: shop.orders\n    projection: id, __namespace_name__ AS n\n",
        &changes(),
    )
    .unwrap();
    assert!(
        came.stats.warnings[0].contains("__namespace_name__ is NULL"),
        "{:?}",
        came.stats.warnings
    );
    assert_eq!(came.columns()[1], "n STRING");
}

#[test]
fn table_options_come_with_the_table() {
    let came = transformed(
        "  - source-table: shop.orders
    table-options: comment=web, shop; columnar.nested.type = true
    table-options.delimiter: ;
",
        &changes(),
    )
    .unwrap();
    let metadata = came.tables[0].schema.metadata();
    assert_eq!(metadata["comment"], "web, shop");
    assert_eq!(
        metadata["longshore.table-property.columnar.nested.type"],
        "true"
    );
    let plain = transformed("  - source-table: shop.orders\n", &changes()).unwrap();
    assert_eq!(came.rows(), plain.rows());
}

#[test]
fn decimals_have_as_many_digits_as_the_mode_says() {
    let rule = "  - source-table: shop.orders\n    projection: id, price * price * price AS cube\n";
    assert_eq!(
        transformed(rule, &changes()).unwrap().columns()[1],
        "cube DECIMAL(19,6)"
    );
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("orders.json"), changes()).unwrap();
    let text = format!("{ORDERS}  transform.decimal.precision.mode: UP_TO_38\ntransform:\n{rule}");
    let came = read(&parse(directory.path(), &text).unwrap()).unwrap();
    assert_eq!(came.columns()[1], "cube DECIMAL(30,6)");
    assert_eq!(came.rows()[0], "+I 1 166.375000");
}

#[test]
fn definitions_as_flink_cdcs_documentation_has_them() {
    for rules in [
        "  - source-table: mydb.web_order
    projection: id, order_id, UPPER(product_name) as product_name, localtimestamp as new_timestamp
    description: append calculated columns based on source table",
        "  - source-table: mydb.web_order
    projection: id, order_id, __namespace_name__ || '.' || __schema_name__ || '.' || __table_name__ identifier_name",
        "  - source-table: mydb.web_order
    projection: \\*, UPPER(product_name) as product_name
  - source-table: mydb.app_order
    projection: UPPER(product_name) as product_name, *",
        "  - source-table: mydb.web_order
    projection: id, order_id, UPPER(province) as new_province 
    filter: new_province = 'SHANGHAI'",
        "  - source-table: mydb.web_order
    projection: id, order_id, UPPER(product_name) as product_name
    primary-keys: order_id, product_name
    partition-keys: product_name
    table-options: comment=web order",
        "  - source-table: mydb.web_order
    table-options: sequence.field=gxsj,jjsj;file-index.bloom-filter.columns=jjdbh
    table-options.delimiter: \";\"",
        "  - source-table: mydb.web_order
    projection: id, order_id
    filter: id > 1001
  - source-table: mydb.\\.*
    projection: \\*, 'fallback' AS FALLBACK",
        "  - source-table: mydb.app_order_.*
    projection: id, order_id, UPPER(product_name) AS pn
    filter: id > 10 AND order_id > 100
    primary-keys: id
    partition-keys: pn
    converter-after-transform: SOFT_DELETE
  - source-table: mydb.web_order_.*
    projection: CONCAT(id, order_id) as uniq_id, \\*
    filter: uniq_id > 10",
    ] {
        let text = format!("{ORDERS}transform:\n{rules}\n");
        if let Err(error) = parse(Path::new("."), &text) {
            panic!("{rules}\n{error}");
        }
    }
}

#[test]
fn functions_on_columns_see_every_row() {
    let came = transformed(
        "  - source-table: shop.orders
    projection: |-
      id, CONCAT(id, amount) AS uniq_id, LPAD(CAST(amount AS STRING), 3, '0') AS padded,
      amount IN (5, 6) AS some, product LIKE 't%' ESCAPE '!' AS t, ARRAY[amount, id][1] AS item,
      MAP[product, amount]['tea'] AS tea, NULLIF(amount, 5) AS n, ROUND(price, 0) AS r, ABS(-amount) AS a,
      TIMESTAMPDIFF(MINUTE, at, at + INTERVAL '2' HOUR) AS minutes, amount BETWEEN 2 AND 5 AS between_
    filter: uniq_id > 10 AND __data_event_type__ = '+I'
",
        &changes(),
    )
    .unwrap();
    assert_eq!(
        came.rows(),
        [
            "+I 1 15 005 true true 5 5 NULL 6 5 120 true",
            "+I 2 21 001 false false 1 NULL 1 2 1 120 false",
            "+I 3 39 009 false false 9 NULL 9 10 9 120 false",
        ]
    );
}

#[test]
fn long_chains_are_no_deep_trees_and_deep_ones_are_refused() {
    let any: Vec<String> = (0..1000).map(|n| format!("amount = {n}")).collect();
    let rule = format!(
        "  - source-table: shop.orders\n    filter: {}\n",
        any.join(" OR ")
    );
    assert_eq!(transformed(&rule, &changes()).unwrap().rows().len(), 10);
    let sum = vec!["amount"; 150].join(" + ");
    let error = definition_error(&format!(
        "  - source-table: a\n    projection: {sum} AS x\n"
    ));
    assert!(error.contains("nested deeper than 100 levels"), "{error}");
}

/// Every table of the page whose head is `Expression | Value`.
fn examples() -> Vec<(String, String)> {
    let page = include_str!("../TRANSFORM.md");
    let mut examples = Vec::new();
    let mut within = false;
    for line in page.lines() {
        if line == "| Expression | Value |" {
            within = true;
        } else if !line.starts_with('|') {
            within = false;
        } else if within && !line.starts_with("| ---") {
            let row = line.trim_start_matches("| `").trim_end_matches(" |");
            let (expression, value) = row.rsplit_once("` | ").unwrap_or_else(|| panic!("{line}"));
            examples.push((expression.replace("\\|", "|"), value.to_owned()));
        }
    }
    examples
}

fn evaluate(expression: &str) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("one.json"), "{\"id\": 1}\n").unwrap();
    let text = format!(
        "source:
  type: file
  path: one.json
  table: one
  schema: {{id: bigint}}
sink:
  type: maxcompute
pipeline:
  local-time-zone: Asia/Shanghai
transform:
  - source-table: one
    projection: |-
      id, {expression} AS v
"
    );
    let definition = parse(directory.path(), &text).map_err(|error| error.to_string())?;
    let came = match read(&definition) {
        Ok(came) => came,
        // A NULL without a type is a value, but no column.
        Err(error) if error.message.contains("has no type") => return Ok("NULL".to_owned()),
        Err(error) => return Err(error.to_string()),
    };
    let rows = came.rows();
    Ok(rows[0].strip_prefix("+I 1 ").unwrap().to_owned())
}

#[test]
fn every_example_of_the_page_has_the_value_it_states() {
    let examples = examples();
    assert!(examples.len() > 180, "{}", examples.len());
    let mut wrong = Vec::new();
    for (expression, expected) in examples {
        match (evaluate(&expression), expected.strip_prefix("error: ")) {
            (Ok(value), None) if value == expected => {}
            (Err(error), Some(part)) if error.contains(part) => {}
            (found, _) => wrong.push(format!("{expression}: {expected}, found {found:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_function_has_an_example_on_the_page() {
    let examples = examples();
    for name in longshore_pipeline::transform::function_names() {
        let has = |(expression, _): &(String, String)| {
            let mut words = expression.split(|c: char| !c.is_alphanumeric() && c != '_');
            words.any(|word| word == name)
        };
        assert!(examples.iter().any(has), "{name}");
    }
}

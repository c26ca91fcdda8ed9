//! Values out of JSON and CSV equal the values put in.

use proptest::prelude::*;

use super::support::{Files, check_resume};

#[derive(Debug, Clone)]
struct Row {
    id: i64,
    text: Option<String>,
    number: Option<f64>,
    decimal: Option<i64>,
    flag: Option<bool>,
    day: Option<i32>,
    micros: Option<i64>,
    list: Option<Vec<Option<i32>>>,
}

fn any_row() -> impl Strategy<Value = Row> {
    (
        any::<i64>(),
        prop::option::of(any::<String>()),
        prop::option::of(-1e15..1e15_f64),
        prop::option::of(-999_999_999_i64..=999_999_999),
        prop::option::of(any::<bool>()),
        prop::option::of(-700_000..2_900_000_i32),
        prop::option::of(-60_000_000_000_000_000..250_000_000_000_000_000_i64),
        prop::option::of(prop::collection::vec(prop::option::of(any::<i32>()), 0..4)),
    )
        .prop_map(|(id, text, number, decimal, flag, day, micros, list)| Row {
            id,
            text,
            number,
            decimal,
            flag,
            day,
            micros,
            list,
        })
}

fn decimal_text(unscaled: i64) -> String {
    let sign = if unscaled < 0 { "-" } else { "" };
    format!(
        "{sign}{}.{:03}",
        unscaled.abs() / 1000,
        unscaled.abs() % 1000
    )
}

fn moment(micros: i64) -> chrono::DateTime<chrono::Utc> {
    chrono::DateTime::from_timestamp_micros(micros).unwrap()
}

fn date(days: i32) -> chrono::NaiveDate {
    chrono::NaiveDate::from_num_days_from_ce_opt(719_163 + days).unwrap()
}

impl Row {
    fn json(&self) -> String {
        serde_json::json!({
            "id": self.id,
            "text": self.text,
            "number": self.number,
            "decimal": self.decimal.map(decimal_text),
            "flag": self.flag,
            "day": self.day.map(|days| date(days).format("%Y-%m-%d").to_string()),
            "moment": self.micros.map(|micros| moment(micros).format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()),
            "list": self.list,
        })
        .to_string()
    }

    fn shown(&self) -> String {
        let null = || "NULL".to_owned();
        let list = self.list.as_ref().map(|items| {
            let items: Vec<String> = items
                .iter()
                .map(|item| item.map_or_else(null, |item| item.to_string()))
                .collect();
            format!("[{}]", items.join(", "))
        });
        [
            self.id.to_string(),
            self.text.clone().unwrap_or_else(null),
            self.number
                .map_or_else(null, |number| serde_json::json!(number).to_string()),
            self.decimal.map_or_else(null, decimal_text),
            self.flag.map_or_else(null, |flag| flag.to_string()),
            self.day
                .map_or_else(null, |days| date(days).format("%Y-%m-%d").to_string()),
            self.micros.map_or_else(null, |micros| {
                moment(micros).to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true)
            }),
            list.unwrap_or_else(null),
        ]
        .join("|")
    }
}

const SCHEMA: &str = "schema: {id: BIGINT NOT NULL, text: STRING, number: DOUBLE, decimal: 'DECIMAL(9,3)', flag: BOOLEAN, day: DATE, moment: TIMESTAMP, list: ARRAY<INT>}";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn json_values_arrive_as_they_are(rows in prop::collection::vec(any_row(), 1..20), batch in 1_usize..8) {
        let files = Files::new();
        let lines: Vec<String> = rows.iter().map(Row::json).collect();
        files.write("t.json", lines.join("\n"));
        let source = format!("path: t.json\n{SCHEMA}\nbatch-rows: {batch}");
        let expected: Vec<String> = rows.iter().map(|row| format!("0 {}", row.shown())).collect();
        prop_assert_eq!(files.read(&source).ok().rows("t"), expected);
        prop_assert_eq!(check_resume(&files.options(&source)), rows.len().div_ceil(batch));
    }

    #[test]
    fn csv_texts_arrive_as_they_are(rows in prop::collection::vec((any::<i32>(), prop::option::of("[a\"',\\n ;é]{0,12}")), 1..20)) {
        let files = Files::new();
        let mut text = String::from("id,text\n");
        for (id, field) in &rows {
            let field = field.as_ref().map(|field| format!("\"{}\"", field.replace('"', "\"\"")));
            text.push_str(&format!("{id},{}\n", field.unwrap_or_default()));
        }
        files.write("t.csv", text);
        let outcome = files.read("path: t.csv\nschema: {id: INT, text: STRING}").ok();
        let expected: Vec<String> = rows
            .iter()
            .map(|(id, field)| format!("0 {id}|{}", field.clone().unwrap_or_else(|| "NULL".to_owned())))
            .collect();
        prop_assert_eq!(outcome.rows("t"), expected);
    }

    #[test]
    fn no_input_makes_a_source_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[\\[\\]{}\":,a0nul.e-]{0,60}") {
        let files = Files::new();
        for name in ["x.json", "x.debezium.json", "x.csv", "x.parquet", "x.arrow"] {
            files.write(name, &bytes);
            let _ = files.read(&format!("path: {name}"));
            files.write(name, &text);
            let _ = files.read(&format!("path: {name}"));
        }
    }
}

//! Whatever can be written is read back the same.

use longshore_core::compress::{Compression, Compressor};
use longshore_core::record::RecordStream;
use longshore_core::types::OdpsType;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::support::{Value, batch, build, decode, encode, encoder};

fn scalar() -> impl Strategy<Value = OdpsType> {
    prop_oneof![
        Just(OdpsType::TinyInt),
        Just(OdpsType::SmallInt),
        Just(OdpsType::Int),
        Just(OdpsType::BigInt),
        Just(OdpsType::Float),
        Just(OdpsType::Double),
        Just(OdpsType::Boolean),
        Just(OdpsType::String),
        (1_u32..40).prop_map(OdpsType::Varchar),
        (1_u32..40).prop_map(OdpsType::Char),
        Just(OdpsType::Binary),
        (1_u8..=38)
            .prop_flat_map(|p| (Just(p), 0..=p.min(18)))
            .prop_map(|(precision, scale)| OdpsType::Decimal { precision, scale }),
        Just(OdpsType::Date),
        Just(OdpsType::Datetime),
        Just(OdpsType::Timestamp),
        Just(OdpsType::TimestampNtz),
        Just(OdpsType::Json),
        Just(OdpsType::IntervalDayTime),
        Just(OdpsType::IntervalYearMonth),
    ]
}

fn any_type() -> impl Strategy<Value = OdpsType> {
    scalar().prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            inner
                .clone()
                .prop_map(|element| OdpsType::Array(Box::new(element))),
            (scalar(), inner.clone())
                .prop_map(|(key, value)| OdpsType::Map(Box::new(key), Box::new(value))),
            vec(inner, 1..4).prop_map(|types| {
                let named = types
                    .into_iter()
                    .enumerate()
                    .map(|(i, ty)| (format!("f{i}"), ty));
                OdpsType::Struct(named.collect())
            }),
        ]
    })
}

/// Values of every length of varint.
fn sized(min: i64, max: i64) -> impl Strategy<Value = i64> {
    (any::<i64>(), 0_u32..64).prop_map(move |(value, shift)| (value >> shift).clamp(min, max))
}

fn present(ty: &OdpsType) -> BoxedStrategy<Value> {
    let seconds = || sized(-9_000_000_000, 9_000_000_000);
    let nanoseconds = || prop_oneof![Just(0), 0..1_000_000_000_i32];
    match ty {
        OdpsType::TinyInt => any::<i8>().prop_map(|v| Value::Integer(v.into())).boxed(),
        OdpsType::SmallInt => any::<i16>().prop_map(|v| Value::Integer(v.into())).boxed(),
        OdpsType::Int | OdpsType::IntervalYearMonth => sized(i32::MIN.into(), i32::MAX.into())
            .prop_map(Value::Integer)
            .boxed(),
        OdpsType::BigInt => sized(-i64::MAX, i64::MAX).prop_map(Value::Integer).boxed(),
        OdpsType::Float => any::<u32>().prop_map(Value::Float).boxed(),
        OdpsType::Double => any::<u64>().prop_map(Value::Double).boxed(),
        OdpsType::Boolean => any::<bool>().prop_map(Value::Boolean).boxed(),
        OdpsType::String => prop_oneof![".{0,40}", "[a-z中😀]{500,700}"]
            .prop_map(|v| Value::text(&v))
            .boxed(),
        OdpsType::Varchar(length) | OdpsType::Char(length) => {
            vec(any::<char>(), 0..=*length as usize)
                .prop_map(|v| Value::text(&v.into_iter().collect::<String>()))
                .boxed()
        }
        OdpsType::Binary => vec(any::<u8>(), 0..40).prop_map(Value::Bytes).boxed(),
        OdpsType::Json => vec(any::<Option<i32>>(), 0..4)
            .prop_map(|v| Value::text(&serde_json::to_string(&v).unwrap()))
            .boxed(),
        OdpsType::Decimal { precision, scale } => {
            let (limit, scale) = (10_i128.pow(u32::from(*precision)), *scale);
            (any::<i128>(), 0_u32..127)
                .prop_map(move |(v, shift)| Value::text(&decimal_text((v >> shift) % limit, scale)))
                .boxed()
        }
        OdpsType::Date => (-719_162_i64..=2_932_896).prop_map(Value::Integer).boxed(),
        OdpsType::Datetime => sized(-62_135_596_800_000, 253_402_300_799_999)
            .prop_map(Value::Integer)
            .boxed(),
        OdpsType::Timestamp | OdpsType::TimestampNtz | OdpsType::IntervalDayTime => {
            (seconds(), nanoseconds())
                .prop_map(|(s, n)| Value::Time(s, n))
                .boxed()
        }
        OdpsType::Array(element) => vec(value(element), 0..5).prop_map(Value::List).boxed(),
        OdpsType::Map(key, item) => vec((present(key), value(item)), 0..5)
            .prop_map(Value::Map)
            .boxed(),
        OdpsType::Struct(fields) => {
            let fields: Vec<_> = fields.iter().map(|(_, ty)| value(ty)).collect();
            fields.prop_map(Value::Struct).boxed()
        }
    }
}

fn value(ty: &OdpsType) -> BoxedStrategy<Value> {
    prop_oneof![1 => Just(Value::Null), 4 => present(ty)].boxed()
}

/// Types and one column of values each.
fn table() -> impl Strategy<Value = (Vec<OdpsType>, Vec<Vec<Value>>)> {
    (vec(any_type(), 1..20), 0_usize..12).prop_flat_map(|(types, rows)| {
        let columns: Vec<_> = types.iter().map(|ty| vec(value(ty), rows)).collect();
        (Just(types), columns)
    })
}

/// By way of strings, unlike the encoder.
fn decimal_text(unscaled: i128, scale: u8) -> String {
    let digits = format!(
        "{:0>width$}",
        unscaled.unsigned_abs(),
        width = usize::from(scale) + 1
    );
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    let sign = if unscaled < 0 { "-" } else { "" };
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{sign}{whole}{point}{fraction}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn encoded_rows_decode_to_themselves((types, columns) in table()) {
        let rows = columns[0].len();
        let arrays = types.iter().zip(&columns).map(|(ty, values)| build::array(ty, values));
        let batch = batch(rows, arrays.collect());
        let stream = encode(&batch, &types).unwrap();
        let decoded = decode::decode(&stream, &types).unwrap().rows;
        for (row, decoded) in decoded.iter().enumerate() {
            let expected: Vec<Value> = columns.iter().map(|column| column[row].clone()).collect();
            prop_assert_eq!(decoded, &expected);
        }
        prop_assert_eq!(decoded.len(), rows);
    }

    #[test]
    fn a_stream_drained_while_it_grows_is_the_same((types, columns) in table(), every in 1_usize..5) {
        let rows = columns[0].len();
        let arrays = types.iter().zip(&columns).map(|(ty, values)| build::array(ty, values));
        let batch = batch(rows, arrays.collect());
        let encoder = encoder(&batch, &types);
        let bound = encoder.bind(&batch).unwrap();
        let mut compressor = Compressor::new(Compression::Raw);
        let (mut stream, mut body) = (RecordStream::new(), Vec::new());
        for row in 0..rows {
            bound.encode(row, &mut stream).unwrap();
            if row % every == 0 {
                stream.drain_into(&mut compressor, &mut body).unwrap();
            }
        }
        stream.finish();
        prop_assert_eq!(stream.total_len(), (body.len() + stream.len()) as u64);
        compressor.write(stream.bytes(), &mut body).unwrap();
        prop_assert_eq!(body, encode(&batch, &types).unwrap());
    }

    #[test]
    fn type_texts_come_back(ty in any_type()) {
        prop_assert_eq!(ty.to_string().parse::<OdpsType>(), Ok(ty.clone()));
        prop_assert_eq!(ty.to_string().to_lowercase().parse::<OdpsType>(), Ok(ty));
    }
}

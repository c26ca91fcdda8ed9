//! Bucket hashes of the official clients. Where they differ, the Java client is right.

use longshore_core::bucket::{BucketHasher, HasherKind, combine};
use longshore_core::schema::Column;
use longshore_core::types::OdpsType;
use serde_json::Value as Json;

use crate::support::{Value, batch, build, json, vector_json};

/// Combined hash and buckets of one row of keys, or the refusal of the row.
fn hash(kind: HasherKind, keys: &[(OdpsType, Value)]) -> Result<(i32, Vec<u32>), String> {
    let arrays = keys
        .iter()
        .map(|(ty, v)| build::array(ty, std::slice::from_ref(v)))
        .collect();
    let batch = batch(1, arrays);
    let columns: Vec<(Column, usize)> = keys
        .iter()
        .enumerate()
        .map(|(i, (ty, _))| (Column::new(format!("k{i}"), ty.clone()), i))
        .collect();
    let hasher = BucketHasher::new(kind, &columns).map_err(|e| e.to_string())?;
    hasher.check(&batch.schema()).unwrap();
    let bound = hasher.bind(&batch).unwrap();
    let hash = bound.hash(0).map_err(|e| e.to_string())?;
    Ok((
        hash,
        [4, 16, 64].map(|n| bound.bucket(0, n).unwrap()).to_vec(),
    ))
}

fn expected(vector: &Json) -> (i32, Vec<u32>) {
    let buckets = ["4", "16", "64"].map(|n| vector["bucket"][n].as_u64().unwrap() as u32);
    (
        vector["combined"].as_i64().unwrap() as i32,
        buckets.to_vec(),
    )
}

fn kind(vector: &Json) -> HasherKind {
    vector["hasher"].as_str().unwrap().parse().unwrap()
}

#[test]
fn single_keys() {
    let vectors = vector_json("upsert-hash-vectors.json");
    let (mut hashed, mut rounded) = (0, 0);
    for vector in vectors["single"].as_array().unwrap() {
        let ty: OdpsType = vector["type"].as_str().unwrap().parse().unwrap();
        if ty == OdpsType::Binary {
            continue;
        }
        if let OdpsType::Decimal { precision, scale } = ty {
            // Java rounds a key to the declared scale. We refuse a value that would be rounded, so
            // these show the hash of what it is rounded to.
            let text = vector["value"].as_str().unwrap();
            let unscaled = build::rounded(text, scale);
            let hash = kind(vector).decimal(unscaled, precision);
            assert_eq!(hash, vector["hash"].as_i64().unwrap() as i32, "{vector}");
            assert_eq!(combine(hash), expected(vector).0, "{vector}");
            if build::unscaled(text, scale).is_none() {
                rounded += 1;
                continue;
            }
            let got = self::hash(kind(vector), &[(ty, Value::text(text))]).unwrap();
            assert_eq!(got, expected(vector), "{vector}");
            hashed += 1;
            continue;
        }
        let value = json::value(&ty, &vector["value"]);
        if value == Value::Integer(i64::MIN) {
            // No BIGINT has this value, but the function is defined for it.
            let sum = kind(vector).integer(i64::MIN);
            assert_eq!(combine(sum), expected(vector).0, "{vector}");
            hashed += 1;
            continue;
        }
        assert_eq!(
            hash(kind(vector), &[(ty, value)]).unwrap(),
            expected(vector),
            "{vector}"
        );
        hashed += 1;
    }
    assert!(
        hashed + rounded >= 372 && rounded <= 8,
        "{hashed} {rounded}"
    );
}

#[test]
fn composite_keys() {
    let vectors = vector_json("upsert-hash-vectors.json");
    let composites = vectors["composite"].as_array().unwrap();
    assert_eq!(composites.len(), 30);
    for vector in composites {
        let columns = vector["columns"].as_array().unwrap();
        let keys: Vec<(OdpsType, Value)> = columns
            .iter()
            .map(|column| {
                let ty: OdpsType = column["type"].as_str().unwrap().parse().unwrap();
                let value = json::value(&ty, &column["value"]);
                (ty, value)
            })
            .collect();
        match hash(kind(vector), &keys) {
            Ok(got) => assert_eq!(got, expected(vector), "{vector}"),
            // pyodps gives NULL the hash 0; a sink must not write such a key at all.
            Err(reason) => {
                assert!(reason.contains("NULL"), "{reason}");
                assert!(
                    columns.iter().any(|column| column["value"].is_null()),
                    "{vector}"
                );
            }
        }
    }
}

#[test]
fn keys_without_a_hash_are_refused_before_any_row() {
    for ty in [
        "binary",
        "json",
        "interval_year_month",
        "array<int>",
        "map<int,int>",
        "struct<a:int>",
    ] {
        let key = (Column::new("k", ty.parse().unwrap()), 0);
        let error = BucketHasher::new(HasherKind::Default, &[key]).unwrap_err();
        assert_eq!(error.column.as_deref(), Some("k"), "{ty}");
    }
    assert!(BucketHasher::new(HasherKind::Default, &[]).is_err());
    assert!(
        "murmur"
            .parse::<HasherKind>()
            .unwrap_err()
            .to_string()
            .contains("murmur")
    );
}

#[test]
fn the_hash_is_of_the_column_type_not_of_the_arrow_type() {
    use std::sync::Arc;
    let narrow = batch(
        1,
        vec![Arc::new(arrow_array::Int16Array::from(vec![42])) as _],
    );
    let key = [(
        Column::new(
            "k",
            OdpsType::Decimal {
                precision: 10,
                scale: 2,
            },
        ),
        0,
    )];
    let hasher = BucketHasher::new(HasherKind::Default, &key).unwrap();
    let bound = hasher.bind(&narrow).unwrap();
    assert_eq!(
        bound.hash(0).unwrap(),
        combine(HasherKind::Default.integer(4_200))
    );
}

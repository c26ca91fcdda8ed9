//! Base64 and hashes.

use std::sync::Arc;

use arrow_array::builder::BinaryBuilder;
use arrow_schema::DataType;
use base64::Engine as _;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::Definition;
use super::arguments::{Bytes, Texts, all_texts, as_text, exactly};
use super::results::texts;
use crate::transform::bind::Binder;
use crate::transform::expression::{Behavior, Bound, failed};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::new("TO_BASE64", 1, 1, to_base64),
    Definition::new("FROM_BASE64", 1, 1, from_base64),
    Definition::new("FROM_BASE64_BINARY", 1, 1, from_base64_binary),
    Definition::new("SHA224", 1, 1, |binder, args| {
        hash::<sha2::Sha224>("SHA224", binder, args)
    }),
    Definition::new("SHA256", 1, 1, |binder, args| {
        hash::<sha2::Sha256>("SHA256", binder, args)
    }),
    Definition::new("SHA384", 1, 1, |binder, args| {
        hash::<sha2::Sha384>("SHA384", binder, args)
    }),
    Definition::new("SHA512", 1, 1, |binder, args| {
        hash::<sha2::Sha512>("SHA512", binder, args)
    }),
];

/// Base64 with or without the padding at its end.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Calls with the bytes of a text or a BINARY value.
fn of_bytes(
    name: &'static str,
    binder: &Binder<'_>,
    args: Vec<Bound>,
    each: fn(&[u8], &mut String),
) -> Result<Bound, String> {
    let [value] = exactly(args)?;
    let binary = value.ty == DataType::Binary;
    let value = if binary {
        value
    } else {
        as_text(binder, name, value)?
    };
    Ok(Bound::call(
        name,
        vec![value],
        DataType::Utf8,
        Behavior::PLAIN,
        move |args, rows| {
            if binary {
                let value = Bytes::of(args, 0)?;
                texts(rows, |row, out| {
                    Ok(value.get(row).map(|bytes| each(bytes, out)).is_some())
                })
            } else {
                let value = Texts::of(args, 0)?;
                texts(rows, |row, out| {
                    Ok(value
                        .get(row)
                        .map(|text| each(text.as_bytes(), out))
                        .is_some())
                })
            }
        },
    ))
}

fn to_base64(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    of_bytes("TO_BASE64", binder, args, |bytes, out| {
        BASE64.encode_string(bytes, out)
    })
}

/// A hash in lower-case hexadecimal digits.
fn hash<D: sha2::Digest>(
    name: &'static str,
    binder: &Binder<'_>,
    args: Vec<Bound>,
) -> Result<Bound, String> {
    of_bytes(name, binder, args, |bytes, out| {
        out.push_str(&hex::encode(D::digest(bytes)))
    })
}

fn decoded(text: &str) -> Result<Vec<u8>, DataFusionError> {
    BASE64
        .decode(text)
        .map_err(|error| failed(format!("`{text}` is not base64: {error}")))
}

fn from_base64(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let args = all_texts(binder, "FROM_BASE64", args)?;
    Ok(Bound::call(
        "FROM_BASE64",
        args,
        DataType::Utf8,
        Behavior::FALLIBLE,
        |args, rows| {
            let text = Texts::of(args, 0)?;
            texts(rows, |row, out| {
                let Some(text) = text.get(row) else {
                    return Ok(false);
                };
                let bytes = decoded(text)?;
                out.push_str(std::str::from_utf8(&bytes).map_err(|_| {
                    failed("FROM_BASE64: the bytes are not UTF-8; FROM_BASE64_BINARY keeps them")
                })?);
                Ok(true)
            })
        },
    ))
}

fn from_base64_binary(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let args = all_texts(binder, "FROM_BASE64_BINARY", args)?;
    Ok(Bound::call(
        "FROM_BASE64_BINARY",
        args,
        DataType::Binary,
        Behavior::FALLIBLE,
        |args, rows| {
            let text = Texts::of(args, 0)?;
            let mut out = BinaryBuilder::new();
            for row in 0..rows {
                match text.get(row) {
                    Some(text) => out.append_value(decoded(text)?),
                    None => out.append_null(),
                }
            }
            Ok(ColumnarValue::Array(Arc::new(out.finish())))
        },
    ))
}

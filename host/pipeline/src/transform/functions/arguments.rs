//! Reading evaluated arguments row by row, single values without spreading them out.

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Array, BinaryArray, Int64Array, StringArray};
use arrow_schema::DataType;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::ColumnarValue;

use crate::transform::bind::Binder;
use crate::transform::cast::{Unfit, cast};
use crate::transform::expression::{Bound, failed};
use crate::transform::types;

/// A text argument.
pub(super) enum Texts<'a> {
    One(Option<&'a str>),
    Each(&'a StringArray),
}

impl<'a> Texts<'a> {
    pub(super) fn of(args: &'a [ColumnarValue], index: usize) -> Result<Self, DataFusionError> {
        match args.get(index) {
            Some(ColumnarValue::Scalar(ScalarValue::Utf8(text))) => Ok(Self::One(text.as_deref())),
            Some(ColumnarValue::Array(array)) => array
                .as_string_opt::<i32>()
                .map(Self::Each)
                .ok_or_else(|| failed("an argument is no text")),
            _ => Err(failed("an argument is no text")),
        }
    }

    pub(super) fn get(&self, row: usize) -> Option<&'a str> {
        match self {
            Self::One(text) => *text,
            Self::Each(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

/// An argument of bytes.
pub(super) enum Bytes<'a> {
    One(Option<&'a [u8]>),
    Each(&'a BinaryArray),
}

impl<'a> Bytes<'a> {
    pub(super) fn of(args: &'a [ColumnarValue], index: usize) -> Result<Self, DataFusionError> {
        match args.get(index) {
            Some(ColumnarValue::Scalar(ScalarValue::Binary(bytes))) => {
                Ok(Self::One(bytes.as_deref()))
            }
            Some(ColumnarValue::Array(array)) => array
                .as_binary_opt::<i32>()
                .map(Self::Each)
                .ok_or_else(|| failed("an argument is not BINARY")),
            _ => Err(failed("an argument is not BINARY")),
        }
    }

    pub(super) fn get(&self, row: usize) -> Option<&'a [u8]> {
        match self {
            Self::One(bytes) => *bytes,
            Self::Each(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

/// An integer argument, as BIGINT.
pub(super) enum Integers<'a> {
    One(Option<i64>),
    Each(&'a Int64Array),
}

impl<'a> Integers<'a> {
    pub(super) fn of(args: &'a [ColumnarValue], index: usize) -> Result<Self, DataFusionError> {
        match args.get(index) {
            Some(ColumnarValue::Scalar(ScalarValue::Int64(value))) => Ok(Self::One(*value)),
            Some(ColumnarValue::Array(array)) => array
                .as_primitive_opt::<Int64Type>()
                .map(Self::Each)
                .ok_or_else(|| failed("an argument is no integer")),
            _ => Err(failed("an argument is no integer")),
        }
    }

    pub(super) fn get(&self, row: usize) -> Option<i64> {
        match self {
            Self::One(value) => *value,
            Self::Each(array) => array.is_valid(row).then(|| array.value(row)),
        }
    }
}

/// Makes a text of an argument, as CAST would.
pub(super) fn as_text(binder: &Binder<'_>, function: &str, arg: Bound) -> Result<Bound, String> {
    if types::is_nested(&arg.ty) || arg.ty == DataType::Binary {
        return Err(format!(
            "{function} takes a text, not {}",
            types::name(&arg.ty)
        ));
    }
    cast(arg, &DataType::Utf8, Unfit::Fails, binder.context.zone)
}

/// Makes a BIGINT of an integer argument.
pub(super) fn as_integer(binder: &Binder<'_>, function: &str, arg: Bound) -> Result<Bound, String> {
    if !types::is_integer(&arg.ty) && !arg.is_untyped() {
        return Err(format!(
            "{function} takes an integer there, not {}",
            types::name(&arg.ty)
        ));
    }
    cast(arg, &DataType::Int64, Unfit::Fails, binder.context.zone)
}

/// Makes texts of all arguments.
pub(super) fn all_texts(
    binder: &Binder<'_>,
    function: &str,
    args: Vec<Bound>,
) -> Result<Vec<Bound>, String> {
    args.into_iter()
        .map(|arg| as_text(binder, function, arg))
        .collect()
}

/// Takes the arguments apart.
pub(super) fn exactly<const N: usize>(args: Vec<Bound>) -> Result<[Bound; N], String> {
    <[Bound; N]>::try_from(args)
        .map_err(|args| format!("{N} arguments are needed, not {}", args.len()))
}

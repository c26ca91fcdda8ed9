//! Arrays, maps and rows: making them, and looking into them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{
    Array, ArrayRef, BooleanArray, Int32Array, ListArray, MapArray, StructArray, UInt32Array,
};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{DataType, Field, FieldRef, Fields};
use arrow_select::interleave::interleave;
use arrow_select::take::take;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::Definition;
use super::arguments::{as_integer, exactly};
use crate::source::types::{ColumnType, map_type};
use crate::transform::bind::Binder;
use crate::transform::cast::{Unfit, cast};
use crate::transform::expression::{Behavior, Bound, failed};
use crate::transform::types;

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::variadic("ROW", 1, row),
    Definition::new("CARDINALITY", 1, 1, cardinality),
    Definition::new("ARRAY_CONTAINS", 2, 2, array_contains),
    Definition::new("ARRAY_POSITION", 2, 2, array_position),
    Definition::new("ELEMENT", 1, 1, element),
];

/// Brings values to one type.
fn alike(
    binder: &Binder<'_>,
    what: &str,
    args: Vec<Bound>,
) -> Result<(Vec<Bound>, DataType), String> {
    let mut ty = DataType::Null;
    for arg in &args {
        ty = types::common(&ty, &arg.ty).ok_or_else(|| {
            format!(
                "the {what} have no common type: {} and {}",
                types::name(&ty),
                types::name(&arg.ty)
            )
        })?;
    }
    if ty == DataType::Null {
        ty = DataType::Utf8;
    }
    let args = args
        .into_iter()
        .map(|arg| cast(arg, &ty, Unfit::Fails, binder.context.zone))
        .collect::<Result<Vec<_>, _>>()?;
    Ok((args, ty))
}

/// The rows of several columns one after the other: all of row 0, all of row 1, …
fn woven(columns: &[ArrayRef], rows: usize) -> Result<ArrayRef, DataFusionError> {
    let values: Vec<&dyn Array> = columns.iter().map(AsRef::as_ref).collect();
    let order: Vec<(usize, usize)> = (0..rows)
        .flat_map(|row| (0..columns.len()).map(move |column| (column, row)))
        .collect();
    Ok(interleave(&values, &order)?)
}

fn arrays(args: &[ColumnarValue], rows: usize) -> Result<Vec<ArrayRef>, DataFusionError> {
    args.iter().map(|arg| arg.to_array(rows)).collect()
}

/// `ARRAY[value, …]`.
pub(in crate::transform) fn array(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    if args.is_empty() {
        return Err("ARRAY[] has no element to tell its type".to_owned());
    }
    let (args, ty) = alike(binder, "elements of ARRAY", args)?;
    let item: FieldRef = Arc::new(Field::new("item", ty, true));
    let list = DataType::List(Arc::clone(&item));
    Ok(Bound::call(
        "ARRAY",
        args,
        list,
        Behavior::NEVER_NULL,
        move |args, rows| {
            let columns = arrays(args, rows)?;
            let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(columns.len(), rows));
            let values = woven(&columns, rows)?;
            let list = ListArray::try_new(Arc::clone(&item), offsets, values, None)?;
            Ok(ColumnarValue::Array(Arc::new(list)))
        },
    ))
}

/// `MAP[key, value, …]`.
pub(in crate::transform) fn map(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    if args.is_empty() || !args.len().is_multiple_of(2) {
        return Err("MAP takes keys and values in turn, at least one of each".to_owned());
    }
    let (mut keys, mut values) = (Vec::new(), Vec::new());
    for (index, arg) in args.into_iter().enumerate() {
        if index.is_multiple_of(2) {
            keys.push(arg)
        } else {
            values.push(arg)
        }
    }
    let pairs = keys.len();
    let (keys, key) = alike(binder, "keys of MAP", keys)?;
    let (values, value) = alike(binder, "values of MAP", values)?;
    let ty = map_type(&ColumnType::nullable(key), &ColumnType::nullable(value));
    let DataType::Map(entries, _) = ty.clone() else {
        return Err("no map".to_owned());
    };
    let DataType::Struct(fields) = entries.data_type().clone() else {
        return Err("no map".to_owned());
    };
    let args = keys.into_iter().chain(values).collect();
    let behavior = Behavior {
        fallible: true,
        ..Behavior::NEVER_NULL
    };
    Ok(Bound::call("MAP", args, ty, behavior, move |args, rows| {
        let columns = arrays(args, rows)?;
        let (keys, values) = columns.split_at(pairs.min(columns.len()));
        if keys.iter().any(|key| key.null_count() > 0) {
            return Err(failed("a key of MAP is NULL"));
        }
        let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(pairs, rows));
        let columns = vec![woven(keys, rows)?, woven(values, rows)?];
        let pairs = StructArray::try_new(fields.clone(), columns, None)?;
        let map = MapArray::try_new(Arc::clone(&entries), offsets, pairs, None, false)?;
        Ok(ColumnarValue::Array(Arc::new(map)))
    }))
}

/// `ROW(value, …)`: fields `f0`, `f1`, …
fn row(_: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let fields: Fields = args
        .iter()
        .enumerate()
        .map(|(index, arg)| {
            let ty = if arg.is_untyped() {
                DataType::Utf8
            } else {
                arg.ty.clone()
            };
            Field::new(format!("f{index}"), ty, true)
        })
        .collect();
    let ty = DataType::Struct(fields.clone());
    Ok(Bound::call(
        "ROW",
        args,
        ty,
        Behavior::NEVER_NULL,
        move |args, rows| {
            let columns = arrays(args, rows)?
                .into_iter()
                .zip(&fields)
                .map(|(column, field)| Ok(arrow_cast::cast(&column, field.data_type())?))
                .collect::<Result<Vec<_>, DataFusionError>>()?;
            let row = StructArray::try_new(fields.clone(), columns, None)?;
            Ok(ColumnarValue::Array(Arc::new(row)))
        },
    ))
}

/// `array[position]`, `map[key]`, `row[position]`: NULL where there is nothing.
pub(in crate::transform) fn item(
    binder: &Binder<'_>,
    whole: Bound,
    key: Bound,
) -> Result<Bound, String> {
    match whole.ty.clone() {
        DataType::Null => Ok(Bound::null()),
        DataType::List(element) => {
            let key = as_integer(binder, "an array", key)?;
            let ty = element.data_type().clone();
            Ok(Bound::call(
                "[]",
                vec![whole, key],
                ty,
                Behavior::NULLABLE,
                |args, rows| {
                    let columns = arrays(args, rows)?;
                    let [list, position] = columns.as_slice() else {
                        return Err(failed("an array and a position are needed"));
                    };
                    let list = list.as_list::<i32>();
                    let position = position.as_primitive::<Int64Type>();
                    let places: UInt32Array = (0..rows)
                        .map(|row| {
                            if list.is_null(row) || position.is_null(row) {
                                return None;
                            }
                            let (from, to) = span(list.offsets(), row)?;
                            let place =
                                usize::try_from(position.value(row)).ok()?.checked_sub(1)?;
                            let place = from.checked_add(place).filter(|place| *place < to)?;
                            u32::try_from(place).ok()
                        })
                        .collect();
                    Ok(ColumnarValue::Array(take(list.values(), &places, None)?))
                },
            ))
        }
        DataType::Map(entries, _) => {
            let DataType::Struct(fields) = entries.data_type() else {
                return Err("no map".to_owned());
            };
            let (Some(key_field), Some(value_field)) = (fields.first(), fields.get(1)) else {
                return Err("no map".to_owned());
            };
            let key = cast(
                key,
                key_field.data_type(),
                Unfit::Fails,
                binder.context.zone,
            )?;
            let ty = value_field.data_type().clone();
            Ok(Bound::call(
                "[]",
                vec![whole, key],
                ty,
                Behavior::NULLABLE,
                |args, rows| {
                    let columns = arrays(args, rows)?;
                    let [map, key] = columns.as_slice() else {
                        return Err(failed("a map and a key are needed"));
                    };
                    let map = map.as_map();
                    let found = first_equal(map.keys(), map.offsets(), map.nulls(), key)?;
                    let places: UInt32Array =
                        found.into_iter().map(|found| found.flatten()).collect();
                    Ok(ColumnarValue::Array(take(map.values(), &places, None)?))
                },
            ))
        }
        DataType::Struct(fields) => {
            let index = key
                .constant_integer()
                .and_then(|position| usize::try_from(position).ok()?.checked_sub(1))
                .filter(|index| *index < fields.len())
                .ok_or_else(|| {
                    format!("a row takes a constant position from 1 to {}", fields.len())
                })?;
            field(whole, &fields, index)
        }
        other => Err(format!(
            "{} has no elements: [ ] looks into an ARRAY, MAP or ROW",
            types::name(&other)
        )),
    }
}

/// One field of a row.
pub(super) fn field(row: Bound, fields: &Fields, index: usize) -> Result<Bound, String> {
    let field = fields.get(index).ok_or("the row has no such field")?;
    let behavior = if field.is_nullable() {
        Behavior::NULLABLE
    } else {
        Behavior::PLAIN
    };
    let ty = field.data_type().clone();
    Ok(Bound::call(
        "[]",
        vec![row],
        ty,
        behavior,
        move |args, rows| {
            let columns = arrays(args, rows)?;
            let row = columns
                .first()
                .ok_or_else(|| failed("a row is needed"))?
                .as_struct();
            let column = row
                .columns()
                .get(index)
                .ok_or_else(|| failed("the row has no such field"))?;
            // A field of a row that is NULL is NULL.
            let nulls = NullBuffer::union(row.nulls(), column.nulls());
            let column = column.to_data().into_builder().nulls(nulls).build()?;
            Ok(ColumnarValue::Array(arrow_array::make_array(column)))
        },
    ))
}

fn span(offsets: &OffsetBuffer<i32>, row: usize) -> Option<(usize, usize)> {
    let from = usize::try_from(*offsets.get(row)?).ok()?;
    let to = usize::try_from(*offsets.get(row + 1)?).ok()?;
    Some((from, to))
}

/// For every row a place among its elements: `None` where the row or what is wanted is NULL,
/// `Some(None)` where it is not there.
type FirstPlaces = Vec<Option<Option<u32>>>;

/// Where each row's first one of `values` that equals `wanted` is.
fn first_equal(
    values: &ArrayRef,
    offsets: &OffsetBuffer<i32>,
    nulls: Option<&NullBuffer>,
    wanted: &ArrayRef,
) -> Result<FirstPlaces, DataFusionError> {
    let rows = wanted.len();
    // What is wanted, once for every value of its row; values before and after those of the rows
    // are compared with NULL.
    let mut owners: Vec<Option<u32>> = vec![None; values.len()];
    for row in 0..rows {
        if let Some((from, to)) = span(offsets, row) {
            for owner in owners.get_mut(from..to).unwrap_or_default() {
                *owner = u32::try_from(row).ok();
            }
        }
    }
    let spread = take(wanted, &UInt32Array::from(owners), None)?;
    let equal = arrow::compute::kernels::cmp::eq(values, &spread)?;
    Ok((0..rows)
        .map(|row| {
            if wanted.is_null(row) || nulls.is_some_and(|nulls| nulls.is_null(row)) {
                return None;
            }
            let (from, to) = span(offsets, row)?;
            let place = (from..to).find(|place| equal.is_valid(*place) && equal.value(*place));
            Some(place.and_then(|place| u32::try_from(place).ok()))
        })
        .collect())
}

fn cardinality(_: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let [whole] = exactly(args)?;
    if !matches!(
        whole.ty,
        DataType::List(_) | DataType::Map(..) | DataType::Null
    ) {
        return Err(format!(
            "CARDINALITY takes an ARRAY or a MAP, not {}",
            types::name(&whole.ty)
        ));
    }
    Ok(Bound::call(
        "CARDINALITY",
        vec![whole],
        DataType::Int32,
        Behavior::PLAIN,
        |args, rows| {
            let columns = arrays(args, rows)?;
            let column = columns
                .first()
                .ok_or_else(|| failed("an array is needed"))?;
            let offsets = match column.data_type() {
                DataType::List(_) => column.as_list::<i32>().offsets().clone(),
                DataType::Map(..) => column.as_map().offsets().clone(),
                _ => {
                    return Ok(ColumnarValue::Array(arrow_array::new_null_array(
                        &DataType::Int32,
                        rows,
                    )));
                }
            };
            let counts: Int32Array = (0..rows)
                .map(|row| {
                    let (from, to) = span(&offsets, row)?;
                    i32::try_from(to - from)
                        .ok()
                        .filter(|_| column.is_valid(row))
                })
                .collect();
            Ok(ColumnarValue::Array(Arc::new(counts)))
        },
    ))
}

/// An array and a value, the value in the type of the elements, or both in a wider one.
fn array_and_value(
    name: &str,
    binder: &Binder<'_>,
    args: Vec<Bound>,
) -> Result<Option<Vec<Bound>>, String> {
    let [list, value] = exactly(args)?;
    let element = match &list.ty {
        DataType::List(element) => Arc::clone(element),
        DataType::Null => return Ok(None),
        other => return Err(format!("{name} takes an ARRAY, not {}", types::name(other))),
    };
    let ty = types::comparable(element.data_type(), &value.ty).ok_or_else(|| {
        format!(
            "{name} can not compare {} with {}",
            types::name(element.data_type()),
            types::name(&value.ty)
        )
    })?;
    let zone = binder.context.zone;
    let wider = DataType::List(Arc::new(Field::new("item", ty.clone(), true)));
    let list = if *element.data_type() == ty {
        list
    } else {
        cast(list, &wider, Unfit::Fails, zone)?
    };
    Ok(Some(vec![list, cast(value, &ty, Unfit::Fails, zone)?]))
}

/// Looks for a value in arrays; `tell` makes the result of the places found.
fn search(
    name: &'static str,
    ty: &DataType,
    binder: &Binder<'_>,
    args: Vec<Bound>,
    tell: fn(FirstPlaces, &OffsetBuffer<i32>) -> ArrayRef,
) -> Result<Bound, String> {
    let Some(args) = array_and_value(name, binder, args)? else {
        return Bound::null_of(ty);
    };
    Ok(Bound::call(
        name,
        args,
        ty.clone(),
        Behavior::PLAIN,
        move |args, rows| {
            let columns = arrays(args, rows)?;
            let [list, value] = columns.as_slice() else {
                return Err(failed("an array and a value are needed"));
            };
            let list = list.as_list::<i32>();
            let found = first_equal(list.values(), list.offsets(), list.nulls(), value)?;
            Ok(ColumnarValue::Array(tell(found, list.offsets())))
        },
    ))
}

fn array_contains(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    search(
        "ARRAY_CONTAINS",
        &DataType::Boolean,
        binder,
        args,
        |found, _| {
            let contains = found
                .into_iter()
                .map(|found| found.map(|place| place.is_some()));
            Arc::new(contains.collect::<BooleanArray>())
        },
    )
}

fn array_position(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    search(
        "ARRAY_POSITION",
        &DataType::Int32,
        binder,
        args,
        |found, offsets| {
            let positions = found.into_iter().enumerate().map(|(row, found)| {
                let (from, _) = span(offsets, row)?;
                match found? {
                    None => Some(0),
                    Some(place) => i32::try_from(place as usize - from + 1).ok(),
                }
            });
            Arc::new(positions.collect::<Int32Array>())
        },
    )
}

/// `ELEMENT(array)`: the only element of an array that has one.
fn element(_: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let [list] = exactly(args)?;
    let ty = match &list.ty {
        DataType::List(element) => element.data_type().clone(),
        DataType::Null => return Ok(Bound::null()),
        other => {
            return Err(format!(
                "ELEMENT takes an ARRAY, not {}",
                types::name(other)
            ));
        }
    };
    Ok(Bound::call(
        "ELEMENT",
        vec![list],
        ty,
        Behavior::NULLABLE_FALLIBLE,
        |args, rows| {
            let columns = arrays(args, rows)?;
            let list = columns
                .first()
                .ok_or_else(|| failed("an array is needed"))?
                .as_list::<i32>();
            let places = (0..rows)
                .map(|row| match span(list.offsets(), row) {
                    Some((from, to)) if list.is_valid(row) && to > from => {
                        if to - from > 1 {
                            return Err(failed(format!(
                                "ELEMENT of an array with {} elements",
                                to - from
                            )));
                        }
                        Ok(u32::try_from(from).ok())
                    }
                    _ => Ok(None),
                })
                .collect::<Result<Vec<_>, _>>()?;
            Ok(ColumnarValue::Array(take(
                list.values(),
                &UInt32Array::from(places),
                None,
            )?))
        },
    ))
}

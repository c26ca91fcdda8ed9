//! Functions on texts. Positions and lengths count characters from 1.

use std::sync::Arc;

use arrow_array::builder::StringBuilder;
use arrow_array::{ArrayRef, BooleanArray};
use arrow_schema::DataType;
use datafusion::common::DataFusionError;
use datafusion::logical_expr::ColumnarValue;

use super::Definition;
use super::arguments::{Bytes, Integers, Texts, all_texts, as_integer, as_text, exactly};
use super::results::{count, integers, texts};
use crate::transform::bind::Binder;
use crate::transform::expression::{Behavior, Bound, failed};

pub(super) const FUNCTIONS: &[Definition] = &[
    Definition::new("CHAR_LENGTH", 1, 1, char_length),
    Definition::new("CHARACTER_LENGTH", 1, 1, char_length),
    Definition::new("UPPER", 1, 1, |binder, args| {
        change("UPPER", binder, args, |text, out| {
            out.push_str(&text.to_uppercase())
        })
    }),
    Definition::new("LOWER", 1, 1, |binder, args| {
        change("LOWER", binder, args, |text, out| {
            out.push_str(&text.to_lowercase())
        })
    }),
    Definition::new("LTRIM", 1, 2, |binder, args| {
        strip("LTRIM", Side::Start, binder, args)
    }),
    Definition::new("RTRIM", 1, 2, |binder, args| {
        strip("RTRIM", Side::End, binder, args)
    }),
    Definition::new("BTRIM", 1, 2, |binder, args| {
        strip("BTRIM", Side::Both, binder, args)
    }),
    Definition::variadic("CONCAT", 1, concat),
    Definition::variadic("CONCAT_WS", 2, concat_ws),
    Definition::new("LPAD", 3, 3, |binder, args| pad("LPAD", true, binder, args)),
    Definition::new("RPAD", 3, 3, |binder, args| {
        pad("RPAD", false, binder, args)
    }),
    Definition::new("REPLACE", 3, 3, replace),
    Definition::new("REPEAT", 2, 2, repeat),
    Definition::new("LEFT", 2, 2, left),
    Definition::new("RIGHT", 2, 2, right),
    Definition::new("LOCATE", 2, 3, position),
    Definition::new("INSTR", 2, 2, instr),
    Definition::new("STARTSWITH", 2, 2, |binder, args| {
        edge("STARTSWITH", binder, args, <[u8]>::starts_with)
    }),
    Definition::new("ENDSWITH", 2, 2, |binder, args| {
        edge("ENDSWITH", binder, args, <[u8]>::ends_with)
    }),
    Definition::new("UUID", 0, 0, uuid),
];

fn change(
    name: &'static str,
    binder: &Binder<'_>,
    args: Vec<Bound>,
    each: fn(&str, &mut String),
) -> Result<Bound, String> {
    let args = all_texts(binder, name, args)?;
    Ok(Bound::call(
        name,
        args,
        DataType::Utf8,
        Behavior::PLAIN,
        move |args, rows| {
            let text = Texts::of(args, 0)?;
            texts(rows, |row, out| {
                Ok(text.get(row).map(|text| each(text, out)).is_some())
            })
        },
    ))
}

fn char_length(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let args = all_texts(binder, "CHAR_LENGTH", args)?;
    Ok(Bound::call(
        "CHAR_LENGTH",
        args,
        DataType::Int32,
        Behavior::PLAIN,
        |args, rows| {
            let text = Texts::of(args, 0)?;
            integers(rows, |row| match text.get(row) {
                Some(text) => count(text.chars().count()),
                None => Ok(None),
            })
        },
    ))
}

/// Where characters are taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Start,
    End,
    Both,
}

/// `TRIM([LEADING | TRAILING | BOTH] [characters FROM] text)`; without characters those up to the
/// blank are taken off, as Java's `trim` does.
pub(in crate::transform) fn trim(
    binder: &Binder<'_>,
    leading: bool,
    trailing: bool,
    mut args: Vec<Bound>,
) -> Result<Bound, String> {
    let side = match (leading, trailing) {
        (true, false) => Side::Start,
        (false, true) => Side::End,
        _ => Side::Both,
    };
    if args.len() == 1 {
        let control: String = (0..=32_u8).map(char::from).collect();
        args.push(Bound::literal(control.as_str().into()));
    }
    strip("TRIM", side, binder, args)
}

fn strip(
    name: &'static str,
    side: Side,
    binder: &Binder<'_>,
    mut args: Vec<Bound>,
) -> Result<Bound, String> {
    if args.len() == 1 {
        args.push(Bound::literal(" ".into()));
    }
    let args = all_texts(binder, name, args)?;
    Ok(Bound::call(
        name,
        args,
        DataType::Utf8,
        Behavior::PLAIN,
        move |args, rows| {
            let (text, off) = (Texts::of(args, 0)?, Texts::of(args, 1)?);
            texts(rows, |row, out| {
                let (Some(mut text), Some(off)) = (text.get(row), off.get(row)) else {
                    return Ok(false);
                };
                let listed = |c: char| off.contains(c);
                if side != Side::End {
                    text = text.trim_start_matches(listed);
                }
                if side != Side::Start {
                    text = text.trim_end_matches(listed);
                }
                out.push_str(text);
                Ok(true)
            })
        },
    ))
}

/// Joins texts; NULL where one is NULL.
pub(in crate::transform) fn concat(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let args = all_texts(binder, "CONCAT", args)?;
    Ok(Bound::call(
        "CONCAT",
        args,
        DataType::Utf8,
        Behavior::PLAIN,
        |args, rows| {
            let parts = (0..args.len())
                .map(|index| Texts::of(args, index))
                .collect::<Result<Vec<_>, _>>()?;
            texts(rows, |row, out| {
                for part in &parts {
                    match part.get(row) {
                        Some(text) => out.push_str(text),
                        None => return Ok(false),
                    }
                }
                Ok(true)
            })
        },
    ))
}

/// Joins the texts that are not NULL, with a separator between them.
fn concat_ws(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let args = all_texts(binder, "CONCAT_WS", args)?;
    Ok(Bound::call(
        "CONCAT_WS",
        args,
        DataType::Utf8,
        Behavior::PLAIN,
        |args, rows| {
            let separator = Texts::of(args, 0)?;
            let parts = (1..args.len())
                .map(|index| Texts::of(args, index))
                .collect::<Result<Vec<_>, _>>()?;
            texts(rows, |row, out| {
                let Some(separator) = separator.get(row) else {
                    return Ok(false);
                };
                let mut first = true;
                for text in parts.iter().filter_map(|part| part.get(row)) {
                    if !std::mem::take(&mut first) {
                        out.push_str(separator);
                    }
                    out.push_str(text);
                }
                Ok(true)
            })
        },
    ))
}

/// A function of a text and an integer.
fn text_and_integer(
    name: &'static str,
    behavior: Behavior,
    binder: &Binder<'_>,
    args: Vec<Bound>,
    each: fn(&str, i64, &mut String) -> Result<(), DataFusionError>,
) -> Result<Bound, String> {
    let [text, number] = exactly(args)?;
    let args = vec![
        as_text(binder, name, text)?,
        as_integer(binder, name, number)?,
    ];
    Ok(Bound::call(
        name,
        args,
        DataType::Utf8,
        behavior,
        move |args, rows| {
            let (text, number) = (Texts::of(args, 0)?, Integers::of(args, 1)?);
            texts(rows, |row, out| match (text.get(row), number.get(row)) {
                (Some(text), Some(number)) => each(text, number, out).map(|()| true),
                _ => Ok(false),
            })
        },
    ))
}

/// The byte at which the character of this number, from 0, begins; the end where there is none.
fn byte_of(text: &str, character: usize) -> usize {
    text.char_indices()
        .nth(character)
        .map_or(text.len(), |(byte, _)| byte)
}

fn left(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    text_and_integer(
        "LEFT",
        Behavior::PLAIN,
        binder,
        args,
        |text, length, out| {
            let length = usize::try_from(length).unwrap_or(0);
            out.push_str(text.get(..byte_of(text, length)).unwrap_or_default());
            Ok(())
        },
    )
}

fn right(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    text_and_integer(
        "RIGHT",
        Behavior::PLAIN,
        binder,
        args,
        |text, length, out| {
            let length = usize::try_from(length).unwrap_or(0);
            let from = text.chars().count().saturating_sub(length);
            out.push_str(text.get(byte_of(text, from)..).unwrap_or_default());
            Ok(())
        },
    )
}

/// What a single value may grow to: a MaxCompute STRING holds 8 MiB.
const MAX_BYTES: usize = 8 << 20;

fn repeat(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    text_and_integer(
        "REPEAT",
        Behavior::FALLIBLE,
        binder,
        args,
        |text, times, out| {
            let times = usize::try_from(times).unwrap_or(0);
            if text.len().saturating_mul(times) > MAX_BYTES {
                return Err(failed(format!(
                    "REPEAT makes {} characters {times} times: more than the 8 MiB of a STRING",
                    text.chars().count()
                )));
            }
            out.extend(std::iter::repeat_n(text, times));
            Ok(())
        },
    )
}

fn pad(
    name: &'static str,
    before: bool,
    binder: &Binder<'_>,
    args: Vec<Bound>,
) -> Result<Bound, String> {
    let [text, length, filler] = exactly(args)?;
    let args = vec![
        as_text(binder, name, text)?,
        as_integer(binder, name, length)?,
        as_text(binder, name, filler)?,
    ];
    Ok(Bound::call(
        name,
        args,
        DataType::Utf8,
        Behavior::NULLABLE_FALLIBLE,
        move |args, rows| {
            let (text, length, filler) = (
                Texts::of(args, 0)?,
                Integers::of(args, 1)?,
                Texts::of(args, 2)?,
            );
            texts(rows, |row, out| {
                let (Some(text), Some(length), Some(filler)) =
                    (text.get(row), length.get(row), filler.get(row))
                else {
                    return Ok(false);
                };
                let Some(length) = usize::try_from(length).ok().filter(|_| !filler.is_empty())
                else {
                    return Ok(false);
                };
                if length > MAX_BYTES {
                    return Err(failed(format!(
                        "{name} to {length} characters: a STRING holds 8 MiB"
                    )));
                }
                let missing = length.saturating_sub(text.chars().count());
                let fill = filler.chars().cycle().take(missing);
                let kept = text.get(..byte_of(text, length)).unwrap_or_default();
                if before {
                    out.extend(fill);
                    out.push_str(kept);
                } else {
                    out.push_str(kept);
                    out.extend(fill);
                }
                Ok(true)
            })
        },
    ))
}

fn replace(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let args = all_texts(binder, "REPLACE", args)?;
    Ok(Bound::call(
        "REPLACE",
        args,
        DataType::Utf8,
        Behavior::PLAIN,
        |args, rows| {
            let (text, old, new) = (
                Texts::of(args, 0)?,
                Texts::of(args, 1)?,
                Texts::of(args, 2)?,
            );
            texts(rows, |row, out| {
                let (Some(text), Some(old), Some(new)) =
                    (text.get(row), old.get(row), new.get(row))
                else {
                    return Ok(false);
                };
                out.push_str(&text.replace(old, new));
                Ok(true)
            })
        },
    ))
}

/// `SUBSTRING(text FROM start [FOR length])`. A start below 0 counts from the end, 0 is 1.
pub(in crate::transform) fn substring(
    binder: &Binder<'_>,
    mut args: Vec<Bound>,
) -> Result<Bound, String> {
    if args.len() == 2 {
        args.push(Bound::literal(i64::MAX.into()));
    }
    let [text, start, length] = exactly(args)?;
    let args = vec![
        as_text(binder, "SUBSTRING", text)?,
        as_integer(binder, "SUBSTRING", start)?,
        as_integer(binder, "SUBSTRING", length)?,
    ];
    Ok(Bound::call(
        "SUBSTRING",
        args,
        DataType::Utf8,
        Behavior::FALLIBLE,
        |args, rows| {
            let (text, start, length) = (
                Texts::of(args, 0)?,
                Integers::of(args, 1)?,
                Integers::of(args, 2)?,
            );
            texts(rows, |row, out| {
                let (Some(text), Some(start), Some(length)) =
                    (text.get(row), start.get(row), length.get(row))
                else {
                    return Ok(false);
                };
                let length = usize::try_from(length)
                    .map_err(|_| failed(format!("SUBSTRING with a length of {length}")))?;
                let skipped = if start < 0 {
                    let back = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
                    match text.chars().count().checked_sub(back) {
                        Some(skipped) => skipped,
                        None => return Ok(true),
                    }
                } else {
                    usize::try_from(start.max(1) - 1).unwrap_or(usize::MAX)
                };
                let rest = text.get(byte_of(text, skipped)..).unwrap_or_default();
                out.push_str(rest.get(..byte_of(rest, length)).unwrap_or_default());
                Ok(true)
            })
        },
    ))
}

/// `OVERLAY(text PLACING new FROM start [FOR length])`.
pub(in crate::transform) fn overlay(
    binder: &Binder<'_>,
    mut args: Vec<Bound>,
) -> Result<Bound, String> {
    if args.len() == 3 {
        // Its own length: -1 stands for it, which no length is.
        args.push(Bound::literal((-1_i64).into()));
    }
    let whole = args.get(3).and_then(Bound::constant_integer) == Some(-1);
    let [text, new, start, length] = exactly(args)?;
    let args = vec![
        as_text(binder, "OVERLAY", text)?,
        as_text(binder, "OVERLAY", new)?,
        as_integer(binder, "OVERLAY", start)?,
        as_integer(binder, "OVERLAY", length)?,
    ];
    Ok(Bound::call(
        "OVERLAY",
        args,
        DataType::Utf8,
        Behavior::PLAIN,
        move |args, rows| {
            let (text, new) = (Texts::of(args, 0)?, Texts::of(args, 1)?);
            let (start, length) = (Integers::of(args, 2)?, Integers::of(args, 3)?);
            texts(rows, |row, out| {
                let (Some(text), Some(new), Some(start), Some(length)) =
                    (text.get(row), new.get(row), start.get(row), length.get(row))
                else {
                    return Ok(false);
                };
                let characters = text.chars().count();
                let start = usize::try_from(start).unwrap_or(0);
                if start == 0 || start > characters {
                    out.push_str(text);
                    return Ok(true);
                }
                let length = if whole {
                    new.chars().count()
                } else {
                    usize::try_from(length).unwrap_or(0)
                };
                out.push_str(text.get(..byte_of(text, start - 1)).unwrap_or_default());
                out.push_str(new);
                let after = (start - 1).saturating_add(length);
                if length > 0 && after < characters {
                    out.push_str(text.get(byte_of(text, after)..).unwrap_or_default());
                }
                Ok(true)
            })
        },
    ))
}

/// Where a text, from the character `from` on, has another one; 0 where nowhere.
fn find(wanted: &str, text: &str, from: i64) -> Result<Option<i32>, DataFusionError> {
    if wanted.is_empty() {
        return Ok(Some(1));
    }
    let skipped = usize::try_from(from.max(1) - 1).unwrap_or(usize::MAX);
    let start = byte_of(text, skipped);
    let rest = text.get(start..).unwrap_or_default();
    match rest.find(wanted) {
        Some(byte) => {
            let before = text.get(..start + byte).unwrap_or_default();
            count(before.chars().count() + 1)
        }
        None => Ok(Some(0)),
    }
}

/// `POSITION(wanted IN text)` and `LOCATE(wanted, text[, from])`.
pub(in crate::transform) fn position(
    binder: &Binder<'_>,
    mut args: Vec<Bound>,
) -> Result<Bound, String> {
    if args.len() == 2 {
        args.push(Bound::literal(1_i64.into()));
    }
    let [wanted, text, from] = exactly(args)?;
    let args = vec![
        as_text(binder, "LOCATE", wanted)?,
        as_text(binder, "LOCATE", text)?,
        as_integer(binder, "LOCATE", from)?,
    ];
    Ok(Bound::call(
        "LOCATE",
        args,
        DataType::Int32,
        Behavior::PLAIN,
        |args, rows| {
            let (wanted, text, from) = (
                Texts::of(args, 0)?,
                Texts::of(args, 1)?,
                Integers::of(args, 2)?,
            );
            integers(rows, |row| {
                match (wanted.get(row), text.get(row), from.get(row)) {
                    (Some(wanted), Some(text), Some(from)) => find(wanted, text, from),
                    _ => Ok(None),
                }
            })
        },
    ))
}

fn instr(binder: &Binder<'_>, args: Vec<Bound>) -> Result<Bound, String> {
    let [text, wanted] = exactly(args)?;
    position(binder, vec![wanted, text])
}

fn edge(
    name: &'static str,
    binder: &Binder<'_>,
    args: Vec<Bound>,
    holds: fn(&[u8], &[u8]) -> bool,
) -> Result<Bound, String> {
    let binary = args.iter().any(|arg| arg.ty == DataType::Binary);
    if binary && args.iter().any(|arg| arg.ty != DataType::Binary) {
        return Err(format!("{name} takes two texts or two BINARY values"));
    }
    let args = if binary {
        args
    } else {
        all_texts(binder, name, args)?
    };
    Ok(Bound::call(
        name,
        args,
        DataType::Boolean,
        Behavior::PLAIN,
        move |args, rows| {
            let values: BooleanArray = if binary {
                let (value, part) = (Bytes::of(args, 0)?, Bytes::of(args, 1)?);
                (0..rows)
                    .map(|row| Some(holds(value.get(row)?, part.get(row)?)))
                    .collect()
            } else {
                let (value, part) = (Texts::of(args, 0)?, Texts::of(args, 1)?);
                (0..rows)
                    .map(|row| Some(holds(value.get(row)?.as_bytes(), part.get(row)?.as_bytes())))
                    .collect()
            };
            Ok(ColumnarValue::Array(Arc::new(values)))
        },
    ))
}

fn uuid(_: &Binder<'_>, _: Vec<Bound>) -> Result<Bound, String> {
    let behavior = Behavior {
        volatile: true,
        ..Behavior::NEVER_NULL
    };
    Ok(Bound::call(
        "UUID",
        Vec::new(),
        DataType::Utf8,
        behavior,
        |_, rows| {
            let mut out = StringBuilder::with_capacity(rows, rows * 36);
            let mut text = uuid::Uuid::encode_buffer();
            for _ in 0..rows {
                out.append_value(uuid::Uuid::new_v4().hyphenated().encode_lower(&mut text));
            }
            Ok(ColumnarValue::Array(Arc::new(out.finish()) as ArrayRef))
        },
    ))
}

//! From an expression as written to one that is bound to a table's columns.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;

use arrow_schema::{DataType, Field, FieldRef, SchemaRef, TimeUnit};
use datafusion::common::ScalarValue;
use datafusion::physical_expr::expressions::Column;
use datafusion::sql::sqlparser::ast::{
    AccessExpr, BinaryOperator, CastKind, CeilFloorKind, DataType as SqlType, DateTimeField, Expr,
    Function, FunctionArg, FunctionArgExpr, FunctionArguments, Subscript, TrimWhereField,
    UnaryOperator, Value,
};

use super::Context;
use super::arithmetic::{self, Operation};
use super::cast::{Unfit, cast};
use super::conditions::{self, Comparison};
use super::expression::{Bound, message_of};
use super::functions::{self, Build, Interval};
use super::sql;
use super::types::{self, instant, is_nested};
use crate::definition::nearest;
use crate::source::TableId;
use crate::source::types::ColumnType;

/// What a row does, as `+I`, `-U`, `+U`, `-D`.
pub(super) const EVENT_TYPE: &str = "__data_event_type__";
const NAMESPACE: &str = "__namespace_name__";
const SCHEMA: &str = "__schema_name__";
const TABLE: &str = "__table_name__";
/// The names that mean something in every table.
pub(super) const METADATA: [&str; 4] = [NAMESPACE, SCHEMA, TABLE, EVENT_TYPE];

/// Deeper nesting would exhaust the stack of evaluation; chains of AND, OR and `||` count once.
const MAX_DEPTH: usize = 100;
/// Bytes of stack that one level of binding is sure to do with.
const STACK_LEFT: usize = 128 << 10;
/// Bytes of stack that are added where there are fewer.
const STACK_MORE: usize = 1 << 20;

/// What an expression reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    /// A column of the source's batch.
    Column(usize),
    /// What the row does.
    EventType,
    /// The time at which the batch came.
    Clock,
}

/// The names that expressions can use.
pub(super) struct Scope<'a> {
    /// The columns of the table; `None` = not known yet: every name is taken, of any type.
    pub(super) columns: Option<&'a SchemaRef>,
    /// The table; `None` = not known yet.
    pub(super) table: Option<&'a TableId>,
    /// Columns that the projection computes, for a filter: they come before the table's own.
    pub(super) computed: HashMap<&'a str, &'a Expr>,
}

/// Binds the expressions of one table.
pub(super) struct Binder<'a> {
    pub(super) context: &'a Context,
    pub(super) scope: Scope<'a>,
    /// What the batch to evaluate on consists of; grows with each new name.
    inputs: RefCell<Vec<(Input, FieldRef)>>,
    depth: Cell<usize>,
    /// A column was named that is not known yet.
    unknown: Cell<bool>,
    /// Things to tell of the expressions bound so far.
    pub(super) warnings: RefCell<Vec<String>>,
}

impl<'a> Binder<'a> {
    pub(super) fn new(context: &'a Context, scope: Scope<'a>) -> Self {
        Self {
            context,
            scope,
            inputs: RefCell::new(Vec::new()),
            depth: Cell::new(0),
            unknown: Cell::new(false),
            warnings: RefCell::new(Vec::new()),
        }
    }

    /// What bound expressions read, in the order of their columns.
    pub(super) fn inputs(&self) -> Vec<Input> {
        self.inputs
            .borrow()
            .iter()
            .map(|(input, _)| *input)
            .collect()
    }

    /// The columns that bound expressions read.
    pub(super) fn input_fields(&self) -> Vec<FieldRef> {
        let inputs = self.inputs.borrow();
        inputs.iter().map(|(_, field)| Arc::clone(field)).collect()
    }

    /// The time at which the batch came.
    pub(super) fn clock(&self) -> Bound {
        let field = Field::new("now", instant(TimeUnit::Millisecond), false);
        self.input(Input::Clock, Arc::new(field))
    }

    fn input(&self, input: Input, field: FieldRef) -> Bound {
        let mut inputs = self.inputs.borrow_mut();
        let index = match inputs.iter().position(|(known, _)| *known == input) {
            Some(index) => index,
            None => {
                inputs.push((input, Arc::clone(&field)));
                inputs.len() - 1
            }
        };
        Bound {
            expr: Arc::new(Column::new(field.name(), index)),
            ty: field.data_type().clone(),
            nullable: field.is_nullable(),
            volatile: false,
            fallible: false,
            varies: true,
            column: matches!(input, Input::Column(_)).then_some(field),
        }
    }

    /// Binds an expression that stands alone.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for a person.
    pub(super) fn bind_whole(&self, expr: &Expr) -> Result<Bound, String> {
        self.unknown.set(false);
        let bound = self.bind(expr)?;
        let constant = !bound.varies && !bound.volatile && !self.unknown.get();
        if constant && bound.constant().is_none() {
            // It fails for every row: better now.
            if let Err(error) = bound.evaluate_constant() {
                return Err(message_of(&error));
            }
        }
        Ok(bound)
    }

    /// Binds an expression.
    ///
    /// # Errors
    ///
    /// What is wrong with it, for a person.
    pub(super) fn bind(&self, expr: &Expr) -> Result<Bound, String> {
        if self.depth.get() >= MAX_DEPTH {
            return Err(format!("it is nested deeper than {MAX_DEPTH} levels"));
        }
        self.depth.set(self.depth.get() + 1);
        let bound = stacker::maybe_grow(STACK_LEFT, STACK_MORE, || self.bind_one(expr));
        self.depth.set(self.depth.get() - 1);
        bound
    }

    fn bind_one(&self, expr: &Expr) -> Result<Bound, String> {
        match expr {
            Expr::Nested(inner) => self.bind(inner),
            Expr::Identifier(name) => self.name(&name.value),
            Expr::CompoundIdentifier(parts) => self.name(&sql::last(parts)),
            Expr::Value(value) => literal(&value.value),
            Expr::TypedString(typed) => {
                let ty = data_type(&typed.data_type)?;
                let text = value_text(&typed.value.value)?;
                self.cast_to(Bound::literal(text.into()), &ty, Unfit::Fails)
            }
            Expr::BinaryOp { left, op, right } => self.binary(left, op, right),
            Expr::UnaryOp { op, expr } => self.unary(op, expr),
            Expr::IsNull(inner) => Ok(conditions::is_null(&self.bind(inner)?, false)),
            Expr::IsNotNull(inner) => Ok(conditions::is_null(&self.bind(inner)?, true)),
            Expr::IsUnknown(inner) => {
                let value = conditions::condition(self, self.bind(inner)?)?;
                Ok(conditions::is_null(&value, false))
            }
            Expr::IsNotUnknown(inner) => {
                let value = conditions::condition(self, self.bind(inner)?)?;
                Ok(conditions::is_null(&value, true))
            }
            Expr::IsTrue(inner) => conditions::is_truth(self, self.bind(inner)?, true, false),
            Expr::IsNotTrue(inner) => conditions::is_truth(self, self.bind(inner)?, true, true),
            Expr::IsFalse(inner) => conditions::is_truth(self, self.bind(inner)?, false, false),
            Expr::IsNotFalse(inner) => conditions::is_truth(self, self.bind(inner)?, false, true),
            Expr::IsDistinctFrom(left, right) => self.compared(Comparison::Distinct, left, right),
            Expr::IsNotDistinctFrom(left, right) => {
                self.compared(Comparison::NotDistinct, left, right)
            }
            Expr::InList {
                expr,
                list,
                negated,
            } => {
                let list = list
                    .iter()
                    .map(|entry| self.bind(entry))
                    .collect::<Result<_, _>>()?;
                conditions::in_list(self, self.bind(expr)?, list, *negated)
            }
            Expr::Between {
                expr,
                negated,
                low,
                high,
            } => self.between(expr, *negated, low, high),
            Expr::Like {
                negated,
                any: false,
                expr,
                pattern,
                escape_char,
            } => {
                let escape = escape_char
                    .as_ref()
                    .map(|e| value_text(&e.value))
                    .transpose()?;
                let pattern = self.bind(pattern)?;
                // Told once, with the definition, not for every table.
                if escape.is_none() && self.scope.columns.is_none() {
                    let text = pattern.constant_text().unwrap_or("…");
                    let warning = functions::warning_of_like(text);
                    self.warnings.borrow_mut().push(warning);
                }
                let like = functions::like(self, self.bind(expr)?, pattern, escape)?;
                self.negated_if(*negated, like)
            }
            Expr::SimilarTo {
                negated,
                expr,
                pattern,
                escape_char,
            } => {
                let escape = escape_char
                    .as_ref()
                    .map(|e| value_text(&e.value))
                    .transpose()?;
                let pattern = self.bind(pattern)?;
                let similar = functions::similar(self, self.bind(expr)?, pattern, escape)?;
                self.negated_if(*negated, similar)
            }
            Expr::Case {
                operand,
                conditions,
                else_result,
                ..
            } => {
                let otherwise = match else_result {
                    Some(otherwise) => self.bind(otherwise)?,
                    None => Bound::null(),
                };
                let operand = operand
                    .as_ref()
                    .map(|operand| self.bind(operand))
                    .transpose()?;
                let branches = conditions
                    .iter()
                    .map(|branch| {
                        let mut when = self.bind(&branch.condition)?;
                        if let Some(operand) = &operand {
                            let operand = operand.clone();
                            when = conditions::compare(self, Comparison::Equal, operand, when)?;
                        }
                        Ok((when, self.bind(&branch.result)?))
                    })
                    .collect::<Result<Vec<_>, String>>()?;
                conditions::choose(self, branches, otherwise)
            }
            Expr::Cast {
                kind,
                expr,
                data_type: ty,
                format: None,
                ..
            } => {
                let ty = data_type(ty)?;
                let unfit = match kind {
                    CastKind::Cast => Unfit::Fails,
                    CastKind::TryCast => Unfit::IsNull,
                    CastKind::SafeCast | CastKind::DoubleColon => {
                        return Err(format!("`{expr}` is converted by CAST(… AS …) here"));
                    }
                };
                self.cast_to(self.bind(expr)?, &ty, unfit)
            }
            Expr::Extract { field, expr, .. } => {
                functions::extract(self, &field.to_string(), self.bind(expr)?)
            }
            Expr::Ceil { expr, field } => {
                whole_only(field, "CEIL")?;
                functions::ceil(self, self.bind(expr)?)
            }
            Expr::Floor { expr, field } => {
                whole_only(field, "FLOOR")?;
                functions::floor(self, self.bind(expr)?)
            }
            Expr::Position { expr, r#in } => {
                functions::position(self, vec![self.bind(expr)?, self.bind(r#in)?])
            }
            Expr::Substring {
                expr,
                substring_from,
                substring_for,
                ..
            } => {
                let from = substring_from.as_ref().ok_or("SUBSTRING needs a start")?;
                let mut args = vec![self.bind(expr)?, self.bind(from)?];
                if let Some(length) = substring_for {
                    args.push(self.bind(length)?);
                }
                functions::substring(self, args)
            }
            Expr::Overlay {
                expr,
                overlay_what,
                overlay_from,
                overlay_for,
            } => {
                let mut args = vec![
                    self.bind(expr)?,
                    self.bind(overlay_what)?,
                    self.bind(overlay_from)?,
                ];
                if let Some(length) = overlay_for {
                    args.push(self.bind(length)?);
                }
                functions::overlay(self, args)
            }
            Expr::Trim {
                trim_where,
                trim_what,
                expr,
                trim_characters: None,
            } => {
                let mut args = vec![self.bind(expr)?];
                if let Some(what) = trim_what {
                    args.push(self.bind(what)?);
                }
                let leading = *trim_where == Some(TrimWhereField::Leading);
                let trailing = *trim_where == Some(TrimWhereField::Trailing);
                functions::trim(self, leading, trailing, args)
            }
            Expr::Array(array) => {
                let elements = array
                    .elem
                    .iter()
                    .map(|e| self.bind(e))
                    .collect::<Result<_, _>>()?;
                functions::array(self, elements)
            }
            Expr::CompoundFieldAccess { root, access_chain } => {
                let mut value = self.bind(root)?;
                for access in access_chain {
                    value = match access {
                        AccessExpr::Subscript(Subscript::Index { index }) => {
                            functions::item(self, value, self.bind(index)?)?
                        }
                        other => {
                            return Err(format!(
                                "`{other}` is not available; fields of a row are taken by position: row[1]"
                            ));
                        }
                    };
                }
                Ok(value)
            }
            Expr::Function(function) => self.function(function),
            Expr::Interval(_) => Err(format!(
                "`{expr}` can only be added to a date or a timestamp, or taken from one"
            )),
            Expr::Tuple(_) => Err(format!("`{expr}`: write ROW(…) for a row")),
            other => Err(format!("`{other}` is not available in expressions")),
        }
    }

    fn negated_if(&self, negated: bool, value: Bound) -> Result<Bound, String> {
        if negated {
            conditions::not(self, value)
        } else {
            Ok(value)
        }
    }

    fn cast_to(&self, value: Bound, ty: &DataType, unfit: Unfit) -> Result<Bound, String> {
        if value.is_untyped() && is_nested(ty) {
            return Ok(value);
        }
        cast(value, ty, unfit, self.context.zone)
    }

    fn name(&self, name: &str) -> Result<Bound, String> {
        if let Some(expr) = self.scope.computed.get(name) {
            let bound = self.inner_of_computed(expr)?;
            if bound.volatile {
                return Err(format!(
                    "column `{name}` differs each time it is computed, so no filter can use it"
                ));
            }
            return Ok(bound);
        }
        if let Some(metadata) = self.metadata(name) {
            return Ok(metadata);
        }
        let Some(schema) = self.scope.columns else {
            self.unknown.set(true);
            return Ok(Bound::null());
        };
        if let Some((index, _)) = schema.column_with_name(name) {
            let field = schema.fields().get(index).ok_or("no such column")?;
            return Ok(self.input(Input::Column(index), Arc::clone(field)));
        }
        let names: Vec<&str> = schema
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        let near = names
            .iter()
            .find(|known| known.eq_ignore_ascii_case(name))
            .copied()
            .or_else(|| nearest(name, &names))
            .map(|near| format!("; did you mean `{near}`?"))
            .unwrap_or_default();
        let table = self
            .scope
            .table
            .map(|table| format!(" of table {table}"))
            .unwrap_or_default();
        let hint = if near.is_empty() {
            format!("; there are {}", names.join(", "))
        } else {
            near
        };
        Err(format!("column `{name}`{table} does not exist{hint}"))
    }

    /// A computed column within a filter does not see the other computed ones: they are computed
    /// from the table's columns.
    fn inner_of_computed(&self, expr: &Expr) -> Result<Bound, String> {
        let inner = Binder {
            context: self.context,
            scope: Scope {
                columns: self.scope.columns,
                table: self.scope.table,
                computed: HashMap::new(),
            },
            inputs: RefCell::new(self.inputs.take()),
            depth: Cell::new(self.depth.get()),
            unknown: Cell::new(self.unknown.get()),
            warnings: RefCell::new(Vec::new()),
        };
        let bound = inner.bind(expr);
        self.inputs.replace(inner.inputs.take());
        self.unknown.set(inner.unknown.get());
        bound
    }

    fn metadata(&self, name: &str) -> Option<Bound> {
        let level = |level: Option<String>| {
            if level.is_none() && self.scope.table.is_some() {
                self.warnings.borrow_mut().push(format!(
                    "the table has no such level: {name} is NULL, and so is what is joined with it"
                ));
            }
            Bound::literal(ScalarValue::Utf8(level))
        };
        let table = self.scope.table;
        match name {
            NAMESPACE => Some(level(table.and_then(|table| table.namespace.clone()))),
            SCHEMA => Some(level(table.and_then(|table| table.schema.clone()))),
            TABLE => Some(level(table.map(|table| table.table.clone()))),
            EVENT_TYPE => {
                let field = Arc::new(Field::new(EVENT_TYPE, DataType::Utf8, false));
                Some(self.input(Input::EventType, field))
            }
            _ => None,
        }
    }

    fn compared(&self, comparison: Comparison, left: &Expr, right: &Expr) -> Result<Bound, String> {
        conditions::compare(self, comparison, self.bind(left)?, self.bind(right)?)
    }

    fn between(
        &self,
        expr: &Expr,
        negated: bool,
        low: &Expr,
        high: &Expr,
    ) -> Result<Bound, String> {
        let value = self.bind(expr)?;
        let (low, high) = (self.bind(low)?, self.bind(high)?);
        let above = conditions::compare(self, Comparison::GreaterOrEqual, value.clone(), low)?;
        let below = conditions::compare(self, Comparison::LessOrEqual, value, high)?;
        let within = conditions::connect(self, true, above, below)?;
        self.negated_if(negated, within)
    }

    fn unary(&self, op: &UnaryOperator, expr: &Expr) -> Result<Bound, String> {
        match op {
            UnaryOperator::Not => conditions::not(self, self.bind(expr)?),
            UnaryOperator::Plus => self.bind(expr),
            UnaryOperator::Minus => {
                if let Expr::Value(value) = expr
                    && let Value::Number(digits, _) = &value.value
                {
                    // −2^63 is a BIGINT, though 2^63 is none.
                    return number(&format!("-{digits}"));
                }
                arithmetic::negated(self.bind(expr)?)
            }
            other => Err(format!("operator `{other}` is not available")),
        }
    }

    fn binary(&self, left: &Expr, op: &BinaryOperator, right: &Expr) -> Result<Bound, String> {
        let comparison = match op {
            BinaryOperator::Eq => Some(Comparison::Equal),
            BinaryOperator::NotEq => Some(Comparison::NotEqual),
            BinaryOperator::Lt => Some(Comparison::Less),
            BinaryOperator::LtEq => Some(Comparison::LessOrEqual),
            BinaryOperator::Gt => Some(Comparison::Greater),
            BinaryOperator::GtEq => Some(Comparison::GreaterOrEqual),
            _ => None,
        };
        if let Some(comparison) = comparison {
            return self.compared(comparison, left, right);
        }
        let operation = match op {
            BinaryOperator::And | BinaryOperator::Or => {
                let and = *op == BinaryOperator::And;
                return self.connected(and, &chain(left, op, right));
            }
            BinaryOperator::StringConcat => {
                let texts = chain(left, op, right);
                let texts = texts
                    .into_iter()
                    .map(|text| self.bind(text))
                    .collect::<Result<_, _>>()?;
                return functions::concat(self, texts);
            }
            BinaryOperator::Plus => Operation::Plus,
            BinaryOperator::Minus => Operation::Minus,
            BinaryOperator::Multiply => Operation::Times,
            BinaryOperator::Divide => Operation::Divide,
            BinaryOperator::Modulo => Operation::Remainder,
            other => return Err(format!("operator `{other}` is not available")),
        };
        match (operation, left, right) {
            (Operation::Plus, moment, Expr::Interval(interval))
            | (Operation::Plus, Expr::Interval(interval), moment) => {
                functions::plus_interval(self, self.bind(moment)?, interval_of(interval)?)
            }
            (Operation::Minus, moment, Expr::Interval(interval)) => {
                let interval = interval_of(interval)?.negated();
                functions::plus_interval(self, self.bind(moment)?, interval)
            }
            _ => arithmetic::bind(operation, self.bind(left)?, self.bind(right)?, self.context),
        }
    }

    /// Joins conditions, half by half, so that a long chain does not become a deep tree. What is
    /// left of a condition is evaluated before it all the same.
    fn connected(&self, and: bool, conditions: &[&Expr]) -> Result<Bound, String> {
        match conditions {
            [] => Ok(Bound::literal(and.into())),
            [one] => conditions::condition(self, self.bind(one)?),
            several => {
                let (left, right) = several.split_at(several.len() / 2);
                let left = self.connected(and, left)?;
                conditions::connect(self, and, left, self.connected(and, right)?)
            }
        }
    }

    fn function(&self, function: &Function) -> Result<Bound, String> {
        let name = function.name.to_string();
        let plain = matches!(function.parameters, FunctionArguments::None)
            && function.filter.is_none()
            && function.null_treatment.is_none()
            && function.over.is_none()
            && function.within_group.is_empty();
        if !plain {
            return Err(format!("`{function}`: only plain calls are available"));
        }
        let mut args = Vec::new();
        match &function.args {
            FunctionArguments::None => {}
            FunctionArguments::Subquery(_) => return Err("subqueries are not available".to_owned()),
            FunctionArguments::List(list) => {
                if list.duplicate_treatment.is_some() || !list.clauses.is_empty() {
                    return Err(format!("`{function}`: only plain calls are available"));
                }
                for arg in &list.args {
                    match arg {
                        FunctionArg::Unnamed(FunctionArgExpr::Expr(expr)) => args.push(expr),
                        other => return Err(format!("`{other}` is no argument of {name}")),
                    }
                }
            }
        }
        if name.eq_ignore_ascii_case("MAP") {
            let args = args
                .iter()
                .map(|arg| self.bind(arg))
                .collect::<Result<_, _>>()?;
            return functions::map(self, args);
        }
        let Some(definition) = functions::find(&name) else {
            return Err(unknown_function(&name));
        };
        let most = definition.most.unwrap_or(usize::MAX);
        if args.len() < definition.least || args.len() > most {
            let wanted = match definition.most {
                None => format!("at least {}", definition.least),
                Some(most) if most == definition.least => most.to_string(),
                Some(most) => format!("{} to {most}", definition.least),
            };
            return Err(format!(
                "{} takes {wanted} argument(s), not {}",
                definition.name,
                args.len()
            ));
        }
        match definition.build {
            Build::Written(build) => build(self, &args),
            Build::Values(build) => {
                let args = args
                    .iter()
                    .map(|arg| self.bind(arg))
                    .collect::<Result<_, _>>()?;
                build(self, args)
            }
        }
    }
}

/// The operands of `a op b op c`, from left to right.
fn chain<'e>(left: &'e Expr, op: &BinaryOperator, right: &'e Expr) -> Vec<&'e Expr> {
    let mut operands = vec![right];
    let mut rest = left;
    while let Expr::BinaryOp {
        left,
        op: same,
        right,
    } = rest
        && same == op
    {
        operands.push(right);
        rest = left;
    }
    operands.push(rest);
    operands.reverse();
    operands
}

fn unknown_function(name: &str) -> String {
    let upper = name.to_uppercase();
    if matches!(upper.as_str(), "PARSE_JSON" | "TRY_PARSE_JSON") {
        return format!(
            "function {upper} is not available: it makes a VARIANT, for which MaxCompute has no \
             type; keep the JSON as a text"
        );
    }
    let near = nearest(&upper, &functions::names())
        .map(|near| format!("; did you mean {near}?"))
        .unwrap_or_default();
    format!(
        "function {name} does not exist{near} (functions of one's own are not available in this \
         version)"
    )
}

fn whole_only(kind: &CeilFloorKind, name: &str) -> Result<(), String> {
    match kind {
        CeilFloorKind::DateTimeField(DateTimeField::NoDateTime) => Ok(()),
        CeilFloorKind::DateTimeField(_) | CeilFloorKind::Scale(_) => {
            Err(format!("{name} takes a number and nothing else"))
        }
    }
}

fn interval_of(interval: &datafusion::sql::sqlparser::ast::Interval) -> Result<Interval, String> {
    let text = match interval.value.as_ref() {
        Expr::Value(value) => match &value.value {
            Value::SingleQuotedString(text) => text.clone(),
            Value::Number(digits, _) => digits.clone(),
            other => return Err(format!("INTERVAL {other}: the length must be a text")),
        },
        other => {
            return Err(format!(
                "INTERVAL {other}: the length must be a constant text"
            ));
        }
    };
    let from = interval
        .leading_field
        .as_ref()
        .ok_or_else(|| format!("INTERVAL '{text}' has no unit: write INTERVAL '{text}' DAY"))?;
    let to = interval.last_field.as_ref().map(ToString::to_string);
    Interval::parse(&text, &from.to_string(), to.as_deref())
}

fn value_text(value: &Value) -> Result<&str, String> {
    match value {
        Value::SingleQuotedString(text) => Ok(text),
        other => Err(format!("`{other}` is no text between single quotes")),
    }
}

fn literal(value: &Value) -> Result<Bound, String> {
    match value {
        Value::Number(digits, _) => number(digits),
        Value::SingleQuotedString(text) => Ok(Bound::literal(text.as_str().into())),
        Value::Boolean(truth) => Ok(Bound::literal((*truth).into())),
        Value::Null => Ok(Bound::null()),
        other => Err(format!("`{other}` is no constant here")),
    }
}

/// A number as SQL types it: INT, BIGINT where it is too long for that, DECIMAL with a point or
/// more digits, DOUBLE with an exponent.
fn number(text: &str) -> Result<Bound, String> {
    if let Ok(value) = text.parse::<i32>() {
        return Ok(Bound::literal(value.into()));
    }
    if let Ok(value) = text.parse::<i64>() {
        return Ok(Bound::literal(value.into()));
    }
    if text.contains(['e', 'E']) {
        return match text.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Bound::literal(value.into())),
            _ => Err(format!("`{text}` is no number that a DOUBLE holds")),
        };
    }
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = format!("{whole}{fraction}");
    let scale = u8::try_from(fraction.len()).unwrap_or(u8::MAX);
    let precision = digits.trim_start_matches('-').len();
    let value = digits
        .parse::<i128>()
        .ok()
        .filter(|_| precision <= usize::from(types::MAX_PRECISION));
    let (Some(value), Ok(precision)) = (value, u8::try_from(precision)) else {
        return Err(format!("`{text}` is no number of at most 38 digits"));
    };
    Ok(Bound::literal(ScalarValue::Decimal128(
        Some(value),
        precision.max(scale).max(1),
        scale.cast_signed(),
    )))
}

/// The type a CAST names. `TIMESTAMP` has no zone here, and microseconds unless it says otherwise.
fn data_type(ty: &SqlType) -> Result<DataType, String> {
    let text = ty.to_string();
    let upper = text.to_uppercase();
    let name = upper.split(['(', '<']).next().unwrap_or_default().trim();
    let text =
        match name {
            // What a text is cut to would be lost in silence.
            "VARCHAR" | "CHAR" | "CHARACTER VARYING" | "CHARACTER" => "STRING".to_owned(),
            "TIMESTAMP" | "TIMESTAMP WITHOUT TIME ZONE" => text
                .to_uppercase()
                .replacen("TIMESTAMP", "TIMESTAMP_NTZ", 1)
                .replace(" WITHOUT TIME ZONE", ""),
            "BYTE" => "TINYINT".to_owned(),
            "SHORT" => "SMALLINT".to_owned(),
            "TIME" => return Err(
                "no type of the sink holds a TIME: DATE_FORMAT(…, 'HH:mm:ss') makes a text of one"
                    .to_owned(),
            ),
            _ => text.clone(),
        };
    match text.parse::<ColumnType>() {
        Ok(ty) => Ok(ty.data_type),
        Err(error) => Err(error.to_string()),
    }
}

//! Bound expressions: DataFusion's physical expressions with the type and nullability that the
//! table is declared with.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, FieldRef, Schema};
use datafusion::common::config::ConfigOptions;
use datafusion::common::{DataFusionError, ScalarValue};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::physical_expr::expressions::Literal;
use datafusion::physical_expr::{PhysicalExpr, ScalarFunctionExpr};

/// What evaluating gives.
pub(super) type Evaluated = Result<ColumnarValue, DataFusionError>;

/// What a function does with its evaluated arguments, for so many rows.
type Kernel = dyn Fn(&[ColumnarValue], usize) -> Evaluated + Send + Sync;

/// An expression over the columns of a batch.
#[derive(Debug, Clone)]
pub(super) struct Bound {
    pub(super) expr: Arc<dyn PhysicalExpr>,
    pub(super) ty: DataType,
    pub(super) nullable: bool,
    /// Differs from evaluation to evaluation.
    pub(super) volatile: bool,
    /// Can fail on some values, so that it must not see rows that a condition keeps from it.
    pub(super) fallible: bool,
    /// Depends on some column.
    pub(super) varies: bool,
    /// The column that it is and nothing else.
    pub(super) column: Option<FieldRef>,
}

/// How a function behaves.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Behavior {
    /// NULL even where no argument is.
    pub(super) nullable: bool,
    /// Not NULL even where an argument is.
    pub(super) never_null: bool,
    pub(super) volatile: bool,
    pub(super) fallible: bool,
}

impl Behavior {
    /// NULL exactly where an argument is.
    pub(super) const PLAIN: Self = Self {
        nullable: false,
        never_null: false,
        volatile: false,
        fallible: false,
    };
    /// Like [`Self::PLAIN`], and can fail.
    pub(super) const FALLIBLE: Self = Self {
        fallible: true,
        ..Self::PLAIN
    };
    /// May be NULL.
    pub(super) const NULLABLE: Self = Self {
        nullable: true,
        ..Self::PLAIN
    };
    /// May be NULL and can fail.
    pub(super) const NULLABLE_FALLIBLE: Self = Self {
        nullable: true,
        fallible: true,
        ..Self::PLAIN
    };
    /// Never NULL.
    pub(super) const NEVER_NULL: Self = Self {
        never_null: true,
        ..Self::PLAIN
    };
}

/// An error about values, for a person.
pub(super) fn failed(message: impl Into<String>) -> DataFusionError {
    DataFusionError::Execution(message.into())
}

/// The text of an evaluation's error without the wrapping of the layers it came through.
pub(super) fn message_of(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let mut text = text.as_str();
    loop {
        let before = text;
        for prefix in [
            "Execution error: ",
            "Arrow error: ",
            "Compute error: ",
            "Cast error: ",
            "Invalid argument error: ",
            "Arithmetic overflow: ",
            "Parser error: ",
            "Error during planning: ",
        ] {
            text = text.strip_prefix(prefix).unwrap_or(text);
        }
        if text == before {
            break;
        }
    }
    if text.starts_with("Divide by zero") {
        return "division by zero".to_owned();
    }
    if let Some(operation) = text.strip_prefix("Overflow happened on: ") {
        return format!(
            "`{operation}` does not fit the type of the result; CAST an operand to a wider type"
        );
    }
    text.to_owned()
}

impl Bound {
    /// A constant.
    pub(super) fn literal(value: ScalarValue) -> Self {
        Self {
            ty: value.data_type(),
            nullable: value.is_null(),
            expr: Arc::new(Literal::new(value)),
            volatile: false,
            fallible: false,
            varies: false,
            column: None,
        }
    }

    /// NULL of no type yet.
    pub(super) fn null() -> Self {
        Self::literal(ScalarValue::Null)
    }

    /// NULL of a type.
    pub(super) fn null_of(ty: &DataType) -> Result<Self, String> {
        ScalarValue::try_new_null(ty)
            .map(Self::literal)
            .map_err(|error| error.to_string())
    }

    /// The value of a constant.
    pub(super) fn constant(&self) -> Option<&ScalarValue> {
        self.expr.downcast_ref::<Literal>().map(Literal::value)
    }

    /// The text of a text constant that is not NULL.
    pub(super) fn constant_text(&self) -> Option<&str> {
        match self.constant() {
            Some(ScalarValue::Utf8(Some(text))) => Some(text),
            _ => None,
        }
    }

    /// The value of an integer constant that is not NULL.
    pub(super) fn constant_integer(&self) -> Option<i64> {
        match self.constant()? {
            ScalarValue::Int8(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int16(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int32(Some(value)) => Some(i64::from(*value)),
            ScalarValue::Int64(Some(value)) => Some(*value),
            _ => None,
        }
    }

    /// Whether it is NULL without a type, or a column that is not known yet.
    pub(super) fn is_untyped(&self) -> bool {
        self.ty == DataType::Null
    }

    /// A call of a function. Of constants it is a constant, unless it fails on them: then it
    /// fails when a row gets there.
    pub(super) fn call<F>(
        name: &'static str,
        args: Vec<Self>,
        ty: DataType,
        behavior: Behavior,
        kernel: F,
    ) -> Self
    where
        F: Fn(&[ColumnarValue], usize) -> Evaluated + Send + Sync + 'static,
    {
        static OPTIONS: LazyLock<Arc<ConfigOptions>> =
            LazyLock::new(|| Arc::new(ConfigOptions::default()));
        let any_nullable = args.iter().any(|arg| arg.nullable);
        let nullable = !behavior.never_null && (behavior.nullable || any_nullable);
        let volatile = behavior.volatile || args.iter().any(|arg| arg.volatile);
        let fallible = behavior.fallible || args.iter().any(|arg| arg.fallible);
        let varies = args.iter().any(|arg| arg.varies);
        let function = Function {
            name,
            signature: Signature::variadic_any(Volatility::Volatile),
            ty: ty.clone(),
            kernel: Arc::new(kernel),
        };
        let exprs = args.into_iter().map(|arg| arg.expr).collect();
        let field = Arc::new(Field::new(name, ty.clone(), nullable));
        let expr = ScalarFunctionExpr::new(
            name,
            Arc::new(ScalarUDF::new_from_impl(function)),
            exprs,
            field,
            Arc::clone(&OPTIONS),
        );
        Self {
            expr: Arc::new(expr),
            ty,
            nullable,
            volatile,
            fallible,
            varies,
            column: None,
        }
        .folded()
    }

    /// Wraps an expression made of others.
    pub(super) fn of(
        expr: Arc<dyn PhysicalExpr>,
        ty: DataType,
        nullable: bool,
        parts: &[&Self],
    ) -> Self {
        Self {
            expr,
            ty,
            nullable,
            volatile: parts.iter().any(|part| part.volatile),
            fallible: parts.iter().any(|part| part.fallible),
            varies: parts.iter().any(|part| part.varies),
            column: None,
        }
        .folded()
    }

    fn folded(self) -> Self {
        if self.varies || self.volatile || self.constant().is_some() {
            return self;
        }
        match self.evaluate_constant() {
            Ok(value) if value.data_type() == self.ty => Self::literal(value),
            _ => self,
        }
    }

    /// The value of an expression that depends on no column.
    pub(super) fn evaluate_constant(&self) -> Result<ScalarValue, DataFusionError> {
        let one_row = RecordBatch::try_new_with_options(
            Arc::new(Schema::empty()),
            Vec::new(),
            &RecordBatchOptions::new().with_row_count(Some(1)),
        )?;
        match self.expr.evaluate(&one_row)? {
            ColumnarValue::Scalar(value) => Ok(value),
            ColumnarValue::Array(array) => ScalarValue::try_from_array(&array, 0),
        }
    }

    /// The values for the rows of a batch.
    pub(super) fn evaluate(&self, batch: &RecordBatch) -> Result<ArrayRef, DataFusionError> {
        self.expr.evaluate(batch)?.into_array(batch.num_rows())
    }
}

/// A function with whatever its constant arguments were compiled to.
struct Function {
    name: &'static str,
    signature: Signature,
    ty: DataType,
    kernel: Arc<Kernel>,
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for Function {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.kernel, &other.kernel)
    }
}

impl Eq for Function {}

impl Hash for Function {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.name.hash(state);
    }
}

impl ScalarUDFImpl for Function {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType, DataFusionError> {
        Ok(self.ty.clone())
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Evaluated {
        (self.kernel)(&args.args, args.number_rows)
    }
}

//! Errors as clients read them.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::catalog::StoreError;
use crate::rest::xml;

/// An error answer: HTTP status, the service's code and a message.
///
/// Return it from handlers; the server renders it as XML on REST and as JSON on the tunnel and
/// adds the request id.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// HTTP status.
    pub status: StatusCode,
    /// Code, such as `NoSuchTable`.
    pub code: String,
    /// What failed and why.
    pub message: String,
    /// How long clients are asked to wait: `HoldClientMillis` of the tunnel.
    pub hold_client: Option<std::time::Duration>,
}

impl ApiError {
    /// An error with any status and code.
    pub fn new(status: StatusCode, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            status,
            code: code.into(),
            message: message.into(),
            hold_client: None,
        }
    }

    /// 400 with this code.
    pub fn bad_request(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// 404 with this code.
    pub fn not_found(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, message)
    }

    /// 500 `InternalServerError`.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalServerError",
            message,
        )
    }

    /// The XML body of REST.
    pub fn xml(&self, request_id: &str, host: &str) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{}</Code><Message>{}</Message><RequestId>{}</RequestId><HostId>{}</HostId></Error>",
            xml::escape(&self.code),
            xml::cdata(&self.message),
            xml::escape(request_id),
            xml::escape(host)
        )
    }

    /// The JSON body of the tunnel.
    pub fn json(&self, request_id: &str, host: &str) -> String {
        let mut body = json!({"Code": self.code, "Message": self.message, "RequestId": request_id, "HostId": host});
        if let (Some(wait), Some(members)) = (self.hold_client, body.as_object_mut()) {
            members.insert("HoldClientMillis".to_owned(), json!(wait.as_millis()));
        }
        body.to_string()
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.json("", "")));
        *response.status_mut() = self.status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        // The server's outermost layer renders the body anew with the request id.
        response.extensions_mut().insert(self);
        response
    }
}

impl From<StoreError> for ApiError {
    /// Codes of the tunnel; REST maps missing objects itself.
    fn from(error: StoreError) -> Self {
        let message = error.to_string();
        match error {
            StoreError::NoSuchProject(_) => Self::not_found("NoSuchProject", message),
            StoreError::NoSuchSchema(_) => Self::not_found("NoSuchSchema", message),
            StoreError::NoSuchTable(_) => Self::not_found("NoSuchTable", message),
            StoreError::NoSuchPartition { .. } => Self::not_found("NoSuchPartition", message),
            StoreError::InvalidPartition { .. } => {
                Self::bad_request("InvalidPartitionSpec", message)
            }
            StoreError::AlreadyExists(_) => {
                Self::new(StatusCode::CONFLICT, "ObjectAlreadyExists", message)
            }
            StoreError::Invalid(_) => Self::bad_request("InvalidArgument", message),
            StoreError::Modified { .. } => Self::bad_request("TableModified", message),
            StoreError::NoSuchSession(_) => Self::not_found("NoSuchUpload", message),
            StoreError::SessionConflict(_) => {
                Self::new(StatusCode::CONFLICT, "StatusConflict", message)
            }
            StoreError::InUse { .. }
            | StoreError::Database(_)
            | StoreError::Io { .. }
            | StoreError::Parquet { .. }
            | StoreError::Arrow(_)
            | StoreError::Document(_) => {
                tracing::error!("{message}");
                Self::internal(message)
            }
        }
    }
}

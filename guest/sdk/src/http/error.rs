//! Why an exchange came to nothing.

use std::fmt;

use wasip2::http::types::ErrorCode;

/// Why a request got no (usable) answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransportError {
    /// The host's egress policy forbids the target. Not worth a retry.
    Denied,
    /// The request itself is malformed: a header, the target, the framing. Not worth a retry.
    InvalidRequest(String),
    /// The name did not resolve.
    Dns(String),
    /// Nobody listens at the target, or there is no way to it.
    ConnectionRefused,
    /// The connection broke before the answer was complete.
    ConnectionReset,
    /// Too slow.
    Timeout(TimeoutPhase),
    /// The TLS handshake failed or the certificate is not trusted.
    Tls(String),
    /// The peer does not speak proper HTTP.
    Protocol(String),
    /// The answer's body is longer than the request allows.
    ResponseTooLarge {
        /// The request's limit, in bytes.
        limit: usize,
    },
    /// Anything else the host reported.
    Other(String),
}

/// What a request was waiting for when its time was up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeoutPhase {
    /// The connection.
    Connect,
    /// The host taking more of the request body.
    Upload,
    /// The first byte of the answer.
    FirstByte,
    /// More bytes of the answer.
    BetweenBytes,
}

impl fmt::Display for TransportError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Denied => f.write_str("the host's egress policy does not allow this target"),
            Self::InvalidRequest(why) => write!(f, "the request can not be sent: {why}"),
            Self::Dns(why) => write!(f, "the host name did not resolve: {why}"),
            Self::ConnectionRefused => f.write_str("connection refused"),
            Self::ConnectionReset => {
                f.write_str("the connection broke before the answer was complete")
            }
            Self::Timeout(phase) => write!(f, "timeout {phase}"),
            Self::Tls(why) => write!(f, "TLS: {why}"),
            Self::Protocol(why) => write!(f, "the peer broke the HTTP protocol: {why}"),
            Self::ResponseTooLarge { limit } => {
                write!(f, "the answer is longer than {limit} bytes")
            }
            Self::Other(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for TransportError {}

impl fmt::Display for TimeoutPhase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "while connecting",
            Self::Upload => "while sending the request",
            Self::FirstByte => "while waiting for the answer",
            Self::BetweenBytes => "in the middle of the answer",
        })
    }
}

impl From<ErrorCode> for TransportError {
    fn from(code: ErrorCode) -> Self {
        use ErrorCode as Code;
        match code {
            Code::HttpRequestDenied | Code::DestinationIpProhibited => Self::Denied,
            Code::DnsTimeout => Self::Dns("the resolver did not answer in time".to_owned()),
            Code::DnsError(detail) => {
                Self::Dns(detail.rcode.unwrap_or_else(|| "unknown reason".to_owned()))
            }
            Code::DestinationNotFound => Self::Dns("no such host".to_owned()),
            Code::ConnectionRefused
            | Code::DestinationUnavailable
            | Code::DestinationIpUnroutable => Self::ConnectionRefused,
            Code::ConnectionTerminated | Code::HttpResponseIncomplete => Self::ConnectionReset,
            Code::ConnectionTimeout => Self::Timeout(TimeoutPhase::Connect),
            Code::ConnectionWriteTimeout => Self::Timeout(TimeoutPhase::Upload),
            Code::HttpResponseTimeout => Self::Timeout(TimeoutPhase::FirstByte),
            Code::ConnectionReadTimeout => Self::Timeout(TimeoutPhase::BetweenBytes),
            Code::TlsProtocolError => Self::Tls("protocol error".to_owned()),
            Code::TlsCertificateError => Self::Tls("the certificate is not trusted".to_owned()),
            Code::TlsAlertReceived(alert) => Self::Tls(
                alert
                    .alert_message
                    .unwrap_or_else(|| "alert received".to_owned()),
            ),
            Code::HttpRequestLengthRequired
            | Code::HttpRequestBodySize(_)
            | Code::HttpRequestMethodInvalid
            | Code::HttpRequestUriInvalid
            | Code::HttpRequestUriTooLong
            | Code::HttpRequestHeaderSectionSize(_)
            | Code::HttpRequestHeaderSize(_)
            | Code::HttpRequestTrailerSectionSize(_)
            | Code::HttpRequestTrailerSize(_) => Self::InvalidRequest(code.to_string()),
            Code::HttpResponseHeaderSectionSize(_)
            | Code::HttpResponseHeaderSize(_)
            | Code::HttpResponseBodySize(_)
            | Code::HttpResponseTrailerSectionSize(_)
            | Code::HttpResponseTrailerSize(_)
            | Code::HttpResponseTransferCoding(_)
            | Code::HttpResponseContentCoding(_)
            | Code::HttpUpgradeFailed
            | Code::HttpProtocolError => Self::Protocol(code.to_string()),
            Code::InternalError(Some(text)) => Self::Other(text),
            Code::InternalError(None) => {
                Self::Other("the host failed without saying why".to_owned())
            }
            Code::ConnectionLimitReached | Code::LoopDetected | Code::ConfigurationError => {
                Self::Other(code.to_string())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_target_is_told_from_a_refused_connection() {
        assert_eq!(
            TransportError::from(ErrorCode::HttpRequestDenied),
            TransportError::Denied
        );
        assert_eq!(
            TransportError::from(ErrorCode::ConnectionRefused),
            TransportError::ConnectionRefused
        );
    }

    #[test]
    fn timeouts_keep_their_phase() {
        assert_eq!(
            TransportError::from(ErrorCode::ConnectionTimeout),
            TransportError::Timeout(TimeoutPhase::Connect)
        );
        assert_eq!(
            TransportError::from(ErrorCode::HttpResponseTimeout),
            TransportError::Timeout(TimeoutPhase::FirstByte)
        );
    }
}

//! One POST through `wasi:http`.

use wasip2::http::outgoing_handler::handle;
use wasip2::http::types::{
    Fields, IncomingResponse, Method, OutgoingBody, OutgoingRequest, RequestOptions, Scheme,
};
use wasip2::io::poll::poll;
use wasip2::io::streams::StreamError;

pub struct Answer {
    pub status: u16,
    pub body: String,
}

/// Sends `bytes` zero bytes and reads the answer, which may come before the body is sent. With
/// `body_first` the request's body is kept open until the answer's was read, otherwise it is given
/// up as soon as the answer begins.
pub fn post(url: &str, bytes: u64, body_first: bool) -> Result<Answer, String> {
    let (scheme, rest) = url.split_once("://").unwrap();
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let headers = Fields::new();
    headers
        .append("content-length", bytes.to_string().as_bytes())
        .unwrap();
    let request = OutgoingRequest::new(headers);
    request.set_method(&Method::Post).unwrap();
    request
        .set_scheme(Some(&if scheme == "https" {
            Scheme::Https
        } else {
            Scheme::Http
        }))
        .unwrap();
    request
        .set_authority(Some(authority))
        .map_err(|()| "bad authority".to_owned())?;
    request.set_path_with_query(Some(path)).unwrap();
    let body = request.body().unwrap();
    // Options as a client gives them, although none is set: the host must free what it is given.
    let options = Some(RequestOptions::new());
    let response = handle(request, options).map_err(|code| format!("{code:?}"))?;
    let answered = response.subscribe();
    let stream = body.write().unwrap();
    let writable = stream.subscribe();
    let mut left = bytes;
    while left > 0 && !answered.ready() {
        match stream.check_write() {
            Ok(0) => {
                poll(&[&writable, &answered]);
            }
            Ok(room) => {
                let now = left.min(room).min(1 << 20);
                if stream.write(&vec![0; now as usize]).is_err() {
                    break;
                }
                left -= now;
            }
            Err(StreamError::Closed | StreamError::LastOperationFailed(_)) => break,
        }
    }
    drop(writable);
    drop(stream);
    let mut body = Some(body);
    if left == 0 {
        OutgoingBody::finish(body.take().unwrap(), None).map_err(|code| format!("{code:?}"))?;
    }
    answered.block();
    let response = response
        .get()
        .unwrap()
        .unwrap()
        .map_err(|code| format!("{code:?}"))?;
    if !body_first {
        body = None;
    }
    let answer = read(&response);
    drop(body);
    answer
}

fn read(response: &IncomingResponse) -> Result<Answer, String> {
    let incoming = response.consume().unwrap();
    let stream = incoming.stream().unwrap();
    let mut content = Vec::new();
    loop {
        match stream.blocking_read(64 << 10) {
            Ok(part) => content.extend(part),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(error)) => {
                return Err(format!(
                    "{} then {}",
                    response.status(),
                    error.to_debug_string()
                ));
            }
        }
    }
    Ok(Answer {
        status: response.status(),
        body: String::from_utf8(content).unwrap(),
    })
}

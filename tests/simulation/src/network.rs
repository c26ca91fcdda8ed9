//! The way to the service and back, and what happens to requests and answers on it.

use longshore_core::request::{
    Method, Request, RequestId, Response, TransportError, TransportErrorKind,
};

use crate::service::tunnel_error;
use crate::weather::{Fate, Weather};
use crate::world::{Event, State};

/// A request on its way to the service.
pub(crate) struct Arrival {
    request: Request,
    times: u32,
    reply: Option<Reply>,
}

/// How its answer goes back.
struct Reply {
    inbox: u64,
    delay_ms: u64,
    times: u32,
    /// In place of what the service says.
    instead: Option<(u16, &'static str)>,
    /// The client waits no longer than this.
    deadline_ms: u64,
}

/// Takes a request from a sink.
pub(crate) fn send(state: &mut State, inbox: u64, request: Request) {
    let (id, now_ms) = (request.id, state.now_ms);
    let deadline_ms = now_ms + request.response_timeout_ms;
    state.counts.requests += 1;
    if state.weather.is_out(now_ms) {
        state.counts.faults += 1;
        let delay_ms = state.random.range(0, 20);
        note(state, &request, "nobody listens");
        return fail(
            state,
            inbox,
            id,
            now_ms + delay_ms,
            TransportErrorKind::Connect,
        );
    }
    if state.random.chance(state.weather.moves) && now_ms < state.weather.calm_ms {
        state.service.generation += 1;
    }
    let mut fate = state.weather.fate(now_ms, &mut state.random);
    // A pack that takes effect after a later one of its bucket would undo it, and the protocol has
    // nothing against that: what the client has given up on must have happened or never happens.
    let is_pack = request.method == Method::Put && request.path_and_query.contains("upsertid=");
    if is_pack && fate == Fate::Late {
        fate = Fate::SilentAfter;
    }
    if fate == Fate::Answered {
        note(state, &request, "");
    } else {
        state.counts.faults += 1;
        note(state, &request, &format!("{fate:?}"));
    }
    let there_ms = now_ms + state.random.range(0, 15);
    let mut reply = Reply {
        inbox,
        delay_ms: state.random.range(0, 15),
        times: 1,
        instead: None,
        deadline_ms,
    };
    let arrival = |times, reply| {
        Event::Arrival(Box::new(Arrival {
            request,
            times,
            reply,
        }))
    };
    match fate {
        Fate::Answered => {
            let event = arrival(1, Some(reply));
            state.schedule(there_ms, event);
        }
        Fate::LostBefore => fail(state, inbox, id, there_ms, TransportErrorKind::Interrupted),
        Fate::LostAfter => {
            state.schedule(there_ms, arrival(1, None));
            let at_ms = there_ms + reply.delay_ms;
            fail(state, inbox, id, at_ms, TransportErrorKind::Interrupted);
        }
        Fate::SilentBefore => fail(state, inbox, id, deadline_ms, TransportErrorKind::Timeout),
        Fate::SilentAfter => {
            state.schedule(there_ms, arrival(1, None));
            fail(state, inbox, id, deadline_ms, TransportErrorKind::Timeout);
        }
        Fate::Late => {
            let at_ms = deadline_ms + state.random.range(0, 20_000);
            state.schedule(at_ms, arrival(1, None));
            fail(state, inbox, id, deadline_ms, TransportErrorKind::Timeout);
        }
        Fate::Repeated => {
            let event = arrival(2, Some(reply));
            state.schedule(there_ms, event);
        }
        Fate::AnsweredTwice => {
            reply.times = 2;
            let event = arrival(1, Some(reply));
            state.schedule(there_ms, event);
        }
        Fate::Refused => {
            let (status, code, waits) = Weather::refusal(&mut state.random);
            let mut response = tunnel_error(status, code);
            if waits {
                let seconds = state.random.range(0, 3).to_string();
                let header = ("Retry-After".to_owned(), seconds);
                response.headers.push(header);
            }
            let answer = Box::new((id, Ok(response)));
            let at_ms = there_ms + reply.delay_ms;
            state.schedule(at_ms, Event::Answer(inbox, answer));
        }
        Fate::FailedAfter => {
            let codes = [
                (500, "InternalServerError"),
                (502, "BadGateway"),
                (504, "RequestTimeOut"),
            ];
            reply.instead = Some(state.random.pick(&codes));
            let event = arrival(1, Some(reply));
            state.schedule(there_ms, event);
        }
        Fate::Slow => {
            reply.delay_ms = state.random.range(0, 1_500);
            // Not beyond the client's patience, see above.
            let at_ms = there_ms.max(now_ms + state.random.range(0, deadline_ms - now_ms - 1));
            let event = arrival(1, Some(reply));
            state.schedule(at_ms, event);
        }
    }
}

/// A request reaches the service.
pub(crate) fn arrive(state: &mut State, arrival: Arrival) {
    let Arrival {
        request,
        times,
        reply,
    } = arrival;
    let mut response = Response::default();
    for _ in 0..times {
        let rules = state.weather.session_rules(state.now_ms, &mut state.random);
        response = state.service.handle(&request, state.now_ms, rules);
    }
    let Some(reply) = reply else {
        return note(state, &request, "takes effect, nobody is told");
    };
    if let Some((status, code)) = reply.instead {
        response = tunnel_error(status, code);
    }
    let id = request.id;
    let at_ms = state.now_ms + reply.delay_ms;
    state.note(format_args!(
        "request {} is answered {}",
        id.0, response.status
    ));
    if at_ms > reply.deadline_ms {
        let kind = TransportErrorKind::Timeout;
        return fail(state, reply.inbox, id, reply.deadline_ms, kind);
    }
    for _ in 0..reply.times {
        let answer = Box::new((id, Ok(response.clone())));
        state.schedule(at_ms, Event::Answer(reply.inbox, answer));
    }
}

fn fail(state: &mut State, inbox: u64, id: RequestId, at_ms: u64, kind: TransportErrorKind) {
    let error = TransportError {
        kind,
        message: "simulated".to_owned(),
    };
    state.schedule(at_ms, Event::Answer(inbox, Box::new((id, Err(error)))));
}

fn note(state: &mut State, request: &Request, what: &str) {
    state.note(format_args!(
        "request {} {} {} ({} bytes) {what}",
        request.id.0,
        request.method.as_str(),
        request.path_and_query,
        request.body.len(),
    ));
}

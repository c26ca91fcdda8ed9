//! The host's side of the contract: what a component's imports do.

use crate::bindings::longshore::sink::{checkpoint, dead_letter, log, signer};
use crate::callbacks::{CheckpointListener, DeadLetterSink};
use crate::component::InstanceConfig;
use crate::connector::Tls;
use crate::contract::{BadRow, CheckpointId, CheckpointReason, DeadLetters, TablePath};
use crate::limits::{Limits, StoreLimiter};
use crate::log::{Level, LogGate};
use crate::signer::{Algorithm, Signer, SignerError, SigningCredential};
use crate::transport::Transport;
use std::sync::Arc;
use wasmtime::StoreContextMut;
use wasmtime::component::{HasSelf, Linker, Resource, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p2::types::{HostFutureIncomingResponse, HostOutgoingRequest};
use wasmtime_wasi_http::{RequestOptions, WasiHttp, WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

/// Random bytes a component may ask for at once.
const MAX_RANDOM_BYTES: u64 = 64 << 10;

/// Everything one store holds beside the component's own memory.
pub(crate) struct State {
    table: ResourceTable,
    wasi: WasiCtx,
    http: WasiHttpCtx,
    pub(crate) transport: Transport,
    pub(crate) limiter: StoreLimiter,
    signer: Arc<dyn Signer>,
    checkpoint: Arc<dyn CheckpointListener>,
    dead_letter: Arc<dyn DeadLetterSink>,
    log: LogGate,
}

impl State {
    pub(crate) fn new(config: InstanceConfig, tls: &Tls) -> Result<(Self, Limits), rustls::Error> {
        let InstanceConfig {
            name,
            limits,
            egress,
            signer,
            checkpoint,
            dead_letter,
        } = config;
        let mut table = ResourceTable::new();
        table.set_max_capacity(limits.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(limits.http_field_bytes);
        let state = Self {
            table,
            wasi: WasiCtx::builder().max_random_size(MAX_RANDOM_BYTES).build(),
            http,
            transport: Transport::new(egress, tls)?,
            limiter: StoreLimiter::new(&limits),
            signer,
            checkpoint,
            dead_letter,
            log: LogGate::new(name, limits.log),
        };
        Ok((state, limits))
    }
}

/// Puts exactly the interfaces that [`crate::imports`] grants into the linker.
pub(crate) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
    use wasmtime_wasi::p2::bindings::{clocks, io, random};
    use wasmtime_wasi_http::p2::bindings::http;

    signer::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    checkpoint::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    dead_letter::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;

    clocks::wall_clock::add_to_linker::<_, WasiClocks>(linker, State::clocks)?;
    clocks::monotonic_clock::add_to_linker::<_, WasiClocks>(linker, State::clocks)?;
    random::random::add_to_linker::<_, wasmtime_wasi::random::WasiRandom>(linker, |state| {
        state.wasi.random()
    })?;
    io::error::add_to_linker::<_, HasTable>(linker, |state| &mut state.table)?;
    io::poll::add_to_linker::<_, HasTable>(linker, |state| &mut state.table)?;
    io::streams::add_to_linker::<_, HasTable>(linker, |state| &mut state.table)?;
    http::types::add_to_linker::<_, WasiHttp>(
        linker,
        &http::types::LinkOptions::default(),
        State::http,
    )?;
    linker
        .instance("wasi:http/outgoing-handler@0.2.12")?
        .func_wrap("handle", send_request)
}

/// `wasi:http/outgoing-handler.handle`. The function of wasmtime-wasi-http 48 leaves the options, which
/// it is given for good, in the table: each request would take one of the instance's handles for ever.
fn send_request(
    mut store: StoreContextMut<'_, State>,
    (request, options): (
        Resource<HostOutgoingRequest>,
        Option<Resource<RequestOptions>>,
    ),
) -> wasmtime::Result<(Result<Resource<HostFutureIncomingResponse>, ErrorCode>,)> {
    use wasmtime_wasi_http::p2::bindings::http::outgoing_handler::Host as _;

    let state = store.data_mut();
    let given = options
        .as_ref()
        .map(|options| Resource::<RequestOptions>::new_own(options.rep()));
    let sent = state.http().handle(request, options);
    if let Some(options) = given {
        state.table.delete(options)?;
    }
    Ok((match sent {
        Ok(response) => Ok(response),
        Err(error) => Err(error.downcast()?),
    },))
}

struct HasTable;

impl wasmtime::component::HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView {
            ctx: &mut self.wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for State {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.transport,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// What a component's `credential` handle stands for.
#[expect(
    unreachable_pub,
    reason = "generated code re-exports it inside a private module"
)]
pub struct OpenCredential(Arc<dyn SigningCredential>);

impl signer::Host for State {}

impl signer::HostCredential for State {
    fn open(
        &mut self,
        name: String,
    ) -> wasmtime::Result<Result<Resource<OpenCredential>, signer::SignerError>> {
        Ok(match self.signer.open(&name) {
            Ok(credential) => Ok(self.table.push(OpenCredential(credential))?),
            Err(error) => Err(error.into()),
        })
    }

    fn id(&mut self, credential: Resource<OpenCredential>) -> wasmtime::Result<String> {
        Ok(self.table.get(&credential)?.0.id())
    }

    async fn headers(
        &mut self,
        credential: Resource<OpenCredential>,
    ) -> wasmtime::Result<Vec<(String, String)>> {
        let credential = Arc::clone(&self.table.get(&credential)?.0);
        credential.renew(self.transport.take_refusal()).await;
        Ok(credential.headers())
    }

    fn sign(
        &mut self,
        credential: Resource<OpenCredential>,
        algorithm: signer::Algorithm,
        scope: String,
        payload: Vec<u8>,
    ) -> wasmtime::Result<Result<Vec<u8>, signer::SignerError>> {
        let credential = self.table.get(&credential)?;
        Ok(credential
            .0
            .sign(algorithm.into(), &scope, &payload)
            .map_err(Into::into))
    }

    fn drop(&mut self, credential: Resource<OpenCredential>) -> wasmtime::Result<()> {
        self.table.delete(credential)?;
        Ok(())
    }
}

impl From<signer::Algorithm> for Algorithm {
    fn from(algorithm: signer::Algorithm) -> Self {
        match algorithm {
            signer::Algorithm::HmacSha1 => Self::HmacSha1,
            signer::Algorithm::HmacSha256 => Self::HmacSha256,
            signer::Algorithm::AliyunV4 => Self::AliyunV4,
        }
    }
}

impl From<SignerError> for signer::SignerError {
    fn from(error: SignerError) -> Self {
        match error {
            SignerError::UnknownCredential => Self::UnknownCredential,
            SignerError::Denied(reason) => Self::Denied(reason),
            SignerError::Expired => Self::Expired,
            SignerError::Unavailable(reason) => Self::Unavailable(reason),
        }
    }
}

impl checkpoint::Host for State {
    fn request(&mut self, why: checkpoint::Reason) -> wasmtime::Result<()> {
        self.checkpoint.request(match why {
            checkpoint::Reason::SessionAge => CheckpointReason::SessionAge,
            checkpoint::Reason::SessionBlocks => CheckpointReason::SessionBlocks,
            checkpoint::Reason::Memory => CheckpointReason::Memory,
            checkpoint::Reason::OpenPartitions => CheckpointReason::OpenPartitions,
        });
        Ok(())
    }

    fn last_committed(&mut self) -> wasmtime::Result<Option<CheckpointId>> {
        Ok(self.checkpoint.last_committed())
    }
}

impl From<log::Level> for Level {
    fn from(level: log::Level) -> Self {
        match level {
            log::Level::Trace => Self::Trace,
            log::Level::Debug => Self::Debug,
            log::Level::Info => Self::Info,
            log::Level::Warn => Self::Warn,
            log::Level::Error => Self::Error,
        }
    }
}

impl log::Host for State {
    fn enabled(&mut self, level: log::Level) -> wasmtime::Result<bool> {
        Ok(LogGate::enabled(level.into()))
    }

    fn emit(
        &mut self,
        level: log::Level,
        target: String,
        message: String,
        fields: Vec<(String, String)>,
    ) -> wasmtime::Result<()> {
        self.log.emit(level.into(), &target, &message, &fields);
        Ok(())
    }
}

impl dead_letter::Host for State {
    async fn put(
        &mut self,
        table: TablePath,
        rows: Vec<BadRow>,
        ipc: Vec<u8>,
    ) -> wasmtime::Result<Result<(), String>> {
        let sink = Arc::clone(&self.dead_letter);
        Ok(sink.put(DeadLetters { table, rows, ipc }).await)
    }
}

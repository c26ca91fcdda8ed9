//! Code generated from the contract. Its data types are those of [`crate::contract`].

#![expect(
    unreachable_pub,
    reason = "generated items are as public as the generator makes them; the crate's public face is written by hand"
)]

wasmtime::component::bindgen!({
    path: "../../wit",
    world: "blocking-sink-component",
    imports: {
        "longshore:sink/dead-letter.put": async | trappable,
        "longshore:sink/signer.[method]credential.headers": async | trappable,
        default: trappable,
    },
    exports: { default: async },
    require_store_data_send: true,
    with: {
        "longshore:sink/types": crate::bindings::types,
        "longshore:sink/signer.credential": crate::host::OpenCredential,
    },
});

/// Stands in for the generated form of the interface `types`: the data types of the contract and,
/// because the generator expects them of every interface, the traits and the function of one that
/// has no functions.
pub mod types {
    #![expect(dead_code, reason = "named only by generated code that nothing calls")]

    pub use crate::contract::*;
    use wasmtime::component::{HasData, Linker};

    pub trait Host {}
    pub trait HostWithStore<T>: HasData {}

    pub fn add_to_linker<T: 'static, D: HasData>(
        _linker: &mut Linker<T>,
        _host: fn(&mut T) -> D::Data<'_>,
    ) -> wasmtime::Result<()> {
        Ok(())
    }
}

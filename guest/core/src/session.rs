//! Documents of the service, read: projects, tables, SQL instances, sessions.

pub mod metadata;
pub mod tunnel;
pub(crate) mod xml;

//! File sources, seen from outside: files in, tables and batches out.

#[cfg(test)]
mod columnar;
#[cfg(test)]
mod csv;
#[cfg(test)]
mod debezium;
#[cfg(test)]
mod evolution;
#[cfg(test)]
mod json;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod resume;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod stdin;
#[cfg(test)]
mod support;
#[cfg(test)]
mod types;

//! Encoding and compression of the comparison rows.

fn main() {}

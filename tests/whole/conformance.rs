//! The official clients against the local server: what each writes, both read back.

use anyhow::Result;
use longshore_tests::{Client, JavaSdk, LocalServer, Pyodps, assert_same_rows, dataset, rows_of};

/// Ways a client can write one set of rows.
struct Write {
    mode: &'static str,
    compress: &'static str,
    primary_key: Option<&'static str>,
    partition: Option<&'static str>,
}

const fn append(mode: &'static str, compress: &'static str) -> Write {
    Write {
        mode,
        compress,
        primary_key: None,
        partition: None,
    }
}

fn table_name(prefix: &str, write: &Write) -> String {
    let partitioned = if write.partition.is_some() { "_pt" } else { "" };
    format!(
        "{prefix}_{}_{}{partitioned}",
        write.mode.replace('-', "_"),
        write.compress
    )
}

fn create_and_write(
    client: &dyn Client,
    server: &LocalServer,
    table: &str,
    write: &Write,
) -> Result<()> {
    let rows = dataset();
    let rows = rows.to_string_lossy();
    let mut create = vec!["create", table, "--rows", &rows];
    if let Some(key) = write.primary_key {
        create.extend(["--primary-key", key]);
    }
    let mut call = vec![
        "write",
        table,
        "--rows",
        &rows,
        "--mode",
        write.mode,
        "--compress",
        write.compress,
    ];
    if let Some(partition) = write.partition {
        create.extend(["--partition", partition]);
        call.extend(["--partition", partition]);
    }
    client.call(server, &create)?;
    client.call(server, &call)?;
    Ok(())
}

fn read_with(
    client: &dyn Client,
    server: &LocalServer,
    table: &str,
    write: &Write,
    mode: &str,
    compress: &str,
) -> Result<()> {
    let mut call = vec!["read", table, "--mode", mode, "--compress", compress];
    if let Some(partition) = write.partition {
        call.extend(["--partition", partition]);
    }
    let rows = client.call(server, &call)?;
    assert_same_rows(
        &format!("{table} read by {mode}"),
        &rows,
        &rows_of(&dataset())?,
    )
}

#[test]
fn pyodps_writes_and_both_clients_read() -> Result<()> {
    let data = tempfile::tempdir()?;
    let server = LocalServer::start(data.path())?;
    let delta = |mode, compress, partition| Write {
        mode,
        compress,
        primary_key: Some("id"),
        partition,
    };
    let writes = [
        append("batch", "raw"),
        append("batch", "zlib"),
        append("batch", "zstd"),
        append("batch", "snappy"),
        append("batch", "lz4"),
        append("arrow", "raw"),
        append("arrow", "zlib"),
        append("arrow", "lz4"),
        append("stream", "zlib"),
        append("high-level", "raw"),
        Write {
            partition: Some("pt=a"),
            ..append("batch", "zlib")
        },
        delta("upsert", "raw", None),
        delta("upsert", "zlib", Some("pt=b")),
    ];
    for write in &writes {
        let table = table_name("py", write);
        create_and_write(&Pyodps, &server, &table, write)?;
        read_with(&Pyodps, &server, &table, write, "batch", "zlib")?;
        read_with(&JavaSdk, &server, &table, write, "batch", "raw")?;
        read_with(&JavaSdk, &server, &table, write, "arrow", "raw")?;
    }
    for compress in ["zlib", "snappy", "lz4"] {
        for mode in ["batch", "arrow"] {
            read_with(
                &JavaSdk,
                &server,
                "py_batch_raw",
                &writes[0],
                mode,
                compress,
            )?;
        }
    }
    for (mode, compress) in [
        ("arrow", "raw"),
        ("arrow", "zlib"),
        ("sql", "raw"),
        ("high-level", "raw"),
        ("batch", "snappy"),
        ("batch", "lz4"),
        ("batch", "zstd"),
    ] {
        read_with(&Pyodps, &server, "py_batch_raw", &writes[0], mode, compress)?;
    }
    Ok(())
}

#[test]
fn java_writes_and_both_clients_read() -> Result<()> {
    let data = tempfile::tempdir()?;
    let server = LocalServer::start(data.path())?;
    let delta = |mode, compress, partition| Write {
        mode,
        compress,
        primary_key: Some("id"),
        partition,
    };
    let writes = [
        append("batch", "raw"),
        append("batch", "zlib"),
        append("batch", "snappy"),
        append("batch", "lz4"),
        append("buffered", "zlib"),
        append("stream", "zlib"),
        append("arrow", "raw"),
        append("arrow", "zlib"),
        append("arrow", "snappy"),
        append("arrow", "lz4"),
        Write {
            partition: Some("pt=a"),
            ..append("batch", "zlib")
        },
        Write {
            partition: Some("pt=c"),
            ..append("arrow", "zlib")
        },
        delta("upsert", "zlib", None),
        delta("upsert", "lz4", Some("pt=b")),
    ];
    for write in &writes {
        let table = table_name("java", write);
        create_and_write(&JavaSdk, &server, &table, write)?;
        for mode in ["batch", "arrow"] {
            read_with(&JavaSdk, &server, &table, write, mode, "zlib")?;
            read_with(&Pyodps, &server, &table, write, mode, "raw")?;
        }
    }
    Ok(())
}

#[test]
fn rows_deleted_by_one_client_are_gone_for_the_other() -> Result<()> {
    let data = tempfile::tempdir()?;
    let server = LocalServer::start(data.path())?;
    let upsert = Write {
        mode: "upsert",
        compress: "zlib",
        primary_key: Some("id"),
        partition: None,
    };
    create_and_write(&Pyodps, &server, "both", &upsert)?;
    let rows = dataset();
    let rows = rows.to_string_lossy();
    JavaSdk.call(
        &server,
        &["write", "both", "--rows", &rows, "--mode", "delete"],
    )?;
    assert_eq!(Pyodps.call(&server, &["read", "both"])?, "");
    Pyodps.call(
        &server,
        &["write", "both", "--rows", &rows, "--mode", "upsert"],
    )?;
    read_with(&JavaSdk, &server, "both", &upsert, "batch", "raw")
}

#[test]
fn rows_survive_a_kill_of_the_server() -> Result<()> {
    let data = tempfile::tempdir()?;
    let server = LocalServer::start(data.path())?;
    let upsert = Write {
        mode: "upsert",
        compress: "zlib",
        primary_key: Some("id"),
        partition: None,
    };
    create_and_write(&Pyodps, &server, "kept_append", &append("batch", "zlib"))?;
    create_and_write(&Pyodps, &server, "kept_stream", &append("stream", "zlib"))?;
    create_and_write(&Pyodps, &server, "kept_delta", &upsert)?;
    let server = server.kill_and_restart()?;
    read_with(
        &Pyodps,
        &server,
        "kept_append",
        &append("batch", "zlib"),
        "batch",
        "raw",
    )?;
    read_with(
        &Pyodps,
        &server,
        "kept_stream",
        &append("stream", "zlib"),
        "batch",
        "raw",
    )?;
    read_with(&Pyodps, &server, "kept_delta", &upsert, "batch", "raw")
}

#[test]
fn a_wrong_key_is_refused_in_the_form_the_client_knows() -> Result<()> {
    let data = tempfile::tempdir()?;
    let server = LocalServer::start(data.path())?;
    let error = Pyodps
        .call_with_key(&server, "wrong", &["read", "anything"])
        .expect_err("the key is wrong");
    assert!(format!("{error:#}").contains("odps.errors"), "{error:#}");
    let error = JavaSdk
        .call_with_key(&server, "wrong", &["read", "anything"])
        .expect_err("the key is wrong");
    assert!(
        format!("{error:#}").contains("com.aliyun.odps"),
        "{error:#}"
    );
    Ok(())
}

/// Every way in and out of the tunnel that pyodps has.
fn every_way_of_the_tunnel(writers: &str) -> Result<()> {
    let data = tempfile::tempdir()?;
    let server = LocalServer::start(data.path())?;
    let mut environment: Vec<_> = server.environment().collect();
    environment.push(("LONGSHORE_PYODPS", writers));
    Pyodps::script("tunnel.py", &[], &environment)?;
    Ok(())
}

#[test]
fn pyodps_gets_back_what_its_pure_python_writers_wrote() -> Result<()> {
    every_way_of_the_tunnel("pure")
}

#[test]
fn pyodps_gets_back_what_its_compiled_writers_wrote() -> Result<()> {
    every_way_of_the_tunnel("compiled")
}

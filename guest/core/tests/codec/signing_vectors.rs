//! Signatures of the official clients.

use hmac::{Hmac, KeyInit, Mac};
use longshore_core::signing::{
    Scheme, authorization, encode_path, encode_query, http_date, string_to_sign, v4_date,
};
use percent_encoding::percent_decode_str;
use serde_json::Value as Json;
use sha1::Sha1;
use sha2::Sha256;

use crate::support::vector_json;

fn decoded(text: &str) -> String {
    percent_decode_str(text).decode_utf8().unwrap().into_owned()
}

/// Decoded path and query of a request target.
fn split(target: &str) -> (String, Vec<(String, String)>) {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs = query
        .split('&')
        .filter(|part| !part.is_empty())
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            (decoded(name), decoded(value))
        });
    (decoded(path), pairs.collect())
}

fn sha1_mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha1>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn sha256_mac(key: &[u8], text: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn scheme(vector: &Json) -> Scheme {
    match vector["region"].as_str() {
        None => Scheme::V2,
        Some(region) => Scheme::V4 {
            date: vector["v4_date"].as_str().unwrap().to_owned(),
            region: region.to_owned(),
        },
    }
}

/// What the signer of the host does with the scope.
fn key(scheme: &Scheme, secret: &str) -> Vec<u8> {
    if *scheme == Scheme::V2 {
        return secret.as_bytes().to_vec();
    }
    let start = format!("aliyun_v4{secret}").into_bytes();
    let derived = scheme
        .scope()
        .split('/')
        .fold(start, |key, part| sha256_mac(&key, part));
    sha256_mac(&derived, "aliyun_v4_request")
}

#[test]
fn canonical_texts_and_authorizations() {
    let vectors = vector_json("auth-vectors.json");
    let vectors = vectors["vectors"].as_array().unwrap();
    assert_eq!(vectors.len(), 12);
    for vector in vectors {
        let canonical = vector["canonical_string"].as_str().unwrap();
        if let Some(target) = vector["request_target_after_endpoint"].as_str() {
            let (path, query) = split(target);
            let headers: Vec<(String, String)> = vector["headers"]
                .as_object()
                .unwrap()
                .iter()
                .map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
                .collect();
            let text = string_to_sign(vector["method"].as_str().unwrap(), &path, &query, &headers);
            assert_eq!(text, canonical, "{}", vector["name"]);
        }
        let scheme = scheme(vector);
        let mac = sha1_mac(&key(&scheme, vector["secret"].as_str().unwrap()), canonical);
        assert_eq!(
            authorization(&scheme, vector["access_id"].as_str().unwrap(), &mac),
            vector["authorization"].as_str().unwrap(),
            "{}",
            vector["name"]
        );
    }
}

#[test]
fn values_are_decoded_once_as_java_and_go_do() {
    let vectors = vector_json("auth-vectors.json");
    for case in vectors["double_decoding_differences"].as_array().unwrap() {
        let target = case["request_target"].as_str().unwrap();
        let (path, query) = split(target);
        let text = string_to_sign("GET", &path, &query, &[]);
        let resource = case["resource_signed_by_java_go"].as_str().unwrap();
        assert_eq!(text.rsplit('\n').next(), Some(resource));
        assert_eq!(
            format!("{}?{}", encode_path(&path), encode_query(&query)),
            target
        );
    }
}

#[test]
fn request_targets_are_encoded() {
    let query = [("uploads", ""), ("partition", "pt=杭 州,hh=01")]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(
        encode_query(&query),
        "uploads&partition=pt%3D%E6%9D%AD%20%E5%B7%9E%2Chh%3D01"
    );
    assert_eq!(
        encode_path("/projects/p 1/tables/t"),
        "/projects/p%201/tables/t"
    );
}

#[test]
fn dates() {
    assert_eq!(
        http_date(1_718_426_096_999),
        "Sat, 15 Jun 2024 04:34:56 GMT"
    );
    assert_eq!(http_date(0), "Thu, 01 Jan 1970 00:00:00 GMT");
    assert_eq!(http_date(951_782_400_000), "Tue, 29 Feb 2000 00:00:00 GMT");
    assert_eq!(v4_date(1_735_689_599_999), "20241231");
    assert_eq!(v4_date(1_735_689_600_000), "20250101");
}

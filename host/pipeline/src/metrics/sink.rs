//! What the instances of the sink measure themselves, and what they sent.

use std::collections::BTreeMap;
use std::fmt::Error;
use std::sync::{Mutex, PoisonError};

use longshore_runtime::Traffic;
use longshore_runtime::contract::{Metric, MetricKind};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

/// The label that names the instance. `instance` is the scraped process to Prometheus.
const INSTANCE: &str = "sink_instance";

/// The values that each instance gave last.
#[derive(Debug, Default)]
pub(super) struct SinkValues {
    instances: Mutex<BTreeMap<String, (Vec<Metric>, Traffic)>>,
}

impl SinkValues {
    pub(super) fn replace(&self, instance: &str, values: Vec<Metric>, traffic: Traffic) {
        let mut instances = self
            .instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        instances.insert(instance.to_owned(), (values, traffic));
    }
}

impl Collector for SinkValues {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), Error> {
        let instances = self
            .instances
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for (name, help, read) in TRAFFIC {
            let counter = ConstCounter::new(0_u64);
            let mut family = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            for (instance, (_, traffic)) in instances.iter() {
                let label = [(INSTANCE, instance.as_str())];
                ConstCounter::new(read(traffic)).encode(family.encode_family(&label)?)?;
            }
        }
        // A family is one block, whichever instances have it.
        let mut families: BTreeMap<&str, Vec<(&str, &Metric)>> = BTreeMap::new();
        for (instance, (values, _)) in instances.iter() {
            for value in values {
                let family = families.entry(value.name.as_str()).or_default();
                family.push((instance, value));
            }
        }
        for (name, values) in families {
            let Some(kind) = values.first().map(|(_, value)| value.kind) else {
                continue;
            };
            // The encoder puts `_total` behind the names of counters.
            let name = format!("sink_{}", name.strip_suffix("_total").unwrap_or(name));
            let family_type = match kind {
                MetricKind::Counter => ConstCounter::new(0.0).metric_type(),
                MetricKind::Gauge => ConstGauge::new(0.0).metric_type(),
            };
            let mut family = encoder.encode_descriptor(
                &name,
                "Measured by the sink itself",
                None,
                family_type,
            )?;
            for (instance, value) in values.into_iter().filter(|(_, value)| value.kind == kind) {
                let mut labels: Vec<(&str, &str)> = value
                    .labels
                    .iter()
                    .filter(|(name, _)| name != INSTANCE)
                    .map(|(name, value)| (name.as_str(), value.as_str()))
                    .collect();
                labels.push((INSTANCE, instance));
                let one = family.encode_family(&labels)?;
                match kind {
                    MetricKind::Counter => ConstCounter::new(value.value).encode(one)?,
                    MetricKind::Gauge => ConstGauge::new(value.value).encode(one)?,
                }
            }
        }
        Ok(())
    }
}

type TrafficCounter = (&'static str, &'static str, fn(&Traffic) -> u64);

const TRAFFIC: [TrafficCounter; 4] = [
    (
        "http_requests",
        "Requests that an instance of the sink sent",
        |traffic| traffic.requests,
    ),
    (
        "http_requests_refused",
        "Requests of the sink that the egress policy refused",
        |traffic| traffic.refused,
    ),
    (
        "http_sent_bytes",
        "Bytes of request bodies that an instance of the sink sent",
        |traffic| traffic.bytes_sent,
    ),
    (
        "http_received_bytes",
        "Bytes of answers that an instance of the sink received",
        |traffic| traffic.bytes_received,
    ),
];
